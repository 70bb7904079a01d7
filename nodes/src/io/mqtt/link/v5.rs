//! A connection that speaks MQTT 5.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rumqttc::{
    AckMode, AsyncClient, ConnAck, ConnectReturnCode, ConnectionError, DisconnectReasonCode, Event,
    EventLoop, LastWill, ManualAck, MqttOptions, NetworkOptions, Packet, PersistedAckMode,
    PersistedSession, PubAck, PubAckReason, PubRec, PubRecReason, Publish, PublishNotice,
    PublishOptions, PublishProperties, PublishResult, QoS, RetainForwardRule, SessionStore,
    SessionStoreError, SessionStoreKey, StateError, SubscribeFilter, SubscribeProperties,
    SubscribeReasonCode, TlsConfiguration, TlsError, Transport,
};

use super::super::message::{HOST_PROPERTY, Incoming, Publication, Qos};
use super::{
    Again, Answer, Answered, BAD_USER, CONNECT_WITHIN, Connected, Ended, Granted, Happening,
    Limits, Lost, Options, REQUESTS_AT_ONCE, WAITING, Why, said_by_io, said_by_tls,
};

/// What holds where a broker says nothing.
const UNSAID: Limits = Limits { receive_maximum: Some(u16::MAX), ..Limits::UNSAID };

/// The connection.
pub(in super::super) struct Link {
    events: EventLoop,
    client: Client,
    /// The broker has taken the client.
    taken: bool,
}

/// Speaks on it.
#[derive(Debug, Clone)]
pub(in super::super) struct Client {
    client: AsyncClient,
    host_id: Arc<str>,
    /// The largest packet that the broker takes, once it has said so. The client crate ends the connection over a larger one.
    largest: Arc<AtomicU32>,
}

impl Link {
    pub(super) fn new(options: &Options) -> Link {
        let mut mqtt = MqttOptions::new(&options.client_id, (options.host.as_str(), options.port));
        if let Some(tls) = &options.tls {
            mqtt.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
        }
        if let Some((user, password)) = &options.credentials {
            mqtt.set_credentials(user, password.clone().into_bytes());
        }
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        let seconds = options.keep_alive.as_secs().try_into().unwrap_or(u16::MAX);
        mqtt.set_network_options(network)
            .set_keep_alive(seconds)
            .set_connect_timeout(CONNECT_WITHIN)
            .set_max_request_batch(REQUESTS_AT_ONCE)
            .set_ack_mode(AckMode::Manual)
            .set_clean_start(options.session.is_none())
            .set_receive_maximum(Some(options.receive_maximum))
            // It is what the broker is told, too: this client cannot read more than it announces.
            .set_max_packet_size(Some(options.max_packet))
            .set_outgoing_inflight_upper_limit(options.in_flight);
        if let Some(expiry) = options.session {
            let seconds = expiry.as_secs().try_into().unwrap_or(u32::MAX);
            let store = Remembered { in_flight: options.in_flight };
            mqtt.set_session_expiry_interval(Some(seconds)).set_session_store(store);
        }
        if let Some(will) = &options.will {
            let (topic, payload) = (will.topic.clone(), will.payload.clone());
            mqtt.set_last_will(LastWill::new(topic, payload, qos(will.qos), will.retain, None));
        }
        let builder = AsyncClient::builder(mqtt);
        // What only subscribes never waits: an acknowledgement must not be lost for want of room.
        let builder =
            if options.publishes { builder.capacity(WAITING) } else { builder.unbounded() };
        let (client, events) = builder.build();
        let largest = Arc::new(AtomicU32::new(u32::MAX));
        let client = Client { client, host_id: options.host_id.clone(), largest };
        Link { events, client, taken: false }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) async fn next(&mut self) -> Result<Happening, Lost> {
        match self.events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                Ok(Happening::Message(incoming(publish)))
            }
            Ok(Event::Incoming(Packet::PubRel(release))) => Ok(Happening::Released(release.pkid)),
            Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                // It was told that there is a session; what is under way in it is kept elsewhere.
                self.events.options.clear_session_store();
                self.taken = true;
                let said = connack.properties.as_ref().and_then(|said| said.max_packet_size);
                self.client.largest.store(said.unwrap_or(u32::MAX), Ordering::Relaxed);
                Ok(Happening::Connected(connected(&connack)))
            }
            Ok(_) => Ok(Happening::Other),
            Err(error) => match lost(&error) {
                // The answer of a broker of before MQTT 5 is shorter, and reads as none.
                lost if matches!(lost.why, Why::Closed | Why::Garbled) && !self.taken => {
                    Err(Lost { why: Why::Version, ..lost })
                }
                lost => Err(lost),
            },
        }
    }
}

