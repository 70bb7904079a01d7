//! Brokers: two connections to each, one that subscribes and one that publishes, which all nodes of a host share.
//!
//! A node leases a [`Broker`] by its name in config.yaml. Messages reach it through a [`Mailbox`]; what it publishes goes through an
//! [`Outgoing`]. The connections are made when the first node begins, and are kept up for as long as any node has a lease.

mod alone;
mod cadence;
mod client;
mod echoes;
mod embedded;
mod greeting;
mod ledger;
mod link;
mod mailbox;
mod message;
mod outbox;
mod owned;
mod publisher;
mod routes;
mod state;
mod subscriber;
mod takers;
#[cfg(test)]
pub(crate) mod tests;
mod versions;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use smollama_engine::config::mqtt::{DEFAULT_BROKER, MqttBroker, MqttVersion};
use smollama_engine::context::Host;
use smollama_engine::trouble::Trouble;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::tls::{self, Certificates};
pub use client::{Arrived, Client};
use echoes::Echoes;
use embedded::Embedded;
pub use greeting::{Greeting, NotGreeted, Reason, greet};
pub use ledger::Claim;
use link::{Options, Version};
pub use mailbox::{Delivery, Mailbox, Message, Once};
pub use message::{Publication, Qos};
use outbox::Filters;
pub use outbox::{Announcement, Announcer, Outbox, Taken};
pub use publisher::Outgoing;
use publisher::Publisher;
pub use routes::Subscription;
use state::{Listener, State};
use subscriber::Subscriber;
use versions::Versions;

const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const SESSION_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);
const RECEIVE_MAXIMUM: u16 = 1000;
const MAX_PACKET: u32 = 1 << 20;
/// How many publications can be under way; a broker can ask for fewer.
const IN_FLIGHT: u16 = 1024;

/// A broker, and the connections to it.
pub struct Broker {
    subscriber: Arc<Subscriber>,
    publisher: Arc<Publisher>,
    echoes: Arc<Echoes>,
    hears: Arc<State>,
    says: Arc<State>,
    options: Options,
    versions: Versions,
    client_ids: [String; 2],
    will: Option<Publication>,
    /// This program is the broker.
    embedded: Option<Embedded>,
    serves: Mutex<Option<JoinHandle<()>>>,
    /// What publishes, while it does.
    publishing: Mutex<Option<JoinHandle<()>>>,
    subscribes: AtomicBool,
    publishes: AtomicBool,
    stop: CancellationToken,
    /// Later, as this host says goodbye to the broker that it is.
    closes: CancellationToken,
    host_stops: CancellationToken,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.cancel();
        self.closes.cancel();
    }
}

impl Broker {
    /// The broker of this name, shared by all that ask for it.
    ///
    /// # Errors
    /// config.yaml names no such broker, or what it says of TLS cannot be used.
    pub fn lease(name: Option<&str>, host: &Host) -> Result<Arc<Broker>, String> {
        let name = name.unwrap_or(DEFAULT_BROKER);
        let filters = Outbox::of(host).map(|outbox| Filters::new(outbox, name));
        host.leases.lease(&format!("mqtt {name}"), || Broker::new(name, host, filters))
    }

    /// Is the broker for others, too, where this program is one, whether a node of this host uses it or not; as long as what comes back is
    /// kept.
    ///
    /// # Errors
    /// What config.yaml says of it cannot be used.
    pub fn serve(host: &Host) -> Result<Option<Arc<Broker>>, String> {
        if !host.mqtt.embedded {
            return Ok(None);
        }
        let broker = Broker::lease(None, host)?;
        broker.begin_to_serve();
        Ok(Some(broker))
    }

