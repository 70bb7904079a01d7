//! What this host publishes over MQTT 3.1.1 and hears again. That version has no place for a mark of origin, so a loop cannot be told from
//! what others say on the same topic; but a loop goes as fast as it can. So what comes on a topic that this host publishes to has a limit.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::time::Instant;

/// So many messages in a second on one topic are taken.
pub(super) const MOST: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);
/// So many topics are remembered. A loop is one of the first.
const TOPICS_MAX: usize = 10_000;

/// The topics this host published to, by hash.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    any: AtomicBool,
    topics: Mutex<HashMap<u64, Heard, FixedState>>,
}

/// What was heard of a topic in the second that began then.
#[derive(Debug)]
struct Heard {
    since: Instant,
    count: u32,
}

impl Echoes {
    /// This host publishes to a topic.
    pub(super) fn says(&self, topic: &str) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = FixedState::default().hash_one(topic);
        if topics.len() < TOPICS_MAX {
            topics.entry(hash).or_insert_with(|| Heard { since: Instant::now(), count: 0 });
            self.any.store(true, Ordering::Relaxed);
        }
    }

    /// A message came on a topic. Whether it is one too many.
    pub(super) fn is_too_many(&self, topic: &str, now: Instant) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(heard) = topics.get_mut(&FixedState::default().hash_one(topic)) else {
            return false;
        };
        if now.saturating_duration_since(heard.since) >= SECOND {
            *heard = Heard { since: now, count: 0 };
        }
        heard.count += 1;
        heard.count > MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_host_says_too_is_taken_so_often_in_a_second_and_what_others_say_always() {
        let (echoes, start) = (Echoes::default(), Instant::now());
        let taken = |topic, at| {
            let at = start + Duration::from_millis(at);
            (0..1_000).filter(|_| !echoes.is_too_many(topic, at)).count()
        };
        assert_eq!(taken("a", 0), 1_000);
        echoes.says("a");
        assert_eq!((taken("a", 1_500), taken("a", 2_499), taken("a", 2_500)), (100, 0, 100));
        assert_eq!(taken("b", 2_500), 1_000);
    }

    #[test]
    fn it_remembers_so_many_topics_and_no_more() {
        let echoes = Echoes::default();
        (0..2 * TOPICS_MAX).for_each(|topic| echoes.says(&topic.to_string()));
        assert_eq!(echoes.topics.lock().unwrap().len(), TOPICS_MAX);
    }
}
