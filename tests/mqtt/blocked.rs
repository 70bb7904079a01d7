//! A graph that stands still, since one of its sinks blocks, while another one shares the broker with its source.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Client;
use super::load::Observer;
use super::{broker, node, place, wait_for_subscription};
use crate::kill::Random;
use crate::kill::receiver::{Mood, Receiver};
use crate::place::wait_until;

/// More than journal and spool have room for.
const MESSAGES: u64 = 2_000;
/// The length of each, in bytes.
const LENGTH: usize = 1_000;

#[test]
fn a_graph_that_blocks_holds_up_neither_the_connections_nor_itself() {
    let broker = broker("");
    let receiver = Receiver::start();
    receiver.be(Mood::Away);
    let place = place(broker.port, ", keep_alive: 5s");
    let config = place.read("config.yaml");
    place.write("config.yaml", &format!("{config}journal: {{ size: 1MiB }}\n"));
    let yaml = format!(
        "pipeline: p\n\
         sources:\n  in: {{ as: s, mqtt: {{ topic: \"in/+\", id: \"{{2}}\" }} }}\n\
         sinks:\n  sent: {{ inputs: [in], mqtt: {{ topic: \"out/{{{{ source }}}}\" }} }}\n  \
         away:\n    inputs: [in]\n    queue: {{ size: 64KiB, spool: 256KiB, when_full: block }}\n    \
         retry: {{ initial: 20ms, max: 200ms }}\n    \
         http: {{ url: \"http://{}/\" }}\n",
        receiver.address
    );
    let observer = Observer::start(broker.port, "out/#");
    let _engine = place.engine(&yaml);
    wait_for_subscription(&broker, "in/+");
    let mut client = Client::connect(broker.port, "publisher").expect("it runs");
    let mut random = Random::new(1);
    for number in 0..MESSAGES {
        // Nothing that a journal could make smaller.
        let text: String = (0..LENGTH).map(|_| char::from(b'#' + random.below(57) as u8)).collect();
        let payload = format!("{{\"value\":\"{number} {text}\"}}");
        client.say("in/1", payload.as_bytes()).expect("it takes it");
    }
    // Nothing is acknowledged any more: spool and journal are full. That holds for more than two keep-alives.
    let (mut last, mut since) = (0, Instant::now());
    wait_until("it stands still", || {
        let now = node(&place, "in")["emitted"]["main"].as_u64().expect("a number");
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(200));
        since.elapsed() > Duration::from_secs(11)
    });
    assert!(last < MESSAGES, "it took all: nothing blocked");
    assert_eq!(node(&place, "in")["error"], Value::Null);
    assert_eq!(node(&place, "sent")["error"], Value::Null);
    let said = broker.said();
    let pings = said.lines().filter(|line| line.contains("Received PINGREQ from smollama-"));
    assert!(pings.count() >= 2, "neither connection was kept alive");
    receiver.be(Mood::There);
    // Room in the journal is found with a checkpoint, of which there is one in ten seconds.
    let (began, limit) = (Instant::now(), Duration::from_secs(180));
    loop {
        let (taken, observed) = (receiver.taken().items.len(), observer.count());
        if place.is_idle() && taken as u64 == MESSAGES && observed as u64 >= MESSAGES {
            break;
        }
        let nodes = ["in", "sent", "away"].map(|name| node(&place, name));
        assert!(began.elapsed() < limit, "{taken} taken, {observed} observed: {nodes:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let number = |payload: &Vec<u8>| {
        let row: Value = serde_json::from_slice(payload).expect("JSON");
        let word = row["value"].as_str().and_then(|value| value.split(' ').next());
        word.and_then(|word| word.parse::<u64>().ok()).expect("a number")
    };
    let sent: Vec<u64> = observer.payloads().iter().map(number).collect();
    assert!(sent.iter().copied().eq(0..MESSAGES), "not in order, or twice: {sent:?}");
    let connected = said
        .lines()
        .filter(|line| line.contains("New client connected") && line.contains("smollama-"));
    assert_eq!(connected.count(), 2, "a connection broke");
}