    fn new(name: &str, host: &Host, filters: Option<Filters>) -> Result<Broker, String> {
        let settings = host.mqtt.named(name).ok_or_else(|| {
            format!("config.yaml names no broker `{name}` below `mqtt.connections`")
        })?;
        let id = host.id.simple();
        let part = if name == DEFAULT_BROKER { String::new() } else { format!("-{name}") };
        let client_ids = ["sub", "pub"].map(|which| format!("smollama-{id}{part}-{which}"));
        let host_id: Arc<str> = id.to_string().into();
        let (options, certificates) = options(&settings, &host_id)?;
        let embedded = if settings.embedded {
            Some(Embedded {
                address: Embedded::address(settings.broker.as_deref())?,
                port: options.port,
                credentials: options.credentials.clone(),
                max_packet: options.max_packet,
                folder: Embedded::folder(&host.data_dir),
                own_client: client_ids[1].clone(),
            })
        } else {
            None
        };
        let place = format!("the broker at {}:{}", options.host, options.port);
        let session = options.session.unwrap_or(SESSION_EXPIRY);
        let [hears, says] = client_ids.each_ref().map(|client| {
            let (place, client) = (place.clone(), client.clone());
            State::new(place, client, host_id.clone(), session, certificates.clone())
        });
        // A host that only hears says that it is there, too.
        says.tell_too(hears.clone());
        let announces = settings.announce.unwrap_or(true);
        let status = |text: &'static str| Publication {
            topic: format!("smollama/{}/status", host.name.replace(['/', '+', '#'], "_")),
            payload: Bytes::from_static(text.as_bytes()),
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: Vec::new(),
            expiry: None,
        };
        let greetings = announces.then(|| (status("online"), status("offline")));
        // What is heard without a connection is asked of nobody.
        let filters = filters.filter(|_| embedded.is_none());
        let versions = match settings.version {
            MqttVersion::Auto => Versions::new(Version::V5, true),
            MqttVersion::V5 => Versions::new(Version::V5, false),
            MqttVersion::V3 => Versions::new(Version::V4, false),
        };
        let echoes = Arc::<Echoes>::default();
        Ok(Broker {
            subscriber: Subscriber::new(
                hears.clone(),
                options.max_packet as usize,
                echoes.clone(),
                filters,
            ),
            publisher: Publisher::new(says.clone(), greetings.clone()),
            echoes,
            hears,
            says,
            options,
            versions,
            client_ids,
            will: greetings.map(|(_, goodbye)| goodbye),
            embedded,
            serves: Mutex::default(),
            publishing: Mutex::default(),
            subscribes: AtomicBool::new(false),
            publishes: AtomicBool::new(false),
            stop: CancellationToken::new(),
            closes: CancellationToken::new(),
            host_stops: host.leases.stopping().clone(),
        })
    }

    /// Where messages for a node wait. Nothing is asked of the broker before [`Inbox::begin`].
    pub fn inbox(
        self: &Arc<Self>,
        address: &Arc<str>,
        subscriptions: BTreeSet<Subscription>,
    ) -> Inbox {
        let mailbox = self.subscriber.mailbox(address, &subscriptions);
        let filters = subscriptions.iter().map(|one| one.filter.clone()).collect();
        let listener = self.hears.listen(filters);
        let broker = self.clone();
        Inbox {
            broker,
            address: address.clone(),
            subscriptions,
            mailbox: Some(mailbox),
            began: false,
            listener,
        }
    }

    /// Where it is said whether this host is there: `online` or `offline`, retained. `None` where the settings do not want that.
    #[must_use]
    pub fn status_topic(&self) -> Option<&str> {
        self.will.as_ref().map(|will| will.topic.as_str())
    }

    /// A way out for a node. The connection is made when this is first called.
    pub fn outgoing<T>(self: &Arc<Self>) -> Outgoing<T> {
        Outgoing::new(self.clone())
    }

    /// Is the broker, where that is within this program.
    fn begin_to_serve(&self) {
        let Some(embedded) = &self.embedded else { return };
        self.serves.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| {
            let (subscriber, state) = (self.subscriber.clone(), self.hears.clone());
            tokio::spawn(embedded.clone().run(subscriber, state, self.closes.clone()))
        });
    }

    /// Ends what [`Broker::serve`] began, once nobody in this program uses it any more.
    pub async fn end(&self) {
        for (stop, task) in [(&self.stop, &self.publishing), (&self.closes, &self.serves)] {
            stop.cancel();
            let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                // An error means that it ended by itself.
                let _ = task.await;
            }
        }
    }

    fn begin_to_subscribe(&self) {
        self.begin_to_serve();
        // What others say is heard without a connection then.
        if self.embedded.is_none() && !self.subscribes.swap(true, Ordering::Relaxed) {
            let [client_id, _] = self.client_ids.clone();
            let options = Options {
                client_id,
                session: Some(self.options.session.unwrap_or(SESSION_EXPIRY)),
                ..self.options.clone()
            };
            let run = self.subscriber.clone().run(options, self.versions, self.stop.clone());
            tokio::spawn(run);
        }
        if self.will.is_some() {
            self.begin_to_publish();
        }
    }

    fn begin_to_publish(&self) {
        self.begin_to_serve();
        if !self.publishes.swap(true, Ordering::Relaxed) {
            let [_, client_id] = self.client_ids.clone();
            let options = Options {
                client_id,
                session: None,
                in_flight: IN_FLIGHT,
                publishes: true,
                will: self.will.clone(),
                ..self.options.clone()
            };
            let run = self.publisher.clone().run(options, self.versions, self.stop.clone());
            let task = tokio::spawn(run);
            *self.publishing.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        }
    }
}

