//! The connection that publishes: one for all nodes of a host, to each broker.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use smollama_engine::run::{Backoff, RetrySpec};
use smollama_engine::trouble::Trouble;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::link::{Answer, Answered, Happening, Link, Lost, Options, Speaker, Why};
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
    /// What is said at the beginning of each life, and at the end of the last.
    greetings: Option<(Publication, Publication)>,
}

impl Publisher {
    pub(super) fn new(
        state: Arc<State>,
        greetings: Option<(Publication, Publication)>,
    ) -> Arc<Publisher> {
        Arc::new(Publisher { speaker: watch::Sender::new(None), state, greetings })
    }

    /// Speaks with the broker until it is told to stop.
    pub(super) async fn run(
        self: Arc<Self>,
        options: Options,
        mut versions: Versions,
        stop: CancellationToken,
    ) {
        let mut backoff = Backoff::new(RetrySpec::default(), &options.client_id);
        for life in 1.. {
            let mut link = Link::new(versions.now(), &options);
            let mut since = None;
            let lost = tokio::select! {
                () = stop.cancelled() => return self.say_goodbye(life, &mut link).await,
                lost = self.live(life, &mut link, &mut since) => lost,
            };
            self.speaker.send_replace(None);
            let spoken = versions.now();
            if versions.lost(&lost) {
                continue;
            }
            let held = since.is_some_and(|since: Instant| since.elapsed() >= GOOD_AFTER);
            // Two that take the session from each other must not do it ever faster.
            if held && lost.why != Why::TakenOver {
                backoff.reset();
            }
            self.state.lost(&lost, spoken);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(backoff.failed().unwrap_or_default()) => {}
            }
        }
    }

    /// One life of the connection; `since` tells when the broker took the client.
    async fn live(&self, life: u64, link: &mut Link, since: &mut Option<Instant>) -> Lost {
        loop {
            match link.next().await {
                Ok(Happening::Connected(connected)) => {
                    *since = Some(Instant::now());
                    let speaker = link.speaker();
                    if let Some((hello, _)) = &self.greetings {
                        // There is room: nobody else knows of this life yet.
                        drop(speaker.publish(hello.clone()).await);
                    }
                    self.state.connected(connected.session);
                    self.speaker.send_replace(Some((life, speaker)));
                }
                Ok(_) => {}
                Err(lost) => return lost,
            }
        }
    }

    /// The last words: the broker has no use for the will then.
    async fn say_goodbye(&self, life: u64, link: &mut Link) {
        let Some((_, speaker)) = self.speaker.send_replace(None) else { return };
        let goodbye = self.greetings.clone().map(|(_, goodbye)| goodbye);
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
    listener: Arc<Listener>,
    flight: VecDeque<Flying<T>>,
    /// The life of the connection to which what has an answer to come was handed over.
    life: u64,
    refused: Vec<(T, String)>,
}

struct Flying<T> {
    publication: Publication,
    tag: T,
    /// `None` where it was not handed over in this life of the connection.
    answer: Option<Answered>,
}

impl<T> Outgoing<T> {
    pub(super) fn new(broker: Arc<Broker>) -> Outgoing<T> {
        let listener = broker.says.listen(BTreeSet::new());
        Outgoing { broker, listener, flight: VecDeque::new(), life: 0, refused: Vec::new() }
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
        self.flight.push_back(Flying { publication, tag, answer: None });
    }

    /// Hands over what was not, as soon as there is a connection. Cancel-safe.
    pub async fn send(&mut self) {
        self.broker.begin_to_publish();
        let waits = |flying: &Flying<T>| flying.answer.is_none();
        while self.flight.iter().any(waits) {
            let (life, speaker) = self.broker.publisher.speaker().await;
            if life != self.life {
                // Older ones must not be overtaken by what was pushed since their connection ended.
                self.give_up_on_the_rest().await;
                self.life = life;
            }
            let Some(next) = self.flight.iter().position(waits) else { return };
            for flying in self.flight.range_mut(next..) {
                flying.answer = Some(speaker.publish(flying.publication.clone()).await);
            }
        }
    }

    /// Waits until at most so many have no answer. What a connection that ended left unanswered is published again, in order.
    /// Cancel-safe.
    pub async fn settle(&mut self, most: usize) {
        while self.flight.len() > most {
            self.send().await;
            let Some(first) = self.flight.front_mut() else { return };
            let Some(answer) = &mut first.answer else { continue };
            match answer.await {
                Answer::Unknown => {
                    first.answer = None;
                    self.give_up_on_the_rest().await;
                }
                answer => self.pop(answer),
            }
        }
    }

    fn pop(&mut self, answer: Answer) {
        let Some(flying) = self.flight.pop_front() else { return };
        if let Answer::Refused(why) = answer {
            let why = format!("`{}` was not taken: {why}", flying.publication.topic);
            self.refused.push((flying.tag, why));
        }
    }

    /// The connection ended. Whatever was answered before that is done with.
    async fn give_up_on_the_rest(&mut self) {
        let mut index = 0;
        while let Some(flying) = self.flight.get_mut(index) {
            let Some(answer) = &mut flying.answer else {
                index += 1;
                continue;
            };
            let said = answer.await;
            flying.answer = None;
            match said {
                Answer::Unknown => index += 1,
                Answer::Taken => drop(self.flight.remove(index)),
                Answer::Refused(why) => {
                    if let Some(flying) = self.flight.remove(index) {
                        self.refused.push((flying.tag, why));
                    }
                }
            }
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
