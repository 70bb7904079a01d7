//! Labels from a table (`labels_from`): a CSV file whose first column names sources, and whose other columns are labels.

use std::sync::Arc;

use crate::glob::Glob;
use crate::series::Series;

/// A table of labels. The first row that fits a source wins, so exact names go above patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelTable {
    rows: Vec<(Glob, Labels)>,
}

type Labels = Vec<(Arc<str>, Arc<str>)>;

impl LabelTable {
    /// The largest table that is read.
    pub const BYTES_MAX: usize = 1024 * 1024;

    /// Reads a table: CSV as RFC 4180, whose first line names the columns.
    ///
    /// # Errors
    /// It is empty, or a row does not fit: as a text that follows the name of the file, with the line.
    pub fn parse(bytes: &[u8]) -> Result<LabelTable, String> {
        let rows = records(bytes);
        let Some((header, rows)) = rows.split_first() else {
            return Err(": it is empty".into());
        };
        let names: Vec<Arc<str>> = header.iter().skip(1).map(|name| name.trim().into()).collect();
        let mut table = LabelTable::default();
        for (line, row) in (2..).zip(rows) {
            let Some((source, values)) =
                row.split_first().filter(|(_, values)| values.len() == names.len())
            else {
                return Err(format!(":{line}: {} fields, expected {}", row.len(), header.len()));
            };
            let glob = Glob::new(source.trim()).map_err(|error| format!(":{line}: {error}"))?;
            let labels = names.iter().zip(values).filter(|(_, value)| !value.trim().is_empty());
            let labels = labels.map(|(name, value)| (name.clone(), value.trim().into()));
            table.rows.push((glob, labels.collect()));
        }
        Ok(table)
    }

    /// Lays the labels of a series upon it: those of the first row that fits its id or its whole name.
    pub(crate) fn apply(&self, series: &mut Series) {
        let source = series.source.clone();
        let fits = |glob: &Glob| glob.matches(source.id()) || glob.matches(source.name());
        if let Some((_, labels)) = self.rows.iter().find(|(glob, _)| fits(glob)) {
            series.labels.extend(labels.iter().cloned());
        }
    }
}

/// The records of a CSV text.
fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv_core::Reader::new();
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = bytes;
    let mut out = [0; 1024];
    loop {
        let (result, read, written) = reader.read_field(rest, &mut out);
        rest = &rest[read..];
        field.extend_from_slice(&out[..written]);
        match result {
            csv_core::ReadFieldResult::Field { record_end } => {
                record.push(String::from_utf8_lossy(&field).into_owned());
                field.clear();
                if record_end {
                    records.push(std::mem::take(&mut record));
                }
            }
            csv_core::ReadFieldResult::End => return records,
            // More room, or, with an empty rest, the end of the last field.
            csv_core::ReadFieldResult::OutputFull | csv_core::ReadFieldResult::InputEmpty => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::SourceKey;

    #[test]
    fn the_first_row_that_fits_gives_its_labels() {
        let table =
            LabelTable::parse(b"source,room,floor\nair:north,\"Kitchen, north\",1\n*,hall,\n")
                .unwrap();
        let labels = |name: &str| {
            let mut series = Series::new(SourceKey::parse(name));
            table.apply(&mut series);
            series.labels.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels("air:north"), "floor=1 room=Kitchen, north");
        assert_eq!(labels("air:south"), "room=hall");
    }

    #[test]
    fn a_ragged_row_is_named() {
        let error = LabelTable::parse(b"source,room\na,b,c\n").unwrap_err();
        assert_eq!(error, ":2: 3 fields, expected 2");
        assert_eq!(LabelTable::parse(b"").unwrap_err(), ": it is empty");
    }
}
