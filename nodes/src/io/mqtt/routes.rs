//! Which nodes want a topic: the filters of all nodes as a tree of levels, so that a message costs the same however many there are.

use std::collections::HashMap;

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
    here: Vec<usize>,
    /// Those whose filter ends here with `#`.
    below: Vec<usize>,
}

impl Routes {
    pub(super) fn add(&mut self, subscription: &Subscription, taker: usize) {
        let mut level = &mut self.0;
        for name in subscription.levels().split('/') {
            match name {
                "#" => {
                    level.below.push(taker);
                    return;
                }
                "+" => level = level.any.get_or_insert_default(),
                name => level = level.by_name.entry(name.into()).or_default(),
            }
        }
        level.here.push(taker);
    }

    /// Appends who wants a topic, each once.
    pub(super) fn find(&self, topic: &str, takers: &mut Vec<usize>) {
        takers.clear();
        // What a broker says of itself is not meant by a wildcard (MQTT 5, 4.7.2).
        let own = topic.starts_with('$');
        self.0.find(topic, own, takers);
        takers.sort_unstable();
        takers.dedup();
    }
}

impl Level {
    fn find(&self, rest: &str, own: bool, takers: &mut Vec<usize>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(filter: &str) -> Subscription {
        Subscription { filter: filter.into(), qos: Qos::AtLeastOnce }
    }

    fn found(filters: &[&str], topic: &str) -> Vec<usize> {
        let mut routes = Routes::default();
        for (taker, filter) in filters.iter().enumerate() {
            routes.add(&subscription(filter), taker);
        }
        let mut takers = Vec::new();
        routes.find(topic, &mut takers);
        takers
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
        routes.add(&subscription("a/#"), 4);
        routes.add(&subscription("a/b"), 4);
        let mut takers = vec![9];
        routes.find("a/b", &mut takers);
        assert_eq!(takers, [4]);
    }
}
