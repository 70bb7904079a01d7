//! Who was promised what: messages that came with QoS 1 or 2 are acknowledged when all that wanted them have kept them, in the order in
//! which they came, and only in the life of the connection they came by.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::link::Speaker;
use super::message::Qos;

/// Tells a broker what is kept. What stands behind it is one connection.
pub(super) trait Acknowledge: Send + Sync {
    /// Acknowledges a message by its number. Does not wait.
    fn acknowledge(&self, number: u16, qos: Qos);
    /// Ends the connection, so that the broker sends again what was not acknowledged.
    fn leave(&self);
}

impl Acknowledge for Speaker {
    fn acknowledge(&self, number: u16, qos: Qos) {
        Speaker::acknowledge(self, number, qos);
    }
    fn leave(&self) {
        Speaker::leave(self);
    }
}

/// The messages of one life of a connection, in the order in which they came.
pub(super) struct Ledger(Mutex<Page>);

struct Page {
    broker: Box<dyn Acknowledge>,
    /// Those that are not acknowledged; the first of them has the place `first`.
    open: VecDeque<Line>,
    first: u64,
    /// The connection is no more.
    ended: bool,
}

struct Line {
    number: u16,
    qos: Qos,
    done: bool,
}

impl Ledger {
    pub(super) fn new(broker: Box<dyn Acknowledge>) -> Arc<Ledger> {
        let page = Page { broker, open: VecDeque::new(), first: 0, ended: false };
        Arc::new(Ledger(Mutex::new(page)))
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message came: its place.
    fn enter(&self, number: u16, qos: Qos) -> u64 {
        let mut page = self.page();
        page.open.push_back(Line { number, qos, done: false });
        page.first + page.open.len() as u64 - 1
    }

    /// All that wanted the message at this place have kept it. True where it is acknowledged now; otherwise one before it is waited for.
    fn done(&self, place: u64) -> bool {
        let mut page = self.page();
        let Page { broker, open, first, ended } = &mut *page;
        let index = place.checked_sub(*first).and_then(|index| usize::try_from(index).ok());
        if let Some(line) = index.and_then(|index| open.get_mut(index)) {
            line.done = true;
        }
        while !*ended && let Some(line) = open.pop_front_if(|line| line.done) {
            *first += 1;
            broker.acknowledge(line.number, line.qos);
        }
        place < *first
    }

    /// Whether the message at this place was acknowledged.
    fn is_acknowledged(&self, place: u64) -> bool {
        place < self.page().first
    }

    /// The connection ended. What is kept from now on is not acknowledged by it, and is known when it comes again.
    pub(super) fn end(&self) {
        self.page().ended = true;
    }

    /// Something that came will not be kept: the broker has to send it again, which it does on a new connection.
    pub(super) fn break_off(&self) {
        self.page().broker.leave();
    }

    /// How many wait for their acknowledgement.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.page().open.len()
    }
}

/// A message that wants an acknowledgement, while it is on its way to those who keep it.
pub(super) struct Ticket(Mutex<Progress>);

struct Progress {
    ledger: Arc<Ledger>,
    place: u64,
    /// How many have not kept it.
    missing: usize,
    /// Somebody will not keep it.
    lost: bool,
}