impl Client {
    pub(super) fn acknowledge(&self, number: u16, qos: Qos) {
        let ack = match qos {
            Qos::AtMostOnce => return,
            Qos::AtLeastOnce => ManualAck::PubAck(PubAck::new(number, None)),
            Qos::ExactlyOnce => ManualAck::PubRec(PubRec::new(number, None)),
        };
        // An error means that the connection ended: the broker then sends it again.
        let _ = self.client.try_manual_ack(ack);
    }

    pub(super) fn subscribe(
        &self,
        filter: &str,
        wanted: Qos,
        number: Option<usize>,
        again: Again,
    ) -> Granted {
        let mut filter = SubscribeFilter::new(filter, qos(wanted));
        if again == Again::Yes {
            filter.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
        }
        let notice = match number {
            Some(_) => {
                let properties = SubscribeProperties { id: number, user_properties: Vec::new() };
                self.client.try_subscribe_many_with_properties_tracked([filter], properties)
            }
            None => self.client.try_subscribe_many_tracked([filter]),
        };
        Box::pin(async move {
            let ack = notice.ok()?.wait_async().await.ok()?;
            Some(match ack.return_codes.first()? {
                SubscribeReasonCode::Success(granted) => Ok(of_qos(*granted)),
                SubscribeReasonCode::NotAuthorized => {
                    Err("this user may not subscribe to it".to_owned())
                }
                other => Err(format!("the broker says {other:?}")),
            })
        })
    }

    pub(super) fn unsubscribe(&self, filter: &str) -> Ended {
        let notice = self.client.try_unsubscribe_tracked(filter);
        Box::pin(async move {
            match notice {
                Ok(notice) => notice.wait_async().await.is_ok(),
                Err(_) => false,
            }
        })
    }

    pub(super) fn try_publish(&self, publication: &Publication) -> Option<Answered> {
        if let Some(refused) = self.is_too_large(publication) {
            return Some(refused);
        }
        let (topic, payload) = (publication.topic.clone(), publication.payload.clone());
        match self.client.try_publish_tracked(topic, payload, self.options(publication)) {
            Err(rumqttc::ClientError::RequestChannelFull(_)) => None,
            notice => Some(answered(notice)),
        }
    }

    pub(super) async fn publish(&self, publication: Publication) -> Answered {
        if let Some(refused) = self.is_too_large(&publication) {
            return refused;
        }
        let options = self.options(&publication);
        let Publication { topic, payload, .. } = publication;
        answered(self.client.publish_tracked(topic, payload, options).await)
    }

    /// The answer to a publication that is larger than the broker takes.
    fn is_too_large(&self, publication: &Publication) -> Option<Answered> {
        let (size, largest) =
            (packet_size(publication, &self.host_id), self.largest.load(Ordering::Relaxed));
        let why = format!("the message has {size} bytes, and the broker takes {largest}");
        (size > largest as usize).then(|| -> Answered { Box::pin(async { Answer::Refused(why) }) })
    }

    fn options(&self, publication: &Publication) -> PublishOptions {
        let mut user_properties = Vec::with_capacity(publication.properties.len() + 1);
        user_properties.extend_from_slice(&publication.properties);
        user_properties.push((HOST_PROPERTY.to_owned(), self.host_id.to_string()));
        let properties = PublishProperties {
            message_expiry_interval: publication.expiry,
            user_properties,
            ..PublishProperties::default()
        };
        let options = PublishOptions::new(qos(publication.qos)).retain(publication.retain);
        options.properties(properties)
    }

