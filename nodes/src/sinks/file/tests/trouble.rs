//! Full disks, torn lines, files that cannot be opened.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use smollama_engine::disk::{DiskEntry, DiskFile, RealDisk};

use super::*;

/// A disk that takes so many bytes more, tears the write that does not fit, and can fail to cut and to sync.
#[derive(Debug, Clone, Default)]
struct Narrow {
    room: Arc<AtomicU64>,
    keeps_length: Arc<AtomicBool>,
    forgets: Arc<AtomicBool>,
}

#[derive(Debug)]
struct NarrowFile(Box<dyn DiskFile>, Narrow);

impl Narrow {
    fn wrap(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NarrowFile(file?, self.clone())))
    }
}

impl Disk for Narrow {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(RealDisk.create_new(path))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(RealDisk.append(path))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(RealDisk.open(path))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        RealDisk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }
}

impl DiskFile for NarrowFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.1.room.load(Ordering::Relaxed);
        let fits = room.min(bytes.len() as u64);
        self.1.room.store(room - fits, Ordering::Relaxed);
        self.0.write_all(&bytes[..fits as usize])?;
        if fits == bytes.len() as u64 { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
    fn sync(&mut self) -> io::Result<()> {
        if self.1.forgets.load(Ordering::Relaxed) {
            return Err(io::Error::other("the medium is gone"));
        }
        self.0.sync()
    }
    fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        if self.1.keeps_length.load(Ordering::Relaxed) {
            return Err(io::Error::other("cannot cut"));
        }
        self.1.room.fetch_add(self.0.len()?.saturating_sub(len), Ordering::Relaxed);
        self.0.set_len(len)
    }
}

const SETTINGS: &str = r#"{ "path": "x.csv", "fields": ["time", "value"] }"#;

fn settings() -> serde_json::Value {
    serde_json::from_str(SETTINGS).unwrap()
}

fn is_retry(result: Result<(), NodeError>) -> bool {
    match result {
        Err(NodeError::Retry(text)) => text.contains("x.csv` cannot be written"),
        _ => false,
    }
}

#[test]
fn a_full_disk_loses_nothing_and_leaves_no_half_row() {
    let disk = Narrow::default();
    disk.room.store(40, Ordering::Relaxed);
    let mut bench = Bench::on(Arc::new(disk.clone()), settings());
    bench.readings(vec![bench.value(0, 1.0)]);
    bench.flush().unwrap();
    let before = bench.text("x.csv");
    bench.readings(vec![bench.value(1, 2.0)]);
    assert!(is_retry(bench.flush()));
    assert_eq!(bench.text("x.csv"), before);
    assert!(is_retry(bench.flush()), "it is still full");
    disk.room.store(1 << 20, Ordering::Relaxed);
    bench.close();
    assert_eq!(
        bench.text("x.csv"),
        "time,value\n2026-01-01T00:00:00Z,1.0\n2026-01-01T00:00:01Z,2.0\n"
    );
}

#[test]
fn a_long_batch_that_fails_half_way_is_taken_back_whole() {
    let disk = Narrow::default();
    // The first piece of the batch fits, the second does not.
    disk.room.store(PIECE as u64 + 100_000, Ordering::Relaxed);
    let mut bench = Bench::on(Arc::new(disk.clone()), settings());
    bench.readings(vec![bench.value(0, 0.5)]);
    let batch: Vec<Reading> = (0..30_000).map(|second| bench.value(second, 1.5)).collect();
    assert!(is_retry(bench.write(Items::Readings(batch.clone()))));
    assert_eq!(bench.text("x.csv"), "time,value\n2026-01-01T00:00:00Z,0.5\n");
    disk.room.store(1 << 30, Ordering::Relaxed);
    bench.readings(batch);
    bench.close();
    let text = bench.text("x.csv");
    assert_eq!(text.lines().count(), 30_002);
    assert!(text.starts_with("time,value\n2026-01-01T00:00:00Z,0.5\n2026-01-01T00:00:00Z,1.5\n"));
}

#[test]
fn a_file_that_cannot_be_cut_is_mended_before_the_next_row() {
    let disk = Narrow::default();
    disk.room.store(40, Ordering::Relaxed);
    disk.keeps_length.store(true, Ordering::Relaxed);
    let mut bench = Bench::on(Arc::new(disk.clone()), settings());
    bench.readings(vec![bench.value(0, 1.0)]);
    bench.flush().unwrap();
    bench.readings(vec![bench.value(1, 2.0)]);
    assert!(is_retry(bench.flush()));
    assert_eq!(bench.text("x.csv").len(), 40, "the torn row is still there");
    disk.room.store(1 << 20, Ordering::Relaxed);
    assert!(is_retry(bench.flush()), "nothing is written behind a torn row");
    disk.keeps_length.store(false, Ordering::Relaxed);
    bench.close();
    assert_eq!(
        bench.text("x.csv"),
        "time,value\n2026-01-01T00:00:00Z,1.0\n2026-01-01T00:00:01Z,2.0\n"
    );
}

