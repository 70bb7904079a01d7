//! Which messages are under way from a broker, by their numbers, so that what comes again is known.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use foldhash::fast::FixedState;
use tokio::time::Instant;

use super::ledger::{Ledger, Ticket};
use super::mailbox::Mailbox;
use super::message::{Incoming, Qos};

/// Messages with QoS 1 and 2 whose numbers still belong to them, over the lives of the connection.
#[derive(Default)]
pub(super) struct Owned {
    pub(super) by_number: HashMap<u16, Piece>,
    /// Since when there is a connection.
    pub(super) since: Option<Instant>,
    /// More came than can be held.
    pub(super) is_full: bool,
    /// A number that a full map is cleared at.
    clear_at: usize,
}

pub(super) struct Piece {
    ticket: Arc<Ticket>,
    qos: Qos,
    print: u32,
    /// Whom to tell of its release, with QoS 2.
    pub(super) takers: Vec<Weak<Mailbox>>,
}

impl Owned {
    /// The ticket of a message that is new; `None` where it came before, and whoever takes it has it already.
    pub(super) fn take(
        &mut self,
        message: &Incoming,
        print: u32,
        ledger: &Arc<Ledger>,
        takers: &[Arc<Mailbox>],
    ) -> Option<Arc<Ticket>> {
        let (number, qos) = (message.number, message.qos);
        if let Some(piece) = self.by_number.get(&number)
            && message.again
            && (piece.qos, piece.print) == (qos, print)
        {
            // Once QoS 1 is acknowledged, the broker may give the number to another message, which can look the same.
            let same = qos == Qos::ExactlyOnce || !piece.ticket.is_acknowledged();
            if same && piece.ticket.came_again(ledger, number, qos) {
                return None;
            }
        }
        let ticket = Ticket::new(ledger, number, qos, takers.len());
        let told = if qos == Qos::ExactlyOnce { takers } else { &[] };
        let takers = told.iter().map(Arc::downgrade).collect();
        self.by_number.insert(number, Piece { ticket: ticket.clone(), qos, print, takers });
        if self.by_number.len() > self.clear_at {
            self.by_number.retain(|_, piece| {
                piece.qos == Qos::ExactlyOnce || !piece.ticket.is_acknowledged()
            });
            self.clear_at = (2 * self.by_number.len()).max(1024);
        }
        Some(ticket)
    }
}

/// Two messages with the same number that differ in this are two messages.
pub(super) fn print(message: &Incoming) -> u32 {
    let mut hasher = FixedState::default().build_hasher();
    message.topic.hash(&mut hasher);
    message.payload.hash(&mut hasher);
    let print = hasher.finish();
    // Half of it tells enough, and is half as much to keep.
    (print ^ (print >> 32)) as u32
}
