//! News is told once. What led to it is made durable before it goes out, so that no power cut takes that and it is told again; and
//! that it has arrived is made durable soon after. Readings do not wait: they are many, and a sync for each would wear out a card.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::batch::{Batch, Items};
use crate::run::keep::Journal;

/// So long a disk is waited for: better told twice than late.
const WITHIN: Duration = Duration::from_secs(1);

/// What a sink that tells somebody waits for.
#[derive(Debug)]
pub(crate) struct Telling {
    /// `None` where nothing is kept, or what the sink has is kept on this host.
    journal: Option<Arc<dyn Journal>>,
    /// News went out, and that it arrived may be forgotten.
    told: bool,
}

impl Telling {
    pub(crate) fn new(journal: Option<Arc<dyn Journal>>) -> Telling {
        Telling { journal, told: false }
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
        let Some(journal) = self.journal.clone() else { return };
        // A disk that does not take it holds up no alarm; that it does not is said elsewhere.
        drop(timeout(WITHIN, tokio::task::spawn_blocking(move || journal.sync())).await);
    }
}
