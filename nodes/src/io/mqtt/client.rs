//! A client for a person at a terminal: it publishes, or gives what comes, on a connection of its own that is not made again once it
//! is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smollama_engine::config::mqtt::{MqttBroker, MqttVersion};
use smollama_engine::time::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use super::link::{Again, Answer, Happening, Link, Lost, Speaker, Version, Why};
use super::message::{Incoming, Publication, Qos};
use super::options;

/// How many messages are held for whoever takes them slowly; then the broker waits.
const HELD: usize = 256;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// A connection. Dropped without [`Client::close`] it breaks.
pub struct Client {
    place: String,
    speaker: Speaker,
    came: mpsc::Receiver<Result<Happening, Lost>>,
    /// What came while something else was waited for.
    held: VecDeque<Arrived>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client of {}", self.place)
    }
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Where it was published.
    pub topic: String,
    /// What it carries.
    pub payload: Bytes,
    /// How sure its delivery was.
    pub qos: Qos,
    /// The broker had kept it.
    pub retained: bool,
}

impl Client {
    /// Connects, in the older version of the protocol where the settings allow that and the broker knows no other.
    ///
    /// # Errors
    /// Why not, with the broker's address.
    pub async fn connect(settings: &MqttBroker) -> Result<Client, String> {
        let id: Arc<str> = Uuid::new_v4().simple().to_string().into();
        let (mut options, certificates) = options(settings, &id)?;
        options.client_id = format!("smollama-cli-{id}");
        options.session = None;
        options.publishes = true;
        let place = format!("the broker at {}:{}", options.host, options.port);
        let versions: &[Version] = match settings.version {
            MqttVersion::Auto => &[Version::V5, Version::V4],
            MqttVersion::V5 => &[Version::V5],
            MqttVersion::V3 => &[Version::V4],
        };
        let mut lost = None;
        for version in versions {
            let mut link = Link::new(*version, &options);
            match connected(&mut link).await {
                Ok(()) => return Ok(Client::begin(place, link)),
                Err(error) if error.why == Why::Version => lost = Some(error),
                Err(error) => {
                    let now = Timestamp::from_jiff(jiff::Timestamp::now());
                    let expired = certificates.own_has_expired(now);
                    let expired =
                        expired.map_or_else(String::new, |expired| format!("; {expired}"));
                    return Err(format!("{place}: {}{expired}", error.text));
                }
            }
        }
        Err(format!("{place}: {}", lost.map_or_else(String::new, |lost| lost.text)))
    }

    /// On a connection that the broker has taken.
    pub(super) fn begin(place: String, mut link: Link) -> Client {
        let (give, came) = mpsc::channel(HELD);
        let speaker = link.speaker();
        // Waiting for what happens next must not be broken off, so it has a task of its own.
        let task = tokio::spawn(async move {
            loop {
                let happening = link.next().await;
                let ends = happening.is_err();
                if matches!(happening, Ok(Happening::Released(_) | Happening::Other)) {
                    continue;
                }
                if give.send(happening).await.is_err() || ends {
                    return;
                }
            }
        });
        Client { place, speaker, came, held: VecDeque::new(), task }
    }

    /// Publishes, and waits until the broker has it: with QoS 0 until it is sent.
    ///
    /// # Errors
    /// The broker refused it, or the connection was lost before it answered.
    pub async fn publish(&mut self, publication: Publication) -> Result<(), String> {
        let speaker = self.speaker.clone();
        let topic = publication.topic.clone();
        let answer =
            self.meanwhile(async move { speaker.publish(publication).await.await }).await?;
        match answer {
            Answer::Taken => Ok(()),
            Answer::Refused(why) => Err(format!("{} refuses `{topic}`: {why}", self.place)),
            Answer::Unknown => Err(self.broken().await),
        }
    }

    /// Subscribes, and waits until the broker has granted it.
    ///
    /// # Errors
    /// The broker refused it, or the connection was lost before it answered.
    pub async fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), String> {
        let granted = self.speaker.subscribe(filter, qos, None, Again::No);
        match self.meanwhile(granted).await? {
            Some(Ok(_)) => Ok(()),
            Some(Err(why)) => Err(format!("{} refuses `{filter}`: {why}", self.place)),
            None => Err(self.broken().await),
        }
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// The connection was lost.
    pub async fn next(&mut self) -> Result<Arrived, String> {
        loop {
            if let Some(message) = self.held.pop_front() {
                return Ok(message);
            }
            let came = self.came.recv().await;
            self.take(came)?;
        }
    }

    /// Ends the connection politely.
    pub async fn close(mut self) {
        self.speaker.leave();
        // What comes now is for nobody, and must not be waited for.
        self.came.close();
        let _ = timeout(FAREWELL, self.task).await;
    }

    /// Waits for something while messages come.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Result<T, String> {
        tokio::pin!(what);
        loop {
            let came = tokio::select! {
                biased;
                done = &mut what => return Ok(done),
                came = self.came.recv() => came,
            };
            self.take(came)?;
        }
    }

    fn take(&mut self, came: Option<Result<Happening, Lost>>) -> Result<(), String> {
        match came {
            Some(Ok(Happening::Message(message))) => {
                self.speaker.acknowledge(message.number, message.qos);
                let Incoming { topic, payload, qos, retained, .. } = message;
                let topic = String::from_utf8_lossy(&topic).into_owned();
                self.held.push_back(Arrived { topic, payload, qos, retained });
                Ok(())
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(lost)) => Err(format!("{}: {}", self.place, lost.text)),
            None => Err(format!("{}: the connection was lost", self.place)),
        }
    }

    /// Why the connection was lost.
    async fn broken(&mut self) -> String {
        loop {
            let came = self.came.recv().await;
            if let Err(why) = self.take(came) {
                return why;
            }
        }
    }
}

/// Waits until the broker has taken the client.
async fn connected(link: &mut Link) -> Result<(), Lost> {
    loop {
        if let Happening::Connected(_) = link.next().await? {
            return Ok(());
        }
    }
}
