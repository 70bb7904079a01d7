//! The history: readings, windows and observations in Parquet files that any tool can open.
//!
//! ```text
//! history/
//!   readings/      20260101T000000Z_20261231T235950Z_4711.parquet     first row, last row, number
//!   windows/       20261121T000000Z_20261121T235900Z_12.parquet
//!   observations/
//! ```
//!
//! [`Writer`] gathers rows in memory and finalizes them as small files; [`Writer::maintain`] merges the files of a day, a month and a
//! year once it is over, until a file has 8 MiB or may grow no longer without outstaying its welcome, and removes what is too old or
//! too much. [`Reader`] reads them back, [`Timeline`] in the order of time. [`foreign`] reads Parquet files from elsewhere.
//!
//! What holds at every moment, and after any crash:
//! - A file under its final name is whole and never changes: it was written under a hidden name, synced and renamed.
//! - No row counts twice: a merged file names the files it replaces, and appears before they go. Whoever lists the folder through
//!   this module overlooks them; the next start removes them.
//! - Of a stream whose items are counted, the files say how far it has come ([`Writer::position`]): what comes again after a
//!   crash is told from what is new.
//! - The files never have more bytes than `bytes_max` says, those included that are being written.
//!
//! Rows in a file are ordered by source, then time; a row group ends where a source with many rows does. Time and
//! source have statistics per row group and page, so that readers skip what they do not want; other columns have none. A column
//! without a cell in a file is not in it: readers take the union by name. `SELECT * FROM
//! read_parquet('history/readings/*.parquet', union_by_name = true)` is the whole of it in DuckDB.

mod buffer;
mod calendar;
mod chunk;
mod columns;
mod compact;
mod decode;
mod encode;
mod error;
mod files;
pub mod foreign;
mod merge;
mod observations;
mod progress;
mod reader;
mod readings;
mod table;
mod timeline;
mod windows;
mod writer;

pub use decode::Sources;
pub use error::{Error, Result};
pub(crate) use files::newest;
pub use reader::{Reader, RowBytes, Rows};
pub(crate) use table::FORMAT;
pub use timeline::Timeline;
pub use writer::{BYTES_MAX_LEAST, Settings, Writer};

#[cfg(test)]
mod tests;
