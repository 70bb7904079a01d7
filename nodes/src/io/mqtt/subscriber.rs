//! The connection that subscribes: one for all nodes of a host, to each broker.
//!
//! One task polls it and never waits for anything else: what comes with QoS 1 or 2 lies in the node's mailbox until the journal has it and
//! only then is acknowledged, so the broker holds back what is too much; what comes with QoS 0 and finds no room is dropped.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use smollama_engine::run::{Backoff, RetrySpec};
use smollama_engine::topic;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cadence::Cadence;
use super::echoes::Echoes;
use super::embedded::Told;
use super::ledger::Ledger;
use super::link::{Again, Connected, Happening, Link, Lost, Options, Speaker, Why};
use super::mailbox::{Delivery, Mailbox, Message, Once};
use super::message::{Incoming, Qos};
use super::outbox::Filters;
use super::owned::{Owned, print};
use super::routes::{Subscription, Way, number_of, take_once};
use super::state::State;
use super::takers::{Request, Taker, Takers};
use super::versions::Versions;

/// So many bytes of messages may wait for their acknowledgement, where the broker does not keep to what it was asked for. More are
/// not taken: the connection ends, and the broker sends them again when there is room.
const CLAIMED_MAX: usize = 64 << 20;
/// How often it is looked whether there is room again.
const ROOM_AGAIN: Duration = Duration::from_millis(100);
/// How often it is looked whether messages stay away. Tests are impatient.
const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5_000 });
/// So much is kept of a message that is too large.
const LOOKED_AT: usize = 4 << 10;
/// A connection that held so long was a good one: the next one is tried for soon.
const GOOD_AFTER: Duration = Duration::from_secs(1);
/// After so long whatever ended the connections before this one is over.
const HOLDS_AFTER: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Subscriber {
    takers: Mutex<Takers>,
    /// Bytes in all mailboxes that want an acknowledgement.
    claimed: Arc<AtomicUsize>,
    state: Arc<State>,
    /// How large a message may be, in bytes.
    largest: usize,
    echoes: Arc<Echoes>,
    /// What the broker was asked for, over restarts; `None` where nobody keeps that.
    filters: Option<Filters>,
}

impl Subscriber {
    pub(super) fn new(
        state: Arc<State>,
        largest: usize,
        echoes: Arc<Echoes>,
        filters: Option<Filters>,
    ) -> Arc<Subscriber> {
        Arc::new(Subscriber {
            takers: Mutex::default(),
            claimed: Arc::default(),
            state,
            largest,
            echoes,
            filters,
        })
    }

    /// Whether anybody takes messages, or will.
    pub(super) fn has_takers(&self) -> bool {
        self.takers().by_address.values().any(|taker| taker.mailbox.strong_count() > 0)
    }

    /// Asks, and notes what the broker has after that.
    fn request(&self, request: Option<Request>) {
        self.state.subscribe(request.map(|request| request.noted_by(self.filters.clone())));
    }

    fn takers(&self) -> MutexGuard<'_, Takers> {
        self.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mailbox of a node, which a successor with other settings takes over with all that waits in it. Messages that match reach it from
    /// now on; the broker is asked for them by [`Subscriber::begin`].
    pub(super) fn mailbox(
        &self,
        address: &Arc<str>,
        subscriptions: &BTreeSet<Subscription>,
    ) -> Arc<Mailbox> {
        let mut takers = self.takers();
        takers.by_address.retain(|_, taker| taker.mailbox.strong_count() > 0);
        let known = takers.by_address.get(address).and_then(|taker| taker.mailbox.upgrade());
        let mailbox = known.unwrap_or_else(|| Arc::new(Mailbox::new(self.claimed.clone())));
        let taker = takers.by_address.entry(address.clone()).or_insert_with(|| Taker {
            mailbox: Arc::downgrade(&mailbox),
            subscriptions: BTreeSet::new(),
            announced: BTreeSet::new(),
            began: false,
        });
        taker.mailbox = Arc::downgrade(&mailbox);
        taker.announced.clone_from(subscriptions);
        takers.stale = true;
        mailbox
    }

    /// A node begins to take: the broker is asked for what it wants, and no longer for what only its predecessor wanted.
    pub(super) fn begin(&self, address: &Arc<str>, subscriptions: &BTreeSet<Subscription>) {
        let mut takers = self.takers();
        if let Some(taker) = takers.by_address.get_mut(address) {
            taker.subscriptions.clone_from(subscriptions);
            taker.announced.clear();
            taker.began = true;
        }
        takers.stale = true;
        let missing = takers.ask();
        drop(takers);
        self.request(missing);
    }

