//! Sources, series and the table that gives each series a small number, which stands for no other as long as the process lives.

mod map;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use map::SeriesMap;
pub use table::{Lacking, SeriesTable, TooManySeries};

/// What is measured: a key of three fields, written `type:id`, or `host:type:id` for another host's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    host: Option<Arc<str>>,
    type_len: usize,
    name: Arc<str>,
}

impl SourceKey {
    /// A source of this host.
    #[must_use]
    pub fn local(type_part: &str, id: &str) -> SourceKey {
        SourceKey {
            host: None,
            type_len: type_part.len(),
            name: format!("{type_part}:{id}").into(),
        }
    }

    /// A source from its written form `type:id`. The type ends at the first colon; without one the type is the whole and the
    /// id is empty.
    #[must_use]
    pub fn parse(text: &str) -> SourceKey {
        match text.split_once(':') {
            Some((type_part, id)) => SourceKey::local(type_part, id),
            None => SourceKey::local(text, ""),
        }
    }

    /// The host it belongs to; `None` for this one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
    /// The type part.
    #[must_use]
    pub fn type_part(&self) -> &str {
        &self.name[..self.type_len]
    }
    /// The id within its type.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.name[self.type_len + 1..]
    }
    /// The written form.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A source with its unit and labels. The order is by source, then by the rest: the same in every process, which the order of numbers
/// is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What is measured.
    pub source: SourceKey,
    /// In what unit, in Home Assistant's spelling (`°C`, `%`, `W`).
    pub unit: Option<Arc<str>>,
    /// What else is known of it, by name.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether it only ever grows, but for restarts: a counter.
    pub monotonic: bool,
}

impl Series {
    /// A series without unit and labels.
    #[must_use]
    pub fn new(source: SourceKey) -> Series {
        Series { source, unit: None, labels: BTreeMap::new(), monotonic: false }
    }

    /// With a unit, normalised from its usual aliases.
    #[must_use]
    pub fn with_unit(mut self, unit: &str) -> Series {
        let unit = crate::unit::normalise(unit);
        self.unit = (!unit.is_empty()).then(|| unit.into());
        self
    }

    /// With one more label.
    #[must_use]
    pub fn with_label(mut self, name: &str, value: &str) -> Series {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Marked as a counter.
    #[must_use]
    pub fn counter(mut self) -> Series {
        self.monotonic = true;
        self
    }
}

/// A series' number in this process. It never leaves the process: every file, snapshot and segment has its own dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(u32);

impl SeriesId {
    /// From a position in a [`SeriesTable`].
    #[must_use]
    pub const fn from_index(index: u32) -> SeriesId {
        SeriesId(index)
    }
    /// As a position.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_splits_at_the_first_colon() {
        let source = SourceKey::parse("mqtt:t/a:b");
        assert_eq!((source.type_part(), source.id()), ("mqtt", "t/a:b"));
        assert_eq!(SourceKey::parse("alone").id(), "");
    }
}
