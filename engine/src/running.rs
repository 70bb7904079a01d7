//! Which nodes run, told to those who look after what nodes leave behind: something that another side keeps for a node, and that has to
//! be taken back once the node is gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::plan::Graph;

/// What a node leaves with another side, which keeps it when the node is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    /// What it is, for people: `entities in Home Assistant`.
    pub what: &'static str,
    /// Where it lies. What lies elsewhere than where a node leaves things now is of an earlier node, and is taken back.
    pub place: String,
}

/// The nodes that run, by address, and where they leave things.
pub type Places = BTreeMap<Arc<str>, Option<String>>;

/// Takes back what nodes left that are gone.
pub trait Caretaker: Send + Sync {
    /// These nodes run from now on; some were called otherwise before (by old address). Must not wait.
    fn now_runs(self: Arc<Self>, nodes: &Arc<Places>, renamed: &BTreeMap<Arc<str>, Arc<str>>);
    /// How much a node has left.
    fn left_by(&self, address: &str) -> usize;
}

/// See the module.
#[derive(Default)]
pub struct Running(Mutex<Known>);

#[derive(Default)]
struct Known {
    nodes: Option<Arc<Places>>,
    caretakers: Vec<Weak<dyn Caretaker>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

impl Running {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caretakers(&self) -> Vec<Arc<dyn Caretaker>> {
        self.known().caretakers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Tells whoever looks after things, from now on and for as long as it is there. It is told at once where something runs already.
    pub fn tell(&self, caretaker: Arc<dyn Caretaker>) {
        let mut known = self.known();
        known.caretakers.retain(|one| one.strong_count() > 0);
        known.caretakers.push(Arc::downgrade(&caretaker));
        let nodes = known.nodes.clone();
        drop(known);
        if let Some(nodes) = nodes {
            caretaker.now_runs(&nodes, &BTreeMap::new());
        }
    }

    /// Another graph runs, and will after the next start.
    pub fn runs(&self, graph: &Graph, renamed: &BTreeMap<Arc<str>, Arc<str>>) {
        let place = |node: &crate::plan::PlannedNode| {
            node.profile.leaves.as_ref().map(|leaves| leaves.place.clone())
        };
        let nodes = graph.nodes().map(|(_, node)| (node.address.clone(), place(node)));
        let nodes: Arc<Places> = Arc::new(nodes.collect());
        self.known().nodes = Some(nodes.clone());
        self.caretakers().into_iter().for_each(|caretaker| caretaker.now_runs(&nodes, renamed));
    }

    /// How much a node has left with others; `None` where nobody knows.
    #[must_use]
    pub fn left_by(&self, address: &str) -> Option<usize> {
        let counts = self.caretakers();
        counts.iter().map(|caretaker| caretaker.left_by(address)).reduce(|a, b| a + b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<usize>>);

    impl Caretaker for Told {
        fn now_runs(self: Arc<Self>, nodes: &Arc<Places>, _: &BTreeMap<Arc<str>, Arc<str>>) {
            self.0.lock().unwrap().push(nodes.len());
        }
        fn left_by(&self, _: &str) -> usize {
            2
        }
    }

    #[test]
    fn who_comes_late_is_told_what_runs_and_who_left_is_forgotten() {
        let running = Running::default();
        let (early, late) = (Arc::new(Told::default()), Arc::new(Told::default()));
        running.tell(early.clone());
        assert_eq!(*early.0.lock().unwrap(), [0_usize; 0], "nothing runs yet");
        running.runs(&Graph::default(), &BTreeMap::new());
        running.tell(late.clone());
        assert_eq!((early.0.lock().unwrap().len(), late.0.lock().unwrap().len()), (1, 1));
        assert_eq!(running.left_by("p/n"), Some(4));
        drop((early, late));
        assert_eq!(running.left_by("p/n"), None);
    }
}