    pub(super) fn leave(&self) {
        let _ = self.client.try_disconnect();
    }
}

/// How many bytes it is on the wire (MQTT 5.0, 3.3), at most: as if its lengths took all the bytes that they can.
fn packet_size(publication: &Publication, host_id: &str) -> usize {
    const LENGTH: usize = 4;
    let text = |text: &str| 2 + text.len();
    let property = |name: &str, value: &str| 1 + text(name) + text(value);
    let own = publication.properties.iter().map(|(name, value)| property(name, value));
    let properties = own.sum::<usize>() + property(HOST_PROPERTY, host_id);
    let expiry = if publication.expiry.is_some() { 5 } else { 0 };
    let number = 2;
    let head = 1 + LENGTH + text(&publication.topic) + number + LENGTH;
    head + properties + expiry + publication.payload.len()
}

fn answered(notice: Result<PublishNotice, rumqttc::ClientError>) -> Answered {
    Box::pin(async move {
        match notice {
            Ok(notice) => answer(notice).await,
            Err(rumqttc::ClientError::RequestChannelDisconnected(_)) => Answer::Unknown,
            Err(error) => Answer::Refused(error.to_string()),
        }
    })
}

async fn answer(notice: PublishNotice) -> Answer {
    let reason = match notice.wait_async().await {
        Ok(PublishResult::Qos1(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => return Answer::Taken,
            PubAckReason::NotAuthorized => "this user may not publish to it".to_owned(),
            other => format!("the broker says {other:?}"),
        },
        Ok(PublishResult::Qos2PubRecRejected(rec)) => match rec.reason {
            PubRecReason::NotAuthorized => "this user may not publish to it".to_owned(),
            other => format!("the broker says {other:?}"),
        },
        Ok(_) => return Answer::Taken,
        Err(rumqttc::PublishNoticeError::RetainNotSupported) => {
            "the broker keeps no retained messages".to_owned()
        }
        Err(_) => return Answer::Unknown,
    };
    Answer::Refused(reason)
}

const fn qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

const fn of_qos(qos: QoS) -> Qos {
    match qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}

fn incoming(publish: Publish) -> Incoming {
    let properties = publish.properties.unwrap_or_default();
    let host = properties.user_properties.into_iter().find(|(name, _)| name == HOST_PROPERTY);
    Incoming {
        topic: publish.topic,
        payload: publish.payload,
        qos: of_qos(publish.qos),
        retained: publish.retain,
        again: publish.dup,
        number: publish.pkid,
        by: properties.subscription_identifiers,
        host: host.map(|(_, id)| id),
    }
}

fn connected(connack: &ConnAck) -> Connected {
    let session = connack.session_present;
    let Some(said) = &connack.properties else {
        return Connected { session, numbers: true, limits: UNSAID };
    };
    let limits = Limits {
        session_expiry_s: said.session_expiry_interval,
        receive_maximum: said.receive_max.or(UNSAID.receive_maximum),
        max_packet: said.max_packet_size,
        max_qos: said.max_qos,
        retain: said.retain_available != Some(0),
        wildcards: said.wildcard_subscription_available != Some(0),
        shared: said.shared_subscription_available != Some(0),
        keep_alive_s: said.server_keep_alive,
    };
    Connected { session, numbers: said.subscription_identifiers_available != Some(0), limits }
}

fn lost(error: &ConnectionError) -> Lost {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::MqttState(state) => broken(state),
        ConnectionError::Timeout(_) => Lost::new(Why::Broken, "it does not answer"),
        ConnectionError::Io(error) => said_by_io(error),
        ConnectionError::Tls(TlsError::TLS(error)) => said_by_tls(error),
        ConnectionError::Tls(TlsError::Io(error)) => said_by_io(error),
        ConnectionError::Tls(error) => Lost::new(Why::Untrusted, format!("no trust: {error}")),
        ConnectionError::RequestsDone => Lost::new(Why::Asked, "the connection was ended"),
        // A broker of before MQTT 5 may answer in the older form, which reads as nonsense.
        ConnectionError::NotConnAck(_) => {
            Lost::new(Why::Version, "it does not answer as a broker of MQTT 5")
        }
        other => Lost::new(Why::Broken, other.to_string()),
    }
}

