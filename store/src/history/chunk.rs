//! A file of the `Disk` in the form the Parquet reader takes.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use smollama_engine::disk::{Disk, DiskFile};

use super::error::{Error, Result};

/// An open file, or bytes already in memory.
#[derive(Clone, Debug)]
pub(crate) enum Chunks {
    File { file: Arc<dyn DiskFile>, len: u64 },
    Memory(Bytes),
}

impl Chunks {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Chunks> {
        let file: Arc<dyn DiskFile> = disk.open(path).map_err(Error::disk("open", path))?.into();
        let len = file.len().map_err(Error::disk("measure", path))?;
        Ok(Chunks::File { file, len })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Chunks::File { len, .. } => *len,
            Chunks::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> std::result::Result<Self::T, ParquetError> {
        Ok(match self {
            Chunks::File { file, len } => {
                Box::new(BufReader::new(From { file: file.clone(), at: start, end: *len }))
            }
            Chunks::Memory(bytes) => Box::new(bytes.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> std::result::Result<Bytes, ParquetError> {
        match self {
            Chunks::File { file, len } => {
                // Checked before memory is taken: the length comes from the file, which may be damaged or hostile.
                if start.checked_add(length as u64).is_none_or(|end| end > *len) {
                    return Err(ParquetError::EOF(format!(
                        "{length} bytes at {start} lie outside of the file's {len}"
                    )));
                }
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
            Chunks::Memory(bytes) => bytes.get_bytes(start, length),
        }
    }
}

/// Reads on from a place in a file.
struct From {
    file: Arc<dyn DiskFile>,
    at: u64,
    end: u64,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let take = into.len().min(left);
        let Some(part) = into.get_mut(..take) else { return Ok(0) };
        self.file.read_exact_at(part, self.at)?;
        self.at += take as u64;
        Ok(take)
    }
}
