//! What texts a series usually says.

use serde::{Deserialize, Serialize};

use crate::fnv::fnv1a;

/// What an unknown text is worth: as far from the known ones as the whole span of a number's values.
const SURPRISE: f64 = 1.0;

/// The remembered texts of one series, as hashes, each with the reading that last said it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Texts {
    readings: u64,
    known: Vec<(u64, u64)>,
}

impl Texts {
    /// How many texts there were.
    pub(super) fn readings(&self) -> u64 {
        self.readings
    }

    /// Takes a text: 1 when it was not among the last `memory`, 0 otherwise and for the first of all. At most `cells` different
    /// ones are remembered: the one said longest ago makes room.
    pub(super) fn surprise(&mut self, text: &str, memory: u32, cells: usize) -> f64 {
        self.readings += 1;
        let hash = fnv1a(text.as_bytes());
        if let Some((_, said)) = self.known.iter_mut().find(|(known, _)| *known == hash) {
            let age = self.readings - std::mem::replace(said, self.readings);
            return if age > u64::from(memory) { SURPRISE } else { 0.0 };
        }
        while self.known.len() >= cells.max(1) {
            let oldest = self.known.iter().enumerate().min_by_key(|(_, (_, said))| *said);
            let Some((oldest, _)) = oldest else { break };
            self.known.swap_remove(oldest);
        }
        self.known.push((hash, self.readings));
        if self.readings == 1 { 0.0 } else { SURPRISE }
    }

    /// Whether what was read from a snapshot can be gone on with.
    pub(super) fn is_whole(&self) -> bool {
        self.known.iter().all(|(_, said)| *said <= self.readings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_text_is_news_and_a_forgotten_one_again() {
        let mut texts = Texts::default();
        let mut say = |text| texts.surprise(text, 3, 2);
        let said: Vec<f64> = ["on", "on", "off", "on", "on", "off", "on", "on", "on", "on", "off"]
            .into_iter()
            .map(&mut say)
            .collect();
        assert_eq!(said, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!((say("error"), say("on")), (1.0, 1.0), "two places: `on` made room");
    }
}
