//! Which files a path means, and their bytes: decompressed, a piece at a time.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use smollama_engine::context::Context;
use smollama_engine::glob::Glob;
use smollama_engine::registry::Problem;
use tokio::sync::mpsc;

use super::config::{Format, ReplayConfig};
use crate::fnv::{fnv1a, fnv1a_more};

/// A file of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recording {
    /// As the user would write it.
    pub(super) shown: String,
    pub(super) path: PathBuf,
    pub(super) format: Format,
}

impl Recording {
    /// The name without extensions: `air` of `data/air.csv.gz`.
    pub(super) fn stem(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let (stem, _) = uncompressed(&name);
        stem.rsplit_once('.').map_or(stem, |(stem, _)| stem).to_owned()
    }

    pub(super) fn is_tab_separated(&self) -> bool {
        let name = self.path.to_string_lossy().into_owned();
        uncompressed(&name).0.ends_with(".tsv")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

fn uncompressed(name: &str) -> (&str, Packing) {
    if let Some(name) = name.strip_suffix(".gz") {
        (name, Packing::Gzip)
    } else if let Some(name) = name.strip_suffix(".zst") {
        (name, Packing::Zstd)
    } else {
        (name, Packing::None)
    }
}

fn format_of(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    match uncompressed(&name).0.rsplit_once('.')?.1 {
        "csv" | "tsv" => Some(Format::Csv),
        "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

/// The files that the settings mean, by name. Standard input is one without a name.
///
/// # Errors
/// There is none, or a folder cannot be read.
pub(super) fn find(config: &ReplayConfig, context: &Context) -> Result<Vec<Recording>, Problem> {
    let shown = config.path.to_string_lossy().into_owned();
    if config.is_piped() {
        let format = config.format.unwrap_or(Format::Jsonl);
        return Ok(vec![Recording {
            shown: "standard input".into(),
            path: PathBuf::new(),
            format,
        }]);
    }
    let path = context.input_path(&config.path);
    let unreadable = |path: &Path, error: &io::Error| {
        Problem::at("path", format!("`{}` cannot be read: {error}", path.display()))
    };
    let mut found = Vec::new();
    if path.is_dir() {
        list(&path, &mut |file| found.push(file), false)
            .map_err(|(at, error)| unreadable(&at, &error))?;
    } else if shown.contains(['*', '?']) && !path.exists() {
        let (base, deep) = base_of(&path);
        // `data/**/a.csv` is any depth, none included, as everywhere else where files are named.
        let deep_or_not = [masked(&path), masked(&path).replace("**/", "")];
        let patterns = deep_or_not.iter().map(|pattern| Glob::new(pattern));
        let patterns: Vec<Glob> = patterns
            .collect::<Result<_, _>>()
            .map_err(|bad| Problem::at("path", bad.to_string()))?;
        let mut take = |file: PathBuf| {
            if patterns.iter().any(|pattern| pattern.matches(&masked(&file))) {
                found.push(file);
            }
        };
        list(&base, &mut take, deep).map_err(|(at, error)| unreadable(&at, &error))?;
    } else {
        fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        let format = config.format.or_else(|| format_of(&path)).ok_or_else(|| {
            Problem::at("format", format!("the name `{shown}` does not tell the format"))
                .help("set `format` to `csv`, `jsonl` or `parquet`")
        })?;
        return Ok(vec![Recording { shown, path, format }]);
    }
    found.sort();
    let recording = |path: PathBuf| {
        let format = config.format.or_else(|| format_of(&path))?;
        let shown = path.strip_prefix(&context.folder).unwrap_or(&path).display().to_string();
        Some(Recording { shown, path, format })
    };
    let files: Vec<Recording> = found.into_iter().filter_map(recording).collect();
    if files.is_empty() {
        let help = "files are known by their extension, or set `format`";
        return Err(Problem::at("path", format!("there is no recording in `{shown}`")).help(help));
    }
    Ok(files)
}

/// The pattern's wildcards stop at `/` and `:`, but a colon in a file's name is a character like any other.
pub(in crate::sources) fn masked(path: &Path) -> String {
    path.to_string_lossy().replace(':', "\u{1}")
}

/// The folder below which a pattern can match, and whether its subfolders matter.
pub(in crate::sources) fn base_of(pattern: &Path) -> (PathBuf, bool) {
    let is_plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?']);
    let base: PathBuf = pattern.components().take_while(is_plain).collect();
    let deep = pattern.components().count() > base.components().count() + 1
        || pattern.to_string_lossy().contains("**");
    (base, deep)
}

/// Gives the files of a folder that are not hidden.
pub(in crate::sources) fn list(
    folder: &Path,
    take: &mut impl FnMut(PathBuf),
    deep: bool,
) -> Result<(), (PathBuf, io::Error)> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| (folder.clone(), error);
        // The folder of a pipeline named without one is empty, which only paths below it can be.
        let named = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        for entry in fs::read_dir(named).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = folder.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.extend(deep.then_some(path));
            } else {
                take(path);
            }
        }
    }
    Ok(())
}

