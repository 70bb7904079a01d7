//! One connection's life: from the first attempt to reach the broker to the end of that connection, and not beyond.
//!
//! The client crates reconnect on their own, and take what was handed to them over into the next connection. Here every life has a client
//! of its own instead. So an acknowledgement that comes late goes to a client that is no longer there: it cannot acknowledge what has the
//! same packet identifier in the next life. And what was published and not acknowledged comes back to whoever published it, in order.

mod v4;
mod v5;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::message::{Incoming, Publication, Qos};

/// How to reach a broker, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<rustls::ClientConfig>>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) client_id: String,
    pub(super) keep_alive: Duration,
    /// For how long the broker keeps the session; `None` for one that ends with the connection.
    pub(super) session: Option<Duration>,
    pub(super) receive_maximum: u16,
    pub(super) max_packet: u32,
    /// What the broker publishes when this connection breaks.
    pub(super) will: Option<Publication>,
    /// How many publications can be under way.
    pub(super) in_flight: u16,
    /// Whether it publishes at all.
    pub(super) publishes: bool,
    pub(super) host_id: Arc<str>,
}

/// The version of the protocol on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V5,
    V4,
}

/// Whether a subscription is asked for once more, though the broker should have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    No,
    /// What it retains need not come again (MQTT 5).
    Yes,
}

/// The largest message that can be read, in bytes, where a broker does not keep to what is taken, or was never told: MQTT 3.1.1 has no
/// word for it. Beyond it nothing can be known of a message, and the connection ends.
pub(super) const READABLE: u32 = 16 << 20;

/// What is said of a client that is not let in.
const BAD_USER: &str = "it does not accept the user name and password";
/// How long reaching a broker may take, until it has said that it takes the client.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How many requests are written with one call to the system.
const REQUESTS_AT_ONCE: usize = 256;
/// How many publications can wait for their turn.
const WAITING: usize = 256;

/// What happened on a connection.
#[derive(Debug)]
pub(super) enum Happening {
    /// The broker took the client.
    Connected(Connected),
    /// A message came.
    Message(Incoming),
    /// The broker released the number of a message with QoS 2.
    Released(u16),
    /// Something else; whoever waits for it was told.
    Other,
}

/// What the broker said at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connected {
    /// It still has the session of an earlier connection.
    pub(super) session: bool,
    /// Whether subscriptions can be numbered.
    pub(super) numbers: bool,
    /// What it said it would do at most.
    pub(super) limits: Limits,
}

/// What a broker does at most. Where it says nothing, it does what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) session_expiry_s: Option<u32>,
    /// `None` where the protocol has no word for it.
    pub(super) receive_maximum: Option<u16>,
    /// In bytes.
    pub(super) max_packet: Option<u32>,
    pub(super) max_qos: Option<u8>,
    pub(super) retain: bool,
    pub(super) wildcards: bool,
    pub(super) shared: bool,
    pub(super) keep_alive_s: Option<u16>,
}

impl Limits {
    /// Of a broker that said nothing.
    const UNSAID: Limits = Limits {
        session_expiry_s: None,
        receive_maximum: None,
        max_packet: None,
        max_qos: None,
        retain: true,
        wildcards: true,
        shared: true,
        keep_alive_s: None,
    };
}

/// Why a connection ended, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) why: Why,
    /// For people, as a fragment.
    pub(super) text: String,
}

/// Why a connection ended, as far as it matters for what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The broker does not know this version of the protocol.
    Version,
    /// The broker does not let this client in.
    Refused,
    /// Either side does not trust the other's certificate.
    Untrusted,
    /// The broker does not let this client in, or does not let it have the will that it has.
    NotAuthorized,
    /// Another client came with the same id.
    TakenOver,
    /// A message was larger than is taken.
    TooLarge,
    /// Nothing listens there.
    Nobody,
    /// What it says is none of this protocol.
    Garbled,
    /// It was asked to end.
    Asked,
    /// The broker closed it, and did not say why.
    Closed,
    /// The broker closed it because of something that came, or something cannot be sent to it.
    Ended,
    /// Anything else.
    Broken,
}

/// What the broker said to a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Taken,
    /// It will not have it, and this is why.
    Refused(String),
    /// The connection ended before it said anything.
    Unknown,
}

/// An answer to come.
pub(super) type Answered = Pin<Box<dyn Future<Output = Answer> + Send>>;
/// Whether a subscription was granted, and with which QoS; the text says why not. `None` where the connection ended.
pub(super) type Granted = Pin<Box<dyn Future<Output = Option<Result<Qos, String>>> + Send>>;
/// Whether a subscription has ended; not where the connection ended before the broker said so.
pub(super) type Ended = Pin<Box<dyn Future<Output = bool> + Send>>;

/// A connection, which lives as long as it is polled.
pub(super) enum Link {
    V5(Box<v5::Link>),
    V4(Box<v4::Link>),
}

