//! What brokers say of themselves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use smollama_engine::config::Secret;
use smollama_engine::config::mqtt::MqttTls;

use super::*;

fn at(port: u16) -> MqttBroker {
    let broker = Some("127.0.0.1".to_owned());
    MqttBroker { broker, port: Some(port), ..MqttBroker::default() }
}

async fn refused(settings: &MqttBroker) -> NotGreeted {
    match greet(settings, WITHIN).await {
        Err(why) => why,
        Ok((greeting, _)) => panic!("{greeting:?}"),
    }
}

#[tokio::test]
async fn a_real_broker_says_what_it_does_at_most_in_both_versions() {
    let limits = "allow_anonymous true\nmax_inflight_messages 7\nmax_packet_size 5000\n\
        max_qos 1\nretain_available false\n";
    let broker = Mosquitto::start(limits);
    let (greeting, _) = greet(&at(broker.port), WITHIN).await.unwrap();
    assert_eq!(greeting.version, MqttVersion::V5);
    assert_eq!(greeting.receive_maximum, Some(7));
    assert_eq!(greeting.max_packet, Some(5000));
    assert_eq!(greeting.max_qos, Qos::AtLeastOnce);
    assert!(!greeting.retain);
    assert!(greeting.wildcards && greeting.shared);
    let older = MqttBroker { version: MqttVersion::V3, ..at(broker.port) };
    let (greeting, _) = greet(&older, WITHIN).await.unwrap();
    assert_eq!((greeting.version, greeting.receive_maximum), (MqttVersion::V3, None));

    // Another one says nothing of limits; and the connection that comes with the greeting is one like any other.
    let broker = Mosquitto::start(FORGETS);
    let (greeting, mut client) = greet(&at(broker.port), WITHIN).await.unwrap();
    assert_eq!((greeting.max_qos, greeting.max_packet), (Qos::ExactlyOnce, None));
    assert!(greeting.retain);
    client.subscribe("$SYS/broker/version", Qos::AtMostOnce).await.unwrap();
    let version = timeout(WITHIN, client.next()).await.unwrap().unwrap();
    assert!(version.payload.starts_with(b"mosquitto version"), "{version:?}");
    client.close().await;
}

#[tokio::test]
async fn each_reason_is_told_apart() {
    let broker = Mosquitto::start("allow_anonymous false\n");
    assert_eq!(refused(&at(broker.port)).await.reason, Reason::Refused);
    let stranger = MqttBroker {
        username: Some(Secret::literal("pi")),
        password: Some(Secret::literal("raspberry")),
        ..at(broker.port)
    };
    assert_eq!(refused(&stranger).await.reason, Reason::Refused);
    assert_eq!(refused(&at(mosquitto::free_port())).await.reason, Reason::Nobody);
    let tls = MqttTls { ca: Some("/nowhere/ca.pem".into()), ..MqttTls::default() };
    let settings = MqttBroker { tls: Some(tls), ..at(broker.port) };
    assert_eq!(refused(&settings).await.reason, Reason::Settings);

    // Something that takes every connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let said = greet(&at(port), Duration::from_millis(200)).await.map(drop).unwrap_err();
    assert_eq!((said.reason, said.text.as_str()), (Reason::Unreachable, "it does not answer"));
    // Something that speaks another protocol, at once, or when it was asked.
    for waits in [false, true] {
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = web.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut connection in web.incoming().flatten() {
                let mut request = [0; 512];
                // Whether anybody still speaks or listens does not matter.
                if waits {
                    let _ = connection.read(&mut request);
                }
                let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let why = refused(&at(port)).await;
        assert_eq!(why.reason, Reason::NoBroker, "waits: {waits}: {why}");
    }
}

/// What a client says first: its flags, and the whole packet.
fn connect(connection: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    connection.read_exact(&mut head).unwrap();
    assert!(head[0] == 0x10 && head[1] < 0x80, "a short CONNECT: {head:?}");
    let mut packet = vec![0; head[1].into()];
    connection.read_exact(&mut packet).unwrap();
    (packet[7], packet)
}

/// The client id of MQTT 5's CONNECT: behind 10 bytes and the properties.
fn client_id(packet: &[u8]) -> Vec<u8> {
    let at = 11 + usize::from(packet[10]);
    packet[at + 2..at + 2 + usize::from(packet[at + 1])].to_vec()
}

#[tokio::test]
async fn a_session_is_asked_for_and_nothing_is_left_of_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = thread::spawn(move || {
        let mut came = Vec::new();
        for connection in listener.incoming().take(2) {
            let mut connection = connection.unwrap();
            came.push(connect(&mut connection));
            // A session of an hour, and a keep-alive of ten seconds.
            let properties = [0x11, 0, 0, 0x0e, 0x10, 0x13, 0, 10];
            let mut connack = vec![0x20, 3 + properties.len() as u8, 0, 0, properties.len() as u8];
            connack.extend_from_slice(&properties);
            connection.write_all(&connack).unwrap();
            let mut rest = Vec::new();
            // Until the client has gone.
            let _ = connection.read_to_end(&mut rest);
        }
        came
    });
    let (greeting, client) = greet(&at(port), WITHIN).await.unwrap();
    assert_eq!(greeting.session_expiry, Some(Duration::from_secs(3600)));
    assert_eq!(greeting.keep_alive, Some(Duration::from_secs(10)));
    client.close().await;
    let came = broker.join().unwrap();
    const CLEAN: u8 = 2;
    // The property of a session's expiry, and 7 days in seconds.
    let asked = [0x11, 0, 9, 0x3a, 0x80];
    let asks = |packet: &[u8]| packet.windows(asked.len()).any(|part| part == asked);
    assert!(came[0].0 & CLEAN == 0 && asks(&came[0].1), "{came:?}");
    assert!(came[1].0 & CLEAN != 0 && !asks(&came[1].1), "{came:?}");
    assert_eq!(client_id(&came[0].1), client_id(&came[1].1));
}