/// How much is read at once.
const PIECE: usize = 256 << 10;
/// How many bytes of the beginning a recording is known again by.
const HEAD: u64 = 4 << 10;
/// How many pieces of standard input may wait.
const PIPED_PIECES: usize = 2;

/// The bytes of a file from where the decoder stands.
pub(super) struct Feed {
    from: From,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` lies in the file, decompressed.
    offset: u64,
    /// Of the bytes before it, as far as they are of the head.
    hash: u64,
    ended: bool,
}

enum From {
    File(File),
    Packed(Box<dyn Read + Send>),
    /// Standard input blocks for as long as it likes, so a thread of its own waits for it.
    Pipe(mpsc::Receiver<io::Result<Vec<u8>>>),
}

impl Feed {
    /// Opens a file; one without a name is standard input.
    pub(super) fn open(recording: &Recording) -> io::Result<Self> {
        let from = if recording.path.as_os_str().is_empty() {
            From::Pipe(pipe()?)
        } else {
            let file = File::open(&recording.path)?;
            let name = recording.path.to_string_lossy();
            match uncompressed(&name).1 {
                Packing::None => From::File(file),
                Packing::Gzip => From::Packed(Box::new(flate2::read::MultiGzDecoder::new(file))),
                Packing::Zstd => From::Packed(Box::new(zstd::stream::read::Decoder::new(file)?)),
            }
        };
        Ok(Feed { ended: false, ..Feed::of(from) })
    }

    /// Nothing at all.
    pub(super) fn empty() -> Self {
        Feed::of(From::Packed(Box::new(io::empty())))
    }

    fn of(from: From) -> Self {
        let (buffer, hash) = (Vec::new(), fnv1a(&[]));
        Feed { from, buffer, start: 0, end: 0, offset: 0, hash, ended: true }
    }

    /// The bytes that are there.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether nothing comes behind them.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What the bytes that lie behind begin with, as a hash.
    pub(super) fn fingerprint(&self) -> u64 {
        self.hash
    }

    /// Goes on to a place further back in a file; `false` where the file does not go so far.
    pub(super) fn advance_to(&mut self, offset: u64) -> io::Result<bool> {
        while self.offset < offset {
            let left = offset - self.offset;
            if !self.bytes().is_empty() {
                self.consume(usize::try_from(left).unwrap_or(usize::MAX));
            } else if let From::File(file) = &mut self.from
                && self.offset >= HEAD
            {
                if file.metadata()?.len() < offset {
                    return Ok(false);
                }
                // Nothing is in the buffer, so the file stands where we do.
                file.seek(SeekFrom::Start(offset))?;
                self.offset = offset;
            } else if self.ended {
                return Ok(false);
            } else {
                self.fill_now()?;
            }
        }
        Ok(self.offset == offset)
    }

    /// Forgets the first bytes.
    pub(super) fn consume(&mut self, length: usize) {
        let length = length.min(self.end - self.start);
        if self.offset < HEAD {
            let of_head = (length as u64).min(HEAD - self.offset) as usize;
            self.hash = fnv1a_more(self.hash, self.bytes().get(..of_head).unwrap_or_default());
        }
        self.start += length;
        self.offset += length as u64;
    }

    /// Reads on. Cancel-safe: what was read is kept before this returns.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        match &mut self.from {
            From::File(_) | From::Packed(_) => self.fill_now(),
            From::Pipe(pieces) => {
                let Some(piece) = pieces.recv().await else {
                    self.ended = true;
                    return Ok(());
                };
                let piece = piece?;
                self.make_room(piece.len());
                let to = self.end + piece.len();
                if let Some(place) = self.buffer.get_mut(self.end..to) {
                    place.copy_from_slice(&piece);
                    self.end = to;
                }
                Ok(())
            }
        }
    }

    /// As [`Feed::fill`], for files; standard input is left alone.
    pub(super) fn fill_now(&mut self) -> io::Result<()> {
        self.make_room(PIECE);
        let file: &mut dyn Read = match &mut self.from {
            From::File(file) => file,
            From::Packed(file) => file,
            From::Pipe(_) => return Ok(()),
        };
        let place = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match file.read(place) {
                Ok(0) => self.ended = true,
                Ok(length) => self.end += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    fn make_room(&mut self, length: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < self.end + length {
            self.buffer.resize(self.end + length, 0);
        }
    }
}

fn pipe() -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
    let (give, pieces) = mpsc::channel(PIPED_PIECES);
    std::thread::Builder::new().name("standard input".into()).spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut piece = vec![0; PIECE];
            let read = match input.read(&mut piece) {
                Ok(0) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(length) => {
                    piece.truncate(length);
                    Ok(piece)
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if give.blocking_send(read).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(pieces)
}
