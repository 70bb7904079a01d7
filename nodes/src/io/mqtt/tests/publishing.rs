//! What becomes of publications that are interrupted.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_goes_out_once_however_often_whoever_sends_it_is_interrupted() {
    /// More than find room at once, some times over.
    const MANY: u32 = 3_000;
    for version in [MqttVersion::V5, MqttVersion::V3] {
        let broker = Mosquitto::start(FORGETS);
        let (mut hears, mut says_it) = (host(&broker, 1), host(&broker, 2));
        (hears.mqtt.version, says_it.mqtt.version) = (version, version);
        let (mut inbox, _) = inbox(&hears, "p/n", &[("a/b", Qos::AtLeastOnce)]);
        let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
        begin(&mut inbox, &mut out, "a/b").await;
        for number in 0..MANY {
            out.push(says("a/b", &number.to_string(), Qos::AtLeastOnce), number);
        }
        let settled = timeout(WITHIN, async {
            while !out.is_empty() {
                let mut settling = pin!(out.settle(0));
                tokio::select! {
                    biased;
                    () = &mut settling => {}
                    () = std::future::ready(()) => {}
                }
                // The connection takes what waits for its turn, and then nobody is there any more who would hear of it.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        settled.await.unwrap();
        // Behind them: nothing comes that is not expected.
        out.push(says("a/b", &MANY.to_string(), Qos::AtLeastOnce), MANY);
        timeout(WITHIN, out.settle(0)).await.unwrap();
        let came = numbers(&mut inbox, MANY as usize + 1).await;
        assert_eq!(came, (0..=MANY).collect::<Vec<_>>(), "{version:?}");
    }
}

/// A connection to a broker that speaks MQTT 3.1.1, and acknowledges when it is told to.
struct Slow(TcpStream);

impl Slow {
    fn accept(listener: &TcpListener) -> Slow {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let mut slow = Slow(stream);
        assert_eq!(slow.packet().0 >> 4, 1, "CONNECT");
        slow.0.write_all(&[0x20, 2, 0, 0]).unwrap();
        slow
    }

    /// The first byte of the next packet, and what it holds: fewer than 128 bytes.
    fn packet(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut body = vec![0; head[1].into()];
        self.0.read_exact(&mut body).unwrap();
        (head[0], body)
    }

    /// The number and the text of the next publication.
    fn publication(&mut self) -> ([u8; 2], String) {
        let (kind, body) = self.packet();
        assert_eq!(kind >> 4, 3, "PUBLISH");
        let behind = &body[2 + usize::from(body[1])..];
        ([behind[0], behind[1]], String::from_utf8(behind[2..].to_vec()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_connection_left_unanswered_goes_out_before_what_is_new() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut host = Host::for_tests(Path::new("/nowhere"));
    host.mqtt = MqttConfig {
        broker: Some("127.0.0.1".into()),
        port: Some(listener.local_addr().unwrap().port()),
        version: MqttVersion::V3,
        announce: Some(false),
        ..MqttConfig::default()
    };
    let broker = std::thread::spawn(move || {
        let mut first = Slow::accept(&listener);
        assert_eq!(first.publication().1, "one");
        drop(first);
        let mut second = Slow::accept(&listener);
        let texts = [(); 3].map(|()| {
            let ([high, low], text) = second.publication();
            second.0.write_all(&[0x40, 2, high, low]).unwrap();
            text
        });
        (texts, second)
    });
    let mut out = Broker::lease(None, &host).unwrap().outgoing();
    let trouble = out.trouble();
    let said = |text| says("a", text, Qos::AtLeastOnce);
    out.push(said("one"), 1);
    out.send().await;
    until(&trouble, "the broker is away", |text| text.is_some()).await;
    until(&trouble, "the broker is back", |text| text.is_none()).await;
    out.push(said("two"), 2);
    out.send().await;
    out.push(said("three"), 3);
    timeout(WITHIN, out.settle(0)).await.unwrap();
    assert_eq!(broker.join().unwrap().0, ["one", "two", "three"]);
    assert!(out.is_empty() && out.take_refused().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_in_may_lack_the_right_to_its_will_and_is_told_that_too() {
    // Not authorised: MQTT 3.1.1, and MQTT 5 (with the properties behind it, of which there are none).
    for (version, answer, topic) in [
        (MqttVersion::V3, &[0x20, 2, 0, 5][..], Some("smollama/test/status")),
        (MqttVersion::V5, &[0x20, 3, 0, 0x87, 0], Some("smollama/test/status")),
        (MqttVersion::V3, &[0x20, 2, 0, 5], None),
        // A bad user name or password.
        (MqttVersion::V3, &[0x20, 2, 0, 4], None),
        (MqttVersion::V5, &[0x20, 3, 0, 0x86, 0], None),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut host = Host::for_tests(Path::new("/nowhere"));
        host.name = "test".into();
        host.mqtt = MqttConfig {
            broker: Some("127.0.0.1".into()),
            port: Some(listener.local_addr().unwrap().port()),
            version,
            announce: Some(topic.is_some() || answer[answer.len() - 1] != 5),
            ..MqttConfig::default()
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                // All of CONNECT that matters has come with its first bytes.
                let _ = (stream.read(&mut [0; 4_096]), stream.write_all(answer));
            }
        });
        let mut out: Outgoing<u32> = Broker::lease(None, &host).unwrap().outgoing();
        let trouble = out.trouble();
        out.push(says("a", "1", Qos::AtLeastOnce), 1);
        let _ = timeout(Duration::from_millis(1), out.send()).await;
        until(&trouble, "it is said", |text| {
            let has_will = text.is_some_and(|text| text.contains("the topic of the will"));
            let named = topic.is_none_or(|topic| text.is_some_and(|text| text.contains(topic)));
            text.is_some_and(|text| text.contains("does not accept the user name and password"))
                && has_will == topic.is_some()
                && named
        })
        .await;
    }
}