fn refused(code: ConnectReturnCode) -> Lost {
    use ConnectReturnCode as Code;
    match code {
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
            Lost::new(Why::Version, "it does not know MQTT 5")
        }
        Code::BadUserNamePassword => Lost::new(Why::Refused, BAD_USER),
        Code::NotAuthorized => Lost::new(Why::NotAuthorized, BAD_USER),
        Code::BadClientId | Code::ClientIdentifierNotValid => {
            Lost::new(Why::Refused, "it does not accept the client id")
        }
        Code::Banned => Lost::new(Why::Refused, "it has banned this client"),
        other => Lost::new(Why::Broken, format!("it refuses: {other:?}")),
    }
}

fn broken(state: &StateError) -> Lost {
    match state {
        StateError::ServerDisconnect { reason_code, reason_string } => {
            use DisconnectReasonCode as Code;
            let why = match reason_code {
                Code::SessionTakenOver => {
                    return Lost::new(
                        Why::TakenOver,
                        "another client came with the same client id",
                    );
                }
                Code::UnspecifiedError
                | Code::MalformedPacket
                | Code::ProtocolError
                | Code::ImplementationSpecificError
                | Code::NotAuthorized
                | Code::TopicNameInvalid
                | Code::PacketTooLarge
                | Code::PayloadFormatInvalid
                | Code::RetainNotSupported
                | Code::QoSNotSupported => Why::Ended,
                _ => Why::Broken,
            };
            let said = reason_string.clone().unwrap_or_else(|| format!("{reason_code:?}"));
            Lost::new(why, format!("it ended the connection: {said}"))
        }
        StateError::IncomingPacketTooLarge { pkt_size, max } => {
            Lost::new(Why::TooLarge, format!("a message of {pkt_size} bytes came, {max} are taken"))
        }
        StateError::Deserialization(rumqttc::mqttbytes::Error::PayloadSizeLimitExceeded {
            pkt_size,
            max,
        }) => {
            Lost::new(Why::TooLarge, format!("a message of {pkt_size} bytes came, {max} are taken"))
        }
        StateError::OutgoingPacketTooLarge { pkt_size, max }
        | StateError::Deserialization(rumqttc::mqttbytes::Error::OutgoingPacketTooLarge {
            pkt_size,
            max,
        }) => Lost::new(
            Why::Ended,
            format!("it takes messages of {max} bytes, and one has {pkt_size}"),
        ),
        StateError::Deserialization(
            rumqttc::mqttbytes::Error::InvalidConnectReturnCode(_)
            | rumqttc::mqttbytes::Error::InvalidProtocolLevel(_),
        ) => Lost::new(Why::Version, "it does not answer as a broker of MQTT 5"),
        StateError::AwaitPingResp => Lost::new(Why::Broken, "it went silent"),
        StateError::ConnectionAborted => Lost::new(Why::Closed, "it closed the connection"),
        StateError::Io(error)
        | StateError::Deserialization(rumqttc::mqttbytes::Error::Io(error)) => said_by_io(error),
        StateError::Deserialization(error) => Lost::new(Why::Garbled, error.to_string()),
        other => Lost::new(Why::Broken, other.to_string()),
    }
}

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// Lets the client go on with a session that the broker still has. What is under way in it is kept by the subscriber.
#[derive(Debug)]
struct Remembered {
    in_flight: u16,
}

impl SessionStore for Remembered {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: None,
            outgoing_inflight_upper_limit: Some(self.in_flight),
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
