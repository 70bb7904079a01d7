//! News is told once. What led to it is made durable before it goes out, so that no power cut takes that and it is told again; and
//! that it has arrived is made durable soon after. Readings do not wait: they are many, and a sync for each would wear out a card.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::batch::{Batch, Items};
use crate::run::inbox::Ledger;

/// So long a disk is waited for: better told twice than late.
const WITHIN: Duration = Duration::from_secs(1);

/// What a sink that tells somebody waits for.
#[derive(Debug)]
pub(crate) struct Telling {
    /// `None` where nothing is kept, or what the sink has is kept on this host.
    ledger: Option<Arc<Ledger>>,
    /// News went out, and that it arrived may be forgotten.
    told: bool,
}

impl Telling {
    pub(crate) fn new(ledger: Option<Arc<Ledger>>) -> Telling {
        Telling { ledger, told: false }
    }

    /// Before a batch goes out.
    pub(crate) async fn before(&mut self, batch: &Batch) {
        if matches!(&batch.items, Items::Observations(news) if !news.is_empty()) {
            self.told = true;
            self.sync().await;
        }
    }

    /// After it was noted that what went out has arrived.
    pub(crate) async fn after(&mut self) {
        if std::mem::take(&mut self.told) {
            self.sync().await;
        }
    }

    async fn sync(&self) {
        if let Some(ledger) = &self.ledger {
            // A disk that does not take it holds up no alarm.
            let _ = timeout(WITHIN, ledger.make_durable()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Condvar, Mutex, PoisonError};

    use uuid::Uuid;

    use super::*;
    use crate::node::Receipt;
    use crate::observation::{Evidence, Observation, ObservationKind, Rung};
    use crate::run::keep::{Event, Fill, Full, Journal, JournalReader};
    use crate::run::memory::Memory;
    use crate::time::Timestamp;

    /// A journal whose disk takes nothing until it is let.
    #[derive(Debug, Default)]
    struct Held {
        memory: Memory,
        /// How often it was to sync, and whether it may.
        syncs: Mutex<(u32, bool)>,
        changed: Condvar,
    }

    impl Held {
        fn let_go(&self) -> u32 {
            let mut syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
            syncs.1 = true;
            self.changed.notify_all();
            syncs.0
        }
    }

    impl Journal for Held {
        fn append(&self, now: Timestamp, event: &Event, to: Option<Receipt>) -> Result<u64, Full> {
            self.memory.append(now, event, to)
        }
        fn last_seq(&self) -> u64 {
            self.memory.last_seq()
        }
        fn skip_seq(&self) -> u64 {
            self.memory.skip_seq()
        }
        fn read_after(&self, seq: u64) -> io::Result<Box<dyn JournalReader>> {
            self.memory.read_after(seq)
        }
        fn free(&self, upto: u64) {
            self.memory.free(upto);
        }
        fn sync(&self) -> io::Result<()> {
            let mut syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
            syncs.0 += 1;
            drop(self.changed.wait_while(syncs, |(_, may)| !*may));
            Ok(())
        }
        fn fill(&self) -> Fill {
            self.memory.fill()
        }
        fn power_was_cut(&self) -> bool {
            false
        }
    }

    fn news() -> Batch {
        let news = Observation {
            id: Uuid::nil(),
            time: Timestamp::EPOCH,
            author: "home/frost".into(),
            kind: ObservationKind::Anomaly,
            text: "it freezes".into(),
            confidence: 1.0,
            sources: Vec::new(),
            evidence: Evidence::default(),
            model: None,
            rung: Rung::Rule,
        };
        let items = Items::Observations(vec![news]);
        Batch { items, received: Timestamp::EPOCH, seq: 1, end: 1 }
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_no_alarm_and_one_thread() {
        let held = Arc::new(Held::default());
        held.skip_seq();
        let ledger = Ledger::new(Some(held.clone()));
        let all = (0..100).map(|_| {
            let mut telling = Telling::new(Some(ledger.clone()));
            async move { telling.before(&news()).await }
        });
        futures::future::join_all(all).await;
        assert!(held.let_go() <= 1);
    }

    #[tokio::test]
    async fn one_sync_is_for_all_who_ask_meanwhile() {
        let held = Arc::new(Held::default());
        held.skip_seq();
        let ledger = Ledger::new(Some(held.clone()));
        let mut all: futures::stream::FuturesUnordered<_> =
            (0..100).map(|_| ledger.make_durable()).collect();
        // Asked, all of them.
        assert!(futures::poll!(futures::StreamExt::next(&mut all)).is_pending());
        held.let_go();
        futures::StreamExt::count(all).await;
        assert_eq!(held.let_go(), 1);
        // What entered since is another matter.
        held.skip_seq();
        ledger.make_durable().await;
        ledger.make_durable().await;
        assert_eq!(held.let_go(), 2);
    }
}
