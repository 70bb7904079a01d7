//! A spool that is there and could not be opened.

use std::io;
use std::sync::Arc;

use crate::batch::Batch;
use crate::bytes::ByteSize;
use crate::run::keep::{Fill, Spool, SpoolError, Spools};

/// Tries again whenever something is asked of it. Until it is open nothing comes out and nothing goes in: what lies in it is older than
/// all that waits.
#[derive(Debug)]
pub(crate) struct Unopened {
    spools: Arc<dyn Spools>,
    name: String,
    cap: ByteSize,
    open: Option<Box<dyn Spool>>,
    /// What was confirmed meanwhile.
    confirmed: u64,
}

impl Unopened {
    pub(crate) fn new(spools: Arc<dyn Spools>, name: String, cap: ByteSize) -> Unopened {
        Unopened { spools, name, cap, open: None, confirmed: 0 }
    }

    fn open(&mut self) -> io::Result<&mut Box<dyn Spool>> {
        let spool = match self.open.take() {
            Some(spool) => spool,
            None => {
                let mut spool = self.spools.open(&self.name, self.cap)?;
                spool.confirm(self.confirmed);
                spool
            }
        };
        Ok(self.open.insert(spool))
    }
}

impl Spool for Unopened {
    fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        self.open()?.append(batch)
    }

    fn persist(&mut self) -> io::Result<()> {
        self.open()?.persist()
    }

    fn next(&mut self) -> io::Result<Option<Batch>> {
        self.open()?.next()
    }

    fn rewind(&mut self) {
        if let Some(spool) = &mut self.open {
            spool.rewind();
        }
    }

    fn confirm(&mut self, end: u64) {
        self.confirmed = self.confirmed.max(end);
        if let Some(spool) = &mut self.open {
            spool.confirm(end);
        }
    }

    fn last_end(&self) -> Option<u64> {
        self.open.as_ref()?.last_end()
    }

    fn items(&self) -> u64 {
        self.open.as_ref().map_or(0, |spool| spool.items())
    }

    fn is_at_rest(&self) -> bool {
        self.open.as_ref().is_some_and(|spool| spool.is_at_rest())
    }

    fn fill(&self) -> Fill {
        self.open.as_ref().map(|spool| spool.fill()).unwrap_or_default()
    }
}
