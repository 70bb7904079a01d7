//! Rotation: when a file is full or its time is over it is put aside under a name with the time, compressed, and the oldest
//! are removed.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::disk::{Disk, DiskFile, temporary_name};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;

use super::appender::{mend_file, sync_folder};
use super::{Compress, Format};

/// When a file is put aside and a new one begun.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotate {
    /// When it has reached this size, such as `10MiB`. Looked at between batches, so a file can be a batch longer.
    pub size: Option<ByteSize>,
    /// When this much time is over: `1h`, `1d`, `1w`. Steps are those of the calendar in the host's time zone: days end at
    /// midnight, weeks on Sunday.
    pub every: Option<Duration>,
    /// How many files that were put aside are kept; the oldest are removed. Default: all.
    pub keep: Option<u32>,
}

impl Rotate {
    /// What all files together may take, where both their size and their number have a bound. Compressed they take less.
    pub(super) fn disk(&self) -> Option<ByteSize> {
        let files = u64::from(self.keep?).saturating_add(1);
        Some(ByteSize(self.size?.0.saturating_mul(files)))
    }

    /// Which step of `every` an instant lies in.
    pub(super) fn step(&self, now: Timestamp, zone: &TimeZone) -> Option<i64> {
        const WEEK: i64 = 7 * 86_400_000_000;
        let every = self.every?.as_micros();
        let offset = i64::from(zone.to_offset(now.to_jiff()).seconds()) * 1_000_000;
        // 1970-01-01 was a Thursday.
        let from_monday = if every % WEEK == 0 { WEEK / 7 * 3 } else { 0 };
        Some((now.as_micros() + offset + from_monday).div_euclid(every))
    }
}

/// The names of files that were put aside: `readings.jsonl` becomes `readings-20261121T010203Z.jsonl`, with `-2`, `-3` behind the
/// time where one second saw several, and `-unsynced` behind that where the disk failed to make the file durable.
pub(super) struct Names {
    folder: PathBuf,
    stem: String,
    extension: String,
}

/// A file that was put aside.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Aside {
    time: String,
    number: u32,
    name: String,
    compressed: bool,
    /// A sync of it failed: its last rows may be gone after the next power cut, with zeros in their place.
    unsynced: bool,
}

/// What the name of such a file ends in.
const UNSYNCED: &str = "-unsynced";

impl Names {
    pub(super) fn of(path: &Path) -> Names {
        let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        Names {
            folder: path.parent().unwrap_or_else(|| Path::new("")).to_owned(),
            stem: text(path.file_stem()),
            extension: path
                .extension()
                .map_or_else(String::new, |it| format!(".{}", it.to_string_lossy())),
        }
    }

    /// A name that no file has yet, compressed or not, for a file that is durable or one that could not be synced.
    pub(super) fn free(
        &self,
        disk: &dyn Disk,
        now: Timestamp,
        synced: bool,
    ) -> io::Result<PathBuf> {
        let time = now.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string();
        let taken = self.aside(disk)?;
        let last = taken.iter().filter(|one| one.time == time).map(|one| one.number).max();
        let number = last.map_or(String::new(), |last| format!("-{}", last + 1));
        let mark = if synced { "" } else { UNSYNCED };
        Ok(self.folder.join(format!("{}-{time}{number}{mark}{}", self.stem, self.extension)))
    }

    /// Cuts off what a power cut left damaged at the end of files that could not be synced. It may be asked for at every start: they
    /// are not synced after it either, so the next power cut may bring the damage back.
    pub(super) fn mend(&self, disk: &dyn Disk, format: Format) -> io::Result<()> {
        let aside = self.aside(disk)?;
        for one in aside.iter().filter(|one| one.unsynced) {
            mend_file(disk, &self.folder.join(&one.name), format)?;
        }
        Ok(())
    }

    /// All files that were put aside, the oldest first.
    fn aside(&self, disk: &dyn Disk) -> io::Result<Vec<Aside>> {
        let here = Path::new(".");
        let folder = if self.folder.as_os_str().is_empty() { here } else { &self.folder };
        let entries = disk.list(folder)?;
        let files = entries.into_iter().filter(|entry| !entry.is_dir);
        let mut aside: Vec<Aside> = files.filter_map(|entry| self.parse(entry.name)).collect();
        aside.sort();
        Ok(aside)
    }

    fn parse(&self, name: String) -> Option<Aside> {
        let rest = name.strip_prefix(&self.stem)?.strip_prefix('-')?;
        let (rest, compressed) = match rest.strip_suffix(".gz").or(rest.strip_suffix(".zst")) {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let rest = rest.strip_suffix(&self.extension)?;
        let (rest, unsynced) = match rest.strip_suffix(UNSYNCED) {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (time, number) = match rest.split_once('-') {
            Some((time, number)) => (time, number.parse().ok()?),
            None => (rest, 1),
        };
        let form = time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
        let time = (form && time.len() == 16).then(|| time.to_owned())?;
        Some(Aside { time, number, name, compressed, unsynced })
    }

    /// Compresses what was put aside and is not compressed yet, and removes the oldest beyond `keep`.
    pub(super) fn tidy(
        &self,
        disk: &dyn Disk,
        keep: Option<u32>,
        compress: Compress,
    ) -> io::Result<()> {
        let mut aside = self.aside(disk)?;
        let surplus = keep.map_or(0, |keep| aside.len().saturating_sub(keep as usize));
        for old in aside.drain(..surplus) {
            disk.remove_file(&self.folder.join(old.name))?;
        }
        if compress != Compress::None {
            // What cannot be relied on is not passed on.
            for plain in aside.iter().filter(|one| !one.compressed && !one.unsynced) {
                compress_file(disk, &self.folder.join(&plain.name), compress)?;
            }
        }
        Ok(())
    }
}

/// Replaces a file by its compressed form. The plain one goes only when the other is whole and durable.
fn compress_file(disk: &dyn Disk, path: &Path, compress: Compress) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(if compress == Compress::Gzip { ".gz" } else { ".zst" });
    let target = PathBuf::from(name);
    let temporary = temporary_name(&target);
    let _ = disk.remove_file(&temporary);
    let done = (|| {
        let source = disk.open(path)?;
        let into = Output(disk.create_new(&temporary)?);
        let mut file = if compress == Compress::Gzip {
            let mut encoder = flate2::write::GzEncoder::new(into, flate2::Compression::default());
            copy(&*source, &mut encoder)?;
            encoder.finish()?
        } else {
            let mut encoder = zstd::stream::write::Encoder::new(into, ZSTD_LEVEL)?;
            copy(&*source, &mut encoder)?;
            encoder.finish()?
        };
        file.0.sync()?;
        disk.rename(&temporary, &target)?;
        sync_folder(disk, path)?;
        disk.remove_file(path)
    })();
    if done.is_err() {
        let _ = disk.remove_file(&temporary);
    }
    done
}

/// zstd's own default: better than gzip at a fraction of its time.
const ZSTD_LEVEL: i32 = 3;

/// A kept file, as what encoders write to.
struct Output(Box<dyn DiskFile>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn copy(from: &dyn DiskFile, into: &mut dyn Write) -> io::Result<()> {
    let (len, mut at) = (from.len()?, 0);
    let mut piece = vec![0; 64 * 1024];
    while at < len {
        let size = (piece.len() as u64).min(len - at) as usize;
        from.read_exact_at(&mut piece[..size], at)?;
        into.write_all(&piece[..size])?;
        at += size as u64;
    }
    Ok(())
}
