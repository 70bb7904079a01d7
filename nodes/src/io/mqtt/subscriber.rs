//! The connection that subscribes: one for all nodes of a host, to each broker.
//!
//! One task polls it and never waits for anything else: what comes with QoS 1 or 2 lies in the node's mailbox until the journal has it and
//! only then is acknowledged, so the broker holds back what is too much; what comes with QoS 0 and finds no room is dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;
use smollama_engine::run::{Backoff, RetrySpec};
use smollama_engine::topic;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cadence::Cadence;
use super::embedded::Told;
use super::ledger::{Ledger, Ticket};
use super::link::{Again, Connected, Happening, Link, Lost, Options, Speaker, Why};
use super::mailbox::{Delivery, Mailbox, Message, Once};
use super::message::{Incoming, Qos};
use super::outbox::Filters;
use super::routes::{Routes, Subscription, Way, apart, number_of, take_once};
use super::state::State;
use super::versions::Versions;

/// So many bytes of messages may wait for their acknowledgement, where the broker does not keep to what it was asked for. More are
/// not taken: the connection ends, and the broker sends them again when there is room.
const CLAIMED_MAX: usize = 64 << 20;
/// How often it is looked whether there is room again.
const ROOM_AGAIN: Duration = Duration::from_millis(100);
/// How many subscriptions are asked for before the first of them is granted.
const SUBSCRIBED_AT_ONCE: usize = 64;
/// How often it is looked whether messages stay away. Tests are impatient.
const LOOK_EVERY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5_000 });
/// So much is kept of a message that is too large.
const LOOKED_AT: usize = 4 << 10;
/// A connection that held so long was a good one: the next one is tried for soon.
const GOOD_AFTER: Duration = Duration::from_secs(1);
/// After so long whatever ended the connections before this one is over.
const HOLDS_AFTER: Duration = Duration::from_secs(10);

/// Those who take messages of a broker.
#[derive(Default)]
struct Takers {
    by_address: BTreeMap<Arc<str>, Taker>,
    /// The same by number, for the routes.
    numbered: Vec<Weak<Mailbox>>,
    routes: Routes,
    /// The filters, and how often messages come by each.
    cadences: Vec<(String, Cadence)>,
    filters: HashMap<String, usize>,
    /// Takers or what they want changed since the routes were made: they are made anew with the next message.
    stale: bool,
    /// What the broker was asked for in this life, and what it said.
    asked: BTreeMap<String, Qos>,
    speaker: Option<Speaker>,
    /// Whether subscriptions are numbered in this life.
    numbers: bool,
}

struct Taker {
    mailbox: Weak<Mailbox>,
    subscriptions: BTreeSet<Subscription>,
    /// Those of a successor that was made, and does not take yet.
    announced: BTreeSet<Subscription>,
    /// It has begun to take: from now on the broker is asked for what it wants.
    began: bool,
}

/// See the module.
pub(super) struct Subscriber {
    takers: Mutex<Takers>,
    /// Bytes in all mailboxes that want an acknowledgement.
    claimed: Arc<AtomicUsize>,
    state: Arc<State>,
    /// How large a message may be, in bytes.
    largest: usize,
    /// What the broker was asked for, over restarts; `None` where nobody keeps that.
    filters: Option<Filters>,
}

impl Subscriber {
    pub(super) fn new(
        state: Arc<State>,
        largest: usize,
        filters: Option<Filters>,
    ) -> Arc<Subscriber> {
        Arc::new(Subscriber {
            takers: Mutex::default(),
            claimed: Arc::default(),
            state,
            largest,
            filters,
        })
    }

    /// Whether anybody takes messages, or will.
    pub(super) fn has_takers(&self) -> bool {
        self.takers().by_address.values().any(|taker| taker.mailbox.strong_count() > 0)
    }

