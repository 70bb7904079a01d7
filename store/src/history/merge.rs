//! Several files to one, row by row, without holding more than a row group.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use parquet::data_type::ByteArray;
use smollama_engine::disk::{DiskFile, temporary_name};

use super::columns::Columns;
use super::compact::Merge;
use super::decode::{Sources, TableFile, TableRows, Wanted};
use super::encode::{Says, TableWriter, ends_group};
use super::error::{Error, Result};
use super::files::{Files, StoredFile, write_list};
use super::progress::Progress;

/// Writes one file with the rows of others and puts it in their place, with the `progress` that all files have come to. It may have at most `bytes_max` bytes; where it would have
/// more, nothing changes and the error says [`Error::Full`].
pub(crate) fn merge(
    files: &mut Files,
    merge: &Merge,
    progress: Option<&Progress>,
    bytes_max: u64,
) -> Result<()> {
    let inputs = &merge.inputs;
    let first = inputs.iter().map(|file| file.first).min().unwrap_or(0);
    let last = inputs.iter().map(|file| file.last).max().unwrap_or(0);
    let mut merged = StoredFile { first, last, sequence: files.take_sequence(), len: 0 };
    let path = files.path(&merged);
    let temporary = temporary_name(&path);
    let disk = files.disk.clone();
    let written = write(files, merge, &merged, progress, bytes_max).and_then(|len| {
        disk.rename(&temporary, &path).map_err(Error::disk("rename to", &path))?;
        Ok(len)
    });
    match written {
        Ok(len) => merged.len = len,
        Err(error) => {
            // A leftover is removed at the next start as well, so a failure here costs only space.
            let _ = disk.remove_file(&temporary);
            return Err(error);
        }
    }
    files.add_merged(merged, inputs);
    files.remove_replaced()
}

/// Writes the temporary file, synced, and gives its length.
fn write(
    files: &Files,
    merge: &Merge,
    merged: &StoredFile,
    progress: Option<&Progress>,
    bytes_max: u64,
) -> Result<u64> {
    let path = files.path(merged);
    let mut sources = Vec::with_capacity(merge.inputs.len());
    // By number: of rows that tie, the ones that came first stay first.
    let mut inputs = merge.inputs.clone();
    inputs.sort_by_key(|input| input.sequence);
    for input in &inputs {
        let input = files.path(input);
        let file = TableFile::open(&*files.disk, &input, files.table)?;
        if let Some(column) = file.unknown_column() {
            let reason = format!("column `{column}` is of a later release, and stays as it is");
            return Err(Error::damaged(&input)(reason));
        }
        sources.push(file);
    }
    let mut present: Vec<usize> = sources.iter().flat_map(TableFile::present).collect();
    present.sort_unstable();
    present.dedup();
    let temporary = temporary_name(&path);
    let _ = files.disk.remove_file(&temporary);
    let file = files.disk.create_new(&temporary).map_err(Error::disk("make", &temporary))?;
    let out = Bounded { file, written: 0, bytes_max, failed: None };
    let replaces = write_list(inputs.iter().map(|input| input.sequence).collect());
    let rows = sources.iter().map(TableFile::row_count).sum();
    let says = Says { replaces: Some(&replaces), progress };
    let mut writer = TableWriter::new(out, files.table, present, rows, says, merge.effort)
        .map_err(Error::encode(&path))?;
    let copied = copy_rows(sources, files, &mut writer, &path);
    // What the disk said is more to the point than what the encoder makes of it.
    let failure = |out: &mut Bounded| {
        let failed = out.failed.take()?;
        Some(match failed {
            Failed::Full(needed) => Error::Full { path: path.clone(), needed, limit: bytes_max },
            Failed::Disk(error) => Error::disk("write", &temporary)(error),
        })
    };
    if let Err(error) = copied {
        return Err(failure(writer.out()).unwrap_or(error));
    }
    let ended = writer.end().map_err(Error::encode(&path));
    if let Err(error) = ended {
        return Err(failure(writer.out()).unwrap_or(error));
    }
    let out = writer.out();
    out.file.sync().map_err(Error::disk("sync", &temporary))?;
    Ok(out.written)
}

