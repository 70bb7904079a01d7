//! Which nodes want a topic: the filters of all nodes as a tree of levels, so that a message costs the same however many there are.
//!
//! A broker may send a message once for each subscription that matches it. A node gets it once: MQTT 5 says by which subscriptions a
//! message came, so a node takes the copy that came by the first of its own. MQTT 3.1.1 does not; there the broker is only asked
//! for filters that have no topic in common.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use smollama_engine::topic;

use super::message::Qos;

/// A filter of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscription {
    /// The filter as the broker knows it, `$share/GROUP/` included.
    pub filter: String,
    /// The most that the broker is asked for.
    pub qos: Qos,
}

/// How many numbers a subscription can have (MQTT 5.0, 3.8.2.1.2).
const NUMBERS: u64 = 268_435_455;

/// The number of a filter's subscription: the same in every run, as messages that waited in a session carry it.
pub(super) fn number_of(filter: &str) -> usize {
    let hash = FixedState::default().hash_one(filter);
    usize::try_from(hash % NUMBERS).unwrap_or(0) + 1
}

impl Subscription {
    /// The filter that topics are held against.
    fn levels(&self) -> &str {
        topic::without_share(&self.filter)
    }
}

/// Filters, and the numbers of those who want what they match.
#[derive(Debug, Default)]
pub(super) struct Routes(Level);

#[derive(Debug, Default)]
struct Level {
    by_name: HashMap<Box<str>, Level, foldhash::fast::RandomState>,
    /// Behind `+`.
    any: Option<Box<Level>>,
    /// Those whose filter ends here.
    here: Vec<Way>,
    /// Those whose filter ends here with `#`.
    below: Vec<Way>,
}

/// Who wants a message, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) taker: usize,
    /// The number of the subscription.
    pub(super) number: usize,
    /// What was said to be known of the filter.
    pub(super) filter: usize,
}

impl Routes {
    /// Adds a filter of a taker. `filter`: what the caller knows the filter by.
    pub(super) fn add(&mut self, subscription: &Subscription, taker: usize, filter: usize) {
        let way = Way { taker, number: number_of(&subscription.filter), filter };
        let mut level = &mut self.0;
        for name in subscription.levels().split('/') {
            match name {
                "#" => {
                    level.below.push(way);
                    return;
                }
                "+" => level = level.any.get_or_insert_default(),
                name => level = level.by_name.entry(name.into()).or_default(),
            }
        }
        level.here.push(way);
    }

    /// All filters that match a topic.
    pub(super) fn find(&self, topic: &str, ways: &mut Vec<Way>) {
        ways.clear();
        // What a broker says of itself is not meant by a wildcard (MQTT 5, 4.7.2).
        let own = topic.starts_with('$');
        self.0.find(topic, own, ways);
    }
}

/// Leaves of those who want a message the ones that take this copy of it, each once: `by` are the subscriptions by which it came, none where
/// the broker does not say.
pub(super) fn take_once(ways: &mut Vec<Way>, by: &[usize]) {
    ways.sort_unstable();
    ways.dedup_by_key(|way| way.taker);
    if !by.is_empty() {
        ways.retain(|way| by.contains(&way.number));
    }
}

impl Level {
    fn find(&self, rest: &str, own: bool, takers: &mut Vec<Way>) {
        if !own {
            takers.extend_from_slice(&self.below);
        }
        let (name, behind) = match rest.split_once('/') {
            Some((name, behind)) => (name, Some(behind)),
            None => (rest, None),
        };
        let any = self.any.as_deref().filter(|_| !own);
        for level in self.by_name.get(name).into_iter().chain(any) {
            match behind {
                Some(behind) => level.find(behind, false, takers),
                None => {
                    takers.extend_from_slice(&level.here);
                    // `a/#` matches `a` too.
                    takers.extend_from_slice(&level.below);
                }
            }
        }
    }
}

/// Filters that match all that these match, and have no topic in common.
pub(super) fn apart(wanted: BTreeMap<String, Qos>) -> BTreeMap<String, Qos> {
    let mut apart: Vec<(String, Qos)> = Vec::new();
    for (mut filter, mut qos) in wanted {
        // A shared subscription is a matter of its group.
        let shared = filter.starts_with("$share/");
        while let Some(index) = apart.iter().position(|(other, _)| {
            !shared && !other.starts_with("$share/") && topic::overlaps(other, &filter)
        }) {
            let (other, other_qos) = apart.swap_remove(index);
            filter = join(&filter, &other);
            qos = qos.max(other_qos);
        }
        apart.push((filter, qos));
    }
    apart.into_iter().collect()
}

