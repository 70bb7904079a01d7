//! The keys of a node that belong to the engine.

use super::Section;

/// A key that the engine itself understands in a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineWord {
    /// `inputs`
    Inputs,
    /// `as`
    As,
    /// `every`
    Every,
    /// `unit`
    Unit,
    /// `labels`
    Labels,
    /// `labels_from`
    LabelsFrom,
    /// `when`
    When,
    /// `queue`
    Queue,
    /// `retry`
    Retry,
    /// `renamed_from`
    RenamedFrom,
    /// `use`
    Use,
}

impl EngineWord {
    /// All of them, as they are listed in messages.
    pub const ALL: [Self; 11] = [
        Self::Inputs,
        Self::As,
        Self::Every,
        Self::Unit,
        Self::Labels,
        Self::LabelsFrom,
        Self::When,
        Self::Queue,
        Self::Retry,
        Self::RenamedFrom,
        Self::Use,
    ];

    /// As it is written.
    pub fn key(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::As => "as",
            Self::Every => "every",
            Self::Unit => "unit",
            Self::Labels => "labels",
            Self::LabelsFrom => "labels_from",
            Self::When => "when",
            Self::Queue => "queue",
            Self::Retry => "retry",
            Self::RenamedFrom => "renamed_from",
            Self::Use => "use",
        }
    }

    /// The word that is written so.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.key() == key)
    }

    /// The sections whose nodes may have it.
    pub fn sections(self) -> &'static [Section] {
        use Section::{Agents, Sinks, Sources, Transforms};
        match self {
            Self::Every | Self::Unit | Self::Labels | Self::LabelsFrom => &[Sources],
            Self::As => &[Sources, Transforms],
            Self::Inputs | Self::When => &[Transforms, Agents, Sinks],
            Self::Queue | Self::Retry => &[Agents, Sinks],
            Self::RenamedFrom | Self::Use => &Section::ALL,
        }
    }

    /// The words of one section.
    pub fn of(section: Section) -> impl Iterator<Item = Self> {
        let words = Self::ALL.into_iter().filter(|&word| word != Self::Use);
        words.filter(move |word| word.sections().contains(&section))
    }
}
