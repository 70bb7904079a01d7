//! What the outbox remembers across restarts: a line of JSON for each thing that came or went, behind a first line that says what this is.
//! When it is opened it is written anew, without what went.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smollama_engine::disk::{Disk, DiskFile, create_dir_durably, write_atomically};

const MAGIC: &str = "outbox";
const FORMAT: u32 = 1;
/// Lines of what went, beyond as many as there are of what is there, after which the file is written anew.
const STALE_MAX: usize = 1_024;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    smollama: String,
    format: u32,
    /// The version of the program that wrote it.
    version: String,
}

/// A retained message that this host has with a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The broker, by its name.
    pub(super) broker: String,
    pub(super) topic: String,
    /// The address of the node that published it.
    pub(super) node: Arc<str>,
    /// Where that node leaves things.
    pub(super) place: String,
    /// What it is about, for the node.
    pub(super) of: String,
    /// What it says; the first release did not note that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// It is there, or will be in a moment.
    Kept(Kept),
    /// It is gone.
    Gone { broker: String, topic: String },
    /// The broker is asked for messages by this filter.
    Asked { broker: String, filter: String },
    /// It is asked no more.
    GivenBack { broker: String, filter: String },
}

/// What there is, each by broker first.
#[derive(Debug, Default)]
pub(super) struct All {
    /// Then by topic.
    pub(super) kept: BTreeMap<(String, String), Kept>,
    /// Then the filter.
    pub(super) asked: BTreeSet<(String, String)>,
}

impl All {
    fn len(&self) -> usize {
        self.kept.len() + self.asked.len()
    }
}

/// See the module.
pub(super) struct File {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    all: All,
    /// Open for more; `None` where it has to be written as a whole.
    end: Option<Box<dyn DiskFile>>,
    stale: usize,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File {}", self.path.display())
    }
}

impl File {
    /// Opens it; one that is not there holds nothing. Nothing is written before there is something to write.
    ///
    /// # Errors
    /// The disk says no, or a newer release wrote it.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<File> {
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (all, stale) = read(&bytes, &path)?;
        let mut file = File { disk, path, all, end: None, stale };
        if stale > 0 {
            file.rewrite()?;
        }
        Ok(file)
    }

    pub(super) fn all(&self) -> &All {
        &self.all
    }

    /// Adds lines. Once this returns a power cut leaves them.
    ///
    /// # Errors
    /// The disk says no. They are remembered here all the same, and written with the next ones.
    pub(super) fn add(&mut self, lines: Vec<Line>) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            write_line(&line, &mut text);
            self.stale += apply(&mut self.all, line);
        }
        if text.is_empty() && self.end.is_some() {
            return Ok(());
        }
        let too_stale = self.stale > self.all.len() + STALE_MAX;
        let Some(mut end) = self.end.take().filter(|_| !too_stale) else {
            return self.rewrite();
        };
        end.write_all(&text)?;
        end.sync()?;
        self.end = Some(end);
        Ok(())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        self.end = None;
        let header = Header {
            smollama: MAGIC.into(),
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut text = Vec::new();
        write_line(&header, &mut text);
        for kept in self.all.kept.values() {
            write_line(&Line::Kept(kept.clone()), &mut text);
        }
        for (broker, filter) in self.all.asked.iter().cloned() {
            write_line(&Line::Asked { broker, filter }, &mut text);
        }
        if let Some(folder) = self.path.parent() {
            create_dir_durably(&*self.disk, folder)?;
        }
        write_atomically(&*self.disk, &self.path, &text)?;
        self.stale = 0;
        self.end = Some(self.disk.append(&self.path)?);
        Ok(())
    }
}

fn write_line(line: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and these always serialise.
    drop(serde_json::to_writer(&mut *out, line));
    out.push(b'\n');
}

/// Takes a line in. Gives how many lines mean nothing any more.
fn apply(all: &mut All, line: Line) -> usize {
    match line {
        Line::Kept(kept) => {
            let before = all.kept.insert((kept.broker.clone(), kept.topic.clone()), kept);
            usize::from(before.is_some())
        }
        Line::Gone { broker, topic } => {
            1 + usize::from(all.kept.remove(&(broker, topic)).is_some())
        }
        Line::Asked { broker, filter } => usize::from(!all.asked.insert((broker, filter))),
        Line::GivenBack { broker, filter } => 1 + usize::from(all.asked.remove(&(broker, filter))),
    }
}

