//! A connection that speaks MQTT 3.1.1.

use std::pin::Pin;

use rumqttc_v4::{
    AckMode, AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill,
    ManualAck, MqttOptions, NetworkOptions, Packet, PersistedAckMode, PersistedSession, PubAck,
    PubRec, Publish, PublishNotice, PublishOptions, QoS, SessionStore, SessionStoreError,
    SessionStoreKey, StateError, SubscribeReasonCode, TlsConfiguration, TlsError, Transport,
};

use super::super::message::{Incoming, Publication, Qos};
use super::{
    Answer, Answered, BAD_USER, CONNECT_WITHIN, Connected, Ended, Granted, Happening, Limits, Lost,
    Options, REQUESTS_AT_ONCE, WAITING, Why, said_by_io, said_by_tls,
};

/// How many publications can be under way. This version cannot be told a limit, and mosquitto ends a connection that goes beyond its own,
/// which is 20 by default.
const IN_FLIGHT: u16 = 20;
/// The largest packet the protocol knows.
const PACKET_MAX: usize = 268_435_455;

/// The connection.
pub(in super::super) struct Link {
    events: EventLoop,
    client: Client,
}

/// Speaks on it.
#[derive(Debug, Clone)]
pub(in super::super) struct Client(AsyncClient);

impl Link {
    pub(super) fn new(options: &Options) -> Link {
        let mut mqtt = MqttOptions::new(&options.client_id, (options.host.as_str(), options.port));
        if let Some(tls) = &options.tls {
            mqtt.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
        }
        if let Some((user, password)) = &options.credentials {
            mqtt.set_credentials(user, password.clone().into_bytes());
        }
        let seconds = options.keep_alive.as_secs().try_into().unwrap_or(u16::MAX);
        let largest = options.max_packet.max(super::READABLE).try_into().unwrap_or(usize::MAX);
        let in_flight = options.in_flight.min(IN_FLIGHT);
        mqtt.set_keep_alive(seconds)
            .set_max_request_batch(REQUESTS_AT_ONCE)
            .set_ack_mode(AckMode::Manual)
            .set_clean_session(options.session.is_none())
            .set_max_packet_size(largest, PACKET_MAX)
            .set_inflight(in_flight);
        if options.session.is_some() {
            mqtt.set_session_store(Remembered { in_flight });
        }
        if let Some(will) = &options.will {
            let (topic, payload) = (will.topic.clone(), will.payload.clone());
            mqtt.set_last_will(LastWill::new(topic, payload, qos(will.qos), will.retain));
        }
        let builder = AsyncClient::builder(mqtt);
        // What only subscribes never waits: an acknowledgement must not be lost for want of room.
        let builder =
            if options.publishes { builder.capacity(WAITING) } else { builder.unbounded() };
        let (client, mut events) = builder.build();
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_WITHIN.as_secs());
        events.set_network_options(network);
        Link { events, client: Client(client) }
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
                self.events.mqtt_options.clear_session_store();
                Ok(Happening::Connected(Connected {
                    session: connack.session_present,
                    numbers: false,
                    // This version has no words for them, and no shared subscriptions.
                    limits: Limits { shared: false, ..Limits::UNSAID },
                }))
            }
            Ok(_) => Ok(Happening::Other),
            Err(error) => Err(lost(&error)),
        }
    }
}

impl Client {
    pub(super) fn acknowledge(&self, number: u16, qos: Qos) {
        let ack = match qos {
            Qos::AtMostOnce => return,
            Qos::AtLeastOnce => ManualAck::PubAck(PubAck::new(number)),
            Qos::ExactlyOnce => ManualAck::PubRec(PubRec::new(number)),
        };
        // An error means that the connection ended: the broker then sends it again.
        let _ = self.0.try_manual_ack(ack);
    }