    /// Asks, and notes what the broker has after that.
    fn request(&self, request: Option<Request>) {
        let filters = self.filters.clone();
        self.state.subscribe(request.map(|request| Request { filters, ..request }));
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
        self.state.connected(connected.session);
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
        let loops = message.host.as_deref().is_some_and(|host| self.state.is_own(host));
        if loops {
            self.state.count_own();
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

impl Takers {
    /// Makes the routes anew where something changed, once for all nodes that begin together.
    fn reroute(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        self.routes = Routes::default();
        self.numbered.clear();
        let known = std::mem::take(&mut self.filters);
        let cadences = std::mem::take(&mut self.cadences);
        for taker in self.by_address.values() {
            for subscription in taker.subscriptions.union(&taker.announced) {
                let next = self.cadences.len();
                let index = *self.filters.entry(subscription.filter.clone()).or_insert(next);
                if index == next {
                    let before = known.get(&subscription.filter).and_then(|at| cadences.get(*at));
                    let cadence = before.map_or_else(Cadence::default, |(_, cadence)| *cadence);
                    self.cadences.push((subscription.filter.clone(), cadence));
                }
                self.routes.add(subscription, self.numbered.len(), index);
            }
            self.numbered.push(taker.mailbox.clone());
        }
    }

    fn all(&self, tell: impl Fn(&Mailbox)) {
        let takers = self.by_address.values();
        takers.filter_map(|taker| taker.mailbox.upgrade()).for_each(|mailbox| tell(&mailbox));
    }

    /// Asks the broker for what is wanted and was not asked for, and no longer for what nobody wants. Gives those to ask for.
    fn ask(&mut self) -> Option<Request> {
        let speaker = self.speaker.clone()?;
        let wanted = self.wanted(false);
        let asked = |filter: &str| self.asked.get(filter).copied();
        let missing: Vec<(String, Qos)> = wanted
            .iter()
            .filter(|(filter, qos)| asked(filter) != Some(**qos))
            .map(|(filter, qos)| (filter.clone(), *qos))
            .collect();
        let gone = self.asked.keys().filter(|filter| !wanted.contains_key(*filter));
        let gone: Vec<String> = gone.cloned().collect();
        self.asked = wanted;
        let (numbers, forgotten, filters) = (self.numbers, Vec::new(), None);
        Some(Request { speaker, missing, gone, forgotten, numbers, filters })
    }

    /// What those want who have begun to take, or all who will too.
    fn wanted(&self, all: bool) -> BTreeMap<String, Qos> {
        let mut wanted: BTreeMap<String, Qos> = BTreeMap::new();
        for taker in self.by_address.values().filter(|taker| all || taker.began) {
            let announced = taker.announced.iter().filter(|_| all);
            for Subscription { filter, qos } in taker.subscriptions.iter().chain(announced) {
                let most = wanted.entry(filter.clone()).or_insert(*qos);
                *most = (*qos).max(*most);
            }
        }
        if self.numbers { wanted } else { apart(wanted) }
    }
}

/// Subscriptions to ask for.
pub(super) struct Request {
    speaker: Speaker,
    missing: Vec<(String, Qos)>,
    /// Those that are no longer wanted.
    pub(super) gone: Vec<String>,
    /// Those that the broker lost with the session.
    forgotten: Vec<String>,
    /// Whether subscriptions have numbers.
    numbers: bool,
    /// Where it is noted what the broker has.
    filters: Option<Filters>,
}

impl Request {
    /// Asks, and tells of each what the broker said.
    pub(super) async fn ask(self, mut told: impl FnMut(&str, Result<Qos, String>) + Send) {
        let note = async {
            if let Some(filters) = &self.filters {
                filters.gone(self.forgotten.iter()).await;
                filters.ask(self.missing.iter().map(|(filter, _)| filter)).await;
            }
        };
        // The disk is not waited for: it is for what a later run does not want.
        tokio::join!(note, self.ask_broker(&mut told));
    }

    async fn ask_broker(&self, told: &mut (impl FnMut(&str, Result<Qos, String>) + Send)) {
        for some in self.missing.chunks(SUBSCRIBED_AT_ONCE) {
            let asked: Vec<_> = some
                .iter()
                .map(|(filter, qos)| {
                    let number = self.numbers.then(|| number_of(filter));
                    (filter, self.speaker.subscribe(filter, *qos, number, Again::No))
                })
                .collect();
            for (filter, granted) in asked {
                match granted.await {
                    Some(granted) => told(filter, granted),
                    // The connection ended: the next one asks again.
                    None => return,
                }
            }
        }
        // Last, so that nothing is missed where a wider filter takes the place of a narrower one.
        let mut given_back = Vec::new();
        let answers = self.gone.iter().map(|filter| (filter, self.speaker.unsubscribe(filter)));
        for (filter, answer) in answers.collect::<Vec<_>>() {
            given_back.extend(answer.await.then_some(filter));
        }
        if let Some(filters) = &self.filters {
            filters.gone(given_back.iter().copied()).await;
            if given_back.len() < self.gone.len() {
                filters.are_left();
            }
        }
    }
}

/// Messages with QoS 1 and 2 whose numbers still belong to them, over the lives of the connection.
#[derive(Default)]
struct Owned {
    by_number: HashMap<u16, Piece>,
    /// Since when there is a connection.
    since: Option<Instant>,
    /// More came than can be held.
    is_full: bool,
    /// A number that a full map is cleared at.
    clear_at: usize,
}

struct Piece {
    ticket: Arc<Ticket>,
    qos: Qos,
    print: u32,
    /// Whom to tell of its release, with QoS 2.
    takers: Vec<Weak<Mailbox>>,
}

impl Owned {
    /// The ticket of a message that is new; `None` where it came before, and whoever takes it has it already.
    fn take(
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
fn print(message: &Incoming) -> u32 {
    let mut hasher = FixedState::default().build_hasher();
    message.topic.hash(&mut hasher);
    message.payload.hash(&mut hasher);
    let print = hasher.finish();
    // Half of it tells enough, and is half as much to keep.
    (print ^ (print >> 32)) as u32
}