impl Ticket {
    /// For a message that came by this life, and goes to so many.
    pub(super) fn new(ledger: &Arc<Ledger>, number: u16, qos: Qos, takers: usize) -> Arc<Ticket> {
        let place = ledger.enter(number, qos);
        if takers == 0 {
            ledger.done(place);
        }
        let progress = Progress { ledger: ledger.clone(), place, missing: takers, lost: false };
        Arc::new(Ticket(Mutex::new(progress)))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that keeps it, or not.
    pub(super) fn claim(self: &Arc<Ticket>) -> Claim {
        Claim(Some(self.clone()))
    }

    /// Whether it was acknowledged, so that the broker may give its number to another.
    pub(super) fn is_acknowledged(&self) -> bool {
        let progress = self.progress();
        progress.ledger.is_acknowledged(progress.place)
    }

    /// The broker sent it again, in a new life: it is acknowledged there. False where somebody will not keep what came first, so that it
    /// has to be taken anew.
    pub(super) fn came_again(&self, ledger: &Arc<Ledger>, number: u16, qos: Qos) -> bool {
        let mut progress = self.progress();
        if progress.lost {
            return false;
        }
        progress.ledger = ledger.clone();
        progress.place = ledger.enter(number, qos);
        if progress.missing == 0 {
            ledger.done(progress.place);
        }
        true
    }

    fn settle(&self, kept: bool) {
        let mut progress = self.progress();
        if !kept {
            progress.lost = true;
            progress.ledger.break_off();
            return;
        }
        progress.missing = progress.missing.saturating_sub(1);
        if progress.missing == 0 && !progress.lost {
            progress.ledger.done(progress.place);
        }
    }
}

/// One taker's word on a message. Dropped without it, the message is not kept, and has to come again.
pub struct Claim(Option<Arc<Ticket>>);

impl Claim {
    /// It is kept.
    pub fn kept(mut self) {
        if let Some(ticket) = self.0.take() {
            ticket.settle(true);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(ticket) = self.0.take() {
            ticket.settle(false);
        }
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claim")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<(Vec<u16>, bool)>>);

    impl Acknowledge for Heard {
        fn acknowledge(&self, number: u16, _: Qos) {
            self.0.lock().unwrap().0.push(number);
        }
        fn leave(&self) {
            self.0.lock().unwrap().1 = true;
        }
    }

    impl Heard {
        fn numbers(&self) -> Vec<u16> {
            self.0.lock().unwrap().0.clone()
        }
        fn left(&self) -> bool {
            self.0.lock().unwrap().1
        }
    }

    fn life() -> (Heard, Arc<Ledger>) {
        let heard = Heard::default();
        (heard.clone(), Ledger::new(Box::new(heard)))
    }

    #[test]
    fn acknowledgements_go_out_in_the_order_of_arrival_however_they_are_kept() {
        let (heard, ledger) = life();
        let [a, b, c] = [7, 8, 9].map(|number| Ticket::new(&ledger, number, Qos::AtLeastOnce, 1));
        c.claim().kept();
        b.claim().kept();
        assert_eq!((heard.numbers(), ledger.waiting()), (vec![], 3));
        a.claim().kept();
        assert_eq!((heard.numbers(), ledger.waiting()), (vec![7, 8, 9], 0));
    }

    #[test]
    fn what_is_kept_after_the_end_of_a_connection_counts_as_told_to_nobody() {
        let ((before, first), (after, second)) = (life(), life());
        let ticket = Ticket::new(&first, 1, Qos::AtLeastOnce, 1);
        first.end();
        ticket.claim().kept();
        assert!(before.numbers().is_empty() && !ticket.is_acknowledged());
        assert!(ticket.came_again(&second, 1, Qos::AtLeastOnce));
        assert_eq!(after.numbers(), [1]);
    }

    #[test]
    fn what_goes_to_two_waits_for_both_and_what_nobody_wants_for_none() {
        let (heard, ledger) = life();
        let two = Ticket::new(&ledger, 1, Qos::AtLeastOnce, 2);
        let _ = Ticket::new(&ledger, 2, Qos::AtLeastOnce, 0);
        two.claim().kept();
        assert!(heard.numbers().is_empty());
        two.claim().kept();
        assert_eq!(heard.numbers(), [1, 2]);
    }

    #[test]
    fn a_late_acknowledgement_of_an_earlier_life_goes_nowhere_near_the_next() {
        let ((before, first), (after, second)) = (life(), life());
        let late = Ticket::new(&first, 1, Qos::AtLeastOnce, 1);
        // The broker lost the session, and its first message has the same number.
        let other = Ticket::new(&second, 1, Qos::AtLeastOnce, 1);
        late.claim().kept();
        assert_eq!((before.numbers(), after.numbers()), (vec![1], vec![]));
        other.claim().kept();
        assert_eq!(after.numbers(), [1]);
    }

    #[test]
    fn what_comes_again_is_acknowledged_where_it_came_last() {
        let ((before, first), (after, second)) = (life(), life());
        let (waiting, kept) = (
            Ticket::new(&first, 1, Qos::AtLeastOnce, 1),
            Ticket::new(&first, 2, Qos::AtLeastOnce, 1),
        );
        kept.claim().kept();
        assert!(before.numbers().is_empty() && !kept.is_acknowledged());
        assert!(waiting.came_again(&second, 1, Qos::AtLeastOnce));
        assert!(kept.came_again(&second, 2, Qos::AtLeastOnce));
        waiting.claim().kept();
        assert_eq!((before.numbers(), after.numbers()), (vec![], vec![1, 2]));
        assert!(kept.is_acknowledged());
    }

    #[test]
    fn what_is_not_kept_ends_the_connection_and_is_taken_anew() {
        let ((heard, ledger), (_, next)) = (life(), life());
        let ticket = Ticket::new(&ledger, 1, Qos::AtLeastOnce, 1);
        drop(ticket.claim());
        assert!(heard.left() && heard.numbers().is_empty());
        assert!(!ticket.came_again(&next, 1, Qos::AtLeastOnce));
    }
}