impl Link {
    pub(super) fn new(version: Version, options: &Options) -> Link {
        match version {
            Version::V5 => Link::V5(Box::new(v5::Link::new(options))),
            Version::V4 => Link::V4(Box::new(v4::Link::new(options))),
        }
    }

    /// What happens next. After an error there is nothing more. Not cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Happening, Lost> {
        match self {
            Link::V5(link) => link.next().await,
            Link::V4(link) => link.next().await,
        }
    }

    /// What speaks on it.
    pub(super) fn speaker(&self) -> Speaker {
        match self {
            Link::V5(link) => Speaker::V5(link.client()),
            Link::V4(link) => Speaker::V4(link.client()),
        }
    }
}

/// Speaks on a connection. Once that has ended, whatever it says is lost.
#[derive(Debug, Clone)]
pub(super) enum Speaker {
    V5(v5::Client),
    V4(v4::Client),
}

impl Speaker {
    /// Acknowledges a message with QoS 1, or takes it with QoS 2. Does not wait.
    pub(super) fn acknowledge(&self, number: u16, qos: Qos) {
        match self {
            Speaker::V5(client) => client.acknowledge(number, qos),
            Speaker::V4(client) => client.acknowledge(number, qos),
        }
    }

    /// Subscribes to a filter, which gets a number where the protocol has them.
    pub(super) fn subscribe(
        &self,
        filter: &str,
        qos: Qos,
        number: Option<usize>,
        again: Again,
    ) -> Granted {
        match self {
            Speaker::V5(client) => client.subscribe(filter, qos, number, again),
            Speaker::V4(client) => client.subscribe(filter, qos),
        }
    }

    /// Ends a subscription.
    pub(super) fn unsubscribe(&self, filter: &str) -> Ended {
        match self {
            Speaker::V5(client) => client.unsubscribe(filter),
            Speaker::V4(client) => client.unsubscribe(filter),
        }
    }

    /// Publishes where there is room for one more publication; `None` where there is none.
    pub(super) fn try_publish(&self, publication: &Publication) -> Option<Answered> {
        match self {
            Speaker::V5(client) => client.try_publish(publication),
            Speaker::V4(client) => client.try_publish(publication),
        }
    }

    /// The version that it speaks.
    pub(super) fn version(&self) -> Version {
        match self {
            Speaker::V5(_) => Version::V5,
            Speaker::V4(_) => Version::V4,
        }
    }

    /// Whether what it publishes says which host it is from.
    pub(super) fn marks(&self) -> bool {
        matches!(self, Speaker::V5(_))
    }

    /// Waits until there is room for one more publication, and publishes it. Not cancel-safe: given up, it may have been published.
    pub(super) async fn publish(&self, publication: Publication) -> Answered {
        match self {
            Speaker::V5(client) => client.publish(publication).await,
            Speaker::V4(client) => client.publish(publication).await,
        }
    }

    /// Ends the connection, politely where that is possible.
    pub(super) fn leave(&self) {
        match self {
            Speaker::V5(client) => client.leave(),
            Speaker::V4(client) => client.leave(),
        }
    }
}

impl Lost {
    /// Whether the broker ended the connection, and what it was sent may be why.
    pub(super) fn is_of_the_broker(&self) -> bool {
        matches!(self.why, Why::Closed | Why::Ended)
    }

    fn new(why: Why, text: impl Into<String>) -> Lost {
        Lost { why, text: text.into() }
    }
}

/// Why a connection to a broker could not be made, as far as the system or TLS knows.
fn said_by_io(error: &std::io::Error) -> Lost {
    use std::io::ErrorKind;
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return said_by_tls(error);
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Lost::new(Why::Nobody, "nothing listens there"),
        ErrorKind::TimedOut => Lost::new(Why::Broken, "it does not answer"),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Lost::new(Why::Closed, "it closed the connection"),
        // What reads packets says so where a connection ends within one.
        ErrorKind::Other => Lost::new(Why::Closed, error.to_string()),
        _ => Lost::new(Why::Broken, error.to_string()),
    }
}

/// Why the two sides do not trust each other.
fn said_by_tls(error: &rustls::Error) -> Lost {
    use rustls::AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else {
        return Lost::new(Why::Untrusted, format!("no trust: {error}"));
    };
    let text = match alert {
        Alert::CertificateRequired => {
            "it wants a certificate of this host: name one in `tls: { cert, key }`".to_owned()
        }
        Alert::CertificateExpired => "it refuses the certificate of this host: expired".to_owned(),
        Alert::CertificateRevoked => "it refuses the certificate of this host: revoked".to_owned(),
        Alert::UnknownCA => {
            "it refuses the certificate of this host: it does not know who signed it".to_owned()
        }
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate => {
            format!("it refuses the certificate of this host ({alert:?})")
        }
        _ => format!("no trust: {error}"),
    };
    Lost::new(Why::Untrusted, text)
}
