//! Items in bulk: what moves along an edge in one step.

use crate::observation::Observation;
use crate::reading::Reading;
use crate::time::Timestamp;
use crate::window::Window;

/// The three kinds of item. Every edge carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKind {
    /// Values of sources.
    Readings,
    /// Spans of time with summaries.
    Windows,
    /// Texts about readings.
    Observations,
}

impl ItemKind {
    /// All kinds.
    pub const ALL: [ItemKind; 3] = [ItemKind::Readings, ItemKind::Windows, ItemKind::Observations];

    /// The word used in messages and documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ItemKind::Readings => "readings",
            ItemKind::Windows => "windows",
            ItemKind::Observations => "observations",
        }
    }
}

impl std::fmt::Display for ItemKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Items of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// Values of sources.
    Readings(Vec<Reading>),
    /// Spans of time with summaries.
    Windows(Vec<Window>),
    /// Texts about readings.
    Observations(Vec<Observation>),
}

impl Items {
    /// None of a kind.
    #[must_use]
    pub const fn none(kind: ItemKind) -> Items {
        match kind {
            ItemKind::Readings => Items::Readings(Vec::new()),
            ItemKind::Windows => Items::Windows(Vec::new()),
            ItemKind::Observations => Items::Observations(Vec::new()),
        }
    }

    /// Their kind.
    #[must_use]
    pub const fn kind(&self) -> ItemKind {
        match self {
            Items::Readings(_) => ItemKind::Readings,
            Items::Windows(_) => ItemKind::Windows,
            Items::Observations(_) => ItemKind::Observations,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Items::Readings(items) => items.len(),
            Items::Windows(items) => items.len(),
            Items::Observations(items) => items.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts items of the same kind behind these; of another kind they are not taken.
    pub fn append(&mut self, more: Items) {
        match (self, more) {
            (Items::Readings(items), Items::Readings(mut more)) => items.append(&mut more),
            (Items::Windows(items), Items::Windows(mut more)) => items.append(&mut more),
            (Items::Observations(items), Items::Observations(mut more)) => items.append(&mut more),
            _ => debug_assert!(false, "a batch holds items of one kind"),
        }
    }

    /// Forgets all, and keeps the memory for the next.
    pub fn clear(&mut self) {
        match self {
            Items::Readings(items) => items.clear(),
            Items::Windows(items) => items.clear(),
            Items::Observations(items) => items.clear(),
        }
    }

    /// The time of one item: a reading's, an observation's, the end of a window.
    #[must_use]
    pub fn time(&self, index: usize) -> Option<Timestamp> {
        match self {
            Items::Readings(items) => items.get(index).map(|reading| reading.time),
            Items::Windows(items) => items.get(index).map(|window| window.end),
            Items::Observations(items) => items.get(index).map(|observation| observation.time),
        }
    }

    /// The items of a range, copied.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Items {
        match self {
            Items::Readings(items) => Items::Readings(items[range].to_vec()),
            Items::Windows(items) => Items::Windows(items[range].to_vec()),
            Items::Observations(items) => Items::Observations(items[range].to_vec()),
        }
    }

    /// About how many bytes they hold in memory: what the queues' limits count.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Items::Readings(items) => {
                let heap: usize = items.iter().map(|reading| reading.value.heap_bytes()).sum();
                size_of_val(items.as_slice()) + heap
            }
            Items::Windows(items) => items
                .iter()
                .map(|window| size_of_val(window) + size_of_val(window.summaries.as_slice()))
                .sum(),
            Items::Observations(items) => items
                .iter()
                .map(|one| size_of_val(one) + one.text.len() + 64 * one.sources.len())
                .sum(),
        }
    }
}

/// Items that move in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What moves.
    pub items: Items,
    /// When it entered the host, by the engine's clock.
    pub received: Timestamp,
    /// The sequence number under which its cause entered the host. What a node makes of a batch carries the batch's number, so
    /// that its cause can be found.
    pub seq: u64,
    /// Before a sink: how many items of its stream there are up to the last of this batch, counted since the stream began. A replay
    /// counts the same, which is how what a sink has already is recognised (`docs/adr/0006-delivery.md`). 0 elsewhere.
    pub end: u64,
}

impl Batch {
    /// Items that came at a time, not yet numbered.
    #[must_use]
    pub const fn new(items: Items, received: Timestamp) -> Batch {
        Batch { items, received, seq: 0, end: 0 }
    }

    /// The readings in it; none where it holds another kind.
    #[inline]
    #[must_use]
    pub fn readings(&self) -> &[Reading] {
        match &self.items {
            Items::Readings(readings) => readings,
            _ => &[],
        }
    }

    /// The windows in it; none where it holds another kind.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        match &self.items {
            Items::Windows(windows) => windows,
            _ => &[],
        }
    }

    /// The observations in it; none where it holds another kind.
    #[must_use]
    pub fn observations(&self) -> &[Observation] {
        match &self.items {
            Items::Observations(observations) => observations,
            _ => &[],
        }
    }
}