#[test]
fn a_failed_sync_is_not_tried_again_on_the_same_file() {
    let disk = Narrow::default();
    disk.room.store(1 << 20, Ordering::Relaxed);
    disk.forgets.store(true, Ordering::Relaxed);
    let mut bench = Bench::on(Arc::new(disk.clone()), settings());
    bench.readings(vec![bench.value(0, 1.0)]);
    assert!(matches!(bench.flush(), Err(NodeError::Fatal(_))));
    let mut never = settings();
    never["sync"] = "never".into();
    let mut bench = Bench::on(Arc::new(disk), never);
    bench.readings(vec![bench.value(0, 1.0)]);
    assert_eq!(bench.flush(), Ok(()));
}

#[test]
fn a_torn_last_line_is_cut_off_and_a_whole_one_is_ended() {
    let row = r#"{"time":"2026-01-01T00:00:00Z","source":"t:a","value":1.0,"count":1}"#;
    let path = serde_json::json!({ "path": "x.jsonl" });
    for (found, kept) in [
        (format!("{row}\n{}", &row[..40]), format!("{row}\n")),
        (format!("{row}\n{row}"), format!("{row}\n{row}\n")),
        (row[..10].to_owned(), String::new()),
        (String::new(), String::new()),
        ("x".repeat(PIECE * 2), String::new()),
        (format!("{row}\n{}", "x".repeat(PIECE * 2)), format!("{row}\n")),
    ] {
        let mut bench = Bench::new(path.clone());
        bench.put("x.jsonl", &found);
        bench.readings(vec![bench.value(0, 1.0)]);
        bench.close();
        assert_eq!(bench.text("x.jsonl"), format!("{kept}{row}\n"));
    }
}

#[test]
fn a_line_break_inside_quotes_ends_no_row() {
    let mut bench = Bench::new(settings());
    bench.put("x.csv", "time,value\na,\"one\ntwo\"\nb,\"three\nfo");
    bench.readings(vec![bench.value(0, 1.0)]);
    bench.close();
    assert_eq!(bench.text("x.csv"), "time,value\na,\"one\ntwo\"\n2026-01-01T00:00:00Z,1.0\n");
}

#[test]
fn a_path_that_cannot_be_written_is_a_problem_of_the_setting() {
    let mut bench = Bench::new(serde_json::json!({ "path": "x" }));
    fs::create_dir(bench.folder.path().join("x")).unwrap();
    let problem = bench.try_sink().err().unwrap();
    assert_eq!(problem.field, "path");
    assert!(problem.message.contains("cannot be opened"), "{}", problem.message);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However little room there is and whatever is tried again, the file ends up with each row once, and holds whole rows
    /// at every moment between.
    #[test]
    fn batches_are_written_once_or_not_at_all(
        sizes in prop::collection::vec((1usize..9_000, 0u64..400_000, any::<bool>()), 1..6), rotate: bool,
    ) {
        let disk = Narrow::default();
        let mut settings = settings();
        if rotate {
            settings["rotate"] = serde_json::json!({ "size": "64KiB" });
        }
        let mut bench = Bench::on(Arc::new(disk.clone()), settings);
        let (mut at, mut expected) = (0, String::new());
        for (size, room, flush) in sizes {
            disk.room.store(room, Ordering::Relaxed);
            let batch: Vec<Reading> = (0..size).map(|index| bench.value(at + index as i64, 1.5)).collect();
            at += size as i64;
            for reading in &batch {
                expected.push_str(&format!("{},1.5\n", reading.time));
            }
            let mut tries = 0;
            while let Err(error) = bench.write(Items::Readings(batch.clone())) {
                tries += 1;
                prop_assert!(tries < 20, "it never gets through");
                prop_assert!(matches!(error, NodeError::Retry(_)), "{error}");
                let found = bench.text("x.csv");
                prop_assert!(found.is_empty() || found.ends_with('\n'), "a half row");
                disk.room.fetch_add(200_000, Ordering::Relaxed);
            }
            for _ in 0..20 {
                if !flush || bench.flush().is_ok() {
                    break;
                }
                disk.room.fetch_add(200_000, Ordering::Relaxed);
            }
        }
        disk.room.store(1 << 40, Ordering::Relaxed);
        bench.close();
        let mut names = bench.files();
        // The file that is being written sorts before those put aside; it is the newest.
        names.sort_by_key(|name| (name == "x.csv", name.len(), name.clone()));
        let rows: String = names
            .iter()
            .map(|name| bench.text(name).strip_prefix("time,value\n").unwrap_or_default().to_owned())
            .collect();
        prop_assert!(rows == expected, "{} rows for {}", rows.lines().count(), expected.lines().count());
    }
}
