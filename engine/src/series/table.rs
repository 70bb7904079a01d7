//! The series of a host.

mod inner;
mod lack;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;

use self::inner::{Giver, Inner, Standing};
pub use self::lack::Lacking;
use super::{Series, SeriesId, SeriesMap, SourceKey};

/// The node or the host may hold no more series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many series: the limit of {cap} is reached")]
pub struct TooManySeries {
    /// The cap that was reached.
    pub cap: usize,
}

/// All series of the host.
///
/// A number stands for one series as long as the process lives, and never for another. What is *live* counts against the cap. A series that
/// gave its slot back ([`SeriesTable::retire`]) is not found by its name any more; should it come again, it gets another number. What it was
/// called stays known for as long as something may still be on its way to a sink: until as many others as the host may hold series, twice
/// over, gave their slots back, which takes a day at least for each time.
///
/// What a journal or a spool names ([`SeriesTable::name`]) has a number and no slot until a part of the graph takes it
/// ([`SeriesTable::enter`]).
#[derive(Debug)]
pub struct SeriesTable {
    inner: RwLock<Inner>,
    cap: usize,
    /// How often numbers went out of use.
    generation: AtomicU64,
    /// How often a new series found no room.
    refused: AtomicU64,
    refusals: Notify,
    /// What stands for a series whose name is known no more.
    gone: Arc<Series>,
}

/// So many names stay known at the least, however few series there may be.
const PAST_MIN: usize = 10_000;

impl SeriesTable {
    /// The default cap of a host.
    pub const DEFAULT_CAP: usize = 100_000;