    pub(super) fn subscribe(&self, filter: &str, wanted: Qos) -> Granted {
        let notice = self.0.try_subscribe_tracked(filter, qos(wanted));
        Box::pin(async move {
            let ack = notice.ok()?.wait_async().await.ok()?;
            Some(match ack.return_codes.first()? {
                SubscribeReasonCode::Success(granted) => Ok(of_qos(*granted)),
                SubscribeReasonCode::Failure => Err("the broker refuses it".to_owned()),
            })
        })
    }

    pub(super) fn unsubscribe(&self, filter: &str) -> Ended {
        let notice = self.0.try_unsubscribe_tracked(filter);
        Box::pin(async move {
            match notice {
                Ok(notice) => notice.wait_async().await.is_ok(),
                Err(_) => false,
            }
        })
    }

    pub(super) fn try_publish(&self, publication: &Publication) -> Option<Answered> {
        let (topic, payload) = (publication.topic.clone(), publication.payload.clone());
        match self.0.try_publish_tracked(topic, payload, options(publication)) {
            Err(rumqttc_v4::ClientError::RequestChannelFull(_)) => None,
            notice => Some(answered(notice)),
        }
    }

    pub(super) async fn publish(&self, publication: Publication) -> Answered {
        let options = options(&publication);
        let Publication { topic, payload, .. } = publication;
        answered(self.0.publish_tracked(topic, payload, options).await)
    }

    pub(super) fn leave(&self) {
        let _ = self.0.try_disconnect();
    }
}

const fn options(publication: &Publication) -> PublishOptions {
    PublishOptions::new(qos(publication.qos)).retain(publication.retain)
}

fn answered(notice: Result<PublishNotice, rumqttc_v4::ClientError>) -> Answered {
    Box::pin(async move {
        match notice {
            Ok(notice) => match notice.wait_async().await {
                Ok(_) => Answer::Taken,
                Err(_) => Answer::Unknown,
            },
            Err(rumqttc_v4::ClientError::RequestChannelDisconnected(_)) => Answer::Unknown,
            Err(error) => Answer::Refused(error.to_string()),
        }
    })
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
    Incoming {
        topic: publish.topic,
        payload: publish.payload,
        qos: of_qos(publish.qos),
        retained: publish.retain,
        again: publish.dup,
        number: publish.pkid,
        by: Vec::new(),
        host: None,
    }
}

fn lost(error: &ConnectionError) -> Lost {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::MqttState(state) => broken(state),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            Lost::new(Why::Broken, "it does not answer")
        }
        ConnectionError::Io(error) => said_by_io(error),
        ConnectionError::Tls(TlsError::TLS(error)) => said_by_tls(error),
        ConnectionError::Tls(TlsError::Io(error)) => said_by_io(error),
        ConnectionError::Tls(error) => Lost::new(Why::Untrusted, format!("no trust: {error}")),
        ConnectionError::RequestsDone => Lost::new(Why::Asked, "the connection was ended"),
        other => Lost::new(Why::Broken, other.to_string()),
    }
}

fn refused(code: ConnectReturnCode) -> Lost {
    use ConnectReturnCode as Code;
    match code {
        Code::RefusedProtocolVersion => Lost::new(Why::Version, "it does not know MQTT 3.1.1"),
        Code::BadUserNamePassword => Lost::new(Why::Refused, BAD_USER),
        Code::NotAuthorized => Lost::new(Why::NotAuthorized, BAD_USER),
        Code::BadClientId => Lost::new(Why::Refused, "it does not accept the client id"),
        other => Lost::new(Why::Broken, format!("it refuses: {other:?}")),
    }
}

fn broken(state: &StateError) -> Lost {
    use rumqttc_v4::mqttbytes::Error;
    match state {
        StateError::Deserialization(Error::PayloadSizeLimitExceeded(size)) => {
            Lost::new(Why::TooLarge, format!("a message of {size} bytes came"))
        }
        StateError::AwaitPingResp => Lost::new(Why::Broken, "it went silent"),
        StateError::ConnectionAborted => Lost::new(Why::Closed, "it closed the connection"),
        StateError::Io(error) | StateError::Deserialization(Error::Io(error)) => said_by_io(error),
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
            clean_session: false,
            max_inflight: self.in_flight,
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
