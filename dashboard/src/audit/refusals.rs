//! Counts refusals of a kind, so that a flood of them is a row a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Row;

/// How long refusals of a kind are counted before they are a row.
const SPAN: Duration = Duration::from_secs(60);
/// How many kinds are told apart.
const KINDS_MAX: usize = 64;

/// Refusals that were counted and not yet written, by who sent them and why they were refused.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<(String, String), Counted>);

#[derive(Debug)]
struct Counted {
    since: Instant,
    /// How many came after the one that was written.
    more: u64,
    last: Row,
}

impl Refusals {
    /// Takes one. Gives the rows to write: this one, if it is the first of its kind for a while, and what was counted long enough.
    pub(super) fn add(&mut self, source: String, row: Row, now: Instant) -> Vec<Row> {
        let mut due = self.due(now, false);
        let mut kind = (source, row.outcome.clone());
        if self.0.len() >= KINDS_MAX && !self.0.contains_key(&kind) {
            kind = ("others".to_owned(), "refused".to_owned());
        }
        match self.0.get_mut(&kind) {
            Some(counted) => {
                counted.more += 1;
                counted.last = row;
            }
            None => {
                self.0.insert(kind, Counted { since: now, more: 0, last: row.clone() });
                due.push(row);
            }
        }
        due
    }

    /// The rows of what was counted long enough, or of all.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<Row> {
        let over = |counted: &Counted| all || now.saturating_duration_since(counted.since) >= SPAN;
        let due = self.0.extract_if(.., |_, counted| over(counted));
        due.filter(|(_, counted)| counted.more > 0)
            .map(|(_, counted)| Row { count: Some(counted.more), ..counted.last })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use smollama_engine::time::Timestamp;

    use super::*;

    fn row(outcome: &str) -> Row {
        Row {
            time: Timestamp::EPOCH,
            actor: "nobody".into(),
            peer: "10.0.0.1:1".into(),
            action: "POST /api/apply".into(),
            target: String::new(),
            outcome: outcome.into(),
            count: None,
        }
    }

    #[test]
    fn the_first_of_a_kind_is_a_row_at_once_and_the_others_are_one_a_minute() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        assert_eq!(refusals.add("10.0.0.1".into(), row("a"), now), [row("a")]);
        assert_eq!(refusals.add("10.0.0.1".into(), row("b"), now), [row("b")]);
        assert_eq!(refusals.add("10.0.0.2".into(), row("a"), now), [row("a")]);
        for _ in 0..1000 {
            assert_eq!(refusals.add("10.0.0.1".into(), row("a"), now), []);
        }
        assert_eq!(refusals.due(now, false), []);
        let counted = Row { count: Some(1000), ..row("a") };
        assert_eq!(refusals.due(now + SPAN, false), [counted]);
        assert_eq!(refusals.due(now + SPAN, true), [], "written once");
        assert_eq!(refusals.add("10.0.0.1".into(), row("a"), now + SPAN), [row("a")]);
    }

    #[test]
    fn a_flood_from_everywhere_is_few_rows() {
        let mut refusals = Refusals::default();
        let now = Instant::now();
        let source = |number: u32| std::net::Ipv4Addr::from_bits(number).to_string();
        let rows = (0..100_000).flat_map(|number| refusals.add(source(number), row("a"), now));
        assert_eq!(rows.count(), KINDS_MAX + 1);
        assert_eq!(refusals.due(now, true).len(), 1);
    }
}
