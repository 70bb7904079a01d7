-- The tables as the old program makes them.
CREATE TABLE readings_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, source_type TEXT NOT NULL, source_id TEXT NOT NULL,
    full_id TEXT GENERATED ALWAYS AS (source_type || ':' || source_id) STORED,
    value TEXT NOT NULL, value_numeric REAL, unit TEXT, metadata TEXT, node_id TEXT NOT NULL,
    created_at TEXT DEFAULT (datetime('now')));
CREATE INDEX idx_readings_source ON readings_log(source_type, source_id, timestamp);
CREATE INDEX idx_readings_full ON readings_log(full_id, timestamp);
CREATE INDEX idx_readings_time ON readings_log(timestamp);
CREATE TABLE observations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, text TEXT NOT NULL, confidence REAL DEFAULT 0.8,
    observation_type TEXT DEFAULT 'general', related_sources TEXT, node_id TEXT NOT NULL, created_at TEXT DEFAULT (datetime('now')));
CREATE TABLE memories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, confidence REAL DEFAULT 0.8, times_confirmed INTEGER DEFAULT 1,
    active INTEGER DEFAULT 1, node_id TEXT NOT NULL, created_at TEXT, updated_at TEXT);