    /// A node ends: for good, or because the host stops. Then the subscription stays, and the broker keeps what comes meanwhile.
    pub(super) fn end(&self, address: &Arc<str>, stops: bool) {
        let mut takers = self.takers();
        let gone = takers.by_address.get(address);
        if gone.is_some_and(|taker| taker.mailbox.strong_count() == 0) {
            takers.by_address.remove(address);
            takers.stale = true;
            let missing = if stops { None } else { takers.ask() };
            let is_left = !stops && missing.is_none();
            drop(takers);
            self.request(missing);
            if let Some(filters) = self.filters.as_ref().filter(|_| is_left) {
                filters.are_left();
            }
        }
    }

    /// Speaks with the broker until it is told to stop.
    pub(super) async fn run(
        self: Arc<Self>,
        options: Options,
        mut versions: Versions,
        stop: CancellationToken,
    ) {
        let mut backoff = Backoff::new(RetrySpec::default(), &options.client_id);
        let mut owned = Owned::default();
        loop {
            let mut link = Link::new(versions.now(), &options);
            let ledger = Ledger::new(Box::new(link.speaker()));
            let lost = tokio::select! {
                () = stop.cancelled() => {
                    link.speaker().leave();
                    // What was asked to end ends by itself, and soon.
                    let _ = tokio::time::timeout(ROOM_AGAIN, self.live(&mut link, &ledger, &mut owned)).await;
                    return;
                }
                lost = self.live(&mut link, &ledger, &mut owned) => lost,
                never = self.watch() => match never {},
            };
            ledger.end();
            self.takers().speaker = None;
            let spoken = versions.now();
            if versions.lost(&lost) {
                continue;
            }
            let held = owned.since.take().is_some_and(|since| since.elapsed() >= GOOD_AFTER);
            // Two that take the session from each other must not do it ever faster.
            if (held && lost.why != Why::TakenOver) || (lost.why == Why::Asked && owned.is_full) {
                backoff.reset();
            }
            self.state.lost(&lost, spoken);
            let pause = backoff.failed().unwrap_or_default();
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            while std::mem::take(&mut owned.is_full) {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(ROOM_AGAIN) => owned.is_full = self.claimed.load(Ordering::Relaxed) > CLAIMED_MAX / 2,
                }
            }
        }
    }

    /// One life of the connection.
    async fn live(
        self: &Arc<Self>,
        link: &mut Link,
        ledger: &Arc<Ledger>,
        owned: &mut Owned,
    ) -> Lost {
        let mut takers = Vec::new();
        loop {
            match link.next().await {
                Ok(Happening::Message(message)) => self.take(message, ledger, owned, &mut takers),
                Ok(Happening::Released(number)) => self.released(number, owned),
                Ok(Happening::Connected(connected)) => {
                    owned.since = Some(Instant::now());
                    if !connected.session {
                        // Without the session of the earlier life all numbers begin anew.
                        owned.by_number.clear();
                        self.takers().all(|mailbox| mailbox.note(Delivery::Forgotten));
                    }
                    self.connected(connected, link.speaker());
                }
                Ok(Happening::Other) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// Looks whether messages stay away that used to come. A broker, or a bridge before it, can lose a subscription without a word: so
    /// it is asked for once more.
    async fn watch(&self) -> Infallible {
        let began = Instant::now();
        loop {
            sleep(LOOK_EVERY).await;
            let now = Instant::now();
            if began.elapsed() >= HOLDS_AFTER {
                self.state.holds();
            }
            let mut takers = self.takers();
            takers.reroute();
            let Takers { speaker: Some(speaker), cadences, asked, numbers, .. } = &mut *takers
            else {
                continue;
            };
            for (filter, cadence) in cadences {
                let Some((pause, longest)) = cadence.falls_silent(now) else { continue };
                self.state.silent(filter, pause, longest);
                // Where filters were joined, it is the joined one that was asked for.
                let covers = |asked: &str| asked == filter || topic::overlaps(asked, filter);
                for (filter, qos) in asked.iter().filter(|(asked, _)| covers(asked)) {
                    let number = numbers.then(|| number_of(filter));
                    tokio::spawn(speaker.subscribe(filter, *qos, number, Again::Yes));
                }
            }
        }
    }

    fn connected(self: &Arc<Self>, connected: Connected, speaker: Speaker) {
        let mut takers = self.takers();
        takers.asked.clear();
        takers.speaker = Some(speaker);
        takers.numbers = connected.numbers;
        takers.reroute();
        let now = Instant::now();
        takers.cadences.iter_mut().for_each(|(_, cadence)| cadence.begin_anew(now));
        // An earlier run left it one, too.
        let expected = std::mem::replace(&mut takers.was_connected, true)
            || self.filters.as_ref().is_some_and(|filters| !filters.all().is_empty());
        let mut missing = takers.ask();
        if let (Some(request), Some(filters)) = (&mut missing, &self.filters) {
            let (wanted, asked) = (takers.wanted(true), filters.all());
            let stale = asked.into_iter().filter(|filter| !wanted.contains_key(filter));
            match connected.session {
                true => request.gone.extend(stale),
                false => request.forgotten.extend(stale),
            }
        }
        drop(takers);
        self.state.connected(expected && !connected.session);
        self.request(missing);
    }

    /// Notes by which filters a message came.
    fn heard(&self, cadences: &mut [(String, Cadence)], ways: &[Way], by: &[usize]) {
        let now = Instant::now();
        for way in ways.iter().filter(|way| by.is_empty() || by.contains(&way.number)) {
            if let Some((filter, cadence)) = cadences.get_mut(way.filter)
                && cadence.heard(now)
            {
                self.state.speaks_again(filter);
            }
        }
    }

    /// Gives a message that came over no connection of this host to those who want it. Waits until they have kept it, with QoS 1 and 2.
    pub(super) async fn deliver(&self, message: Incoming) {
        let mut ways = Vec::new();
        loop {
            let (told, kept) = Told::new();
            let ledger = Ledger::new(Box::new(told));
            self.take(message.clone(), &ledger, &mut Owned::default(), &mut ways);
            if message.qos == Qos::AtMostOnce || kept.await == Ok(true) {
                return;
            }
            // There was no room, or a node was made anew meanwhile.
            sleep(ROOM_AGAIN).await;
        }
    }

    /// The number of a message with QoS 2 is no longer its own. Those who keep it over a restart have to know.
    fn released(&self, number: u16, owned: &mut Owned) {
        let note = |mailbox: &Mailbox| mailbox.note(Delivery::Released(number));
        match owned.by_number.remove(&number) {
            Some(piece) => piece.takers.iter().filter_map(Weak::upgrade).for_each(|one| note(&one)),
            // It came in an earlier run.
            None => self.takers().all(note),
        }
    }

    fn take(
        &self,
        message: Incoming,
        ledger: &Arc<Ledger>,
        owned: &mut Owned,
        ways: &mut Vec<Way>,
    ) {
        let mut takers = self.takers();
        takers.reroute();
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        takers.routes.find(topic, ways);
        if !message.retained {
            self.heard(&mut takers.cadences, ways, &message.by);
        }
        take_once(ways, &message.by);
        let is_own = match &message.host {
            Some(host) => self.state.is_own(host),
            None => !message.retained && self.echoes.is_too_many(topic, Instant::now()),
        };
        if is_own {
            self.state.count_own(topic, message.host.is_some());
            ways.clear();
        }
        let mailboxes: Vec<Arc<Mailbox>> =
            ways.iter().filter_map(|way| takers.numbered.get(way.taker)?.upgrade()).collect();
        drop(takers);
        let size = message.topic.len() + message.payload.len();
        let too_large = (size > self.largest).then_some(size);
        // A copy, so that the rest of it is let go.
        let payload = match message.payload.get(..LOOKED_AT) {
            Some(part) if too_large.is_some() => Bytes::copy_from_slice(part),
            _ => message.payload.clone(),
        };
        let put = |mailbox: &Mailbox, claim, once| {
            mailbox.put(Message {
                topic: message.topic.clone(),
                payload: payload.clone(),
                too_large,
                retained: message.retained,
                claim,
                once,
            });
        };
        if message.qos == Qos::AtMostOnce {
            mailboxes.iter().for_each(|mailbox| put(mailbox, None, None));
            return;
        }
        // Nothing that comes behind it in this life may be acknowledged: it would overtake.
        if owned.is_full || self.claimed.load(Ordering::Relaxed) > CLAIMED_MAX {
            owned.is_full = true;
            ledger.break_off();
            return;
        }
        let print = print(&message);
        if let Some(ticket) = owned.take(&message, print, ledger, &mailboxes) {
            let Incoming { number, again, .. } = message;
            let once = Once { number, print, again };
            let once = (message.qos == Qos::ExactlyOnce).then_some(once);
            mailboxes.iter().for_each(|mailbox| put(mailbox, Some(ticket.claim()), once));
        }
    }
}
