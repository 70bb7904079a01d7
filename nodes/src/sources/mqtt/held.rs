//! Which messages with QoS 2 this node has, so that none is taken twice.
//!
//! A broker sends such a message again until it hears that it was taken, and gives its number to no other until both sides have released
//! it (MQTT 5.0, 4.3.3). Within a run the connection knows what came. Over a crash it is the journal: each batch carries, as the place
//! from which the source goes on, the numbers that are not yet released, with a print of each message.

use std::collections::BTreeMap;
use std::fmt::Write;

use smollama_engine::node::Position;

use crate::io::mqtt::Once;

/// How a number and a print are written: four and eight hexadecimal digits.
const WIDTH: usize = 12;

/// Numbers of messages that were taken and are not released, and their prints.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<u16, u32>);

impl Held {
    /// Notes a message. False where it was taken before.
    pub(super) fn take(&mut self, once: Once) -> bool {
        let before = self.0.insert(once.number, once.print);
        !(once.again && before == Some(once.print))
    }

    pub(super) fn release(&mut self, number: u16) {
        self.0.remove(&number);
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// What the journal keeps of it.
    pub(super) fn position(&self) -> Position {
        let mut part = String::with_capacity(self.0.len() * WIDTH);
        for (number, print) in &self.0 {
            // A text takes whatever is written to it.
            let _ = write!(part, "{number:04x}{print:08x}");
        }
        Position { part, offset: 0, line: 0 }
    }

    /// What the journal kept. None of what it cannot be: then a message can come twice.
    pub(super) fn from_position(position: &Position) -> Held {
        let one = |text: &[u8]| {
            let text = std::str::from_utf8(text).ok()?;
            let (number, print) = text.split_at_checked(4)?;
            Some((u16::from_str_radix(number, 16).ok()?, u32::from_str_radix(print, 16).ok()?))
        };
        Held(position.part.as_bytes().chunks_exact(WIDTH).filter_map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(number: u16, print: u32, again: bool) -> Once {
        Once { number, print, again }
    }

    #[test]
    fn what_comes_again_is_known_also_after_it_was_written_and_read() {
        let mut held = Held::default();
        assert!(held.take(once(7, 0xABCD, false)) && held.take(once(65_535, u32::MAX, false)));
        assert!(!held.take(once(7, 0xABCD, true)));
        let mut held = Held::from_position(&held.position());
        assert!(!held.take(once(7, 0xABCD, true)) && !held.take(once(65_535, u32::MAX, true)));
    }

    #[test]
    fn a_number_that_was_given_to_another_message_is_no_reason_to_drop_it() {
        let mut held = Held::default();
        assert!(held.take(once(1, 1, false)));
        // The same once more, but the broker says that it is the first time.
        assert!(held.take(once(1, 1, false)));
        assert!(held.take(once(1, 2, true)));
        held.release(1);
        assert!(held.take(once(1, 2, true)));
        held.forget();
        assert!(held.take(once(1, 2, true)));
    }

    #[test]
    fn a_position_that_is_none_of_its_own_is_no_harm() {
        for part in ["", "12", "zzzzzzzzzzzz", "äääääääää", "data/file.csv"] {
            let position = Position { part: part.into(), offset: 3, line: 4 };
            assert!(Held::from_position(&position).take(once(1, 1, true)), "{part}");
        }
    }
}
