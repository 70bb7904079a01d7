//! What a broker says of itself when a client comes, for whoever checks settings: nothing of it is kept, here or there.

use std::time::Duration;

use smollama_engine::config::mqtt::{MqttBroker, MqttVersion};
use tokio::time::timeout;
use uuid::Uuid;

use super::client::Client;
use super::link::{Happening, Limits, Link, Lost, Version, Why};
use super::message::Qos;
use super::{Options, SESSION_EXPIRY, options};

/// What a broker said when it took a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The version of the protocol that both speak: never `auto`.
    pub version: MqttVersion,
    /// How long it keeps a session, where that is not what it was asked for.
    pub session_expiry: Option<Duration>,
    /// How many publications it takes before it has acknowledged the first of them. MQTT 3.1.1 has no word for it.
    pub receive_maximum: Option<u16>,
    /// The largest packet it takes, in bytes; `None` where it did not say.
    pub max_packet: Option<u32>,
    /// The surest delivery it knows.
    pub max_qos: Qos,
    /// Whether it keeps messages for those who subscribe later.
    pub retain: bool,
    /// Whether filters may hold `+` and `#`.
    pub wildcards: bool,
    /// Whether clients may share a subscription.
    pub shared: bool,
    /// How often it wants to hear something, where that is not what it was told.
    pub keep_alive: Option<Duration>,
}

/// Why a broker did not greet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct NotGreeted {
    /// Which of the reasons that ask for different remedies.
    pub reason: Reason,
    /// For people, as a fragment: "nothing listens there".
    pub text: String,
}

/// See [`NotGreeted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// What the settings say cannot be used.
    Settings,
    /// The machine is there, and nothing listens.
    Nobody,
    /// Nothing answers there, or not in time.
    Unreachable,
    /// What answers is none this host can speak with.
    NoBroker,
    /// The broker does not let this client in.
    Refused,
    /// Either side does not trust the other's certificate.
    Untrusted,
}

/// Connects as a host would that has these settings, asks for a session, and takes leave of it: at the broker nothing is left. What comes
/// with the greeting is a connection of the same client, to look further.
///
/// # Errors
/// It cannot be reached within this time, or does not let the client in.
pub async fn greet(
    settings: &MqttBroker,
    within: Duration,
) -> Result<(Greeting, Client), NotGreeted> {
    let asked = timeout(within, begin(settings)).await;
    asked.unwrap_or_else(|_| Err(NotGreeted::new(Reason::Unreachable, "it does not answer")))
}

async fn begin(settings: &MqttBroker) -> Result<(Greeting, Client), NotGreeted> {
    let id = Uuid::new_v4().simple().to_string();
    let (mut options, _) = options(settings, &id.as_str().into())
        .map_err(|text| NotGreeted::new(Reason::Settings, text))?;
    options.client_id = format!("smollama-look-{id}");
    options.session = Some(options.session.unwrap_or(SESSION_EXPIRY));
    options.publishes = true;
    let (version, limits) = first(settings.version, &options).await?;
    // Coming back without a session ends the one that there was.
    let options = Options { session: None, ..options };
    let mut link = Link::new(version, &options);
    connected(&mut link).await?;
    let client = Client::begin(format!("the broker at {}:{}", options.host, options.port), link);
    Ok((Greeting::new(version, limits), client))
}

/// Connects in the newest version that both know, and leaves again.
async fn first(wanted: MqttVersion, options: &Options) -> Result<(Version, Limits), NotGreeted> {
    let versions: &[Version] = match wanted {
        MqttVersion::Auto => &[Version::V5, Version::V4],
        MqttVersion::V5 => &[Version::V5],
        MqttVersion::V3 => &[Version::V4],
    };
    let mut lost = NotGreeted::new(Reason::NoBroker, "no version of the protocol was tried");
    for version in versions {
        let mut link = Link::new(*version, options);
        match connected(&mut link).await {
            Ok(limits) => {
                link.speaker().leave();
                // Until the farewell is out, and the connection with it.
                while link.next().await.is_ok() {}
                return Ok((*version, limits));
            }
            // What answered in a way that no broker does, and then does not, is none.
            Err(error)
                if error.reason == Reason::Unreachable
                    && versions.len() > 1
                    && *version == Version::V4 =>
            {
                return Err(NotGreeted { text: error.text, ..lost });
            }
            Err(error) => lost = error,
        }
        if lost.reason != Reason::NoBroker {
            break;
        }
    }
    Err(lost)
}

/// Waits until the broker has taken the client.
async fn connected(link: &mut Link) -> Result<Limits, NotGreeted> {
    loop {
        if let Happening::Connected(connected) = link.next().await? {
            return Ok(connected.limits);
        }
    }
}

impl NotGreeted {
    fn new(reason: Reason, text: impl Into<String>) -> NotGreeted {
        NotGreeted { reason, text: text.into() }
    }
}

impl From<Lost> for NotGreeted {
    fn from(lost: Lost) -> NotGreeted {
        let reason = match lost.why {
            Why::Version | Why::Garbled => Reason::NoBroker,
            Why::Nobody => Reason::Nobody,
            Why::Refused | Why::NotAuthorized => Reason::Refused,
            Why::Untrusted => Reason::Untrusted,
            _ => Reason::Unreachable,
        };
        NotGreeted { reason, text: lost.text }
    }
}

impl Greeting {
    fn new(version: Version, limits: Limits) -> Greeting {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Greeting {
            version: match version {
                Version::V5 => MqttVersion::V5,
                Version::V4 => MqttVersion::V3,
            },
            session_expiry: limits.session_expiry_s.map(seconds),
            receive_maximum: limits.receive_maximum,
            max_packet: limits.max_packet,
            max_qos: limits.max_qos.and_then(Qos::from_number).unwrap_or(Qos::ExactlyOnce),
            retain: limits.retain,
            wildcards: limits.wildcards,
            shared: limits.shared,
            keep_alive: limits.keep_alive_s.map(|it| seconds(it.into())),
        }
    }
}
