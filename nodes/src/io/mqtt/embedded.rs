//! A broker within this program, for hosts that have none (`mqtt: { embedded: true }`).
//!
//! What others publish with QoS 1 or 2 is acknowledged once the nodes of this host that want it have kept it: the journal has its
//! readings before the publisher is told. So these nodes hear it here, before the broker passes it on, and not over a connection. What the broker
//! keeps for others (retained messages, sessions) it keeps in files of its own, in its own time.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt5::broker::config::{BrokerConfig, StorageConfig};
use mqtt5::broker::{
    BrokerEventHandler, ClientPublishEvent, MqttBroker, PasswordAuthProvider, PublishAction,
};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::ledger::Acknowledge;
use super::link::{Lost, Version, Why};
use super::message::{Incoming, Qos};
use super::state::State;
use super::subscriber::Subscriber;

/// How long after a failure it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long its end may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What it needs to know.
#[derive(Debug, Clone)]
pub(super) struct Embedded {
    /// Where it listens.
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) credentials: Option<(String, String)>,
    pub(super) max_packet: u32,
    /// Where it keeps what it keeps.
    pub(super) folder: PathBuf,
    /// The client by which this host publishes.
    pub(super) own_client: String,
}

impl Embedded {
    /// Where one listens for this setting of `broker`.
    ///
    /// # Errors
    /// It is no address.
    pub(super) fn address(broker: Option<&str>) -> Result<IpAddr, String> {
        match broker {
            None | Some("localhost") => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(text) => text.parse().map_err(|_| {
                format!("an embedded broker listens on an address such as 127.0.0.1 or 0.0.0.0, not on `{text}`")
            }),
        }
    }

    /// How this host reaches it.
    pub(super) fn reached_by(address: IpAddr) -> String {
        let own = if address.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address };
        own.to_string()
    }

    /// Where it keeps what it keeps, below the data directory.
    pub(super) fn folder(data_dir: &Path) -> PathBuf {
        data_dir.join("mqtt").join("broker")
    }

    /// Is a broker until it is told to stop.
    pub(super) async fn run(
        self,
        subscriber: Arc<Subscriber>,
        state: Arc<State>,
        stop: CancellationToken,
    ) {
        while !stop.is_cancelled() {
            let Some(ended) = self.serve(&subscriber, &state, &stop).await else { return };
            let text = format!("this program is the broker, and cannot be: {ended}");
            state.lost(&Lost { why: Why::Refused, text }, Version::V5);
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(AGAIN_AFTER) => {}
            }
        }
    }

    /// Why it is no broker any more; nothing where it was told to stop.
    async fn serve(
        &self,
        subscriber: &Arc<Subscriber>,
        state: &State,
        stop: &CancellationToken,
    ) -> Option<String> {
        let ears = Ears { subscriber: subscriber.clone(), own_client: self.own_client.clone() };
        let config = BrokerConfig::new()
            .with_bind_address(SocketAddr::new(self.address, self.port))
            .with_max_packet_size(self.max_packet as usize)
            .with_storage(StorageConfig::new().with_base_dir(self.folder.clone()))
            .with_event_handler(Arc::new(ears));
        let mut broker = match MqttBroker::with_config(config).await {
            Ok(broker) => broker,
            Err(error) => return Some(error.to_string()),
        };
        if let Some((user, password)) = &self.credentials {
            let known = PasswordAuthProvider::new();
            if let Err(error) = known.add_user(user, password) {
                return Some(error.to_string());
            }
            broker = broker.with_auth_provider(Arc::new(known));
        }
        state.connected(false);
        let handle = broker.shutdown_handle();
        let mut runs = std::pin::pin!(broker.run());
        tokio::select! {
            () = stop.cancelled() => {
                handle.shutdown();
                // What it keeps for others is written now.
                let _ = timeout(FAREWELL, runs).await;
                None
            }
            ended = &mut runs => Some(match ended {
                Ok(()) => "it ended".to_owned(),
                Err(error) => error.to_string(),
            }),
        }
    }
}

/// Hears what clients publish, before they are told that it was taken.
struct Ears {
    subscriber: Arc<Subscriber>,
    own_client: String,
}

impl BrokerEventHandler for Ears {
    fn on_client_publish<'a>(
        &'a self,
        event: ClientPublishEvent,
    ) -> Pin<Box<dyn Future<Output = PublishAction> + Send + 'a>> {
        Box::pin(async move {
            // What this host says it does not hear: the message would come in again.
            if *event.client_id != *self.own_client {
                let message = Incoming {
                    topic: event.topic.as_bytes().to_vec().into(),
                    payload: event.payload,
                    qos: Qos::from_number(event.qos as u8).unwrap_or_default(),
                    retained: false,
                    again: false,
                    number: event.packet_id.unwrap_or_default(),
                    by: Vec::new(),
                    host: None,
                };
                self.subscriber.deliver(message).await;
            }
            PublishAction::Continue
        })
    }
}

/// Tells whoever waits for it whether one message was kept.
pub(super) struct Told(Mutex<Option<oneshot::Sender<bool>>>);

impl Told {
    pub(super) fn new() -> (Told, oneshot::Receiver<bool>) {
        let (tell, told) = oneshot::channel();
        (Told(Mutex::new(Some(tell))), told)
    }

    fn tell(&self, kept: bool) {
        if let Some(tell) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nobody waits any more where the client went away.
            let _ = tell.send(kept);
        }
    }
}

impl Acknowledge for Told {
    fn acknowledge(&self, _: u16, _: Qos) {
        self.tell(true);
    }
    fn leave(&self) {
        self.tell(false);
    }
}
