//! The connection that publishes: one for all nodes of a host, to each broker.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use smollama_engine::run::{Backoff, RetrySpec};
use smollama_engine::trouble::Trouble;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::alone::{UNLUCKY, Unlucky, publish_alone};
use super::link::{Answer, Answered, Happening, Link, Lost, Options, Speaker, Version, Why};
use super::message::Publication;
use super::state::{Listener, State};
use super::versions::Versions;

/// A connection that held so long was a good one: the next one is tried for soon.
const GOOD_AFTER: Duration = Duration::from_secs(1);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Publisher {
    /// Who speaks, and in which life of the connection.
    speaker: watch::Sender<Option<(u64, Speaker)>>,
    state: Arc<State>,
    /// The last life that the broker ended, and what it was sent may be why.
    ended: AtomicU64,
    /// How many publications have their answer.
    answered: AtomicU64,
    /// How many connections there were for some of them alone.
    alone: AtomicU64,
    /// The broker will not have what is said at the beginning of a life: it is not said any more.
    unheard: AtomicBool,
    /// What is said at the beginning of each life, and at the end of the last.
    greetings: Option<(Publication, Publication)>,
}

impl Publisher {
    pub(super) fn new(
        state: Arc<State>,
        greetings: Option<(Publication, Publication)>,
    ) -> Arc<Publisher> {
        let speaker = watch::Sender::new(None);
        let [ended, answered, alone] = [(); 3].map(|()| AtomicU64::new(0));
        let unheard = AtomicBool::new(false);
        Arc::new(Publisher { speaker, state, ended, answered, alone, unheard, greetings })
    }

    /// Speaks with the broker until it is told to stop.
    pub(super) async fn run(
        self: Arc<Self>,
        options: Options,
        mut versions: Versions,
        stop: CancellationToken,
    ) {
        let mut options = options;
        let mut backoff = Backoff::new(RetrySpec::default(), &options.client_id);
        // How many lives in a row the broker ended as soon as they began.
        let (mut hasty, mut answered) = (0, 0);
        for life in 1.. {
            options.will.take_if(|_| self.unheard.load(Ordering::Relaxed));
            let mut link = Link::new(versions.now(), &options);
            let mut since = None;
            let mut lost = tokio::select! {
                () = stop.cancelled() => return self.say_goodbye(life, &mut link).await,
                lost = self.live(life, &mut link, &mut since) => lost,
            };
            if since.is_some() && lost.is_of_the_broker() {
                self.ended.store(life, Ordering::Relaxed);
            }
            if let (Why::NotAuthorized, Some(will)) = (lost.why, &options.will) {
                let topic = &will.topic;
                lost.text += &format!(
                    ", or this user may not publish to `{topic}`, the topic of the will; `announce: false` in config.yaml does without one"
                );
            }
            self.speaker.send_replace(None);
            // Those who wait for answers hear now that there will be none.
            drop(link);
            let spoken = versions.now();
            if versions.lost(&lost) {
                continue;
            }
            let held = since.is_some_and(|since: Instant| since.elapsed() >= GOOD_AFTER);
            // So was one that brought something through before the broker ended it for something else.
            let before = std::mem::replace(&mut answered, self.answered.load(Ordering::Relaxed));
            // Two that take the session from each other must not do it ever faster.
            if (held || answered != before) && lost.why != Why::TakenOver {
                backoff.reset();
            }
            self.state.lost(&lost, spoken);
            hasty = if since.is_some() && !held && lost.is_of_the_broker() { hasty + 1 } else { 0 };
            if hasty == UNLUCKY {
                hasty = 0;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.try_greeting(&options, spoken) => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(backoff.failed().unwrap_or_default()) => {}
            }
        }
    }

    /// What is said at the beginning of a life, as long as the broker has it.
    fn greeting(&self) -> Option<&Publication> {
        let (hello, _) = self.greetings.as_ref()?;
        (!self.unheard.load(Ordering::Relaxed)).then_some(hello)
    }

    /// Tries whether it is the greeting for which the broker ends connections.
    async fn try_greeting(&self, options: &Options, version: Version) {
        let Some(hello) = self.greeting() else { return };
        let options = self.alone(options);
        // The broker may end the connection behind an answer to it; then there is none to the second one.
        let answers = publish_alone(options, version, vec![hello.clone(); 2]).await;
        for answer in answers {
            self.is_greeted(hello, &answer);
        }
    }

    /// The broker has answered to the greeting.
    fn is_greeted(&self, hello: &Publication, answer: &Answer) {
        if let Answer::Refused(why) = answer
            && !self.unheard.swap(true, Ordering::Relaxed)
        {
            self.state.is_unheard(&hello.topic, why);
        }
    }

