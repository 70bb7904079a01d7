//! What comes of one message.

use std::ops::ControlFlow;

use smollama_engine::reading::Reading;

use crate::io::rows::form::Refused;

/// The most readings of one message, and the most parts of it that are refused before the rest is left alone.
pub(super) const READINGS_MAX: usize = 10_000;

/// The readings of a message, and why there are not more.
pub(super) struct Found<'a> {
    pub(super) readings: &'a mut Vec<Reading>,
    /// How many readings there were before the message.
    before: usize,
    /// What was refused first, and how much more was.
    refused: Option<Refused>,
    more: usize,
    /// Whether series were refused.
    pub(super) lacks_series: bool,
    /// Whether there were more readings than a message may give.
    is_over: bool,
}

impl<'a> Found<'a> {
    pub(super) fn new(readings: &'a mut Vec<Reading>) -> Found<'a> {
        let before = readings.len();
        Found { readings, before, refused: None, more: 0, lacks_series: false, is_over: false }
    }

    pub(super) fn push(&mut self, reading: Reading) {
        if self.has_room() {
            self.readings.push(reading);
        }
    }

    /// Whether the message may give one more reading. Where not, that is noted.
    pub(super) fn has_room(&mut self) -> bool {
        if self.readings.len() - self.before < READINGS_MAX {
            return true;
        }
        if !self.is_over {
            self.is_over = true;
            self.refuse(format!("more than {READINGS_MAX} readings in one message").into());
        }
        false
    }

    /// What a walk through the message does next.
    pub(super) fn go_on(&self) -> ControlFlow<()> {
        if self.is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Notes that a part of the message gives no reading.
    pub(super) fn refuse(&mut self, refused: Refused) {
        self.lacks_series |= matches!(refused, Refused::Series(_));
        match self.refused {
            None => self.refused = Some(refused),
            Some(_) => self.more += 1,
        }
        self.is_over |= self.more >= READINGS_MAX;
    }

    /// Notes that the message as a whole is none: it gives nothing.
    pub(super) fn refuse_all(&mut self, refused: Refused) {
        self.readings.truncate(self.before);
        self.refused = None;
        self.refuse(refused);
    }

    /// Whether it gave neither readings nor a reason.
    pub(super) fn is_nothing(&self) -> bool {
        self.readings.len() == self.before && self.refused.is_none()
    }

    /// Why it gave not all it could.
    pub(super) fn reason(&self) -> Option<String> {
        let refused = self.refused.as_ref()?;
        Some(match self.more {
            0 => refused.to_string(),
            more => format!("{refused}, and {more} more"),
        })
    }
}
