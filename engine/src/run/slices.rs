//! Cutting a batch so that virtual time is exact: what a run of readings does must not depend on how they came in batches.

use crate::batch::Items;
use crate::duration::Duration;
use crate::time::Timestamp;

/// Where the next cut of a batch lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A tick is due first, at this time.
    Tick(Timestamp),
    /// The items up to this index (not included) can go together; the clock stands at `clock` afterwards.
    Upto {
        /// The first index that does not go along.
        end: usize,
        /// The clock after them.
        clock: Timestamp,
    },
}

/// How far the items from `start` on can go together when the clock stands at `clock`.
///
/// `due` is the earliest tick, `lead` the least time between a reading and a tick it can cause (`None`: nothing ticks), `until`
/// an instant that the items must stay before (or at, where `inclusive`): another source's next item.
pub(crate) fn next_cut(
    items: &Items,
    start: usize,
    clock: Timestamp,
    due: Option<Timestamp>,
    lead: Option<Duration>,
    until: Option<(Timestamp, bool)>,
) -> Cut {
    let mut reached = clock;
    let mut limit: Option<Timestamp> = None;
    let mut end = start;
    while let Some(time) = items.time(end) {
        // Behind the clock is fine as long as the clock has not moved within this cut: all of them then take effect at `clock`.
        if time < reached && reached > clock {
            break;
        }
        let effective = time.max(reached);
        if due.is_some_and(|due| due <= effective) {
            break;
        }
        if limit.is_some_and(|limit| effective >= limit) {
            break;
        }
        let other_first = |(other, inclusive): (Timestamp, bool)| {
            effective > other || (effective == other && !inclusive)
        };
        if end > start && until.is_some_and(other_first) {
            break;
        }
        if limit.is_none() {
            limit = lead.map(|lead| effective.saturating_add(lead));
        }
        reached = effective;
        end += 1;
    }
    match due {
        Some(due) if end == start && start < items.len() => Cut::Tick(due),
        _ => Cut::Upto { end, clock: reached },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Reading;
    use crate::series::SeriesId;

    fn items(seconds: &[i64]) -> Items {
        let reading = |&s: &i64| Reading::new(at(s), SeriesId::from_index(0), s);
        Items::Readings(seconds.iter().map(reading).collect())
    }
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }
    fn upto(end: usize, clock: i64) -> Cut {
        Cut::Upto { end, clock: at(clock) }
    }

    #[test]
    fn nothing_ticks_and_time_goes_on() {
        assert_eq!(next_cut(&items(&[1, 2, 3]), 0, at(0), None, None, None), upto(3, 3));
    }

    #[test]
    fn a_step_back_within_a_cut_ends_it_and_old_readings_go_together() {
        let items = items(&[5, 6, 1, 2, 7, 3]);
        assert_eq!(next_cut(&items, 0, at(0), None, None, None), upto(2, 6));
        assert_eq!(next_cut(&items, 2, at(6), None, None, None), upto(5, 7));
        assert_eq!(next_cut(&items, 5, at(7), None, None, None), upto(6, 7));
    }

    #[test]
    fn a_due_tick_comes_first_and_a_possible_one_ends_the_cut() {
        let items = items(&[1, 2, 3, 12, 13]);
        assert_eq!(next_cut(&items, 0, at(0), Some(at(2)), None, None), upto(1, 1));
        assert_eq!(next_cut(&items, 1, at(1), Some(at(2)), None, None), Cut::Tick(at(2)));
        let lead = Some(Duration::from_secs(10));
        assert_eq!(next_cut(&items, 0, at(0), None, lead, None), upto(3, 3));
        assert_eq!(next_cut(&items, 0, at(0), None, Some(Duration::ZERO), None), upto(1, 1));
    }

    #[test]
    fn another_source_may_come_first() {
        let items = items(&[1, 2, 3]);
        assert_eq!(next_cut(&items, 0, at(0), None, None, Some((at(2), false))), upto(1, 1));
        assert_eq!(next_cut(&items, 0, at(0), None, None, Some((at(2), true))), upto(2, 2));
    }
}
