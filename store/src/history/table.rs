//! The form of a data set: which columns there are, and how rows are ordered.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

/// The format of the files. A reader refuses a greater number. A new column that an older reader may overlook does not
/// raise it.
pub(crate) const FORMAT: u16 = 1;

/// The key of the format in a file's metadata.
pub(crate) const FORMAT_KEY: &str = "smollama.format";

/// The key under which a merged file names the files it replaces.
pub(crate) const REPLACES_KEY: &str = "smollama.replaces";

/// The key under which a file says how far a stream has come.
pub(crate) const PROGRESS_KEY: &str = "smollama.progress";

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Microseconds since 1970, UTC.
    Time,
    Int,
    Float,
    Bool,
    Text,
    /// A text that is JSON.
    Json,
}

/// One column.
#[derive(Debug)]
pub(crate) struct ColumnForm {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether every row has a cell. A column that no row of a file has a cell in is not in the file.
    pub(crate) required: bool,
}

impl ColumnForm {
    pub(crate) const fn required(name: &'static str, kind: Kind) -> ColumnForm {
        ColumnForm { name, kind, required: true }
    }
    pub(crate) const fn optional(name: &'static str, kind: Kind) -> ColumnForm {
        ColumnForm { name, kind, required: false }
    }
}

/// A data set. Its rows are ordered by the text column `source`, if it has one, then by `time`.
#[derive(Debug)]
pub(crate) struct Table {
    /// The name of its folder.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [ColumnForm],
    /// The column that orders rows in time.
    pub(crate) time: usize,
    /// The column that orders rows before time does.
    pub(crate) source: Option<usize>,
}

impl Table {
    /// Whether a column has statistics: the ones that readers prune by.
    pub(crate) fn prunes_by(&self, column: usize) -> bool {
        column == self.time || Some(column) == self.source
    }

    /// The Parquet schema of the columns that are there.
    pub(crate) fn schema(&self, present: &[usize]) -> Result<TypePtr, ParquetError> {
        let fields = present.iter().filter_map(|&index| self.columns.get(index));
        let fields = fields.map(ColumnForm::field).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Type::group_type_builder(self.name).with_fields(fields).build()?))
    }
}

impl ColumnForm {
    fn field(&self) -> Result<TypePtr, ParquetError> {
        let (physical, logical) = match self.kind {
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Kind::Int => (Physical::INT64, None),
            Kind::Float => (Physical::DOUBLE, None),
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        };
        let repetition = if self.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let field = Type::primitive_type_builder(self.name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()?;
        Ok(Arc::new(field))
    }
}