fn copy_rows(
    sources: Vec<TableFile>,
    files: &Files,
    writer: &mut TableWriter<Bounded>,
    path: &std::path::Path,
) -> Result<()> {
    let mut rows = Merged::new(sources)?;
    let mut group = Columns::new(files.table);
    while let Some((columns, row)) = rows.current() {
        let count = group.rows();
        if count > 0 && ends_group(count, group.source(count - 1) != columns.source(row)) {
            writer.write_group(&group, 0..count).map_err(Error::encode(path))?;
            group = Columns::new(files.table);
        }
        group.push_row_of(columns, row);
        rows.advance()?;
    }
    if group.rows() > 0 {
        writer.write_group(&group, 0..group.rows()).map_err(Error::encode(path))?;
    }
    Ok(())
}

/// The rows of several ordered inputs in order; of equal rows the earlier input's come first.
pub(crate) struct Merged {
    inputs: Vec<Input>,
    /// The next row of every input but the current one.
    waiting: BinaryHeap<Reverse<Key>>,
    current: Option<usize>,
}

type Key = (Source, i64, usize);

/// A source's bytes, ordered.
struct Source(ByteArray);

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Source {}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Source {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.data().cmp(other.0.data())
    }
}

struct Input {
    rest: TableRows,
    columns: Columns,
    row: usize,
}

impl Input {
    /// Whether there is a row at the cursor, after reading on where needed.
    fn has_row(&mut self) -> Result<bool> {
        while self.row >= self.columns.rows() {
            match self.rest.next() {
                Some(columns) => self.columns = columns?,
                None => return Ok(false),
            }
            self.row = 0;
        }
        Ok(true)
    }

    fn key(&self, index: usize) -> Key {
        let source = self.columns.table.source.and_then(|at| self.columns.text(at, self.row));
        (Source(source.unwrap_or_else(|| Vec::new().into())), self.columns.time(self.row), index)
    }
}

impl Merged {
    pub(crate) fn new(files: Vec<TableFile>) -> Result<Merged> {
        let mut merged = Merged { inputs: Vec::new(), waiting: BinaryHeap::new(), current: None };
        for (index, file) in files.into_iter().enumerate() {
            let table = file.table();
            let rest = file.read(Wanted { times: i64::MIN..i64::MAX, sources: Sources::all() })?;
            let mut input = Input { rest, columns: Columns::new(table), row: 0 };
            if input.has_row()? {
                merged.waiting.push(Reverse(input.key(index)));
            }
            merged.inputs.push(input);
        }
        merged.current = merged.waiting.pop().map(|Reverse((_, _, index))| index);
        Ok(merged)
    }

    fn current(&self) -> Option<(&Columns, usize)> {
        let input = self.inputs.get(self.current?)?;
        Some((&input.columns, input.row))
    }

    fn advance(&mut self) -> Result<()> {
        let Some(index) = self.current.take() else { return Ok(()) };
        if let Some(input) = self.inputs.get_mut(index) {
            input.row += 1;
            if input.has_row()? {
                self.waiting.push(Reverse(input.key(index)));
            }
        }
        self.current = self.waiting.pop().map(|Reverse((_, _, index))| index);
        Ok(())
    }
}

/// A file that takes so many bytes and no more.
struct Bounded {
    file: Box<dyn DiskFile>,
    written: u64,
    bytes_max: u64,
    failed: Option<Failed>,
}

enum Failed {
    Full(u64),
    Disk(io::Error),
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.written + bytes.len() as u64;
        if self.failed.is_some() {
            return Err(io::ErrorKind::Other.into());
        }
        if written > self.bytes_max {
            self.failed = Some(Failed::Full(written));
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Err(error) = self.file.write_all(bytes) {
            let kind = error.kind();
            self.failed = Some(Failed::Disk(error));
            return Err(kind.into());
        }
        self.written = written;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
