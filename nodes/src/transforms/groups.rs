//! Series of one place: nodes that make one quantity of several do so for each value of some labels apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use smollama_engine::context::Context;
use smollama_engine::registry::Problem;
use smollama_engine::series::{Series, SourceKey};

/// The values of the labels that series are told apart by.
pub(super) type Key = Vec<Arc<str>>;

/// The key of a series; `None` where it lacks one of the labels.
pub(super) fn key(by: &[String], series: &Series) -> Option<Key> {
    by.iter().map(|label| series.labels.get(label.as_str()).cloned()).collect()
}

/// What is kept for each key, with a number that stands for it as long as it is there.
#[derive(Debug)]
pub(super) struct Groups<G> {
    places: Vec<Option<Group<G>>>,
    free: Vec<u32>,
    by_key: BTreeMap<Key, u32>,
}

/// The series of one key.
#[derive(Debug)]
pub(super) struct Group<G> {
    pub(super) key: Key,
    /// How many series there are.
    pub(super) members: usize,
    pub(super) of: G,
}

impl<G> Groups<G> {
    pub(super) fn new() -> Groups<G> {
        Groups { places: Vec::new(), free: Vec::new(), by_key: BTreeMap::new() }
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Group<G>> {
        self.places.get(number as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Group<G>> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// All numbers, in the order of the keys: the same in every process.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.by_key.values().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<G>> {
        self.places.iter().flatten()
    }

    /// A new series of a key: gives the number of its group, which is made where there is none.
    pub(super) fn join(&mut self, key: Key, make: impl FnOnce() -> G) -> u32 {
        let number = self.find(&key).unwrap_or_else(|| self.add(key, make()));
        if let Some(group) = self.get_mut(number) {
            group.members += 1;
        }
        number
    }

    fn add(&mut self, key: Key, of: G) -> u32 {
        let group = Group { key: key.clone(), members: 0, of };
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            // There are no more groups than series, whose numbers are as wide.
            (self.places.len() - 1) as u32
        });
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = Some(group);
        }
        self.by_key.insert(key, number);
        number
    }

    /// A series of a group is gone. Gives the group where that was its last.
    pub(super) fn leave(&mut self, number: u32) -> Option<Group<G>> {
        let group = self.get_mut(number)?;
        group.members -= 1;
        if group.members > 0 {
            return None;
        }
        let gone = self.places.get_mut(number as usize)?.take()?;
        self.by_key.remove(&gone.key);
        self.free.push(number);
        Some(gone)
    }
}

/// Why a series of one unit is not put together with those of another.
pub(super) fn other_unit(own: Option<&str>, theirs: Option<&str>) -> String {
    let said = |unit: Option<&str>| match unit {
        Some(unit) => format!("in {unit}"),
        None => "without a unit".to_owned(),
    };
    format!(
        "it is {}, and what it would be put together with {}; convert one of them, or choose others",
        said(own),
        said(theirs)
    )
}

/// The quantity that a node makes of the series of a key: its id is the values of the labels, and then the name of the quantity.
pub(super) fn made(
    context: &Context,
    by: &[String],
    key: &[Arc<str>],
    name: &str,
    unit: Option<Arc<str>>,
) -> Series {
    let mut id = String::new();
    for value in key {
        id.push_str(value);
        id.push('/');
    }
    id.push_str(name);
    let mut series = Series::new(SourceKey::local(&context.type_part, &id));
    series.unit = unit;
    for (label, value) in by.iter().zip(key) {
        series.labels.insert(label.as_str().into(), value.clone());
    }
    series
}

/// What is wrong with the labels.
pub(super) fn problems(by: &[String]) -> Option<Problem> {
    let mut seen = Vec::new();
    for label in by {
        if label.trim().is_empty() {
            let problem = Problem::at("by", "a label has a name");
            return Some(problem.help("name a label: `by: room`"));
        }
        if seen.contains(&label) {
            let problem = Problem::at("by", format!("`{label}` is there twice"));
            return Some(problem.help("remove one"));
        }
        seen.push(label);
    }
    None
}

/// What is wrong with the name of a quantity.
pub(super) fn name_problem(name: Option<&str>) -> Option<Problem> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '*');
    let name = name.filter(|name| name.is_empty() || name.contains(bad))?;
    let problem = Problem::at("name", format!("`{}` can be no id", name.escape_debug()));
    Some(problem.help("write letters, digits, `_`, `-`, `.` and `/`"))
}