/// What lies in a file, and how many of its lines mean nothing any more. A last line that was cut off counts as never written.
fn read(bytes: &[u8], path: &Path) -> io::Result<(All, usize)> {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut all = All::default();
    let Some(first) = lines.next() else { return Ok((all, 0)) };
    let header: Option<Header> = serde_json::from_slice(first).ok();
    let Some(header) = header.filter(|header| header.smollama == MAGIC) else {
        let message = format!("{} is no outbox; move it away to begin anew", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    };
    if header.format > FORMAT {
        let message = format!(
            "{} was written by version {}, which is newer than this one",
            path.display(),
            header.version
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut stale = usize::from(!bytes.ends_with(b"\n"));
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(line) => stale += apply(&mut all, line),
            Err(_) => stale += 1,
        }
    }
    Ok((all, stale))
}

#[cfg(test)]
mod tests {
    use smollama_engine::disk::{Crash, SimulatedDisk};

    use super::*;

    const PATH: &str = "/data/mqtt/outbox.jsonl";

    fn kept(topic: &str) -> Kept {
        Kept {
            broker: "default".into(),
            topic: topic.into(),
            node: "p/n".into(),
            place: "here".into(),
            of: "air:north".into(),
            payload: None,
        }
    }

    fn topics(file: &File) -> Vec<&str> {
        file.all().kept.keys().map(|(_, topic)| topic.as_str()).collect()
    }

    fn open(disk: &SimulatedDisk) -> io::Result<File> {
        File::open(disk.shared(), PATH.into())
    }

    #[test]
    fn what_came_and_went_is_known_after_a_power_cut() {
        let disk = SimulatedDisk::new(1);
        let mut file = open(&disk).unwrap();
        file.add(vec![Line::Kept(kept("a")), Line::Kept(kept("b"))]).unwrap();
        file.add(vec![Line::Gone { broker: "default".into(), topic: "a".into() }]).unwrap();
        file.add(vec![Line::Kept(kept("c"))]).unwrap();
        drop(file);
        disk.crash(Crash::Power);
        assert_eq!(topics(&open(&disk.restart()).unwrap()), ["b", "c"]);
    }

    /// The format of this release, which later ones have to read.
    #[test]
    fn the_form_of_version_1_is_read_and_written() {
        let disk = SimulatedDisk::new(1);
        let mut file = open(&disk).unwrap();
        file.add(vec![Line::Kept(kept("a"))]).unwrap();
        file.add(vec![Line::Gone { broker: "default".into(), topic: "b".into() }]).unwrap();
        file.add(vec![Line::Kept(Kept { payload: Some("{}".into()), ..kept("c") })]).unwrap();
        let of = || ("default".to_owned(), "a/#".to_owned());
        let (broker, filter) = of();
        file.add(vec![Line::Asked { broker, filter }]).unwrap();
        assert_eq!(file.all().asked, [of()].into());
        let (broker, filter) = of();
        file.add(vec![Line::GivenBack { broker, filter }]).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let golden = format!(
            "{{\"smollama\":\"outbox\",\"format\":1,\"version\":\"{version}\"}}\n\
             {{\"kept\":{{\"broker\":\"default\",\"topic\":\"a\",\"node\":\"p/n\",\"place\":\"here\",\"of\":\"air:north\"}}}}\n\
             {{\"gone\":{{\"broker\":\"default\",\"topic\":\"b\"}}}}\n\
             {{\"kept\":{{\"broker\":\"default\",\"topic\":\"c\",\"node\":\"p/n\",\"place\":\"here\",\"of\":\"air:north\",\"payload\":\"{{}}\"}}}}\n\
             {{\"asked\":{{\"broker\":\"default\",\"filter\":\"a/#\"}}}}\n\
             {{\"given_back\":{{\"broker\":\"default\",\"filter\":\"a/#\"}}}}\n"
        );
        let bytes = disk.shared().read(Path::new(PATH)).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), golden);
        let (all, _) = read(golden.as_bytes(), Path::new(PATH)).unwrap();
        assert_eq!((all.kept.len(), all.asked.len()), (2, 0));
    }

    #[test]
    fn a_line_that_was_cut_off_was_never_written_and_a_newer_form_is_left_alone() {
        let header = "{\"smollama\":\"outbox\",\"format\":1,\"version\":\"0.1.0\"}\n";
        let mut whole = Vec::new();
        write_line(&Line::Kept(kept("a")), &mut whole);
        let text = format!("{header}{}{{\"kept\":{{\"bro", String::from_utf8(whole).unwrap());
        let (all, stale) = read(text.as_bytes(), Path::new(PATH)).unwrap();
        assert!(all.len() == 1 && stale > 0);
        let newer = read(
            b"{\"smollama\":\"outbox\",\"format\":2,\"version\":\"9.0.0\"}\n",
            Path::new(PATH),
        );
        assert!(newer.unwrap_err().to_string().contains("9.0.0"));
        assert!(read(b"something else\n", Path::new(PATH)).is_err());
    }

    #[test]
    fn what_went_does_not_pile_up() {
        let disk = SimulatedDisk::new(1);
        let mut file = open(&disk).unwrap();
        for round in 0..2_000 {
            file.add(vec![Line::Kept(kept("a"))]).unwrap();
            assert!(file.stale <= STALE_MAX + 2, "{round}");
        }
        let bytes = disk.shared().read(Path::new(PATH)).unwrap();
        assert!(bytes.split(|byte| *byte == b'\n').count() < STALE_MAX + 8);
    }
}
