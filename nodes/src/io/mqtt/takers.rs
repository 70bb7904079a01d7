//! Who takes messages of a broker, by which filters, and what the broker is asked for because of that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use super::cadence::Cadence;
use super::link::{Again, Speaker};
use super::mailbox::Mailbox;
use super::message::Qos;
use super::outbox::Filters;
use super::routes::{Routes, Subscription, apart, number_of};

/// How many subscriptions are asked for before the first of them is granted.
const SUBSCRIBED_AT_ONCE: usize = 64;

/// Those who take messages of a broker.
#[derive(Default)]
pub(super) struct Takers {
    pub(super) by_address: BTreeMap<Arc<str>, Taker>,
    /// The same by number, for the routes.
    pub(super) numbered: Vec<Weak<Mailbox>>,
    pub(super) routes: Routes,
    /// The filters, and how often messages come by each.
    pub(super) cadences: Vec<(String, Cadence)>,
    pub(super) filters: HashMap<String, usize>,
    /// Takers or what they want changed since the routes were made: they are made anew with the next message.
    pub(super) stale: bool,
    /// What the broker was asked for in this life, and what it said.
    pub(super) asked: BTreeMap<String, Qos>,
    pub(super) speaker: Option<Speaker>,
    /// Whether subscriptions are numbered in this life.
    pub(super) numbers: bool,
    /// There was a connection in this run.
    pub(super) was_connected: bool,
}

pub(super) struct Taker {
    pub(super) mailbox: Weak<Mailbox>,
    pub(super) subscriptions: BTreeSet<Subscription>,
    /// Those of a successor that was made, and does not take yet.
    pub(super) announced: BTreeSet<Subscription>,
    /// It has begun to take: from now on the broker is asked for what it wants.
    pub(super) began: bool,
}

impl Takers {
    /// Makes the routes anew where something changed, once for all nodes that begin together.
    pub(super) fn reroute(&mut self) {
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

    pub(super) fn all(&self, tell: impl Fn(&Mailbox)) {
        let takers = self.by_address.values();
        takers.filter_map(|taker| taker.mailbox.upgrade()).for_each(|mailbox| tell(&mailbox));
    }

    /// Asks the broker for what is wanted and was not asked for, and no longer for what nobody wants. Gives those to ask for.
    pub(super) fn ask(&mut self) -> Option<Request> {
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
    pub(super) fn wanted(&self, all: bool) -> BTreeMap<String, Qos> {
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
    pub(super) forgotten: Vec<String>,
    /// Whether subscriptions have numbers.
    numbers: bool,
    /// Where it is noted what the broker has.
    filters: Option<Filters>,
}

impl Request {
    /// The same, and what the broker has then is noted there.
    pub(super) fn noted_by(self, filters: Option<Filters>) -> Request {
        Request { filters, ..self }
    }

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
