//! How often messages come by a subscription, so that its silence can be told from a quiet hour.

use std::time::Duration;

use tokio::time::Instant;

/// So many pauses have to be known before a longer one means anything.
const KNOWN_FROM: u32 = 8;
/// A pause so many times the longest known one is a silence.
const TIMES: u32 = 5;
/// No shorter pause is. Tests are impatient.
const AT_LEAST: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });
/// After so long a pause counts no more: what is silent every night is known for it, what was so once is not for ever.
const REMEMBERED: Duration = Duration::from_secs(8 * 24 * 3600);

/// The pauses between the messages of a subscription.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cadence {
    /// When the last message came, or counting began anew.
    last: Option<Instant>,
    /// The longest pause, less the more time went by since.
    longest: Duration,
    pauses: u32,
    silent: bool,
}

impl Cadence {
    /// A message came. True where that ends a silence.
    pub(super) fn heard(&mut self, now: Instant) -> bool {
        if let Some(last) = self.last {
            let pause = now.saturating_duration_since(last);
            let share = pause.as_secs_f64() / REMEMBERED.as_secs_f64();
            self.longest = self.longest.mul_f64((1.0 - share).clamp(0.0, 1.0)).max(pause);
            self.pauses = self.pauses.saturating_add(1);
        }
        self.last = Some(now);
        std::mem::take(&mut self.silent)
    }

    /// There was no connection until now: that pause says nothing.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        if self.last.is_some() {
            self.last = Some(now);
        }
        self.silent = false;
    }

    /// For how long nothing has come, and the longest pause before that, where it is a silence that was not noticed before.
    pub(super) fn falls_silent(&mut self, now: Instant) -> Option<(Duration, Duration)> {
        let pause = now.saturating_duration_since(self.last?);
        let longest = (self.longest * TIMES).max(AT_LEAST);
        if self.silent || self.pauses < KNOWN_FROM || pause < longest {
            return None;
        }
        self.silent = true;
        Some((pause, self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After messages with these pauses, in seconds: whether so many seconds without one are a silence.
    fn is_silence(pauses: &[u64], seconds: u64) -> bool {
        let (mut cadence, mut now) = (Cadence::default(), Instant::now());
        cadence.heard(now);
        for pause in pauses {
            now += Duration::from_secs(*pause);
            cadence.heard(now);
        }
        cadence.falls_silent(now + Duration::from_secs(seconds)).is_some()
    }

    #[test]
    fn a_silence_is_five_times_the_longest_pause_and_a_minute_at_least() {
        assert!(!is_silence(&[30; 9], 149) && is_silence(&[30; 9], 151));
        let least = AT_LEAST.as_secs();
        assert!(!is_silence(&[0; 9], least - 1) && is_silence(&[0; 9], least + 1));
    }

    #[test]
    fn little_is_not_known_well_enough() {
        assert!(!is_silence(&[30; 7], 100_000) && is_silence(&[30; 8], 100_000));
        assert!(Cadence::default().falls_silent(Instant::now()).is_none());
    }

    #[test]
    fn what_was_silent_last_night_may_be_so_again_and_what_was_last_month_may_not() {
        let (night, minute) = (8 * 3600, 60);
        let day: Vec<u64> = [vec![minute; 960], vec![night]].concat();
        assert!(!is_silence(&[day.clone(), vec![minute; 960]].concat(), night));
        assert!(is_silence(&[day, vec![minute; 30 * 1440]].concat(), night));
    }

    #[test]
    fn a_silence_is_noticed_once_and_ends_with_a_message() {
        let (mut cadence, start) = (Cadence::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        (0..20).for_each(|second| assert!(!cadence.heard(at(second))));
        assert!(cadence.falls_silent(at(100)).is_some() && cadence.falls_silent(at(200)).is_none());
        assert!(cadence.heard(at(300)) && !cadence.heard(at(301)));
        // The broker was away.
        cadence.begin_anew(at(9_000));
        assert!(cadence.falls_silent(at(9_010)).is_none());
    }
}
