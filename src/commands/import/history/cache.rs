//! The last values of edge nodes, which the old program keeps in a file between its processes:
//! `{"attic:system:cpu_temp": {"node", "source", "value", "timestamp", "unit"}, ...}`.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value as Json};

/// The largest file that is read.
const BYTES_MAX: u64 = 64 << 20;

/// What stands in the file.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: Map<String, Json>,
    damage: Vec<String>,
}

impl Cache {
    /// Reads it. A file that cannot be read has no values, and says why.
    pub(super) fn read(path: &Path) -> Cache {
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
        let why = match read {
            Err(error) => format!("cannot read {}: {error}", path.display()),
            Ok(_) if bytes.len() as u64 > BYTES_MAX => {
                format!("{} is larger than {} MiB", path.display(), BYTES_MAX >> 20)
            }
            Ok(_) => match serde_json::from_slice(&bytes) {
                Ok(Json::Object(entries)) => return Cache { entries, damage: Vec::new() },
                Ok(_) => format!("{} holds no JSON object", path.display()),
                Err(error) => format!("{} is no JSON: {error}", path.display()),
            },
        };
        Cache { entries: Map::new(), damage: vec![why] }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    pub(super) fn damage(&self) -> &[String] {
        &self.damage
    }
}