    /// How to reach the broker on a connection of its own.
    fn alone(&self, options: &Options) -> Options {
        let number = self.alone.fetch_add(1, Ordering::Relaxed);
        Options {
            client_id: format!("{}-alone-{number}", options.client_id),
            session: None,
            in_flight: 1,
            publishes: true,
            will: None,
            ..options.clone()
        }
    }

    /// One life of the connection; `since` tells when the broker took the client.
    async fn live(
        self: &Arc<Self>,
        life: u64,
        link: &mut Link,
        since: &mut Option<Instant>,
    ) -> Lost {
        loop {
            match link.next().await {
                Ok(Happening::Connected(_)) => {
                    *since = Some(Instant::now());
                    let speaker = link.speaker();
                    if let Some(hello) = self.greeting().cloned() {
                        // There is room: nobody else knows of this life yet.
                        let (answered, this) = (speaker.publish(hello.clone()).await, self.clone());
                        tokio::spawn(async move { this.is_greeted(&hello, &answered.await) });
                    }
                    self.state.connected(false);
                    self.speaker.send_replace(Some((life, speaker)));
                }
                Ok(_) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// The last words: the broker has no use for the will then.
    async fn say_goodbye(self: &Arc<Self>, life: u64, link: &mut Link) {
        let Some((_, speaker)) = self.speaker.send_replace(None) else { return };
        let goodbye = self.greetings.clone().filter(|_| self.greeting().is_some());
        let goodbye = goodbye.map(|(_, goodbye)| goodbye);
        let words = async {
            if let Some(goodbye) = goodbye {
                let _ = speaker.publish(goodbye).await.await;
            }
            speaker.leave();
        };
        let mut since = None;
        let ends = self.live(life, link, &mut since);
        let _ = timeout(FAREWELL, async { tokio::join!(words, ends) }).await;
    }

    /// What speaks on each of its lives, for whoever has to know when one begins.
    pub(super) fn lives(&self) -> watch::Receiver<Option<(u64, Speaker)>> {
        self.speaker.subscribe()
    }

    /// The connection, when there is one, and which of its lives that is.
    async fn speaker(&self) -> (u64, Speaker) {
        let mut speaker = self.speaker.subscribe();
        loop {
            if let Some(speaker) = speaker.borrow_and_update().clone() {
                return speaker;
            }
            // The sender lives as long as this does.
            let _ = speaker.changed().await;
        }
    }
}

/// What a node has published and the broker has not answered to, in order. `T` is what the node knows a publication by.
pub struct Outgoing<T> {
    broker: Arc<Broker>,
    /// How many were pushed.
    pushed: u64,
    unlucky: Unlucky,
    listener: Arc<Listener>,
    flight: VecDeque<Flying<T>>,
    /// How many of them were handed over, all in one life of the connection: the first ones.
    handed: usize,
    /// In which life.
    life: u64,
    /// The one behind them, while it waits for its turn. It is never given up half-way: nobody could say then whether it went out.
    handing: Option<Pin<Box<dyn Future<Output = Answered> + Send>>>,
    refused: Vec<(T, String)>,
}

struct Flying<T> {
    publication: Publication,
    tag: T,
    stage: Stage,
    /// How many were pushed before it.
    number: u64,
}

enum Stage {
    /// It was not handed over.
    Waiting,
    /// An answer is to come.
    Handed(Answered),
    /// It came, or never will.
    Answered(Answer),
}

impl<T> Outgoing<T> {
    pub(super) fn new(broker: Arc<Broker>) -> Outgoing<T> {
        let listener = broker.says.listen(BTreeSet::new());
        let flight = VecDeque::new();
        let refused = Vec::new();
        Outgoing {
            broker,
            pushed: 0,
            unlucky: Unlucky::default(),
            listener,
            flight,
            handed: 0,
            life: 0,
            handing: None,
            refused,
        }
    }

    /// How many have no answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flight.len()
    }

    /// Whether all have an answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flight.is_empty()
    }

    /// Takes a publication; it goes out behind those that are here.
    pub fn push(&mut self, publication: Publication, tag: T) {
        let (stage, number) = (Stage::Waiting, self.pushed);
        self.pushed += 1;
        self.flight.push_back(Flying { publication, tag, stage, number });
    }

    /// Hands over what was not, as soon as there is a connection. Cancel-safe.
    pub async fn send(&mut self) {
        self.broker.begin_to_publish();
        while self.handed < self.flight.len() {
            if let Some(handing) = &mut self.handing {
                let answered = handing.await;
                self.handing = None;
                self.hand_over(answered);
                continue;
            }
            let (life, speaker) = self.broker.publisher.speaker().await;
            if self.life != life {
                // What the earlier life left unanswered goes first.
                self.begin_anew().await;
                self.life = life;
                self.unlucky.judge(&self.broker.publisher.ended);
            }
            if self.handed == 0 && self.unlucky.times >= UNLUCKY {
                self.send_alone(&speaker).await;
                continue;
            }
            while let Some(flying) = self.flight.get(self.handed) {
                if !speaker.marks() {
                    self.broker.echoes.says(&flying.publication.topic);
                }
                if let Some(answered) = speaker.try_publish(&flying.publication) {
                    self.hand_over(answered);
                    continue;
                }
                let (speaker, publication) = (speaker.clone(), flying.publication.clone());
                self.handing = Some(Box::pin(publish(speaker, publication)));
                break;
            }
        }
    }

    /// Publishes the first ones where nothing else is under way. Cancel-safe.
    async fn send_alone(&mut self, speaker: &Speaker) {
        let (broker, flight, many) = (&self.broker, &self.flight, self.unlucky.many);
        let alone = self.unlucky.alone.get_or_insert_with(|| {
            let [_, client_id] = broker.client_ids.clone();
            let options = Options { client_id, ..broker.options.clone() };
            let options = broker.publisher.alone(&options);
            let first = flight.iter().take(many).map(|flying| flying.publication.clone());
            tokio::spawn(publish_alone(options, speaker.version(), first.collect()))
        });
        // An error means that it panicked: then nothing is known.
        let answers = alone.await.unwrap_or_default();
        self.unlucky = Unlucky::default();
        for answer in answers {
            let Some(mut flying) = self.flight.pop_front() else { return };
            flying.stage = Stage::Answered(answer);
            self.done(flying);
        }
    }

    fn hand_over(&mut self, answered: Answered) {
        if let Some(flying) = self.flight.get_mut(self.handed) {
            flying.stage = Stage::Handed(answered);
            self.handed += 1;
        }
    }

    /// Waits until at most so many have no answer. What a connection that ended left unanswered is published again, in order.
    /// Cancel-safe.
    pub async fn settle(&mut self, most: usize) {
        while self.flight.len() > most {
            self.send().await;
            let Some(first) = self.flight.front_mut() else { return };
            if let Stage::Handed(answered) = &mut first.stage {
                first.stage = Stage::Answered(answered.await);
            }
            match first.stage {
                Stage::Answered(Answer::Unknown) => self.begin_anew().await,
                _ => self.pop(),
            }
        }
    }

    /// The first one is answered.
    fn pop(&mut self) {
        if let Some(flying) = self.flight.pop_front() {
            self.handed = self.handed.saturating_sub(1);
            self.done(flying);
        }
    }

    /// The life of the connection ended in which the first ones were handed over. Those that it left unanswered are not handed over any more;
    /// the others are done with.
    async fn begin_anew(&mut self) {
        if let Some(handing) = &mut self.handing {
            let answered = handing.await;
            self.handing = None;
            self.hand_over(answered);
        }
        for flying in self.flight.iter_mut().take(self.handed) {
            if let Stage::Handed(answered) = &mut flying.stage {
                flying.stage = Stage::Answered(answered.await);
            }
        }
        self.handed = 0;
        let mut left = 0;
        for mut flying in std::mem::take(&mut self.flight) {
            match flying.stage {
                Stage::Answered(Answer::Taken | Answer::Refused(_)) => self.done(flying),
                stage => {
                    left += usize::from(!matches!(stage, Stage::Waiting));
                    flying.stage = Stage::Waiting;
                    self.flight.push_back(flying);
                }
            }
        }
        if let Some(first) = self.flight.front().filter(|_| left > 0) {
            self.unlucky.is_left(first.number, left, self.life);
        }
    }

    fn done(&mut self, flying: Flying<T>) {
        self.broker.publisher.answered.fetch_add(1, Ordering::Relaxed);
        if let Stage::Answered(Answer::Refused(why)) = flying.stage {
            let why = format!("`{}` was not taken: {why}", flying.publication.topic);
            self.refused.push((flying.tag, why));
        }
    }

    /// What the broker will not have, and why.
    pub fn take_refused(&mut self) -> Vec<(T, String)> {
        std::mem::take(&mut self.refused)
    }

    /// Where it is said what keeps publications from going out.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        self.listener.trouble()
    }
}

async fn publish(speaker: Speaker, publication: Publication) -> Answered {
    speaker.publish(publication).await
}