/// What both connections have in common.
fn options(settings: &MqttBroker, host_id: &Arc<str>) -> Result<(Options, Certificates), String> {
    let tls = settings.tls.as_ref().map(tls::client_config).transpose()?;
    let (tls, certificates) = tls.unzip();
    let usual = if tls.is_some() { TLS_PORT } else { PORT };
    let credentials = settings.username.as_ref().map(|user| {
        let password = settings.password.as_ref().map_or("", |password| password.expose());
        (user.expose().to_owned(), password.to_owned())
    });
    let seconds = |wanted: Option<smollama_engine::duration::Duration>, usual: Duration| {
        wanted.map_or(usual, smollama_engine::duration::Duration::to_std)
    };
    let options = Options {
        host: if settings.embedded {
            Embedded::reached_by(Embedded::address(settings.broker.as_deref())?)
        } else {
            settings.broker.clone().unwrap_or_else(|| "localhost".into())
        },
        port: settings.port.unwrap_or(usual),
        tls,
        credentials,
        client_id: String::new(),
        keep_alive: seconds(settings.keep_alive, KEEP_ALIVE),
        session: Some(seconds(settings.session_expiry, SESSION_EXPIRY)),
        receive_maximum: settings.receive_maximum.unwrap_or(RECEIVE_MAXIMUM),
        max_packet: settings
            .max_packet
            .map_or(MAX_PACKET, |size| size.0.try_into().unwrap_or(u32::MAX)),
        will: None,
        in_flight: 128,
        publishes: false,
        host_id: host_id.clone(),
    };
    Ok((options, certificates.unwrap_or_default()))
}

/// A node's end of the subscribing connection.
pub struct Inbox {
    broker: Arc<Broker>,
    address: Arc<str>,
    subscriptions: BTreeSet<Subscription>,
    /// `None` once it is given back.
    mailbox: Option<Arc<Mailbox>>,
    began: bool,
    listener: Arc<Listener>,
}

impl Inbox {
    /// Takes at most so many deliveries; waits until there is a message. The first call asks the broker for them. Cancel-safe.
    pub async fn take(&mut self, most: usize, into: &mut Vec<Delivery>) {
        if !self.began {
            self.began = true;
            self.broker.subscriber.begin(&self.address, &self.subscriptions);
            self.broker.begin_to_subscribe();
        }
        if let Some(mailbox) = &self.mailbox {
            mailbox.take(most, into).await;
        }
    }

    /// Where it is said what keeps messages from coming.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        self.listener.trouble()
    }

    /// How many messages with QoS 0 found no room since this was last asked.
    pub fn take_dropped(&self) -> u64 {
        self.mailbox.as_ref().map_or(0, |mailbox| mailbox.take_dropped())
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // First the mailbox: a successor has it too, or nobody wants what is in it.
        self.mailbox = None;
        let stops = self.broker.host_stops.is_cancelled();
        self.broker.subscriber.end(&self.address, stops);
    }
}
