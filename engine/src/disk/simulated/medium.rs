//! The disk itself, whoever uses it: names, files, and what is to go wrong.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::content::Content;
use super::names::{Entry, Names};
use super::random::Random;
use super::{Crash, Fault};

#[derive(Debug)]
pub(super) struct Medium {
    pub(super) names: Names,
    pub(super) random: Random,
    /// Which process lives; handles of others are dead.
    pub(super) life: u64,
    pub(super) written: u64,
    pub(super) calls: u64,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) failing: Option<io::ErrorKind>,
    pub(super) failing_reads: Option<io::ErrorKind>,
    pub(super) counts_reads: bool,
    pub(super) capacity: Option<u64>,
    pub(super) ignores_syncs: bool,
    pub(super) violations: Vec<String>,
}

/// How far a call that changes something gets.
pub(super) enum Outcome {
    Done,
    /// So many of its bytes, for a write; nothing, for another call.
    Fails(io::Error, usize),
    /// The same, and nothing after it.
    Crashes(Crash, usize),
}

impl Medium {
    pub(super) fn new(seed: u64) -> Medium {
        Medium {
            names: Names::default(),
            random: Random::new(seed),
            life: 0,
            written: 0,
            calls: 0,
            faults: BTreeMap::new(),
            failing: None,
            failing_reads: None,
            counts_reads: false,
            capacity: None,
            ignores_syncs: false,
            violations: Vec::new(),
        }
    }

    pub(super) fn outcome(&mut self, bytes: usize) -> Outcome {
        let call = self.calls;
        self.calls += 1;
        match self.faults.remove(&call) {
            Some(Fault::Error(kind)) => Outcome::Fails(kind.into(), 0),
            Some(Fault::TornWrite) => {
                let part = self.random.up_to(bytes);
                Outcome::Fails(io::Error::other("input/output error"), part)
            }
            Some(Fault::Crash(how)) => Outcome::Crashes(how, self.random.up_to(bytes)),
            None => match self.failing {
                Some(kind) => Outcome::Fails(kind.into(), 0),
                None => Outcome::Done,
            },
        }
    }

    pub(super) fn crash(&mut self, how: Crash) {
        self.life += 1;
        if how == Crash::Power {
            self.names.lose_power(&mut self.random);
        }
        for content in self.names.files() {
            match how {
                Crash::Kill => lock(content).forget_failure(),
                Crash::Power => lock(content).lose_power(&mut self.random),
            }
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.names.files().map(|content| lock(content).bytes().len() as u64).sum()
    }

    pub(super) fn found(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        match self.names.get(path) {
            Some(Entry::File(content)) => Ok(content.clone()),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn folder(&self, path: &Path) -> io::Result<()> {
        match self.names.get(path) {
            Some(Entry::Folder) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn parent(&self, path: &Path) -> io::Result<()> {
        self.folder(path.parent().unwrap_or(Path::new("")))
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        self.parent(path)?;
        let content = Arc::new(Mutex::new(Content::default()));
        self.names.change(vec![(path.to_owned(), Some(Entry::File(content.clone())))]);
        Ok(content)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