/// The narrowest filter that matches what either does.
fn join(one: &str, other: &str) -> String {
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    let mut levels = Vec::new();
    loop {
        match (ones.next(), others.next()) {
            (None, None) => break,
            (Some("#") | None, _) | (_, Some("#") | None) => {
                levels.push("#");
                break;
            }
            (Some(a), Some(b)) => levels.push(if a == b { a } else { "+" }),
        }
    }
    levels.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(filter: &str) -> Subscription {
        Subscription { filter: filter.into(), qos: Qos::AtLeastOnce }
    }

    fn found(filters: &[&str], topic: &str) -> Vec<usize> {
        let mut routes = Routes::default();
        for (taker, filter) in filters.iter().enumerate() {
            routes.add(&subscription(filter), taker, taker);
        }
        let mut ways = Vec::new();
        routes.find(topic, &mut ways);
        take_once(&mut ways, &[]);
        ways.into_iter().map(|way| way.taker).collect()
    }

    #[test]
    fn filters_match_as_the_protocol_says() {
        let filters =
            ["a/b", "a/+", "a/#", "#", "+/b", "$share/g/a/b", "a/b/c", "+", "$SYS/#", "+/+/+"];
        assert_eq!(found(&filters, "a/b"), [0, 1, 2, 3, 4, 5]);
        assert_eq!(found(&filters, "a"), [2, 3, 7]);
        assert_eq!(found(&filters, "a/b/c"), [2, 3, 6, 9]);
        assert_eq!(found(&filters, "$SYS/broker/load"), [8]);
        assert_eq!(found(&filters, "a//"), [2, 3, 9]);
        assert_eq!(found(&filters, "/b"), [3, 4]);
    }

    #[test]
    fn whoever_has_two_filters_that_match_gets_a_message_once() {
        let mut routes = Routes::default();
        routes.add(&subscription("a/#"), 4, 0);
        routes.add(&subscription("a/b"), 4, 1);
        routes.add(&subscription("a/b"), 5, 1);
        let [wide, narrow] = ["a/#", "a/b"].map(number_of);
        let taken = |by: &[usize]| {
            let mut ways = vec![Way { taker: 9, number: 9, filter: 9 }];
            routes.find("a/b", &mut ways);
            take_once(&mut ways, by);
            ways.into_iter().map(|way| way.taker).collect::<Vec<_>>()
        };
        // One copy for both subscriptions, or the broker does not say.
        assert_eq!((taken(&[]), taken(&[wide, narrow])), (vec![4, 5], vec![4, 5]));
        // A copy for each.
        let mut all = [taken(&[wide]), taken(&[narrow])].concat();
        all.sort_unstable();
        assert_eq!(all, [4, 5]);
        // By a subscription of an earlier run that nobody wants now.
        assert_eq!(taken(&[wide + narrow]), Vec::<usize>::new());
    }

    #[test]
    fn filters_that_overlap_become_one_and_others_stay() {
        let asked = |filters: &[(&str, Qos)]| {
            let wanted = filters.iter().map(|(filter, qos)| ((*filter).to_owned(), *qos)).collect();
            apart(wanted).into_iter().collect::<Vec<_>>()
        };
        let (once, twice) = (Qos::AtMostOnce, Qos::AtLeastOnce);
        let of = |filter: &str, qos| (filter.to_owned(), qos);
        assert_eq!(asked(&[("a/+/c", once), ("a/x/#", twice)]), [of("a/+/#", twice)]);
        assert_eq!(asked(&[("a/b", once), ("a/c", twice)]), [of("a/b", once), of("a/c", twice)]);
        assert_eq!(
            asked(&[("a/#", twice), ("a", once), ("b", once)]),
            [of("a/#", twice), of("b", once)]
        );
        // The join of two meets a third.
        assert_eq!(
            asked(&[("a/+/c", once), ("a/x/#", once), ("a/y/z", once)]),
            [of("a/+/#", once)]
        );
        let shared = [("$share/g/a/b", once), ("a/b", once)];
        assert_eq!(asked(&shared).len(), 2);
    }
}
