//! Exclusive things of a host (listening sockets, broker connections, pins): opened once, leased by nodes, and passed on when one node
//! takes the place of another, so that nothing is closed in between.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

type Held = Weak<dyn Any + Send + Sync>;

/// See the module. A thing lives as long as somebody holds a lease on it.
#[derive(Default)]
pub struct Leases {
    held: Mutex<BTreeMap<String, Held>>,
    stopping: CancellationToken,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leases")
    }
}

impl Leases {
    /// The thing under this key, such as `tcp 127.0.0.1:9000`: the one somebody holds, or a new one.
    ///
    /// # Errors
    /// What `open` says.
    pub fn lease<T: Any + Send + Sync, E>(
        &self,
        key: &str,
        open: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, thing| thing.strong_count() > 0);
        let thing = held.get(key).and_then(Weak::upgrade);
        if let Some(thing) = thing.and_then(|thing| thing.downcast::<T>().ok()) {
            return Ok(thing);
        }
        let thing = Arc::new(open()?);
        let shared: Arc<dyn Any + Send + Sync> = thing.clone();
        held.insert(key.to_owned(), Arc::downgrade(&shared));
        Ok(thing)
    }

    /// Cancelled when the whole host stops. What is given back from then on is wanted again at the next start: whoever takes leave of
    /// another side for a node that was removed does not do so then.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_gets_what_its_predecessor_holds_and_a_latecomer_a_new_one() {
        let leases = Leases::default();
        let open = |number: u32| move || Ok::<u32, ()>(number);
        let first = leases.lease("tcp 1", open(1)).unwrap();
        let second = leases.lease("tcp 1", open(2)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(*leases.lease("tcp 2", open(3)).unwrap(), 3);
        drop((first, second));
        assert_eq!(*leases.lease("tcp 1", open(4)).unwrap(), 4);
        assert_eq!(leases.lease("tcp 5", || Err::<u32, _>("taken")).unwrap_err(), "taken");
    }
}