    /// An empty table that takes at most `cap` series.
    #[must_use]
    pub fn new(cap: usize) -> SeriesTable {
        SeriesTable {
            inner: RwLock::default(),
            cap,
            generation: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refusals: Notify::new(),
            gone: Arc::new(Series::new(SourceKey::parse("gone"))),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Nothing in here panics half-way, so a poisoned table is still whole.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a live series.
    #[must_use]
    pub fn find(&self, series: &Series) -> Option<SeriesId> {
        self.read().find_live(series)
    }

    /// The number of a series; a new one is given to a series that has none.
    ///
    /// # Errors
    /// The cap is reached and the series has no slot.
    pub fn intern(&self, series: &Series) -> Result<SeriesId, TooManySeries> {
        if let Some(id) = self.find(series) {
            return Ok(id);
        }
        let mut inner = self.write();
        let made = match inner.find(series) {
            Some(id) if inner.is_live(id) => return Ok(id),
            _ if inner.live >= self.cap => None,
            Some(id) => {
                inner.make_live(id);
                Some(id)
            }
            None => inner.add(series.clone(), Standing::Live),
        };
        drop(inner);
        made.ok_or_else(|| {
            self.refuse(None, self.cap);
            TooManySeries { cap: self.cap }
        })
    }

    /// As [`SeriesTable::intern`], for a source node that may give readings to so many series. What it is given readings for by two nodes
    /// is counted, and the address of the other comes back.
    ///
    /// # Errors
    /// A cap is reached and the series has no slot.
    pub fn intern_given(
        &self,
        series: &Series,
        address: &Arc<str>,
        cap: usize,
    ) -> Result<(SeriesId, Option<Arc<str>>), TooManySeries> {
        let known = self.find(series);
        if known.is_none() && self.given_by(address) >= cap {
            self.refuse(Some(address), cap);
            return Err(TooManySeries { cap });
        }
        let id = match known {
            Some(id) => id,
            None => self.intern(series)?,
        };
        Ok((id, self.give(id, address)))
    }

    /// The number of a series that is made from others. It takes a slot and is not refused one: whether there is room depends on how
    /// far other parts of the graph have come, and what a node emits must not. Those that it is made from are bounded.
    ///
    /// # Errors
    /// There are no more numbers.
    pub fn intern_derived(&self, series: &Series) -> Result<SeriesId, TooManySeries> {
        if let Some(id) = self.find(series) {
            return Ok(id);
        }
        let mut inner = self.write();
        match inner.find(series) {
            Some(id) => {
                inner.make_live(id);
                Ok(id)
            }
            None => inner
                .add(series.clone(), Standing::Live)
                .ok_or(TooManySeries { cap: u32::MAX as usize }),
        }
    }

    /// A number for a series that something kept names. It takes no slot: [`SeriesTable::enter`] gives it one. `None` when there
    /// are no more numbers.
    #[must_use]
    pub fn name(&self, series: &Series) -> Option<SeriesId> {
        if let Some(id) = self.read().find(series) {
            return Some(id);
        }
        let mut inner = self.write();
        match inner.find(series) {
            Some(id) => Some(id),
            None => {
                let id = inner.add(series.clone(), Standing::Named)?;
                self.let_go(&mut inner, id);
                Some(id)
            }
        }
    }

    /// Readings of a series entered the graph, by a source node of that address: makes sure that it has a slot, even beyond the cap, as it was
    /// let in. Gives its number, which is another where it had given its slot back.
    pub fn enter(&self, id: SeriesId, address: &Arc<str>) -> SeriesId {
        let mut inner = self.write();
        let id = inner.live_again(id, &self.gone);
        if inner.entries.get(id).is_some_and(|entry| entry.giver.is_none()) {
            inner.set_giver(id, Some(Giver { address: address.clone(), said: false }));
        }
        id
    }

    /// As [`SeriesTable::enter`], for a series that a node's state speaks of.
    pub(crate) fn enter_of_state(&self, id: SeriesId) -> SeriesId {
        self.write().live_again(id, &self.gone)
    }

    /// The live series of the name that a number stands for: itself, mostly.
    #[must_use]
    pub fn current(&self, id: SeriesId) -> Option<SeriesId> {
        let inner = self.read();
        let entry = inner.entries.get(id)?;
        if entry.standing == Standing::Live { Some(id) } else { inner.find_live(&entry.series) }
    }

    /// Takes the slots of series back: nothing in the graph keeps anything of them any more. One that two source nodes give readings to
    /// stays. Says how many slots that were.
    pub fn retire(&self, ids: &[SeriesId]) -> usize {
        let mut inner = self.write();
        let mut retired = 0;
        for &id in ids {
            let Some(entry) = inner.entries.get_mut(id) else { continue };
            if entry.standing != Standing::Live || entry.shared {
                continue;
            }
            entry.standing = Standing::Past;
            let series = entry.series.clone();
            inner.set_giver(id, None);
            inner.unlist(id, &series);
            inner.live -= 1;
            retired += 1;
            self.let_go(&mut inner, id);
        }
        inner.given_back += retired;
        if retired > 0 {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        retired as usize
    }

    /// Notes that a series is not live, and forgets the names of those that have not been for longest, where they are too many.
    fn let_go(&self, inner: &mut Inner, id: SeriesId) {
        let Some(entry) = inner.entries.get_mut(id) else { return };
        entry.turn = entry.turn.wrapping_add(1);
        let turn = entry.turn;
        inner.past.push_back((id, turn));
        let most = self.cap.saturating_mul(2).max(PAST_MIN);
        // Many at once, as those who remember numbers look them all through when some are gone.
        if inner.past.len() <= most.saturating_add(most / 4) {
            return;
        }
        let many = inner.past.len() - most;
        let oldest: Vec<_> = inner.past.drain(..many).collect();
        for (id, turn) in oldest {
            let entry = inner.entries.get(id).filter(|entry| entry.turn == turn);
            let Some(entry) = entry.filter(|entry| entry.standing != Standing::Live) else {
                continue;
            };
            let (series, standing) = (entry.series.clone(), entry.standing);
            if standing == Standing::Named {
                inner.unlist(id, &series);
            }
            inner.entries.remove(id);
        }
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Grows whenever numbers went out of use. Whoever remembers numbers goes through them then ([`SeriesTable::is_live`],
    /// [`SeriesTable::keep_live`]).
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether a series has a slot.
    #[must_use]
    pub fn is_live(&self, id: SeriesId) -> bool {
        self.read().is_live(id)
    }

    /// Removes from a map what is not of a live series, if numbers went out of use since it had the generation, which is moved on. For
    /// what can be made again.
    #[inline]
    pub fn keep_live<T>(&self, map: &mut SeriesMap<T>, generation: &mut u64) {
        let now = self.generation();
        if *generation != now {
            *generation = now;
            let inner = self.read();
            map.retain(|id, _| inner.is_live(id));
        }
    }

    /// Notes that a source node gives readings to a series. When another one already does, that is counted, and its address comes
    /// back.
    pub fn give(&self, id: SeriesId, address: &Arc<str>) -> Option<Arc<str>> {
        let mut inner = self.write();
        let entry = inner.entries.get_mut(id)?;
        if let Some(giver) = entry.giver.as_ref().filter(|giver| giver.said) {
            if giver.address == *address {
                return None;
            }
            let other = giver.address.clone();
            entry.shared = true;
            inner.collisions += 1;
            return Some(other);
        }
        if entry.standing == Standing::Live {
            inner.set_giver(id, Some(Giver { address: address.clone(), said: true }));
        }
        None
    }

    /// Forgets which series a source node gives readings to: it is gone, or has another name now.
    pub fn forget_giver(&self, address: &str) {
        let mut inner = self.write();
        inner.given.remove(address);
        inner.lacks.retain(|who, _| who.as_deref() != Some(address));
        for (_, entry) in inner.entries.iter_mut() {
            if entry.giver.as_ref().is_some_and(|giver| *giver.address == *address) {
                (entry.giver, entry.shared) = (None, false);
            }
        }
    }

    /// How many live series a source node gives readings to.
    #[must_use]
    pub fn given_by(&self, address: &str) -> usize {
        self.read().given.get(address).copied().unwrap_or(0)
    }

    /// The source nodes that give readings to as many series as one may, by address.
    #[must_use]
    pub fn at_cap(&self, cap: usize) -> Vec<Arc<str>> {
        let inner = self.read();
        let full = inner.given.iter().filter(|(_, given)| **given >= cap);
        let mut full: Vec<Arc<str>> = full.map(|(address, _)| address.clone()).collect();
        full.sort();
        full
    }

    /// All live series, in the order of their numbers.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Series>> {
        let inner = self.read();
        let live = inner.entries.iter().filter(|(_, entry)| entry.standing == Standing::Live);
        live.map(|(_, entry)| entry.series.clone()).collect()
    }

    /// How many series there may be.
    #[must_use]
    pub fn cap(&self) -> usize {
        self.cap
    }

    /// How many series two source nodes give readings to.
    #[must_use]
    pub fn collisions(&self) -> u64 {
        self.read().collisions
    }

    /// How many series gave their slots back since the process began.
    #[must_use]
    pub fn given_back(&self) -> u64 {
        self.read().given_back
    }

    /// What a number stands for. For one whose name is known no more, a series called `gone`.
    #[must_use]
    pub fn get(&self, id: SeriesId) -> Arc<Series> {
        self.read().entries.get(id).map_or_else(|| self.gone.clone(), |entry| entry.series.clone())
    }

    /// How many series have a slot.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().live
    }
    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many names it holds, of live series and others.
    #[cfg(test)]
    pub(crate) fn names(&self) -> usize {
        self.read().entries.len()
    }
}

impl Default for SeriesTable {
    fn default() -> Self {
        SeriesTable::new(SeriesTable::DEFAULT_CAP)
    }
}

#[cfg(test)]
mod tests;
