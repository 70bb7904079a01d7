//! What a restart finds in a log's folder. Headers and lengths are enough for all segments but the last, which is read to its end: what a
//! write left half-way there is cut off.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex};

use smollama_engine::context::Host;
use smollama_engine::disk::create_dir_durably;

use super::Log;
use super::files::{Files, OpenFile, number_of};
use super::frame::{BadHeader, FORMAT, HEADER_MAX, Header};
use super::frames::Frames;
use super::settings::LogSettings;
use super::tail::{Segment, Tail};

/// Numbers go on so far behind those in a segment that cannot be read to its end.
const UNREAD_GAP: u64 = 1 << 32;

/// A process that dies leaves no more segments unsynced.
const UNSYNCED_MAX: usize = 32;

/// A later release wrote a segment.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{}` has log format {found}, written by {writer}; this version reads formats up to {FORMAT}: \
     update smollama, or move the folder elsewhere", path.display()
)]
pub struct NewerFormat {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub found: u16,
    /// The release that wrote it.
    pub writer: String,
}

/// What lies in the folder.
#[derive(Debug, Default)]
struct Listing {
    segments: Vec<Segment>,
    /// Segments without a byte, and copies that were not finished.
    leftovers: Vec<PathBuf>,
    aside: Vec<(PathBuf, u64)>,
}

impl Log {
    /// Opens the log in a folder, which is made if it is not there. Numbers go on behind `least`, and behind all there are.
    ///
    /// # Errors
    /// The folder cannot be made or read; [`NewerFormat`].
    pub(super) fn open(
        host: &Arc<Host>,
        settings: LogSettings,
        least: u64,
    ) -> io::Result<Arc<Log>> {
        create_dir_durably(&*host.disk, &settings.folder)?;
        let found = list(host, &settings)?;
        for path in &found.leftovers {
            // What cannot be removed is in nobody's way: it is made again when its name is needed.
            let _ = host.disk.remove_file(path);
        }
        if !found.leftovers.is_empty() {
            let _ = host.disk.sync_dir(&settings.folder);
        }
        let power_was_cut = found
            .segments
            .iter()
            .any(|segment| segment.header.boot.is_none() || segment.header.boot != settings.boot);
        let damaged = found.segments.iter().filter(|segment| segment.damaged).count();
        let mut tail = Tail::new(host, &settings);
        tail.used = found.segments.iter().map(|segment| segment.len).sum();
        tail.used += found.aside.iter().map(|(_, len)| len).sum::<u64>();
        tail.segments = found.segments.into();
        tail.aside = found.aside.into();
        let log = Arc::new(Log {
            host: host.clone(),
            settings,
            tail: Mutex::new(tail),
            files: Mutex::new(Files::default()),
            work: Condvar::new(),
            written: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            quarantined: AtomicU64::new(damaged as u64),
            failure: Mutex::default(),
            skipped: AtomicU64::new(0),
            power_was_cut,
        });
        log.find_end(least);
        log.resume_files();
        Ok(log)
    }

    /// What an earlier process wrote since the machine was started may not be on the disk yet: it is synced with what this one writes.
    fn resume_files(&self) {
        if self.settings.boot.is_none() {
            return;
        }
        let found: Vec<(u64, u64)> = self
            .tail()
            .segments
            .iter()
            .rev()
            .take(UNSYNCED_MAX)
            .filter(|segment| segment.header.boot == self.settings.boot)
            .map(|segment| (segment.header.first, segment.len))
            .collect();
        let mut files = self.files();
        for (first, len) in found {
            if let Ok(file) = OpenFile::resume(&*self.host.disk, self.path(first), first, len) {
                files.open.push_front(file);
            }
        }
    }

    /// Reads the last segment, cuts off what is not whole at its end, and goes on behind it.
    fn find_end(self: &Arc<Self>, least: u64) {
        let last = self.tail().segments.back().map(|segment| (segment.header.clone(), segment.len));
        let Some((header, len)) = last else { return self.tail().resume(0, least) };
        // The numbers behind `first` may be given to a segment without a record, so they are not given again.
        let least = least.max(header.first);
        let mut frames = Frames::new(self, u64::MAX - 1);
        let mut end = 0;
        let read = loop {
            match frames.next() {
                Ok(Some(_)) => end = frames.position(),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let found = frames.last().max(header.before);
        if let Err(error) = read {
            let path = self.path(header.first);
            tracing::error!(file = %path.display(), "cannot be read to its end: {error}");
            return self.tail().resume(found, least.max(found).saturating_add(UNREAD_GAP));
        }
        self.tail().resume(found, least);
        if end == 0 {
            self.put_aside(header.first);
        } else if end < len && self.cut(header.first, end).is_ok() {
            let mut tail = self.tail();
            tail.used -= len - end;
            if let Some(segment) = tail.find_mut(header.first) {
                (segment.len, segment.written) = (end, end);
            }
        }
    }

    /// Nothing in the last segment is whole.
    fn put_aside(&self, segment: u64) {
        let path = self.path(segment);
        let aside = path.with_extension("log.damaged");
        let mut tail = self.tail();
        if self.host.disk.rename(&path, &aside).is_ok()
            && let Some(segment) = tail.segments.pop_back()
        {
            tail.aside.push_back((aside, segment.len));
        }
    }

    fn cut(&self, segment: u64, len: u64) -> io::Result<()> {
        let path = self.path(segment);
        tracing::info!(file = %path.display(), "cut to {len} bytes: the last write did not finish");
        let mut file = self.host.disk.append(&path)?;
        file.set_len(len)?;
        // After a power cut it might be there again, beyond the cap.
        file.sync()
    }
}

fn list(host: &Host, settings: &LogSettings) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in host.disk.list(&settings.folder)?.into_iter().filter(|entry| !entry.is_dir) {
        let path = settings.folder.join(&entry.name);
        let Some(first) = number_of(&entry.name) else {
            if entry.name.ends_with(".log.damaged") {
                listing.aside.push((path, entry.len));
            } else if entry.name.starts_with('.') && entry.name.ends_with(".log.tmp") {
                listing.leftovers.push(path);
            }
            continue;
        };
        if entry.len == 0 {
            listing.leftovers.push(path);
            continue;
        }
        let header = match read_header(host, &path, entry.len) {
            Ok(header) if header.first == first => Some(header),
            Err(BadHeader::Newer { format, writer }) => {
                let newer = NewerFormat { path, found: format, writer };
                return Err(io::Error::new(io::ErrorKind::InvalidData, newer));
            }
            Ok(_) | Err(BadHeader::Damaged) => {
                tracing::error!(file = %path.display(), "the header is damaged; what is whole behind it is read");
                None
            }
        };
        let damaged = header.is_none();
        let before = first.saturating_sub(1);
        let header = header.unwrap_or(Header { first, before, boot: None, note: Vec::new() });
        let (len, written) = (entry.len, entry.len);
        // Without a start of the machine between, it may be in the page cache only.
        let durable = !damaged && settings.boot.is_some() && header.boot != settings.boot;
        listing.segments.push(Segment { header, len, written, damaged, durable, replaced: 0 });
    }
    listing.segments.sort_by_key(|segment| segment.header.first);
    Ok(listing)
}

fn read_header(host: &Host, path: &Path, len: u64) -> Result<Header, BadHeader> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(HEADER_MAX).min(HEADER_MAX)];
    let file = host.disk.open(path).map_err(|_| BadHeader::Damaged)?;
    file.read_exact_at(&mut bytes, 0).map_err(|_| BadHeader::Damaged)?;
    Header::read(&bytes).map(|(header, _)| header)
}
