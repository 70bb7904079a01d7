//! Dead letters on disk: JSON lines in one file, and one older file behind it, so that they never take more than twice the cap.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use smollama_engine::bytes::ByteSize;
use smollama_engine::context::Host;
use smollama_engine::disk::DiskFile;
use smollama_engine::json::write_item;
use smollama_engine::reading::write_json_text;
use smollama_engine::run::{DeadContent, DeadLetter, DeadLetters};

/// How large one of the two files may grow.
const FILE_MAX: ByteSize = ByteSize::mib(4);
/// How many of the original bytes are kept of what could not be understood.
const BYTES_KEPT: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct DeadLetterFile {
    host: Arc<Host>,
    path: PathBuf,
    open: Mutex<Option<Box<dyn DiskFile>>>,
}

impl DeadLetterFile {
    /// The dead letters of a host. The file is made when the first letter comes.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(host: &Arc<Host>) -> io::Result<DeadLetterFile> {
        let folder = host.data_dir.join("dead_letters");
        host.disk.create_dir_all(&folder)?;
        let path = folder.join("letters.jsonl");
        Ok(DeadLetterFile { host: host.clone(), path, open: Mutex::new(None) })
    }

    /// Where the letters lie.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    fn line(&self, letter: &DeadLetter) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        line.extend_from_slice(b"{\"time\":\"");
        letter.time.write_rfc3339(&mut line);
        line.extend_from_slice(b"\",\"address\":");
        write_json_text(&letter.address, &mut line);
        line.extend_from_slice(b",\"reason\":");
        write_json_text(&letter.reason, &mut line);
        match &letter.content {
            DeadContent::Raw(reject) => {
                line.extend_from_slice(b",\"origin\":");
                write_json_text(&reject.origin, &mut line);
                line.extend_from_slice(b",\"bytes\":");
                let kept = &reject.bytes[..reject.bytes.len().min(BYTES_KEPT)];
                write_json_text(&String::from_utf8_lossy(kept), &mut line);
            }
            DeadContent::Items(items) => {
                line.extend_from_slice(b",\"kind\":");
                write_json_text(items.kind().as_str(), &mut line);
                line.extend_from_slice(b",\"items\":[");
                for index in 0..items.len() {
                    if index > 0 {
                        line.push(b',');
                    }
                    write_item(items, index, &self.host.series, &mut line);
                }
                line.push(b']');
            }
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

impl DeadLetters for DeadLetterFile {
    fn put(&self, letter: &DeadLetter) -> io::Result<()> {
        let line = self.line(letter);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = &self.host.disk;
        let mut file = match open.take() {
            Some(file) => file,
            None => disk.append(&self.path)?,
        };
        let len = file.len()?;
        if len > 0 && len + line.len() as u64 > FILE_MAX.0 {
            disk.rename(&self.path, &self.path.with_extension("old.jsonl"))?;
            file = disk.append(&self.path)?;
        }
        // A line that could not be written whole is taken back, so that the next one begins on a line of its own.
        let before = file.len()?;
        if let Err(error) = file.write_all(&line) {
            file.set_len(before)?;
            return Err(error);
        }
        *open = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use smollama_engine::batch::Items;
    use smollama_engine::node::Reject;
    use smollama_engine::reading::Reading;
    use smollama_engine::series::{Series, SourceKey};
    use smollama_engine::time::Timestamp;

    use super::*;

    #[test]
    fn letters_say_why_and_hold_what_was_refused() {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        let letters = DeadLetterFile::open(&host).unwrap();
        let series = host.series.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
        let reject =
            Reject { reason: String::new(), origin: "a.csv:3".into(), bytes: b"x,y".to_vec() };
        let items = Items::Readings(vec![Reading::new(Timestamp::EPOCH, series, 1.5)]);
        for content in [DeadContent::Raw(reject), DeadContent::Items(items)] {
            let letter = DeadLetter {
                address: "p/n".into(),
                time: Timestamp::EPOCH,
                reason: "no \"number\"".into(),
                content,
            };
            letters.put(&letter).unwrap();
        }
        let text = std::fs::read_to_string(letters.path()).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["bytes"], "x,y");
        assert_eq!(lines[0]["reason"], "no \"number\"");
        assert_eq!(lines[1]["items"][0]["value"], 1.5);
    }

    #[test]
    fn two_files_at_most_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        let letters = DeadLetterFile::open(&host).unwrap();
        let bytes = vec![b'x'; BYTES_KEPT];
        let reject = Reject { reason: String::new(), origin: String::new(), bytes };
        for _ in 0..3 * FILE_MAX.0 / BYTES_KEPT as u64 {
            let letter = DeadLetter {
                address: "p/n".into(),
                time: Timestamp::EPOCH,
                reason: "why".into(),
                content: DeadContent::Raw(reject.clone()),
            };
            letters.put(&letter).unwrap();
        }
        let entries = host.disk.list(&folder.path().join("dead_letters")).unwrap();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.len <= FILE_MAX.0));
    }
}
