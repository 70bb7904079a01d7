//! What keeps a node from its work, and what somebody should know of it though it works: said by the node itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::time::Timestamp;

/// Where a node says what keeps it from its work while none of its calls fails: a source that waits for a broker that is away just
/// waits. Clones share what is said, so one connection can speak for all nodes that use it.
///
/// The status of the host shows it as it shows why a call failed; that a call failed comes first. Beside it stand [`Notice`]s.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    why: Option<String>,
    /// By what they are about.
    notices: BTreeMap<&'static str, Vec<Notice>>,
}

/// What somebody should know of a node though it works, for as long as it is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Since when it is so. It may lie ahead: nobody is told before.
    pub since: Timestamp,
    /// From when on it is not said any more.
    pub until: Option<Timestamp>,
    /// What is so, what that means and what helps, as a fragment.
    pub text: String,
}

impl Notice {
    /// Something that is so from now on.
    #[must_use]
    pub fn since(since: Timestamp, text: impl Into<String>) -> Notice {
        Notice { since, until: None, text: text.into() }
    }

    /// The same, and from then on it is not said any more.
    #[must_use]
    pub fn until(self, until: Timestamp) -> Notice {
        Notice { until: Some(until), ..self }
    }

    /// Whether it is to be said.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.since <= now && self.until.is_none_or(|until| now < until)
    }
}

impl Trouble {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what keeps it from its work, as a fragment that fits after "failed: "; `None` once it works again.
    pub fn set(&self, why: Option<String>) {
        self.said().why = why;
    }

    /// What was said last.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.said().why.clone()
    }

    /// Says what somebody should know, in place of what was said about the same before.
    pub fn note(&self, about: &'static str, notices: Vec<Notice>) {
        let mut said = self.said();
        if notices.is_empty() {
            said.notices.remove(about);
        } else {
            said.notices.insert(about, notices);
        }
    }

    /// What somebody should know now.
    #[must_use]
    pub fn notices(&self, now: Timestamp) -> Vec<Notice> {
        let said = self.said();
        let all = said.notices.values().flatten();
        all.filter(|notice| notice.holds(now)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_said_while_it_holds_and_another_about_the_same_takes_its_place() {
        let (trouble, at) = (Trouble::default(), Timestamp::from_micros);
        trouble.note("a", vec![Notice::since(at(10), "one").until(at(20))]);
        trouble.note("b", vec![Notice::since(at(15), "two")]);
        let texts = |now| {
            let notices = trouble.notices(at(now));
            notices.into_iter().map(|notice| notice.text).collect::<Vec<_>>().concat()
        };
        assert_eq!([9, 10, 15, 19, 20].map(texts), ["", "one", "onetwo", "onetwo", "two"]);
        trouble.note("b", Vec::new());
        assert_eq!(texts(15), "one");
        assert_eq!(trouble.get(), None);
    }
}
