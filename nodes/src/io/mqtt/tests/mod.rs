//! Against a real broker.

mod filters;
#[path = "../../../../../tests/mosquitto.rs"]
pub(crate) mod mosquitto;

mod embedded;
mod greeting;
mod publishing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use mosquitto::{FORGETS, KEEPS, Mosquitto};
use smollama_engine::config::mqtt::MqttConfig;
use smollama_engine::context::Host;
use tokio::time::timeout;

use super::*;

/// Nothing here takes as long, unless it never happens.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn host(broker: &Mosquitto, id: u128) -> Host {
    let mut host = Host::for_tests(Path::new("/nowhere"));
    host.id = uuid::Uuid::from_u128(id);
    host.mqtt = MqttConfig {
        broker: Some("127.0.0.1".into()),
        port: Some(broker.port),
        ..MqttConfig::default()
    };
    host
}

/// Waits until it is said what is waited for.
async fn until(trouble: &Trouble, what: &str, is: impl Fn(Option<&str>) -> bool) {
    let waited = timeout(WITHIN, async {
        while !is(trouble.get().as_deref()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: {:?}", trouble.get());
}

fn wanted(filters: &[(&str, Qos)]) -> BTreeSet<Subscription> {
    let one = |(filter, qos): &(&str, Qos)| Subscription { filter: (*filter).into(), qos: *qos };
    filters.iter().map(one).collect()
}

fn inbox(host: &Host, address: &str, filters: &[(&str, Qos)]) -> (Inbox, Trouble) {
    let inbox = Broker::lease(None, host).unwrap().inbox(&address.into(), wanted(filters));
    let trouble = inbox.trouble();
    (inbox, trouble)
}

pub(crate) fn says(topic: &str, text: &str, qos: Qos) -> Publication {
    Publication {
        topic: topic.into(),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        qos,
        retain: false,
        properties: Vec::new(),
        expiry: None,
    }
}

/// Takes so many messages, and keeps them.
async fn keep(inbox: &mut Inbox, many: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < many {
        let mut messages = Vec::new();
        let took = timeout(WITHIN, inbox.take(many - texts.len(), &mut messages)).await;
        assert!(took.is_ok(), "only {texts:?} came of {many}");
        for delivery in messages {
            let Delivery::Message(message) = delivery else { continue };
            texts.push(String::from_utf8(message.payload.to_vec()).unwrap());
            message.claim.into_iter().for_each(Claim::kept);
        }
    }
    texts
}

/// Begins to take, and waits until the broker has granted it.
async fn begin(inbox: &mut Inbox, out: &mut Outgoing<u32>, probe: &str) {
    loop {
        out.push(says(probe, "probe", Qos::AtLeastOnce), 0);
        timeout(WITHIN, out.settle(0)).await.unwrap();
        let mut messages = Vec::new();
        if timeout(Duration::from_millis(100), inbox.take(9, &mut messages)).await.is_ok() {
            for delivery in messages {
                if let Delivery::Message(Message { claim: Some(claim), .. }) = delivery {
                    claim.kept();
                }
            }
            return;
        }
    }
}

/// How many messages test each thing.
const MANY: u32 = 300;

/// What came of those that were sent, with QoS 1, however often.
async fn numbers(inbox: &mut Inbox, until: usize) -> Vec<u32> {
    let mut came = Vec::new();
    while came.len() < until {
        came.extend(keep(inbox, 1).await.iter().filter_map(|text| text.parse::<u32>().ok()));
    }
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_a_node_once_with_every_qos_though_two_of_its_filters_match() {
    for version in [MqttVersion::V5, MqttVersion::V3] {
        let broker = Mosquitto::start(FORGETS);
        let (mut hears, mut says_it) = (host(&broker, 1), host(&broker, 2));
        (hears.mqtt.version, says_it.mqtt.version) = (version, version);
        let filters = [("a/+/c", Qos::AtLeastOnce), ("a/x/#", Qos::ExactlyOnce)];
        let (mut inbox, _) = inbox(&hears, "p/n", &filters);
        let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
        begin(&mut inbox, &mut out, "a/x/c").await;
        for number in 0..MANY {
            let qos = Qos::from_number((number % 3) as u8).unwrap();
            out.push(says("a/x/c", &number.to_string(), qos), number);
        }
        let settled = timeout(WITHIN, out.settle(0)).await;
        assert!(settled.is_ok(), "{version:?}, {} unanswered: {}", out.len(), broker.said());
        let mut came = numbers(&mut inbox, MANY as usize).await;
        came.sort_unstable();
        assert_eq!(came, (0..MANY).collect::<Vec<_>>(), "{version:?}");
        assert!(out.take_refused().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_kept_comes_again_after_a_restart_of_the_broker_and_what_was_does_not() {
    let mut broker = Mosquitto::start(KEEPS);
    let (hears, says_it) = (host(&broker, 1), host(&broker, 2));
    let (mut inbox, told) = inbox(&hears, "p/n", &[("a/#", Qos::AtLeastOnce)]);
    let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
    begin(&mut inbox, &mut out, "a/b").await;
    for number in 0..MANY {
        out.push(says("a/b", &number.to_string(), Qos::AtLeastOnce), number);
    }
    timeout(WITHIN, out.settle(0)).await.unwrap();
    let first = numbers(&mut inbox, MANY as usize / 2).await;
    assert_eq!(first, (0..MANY / 2).collect::<Vec<_>>());
    broker.end(true);
    until(&told, "the broker is away", |text| {
        text.is_some_and(|text| text.contains("cannot be reached"))
    })
    .await;
    broker.go_on();
    let rest = numbers(&mut inbox, MANY as usize / 2).await;
    assert_eq!(rest, (MANY / 2..MANY).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_the_broker_is_away_goes_out_in_order_when_it_is_back() {
    let mut broker = Mosquitto::start(FORGETS);
    let (hears, says_it) = (host(&broker, 1), host(&broker, 2));
    let (mut inbox, told) = inbox(&hears, "p/n", &[("a/#", Qos::AtLeastOnce)]);
    let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
    begin(&mut inbox, &mut out, "a/b").await;
    broker.end(false);
    until(&told, "the broker is away", |text| text.is_some()).await;
    for number in 0..MANY {
        out.push(says("a/b", &number.to_string(), Qos::AtLeastOnce), number);
    }
    // Nobody holds a message for those who are not there yet.
    let subscribes = async {
        let mut messages = Vec::new();
        inbox.take(1, &mut messages).await;
        messages
    };
    broker.go_on();
    until(&told, "the broker is back", |text| text.is_none()).await;
    let (settled, first) =
        tokio::join!(timeout(WITHIN, out.settle(0)), timeout(WITHIN, subscribes));
    settled.unwrap();
    drop(first);
    assert!(out.take_refused().is_empty() && out.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connected_but_silent_is_said_and_asked_for_once_more() {
    let broker = Mosquitto::start(&format!("{FORGETS}log_type all\n"));
    let (hears, says_it) = (host(&broker, 1), host(&broker, 2));
    let (mut inbox, told) = inbox(&hears, "p/n", &[("a/#", Qos::AtLeastOnce)]);
    let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
    begin(&mut inbox, &mut out, "a/b").await;
    for number in 0..20 {
        out.push(says("a/b", &number.to_string(), Qos::AtLeastOnce), number);
        out.settle(0).await;
    }
    numbers(&mut inbox, 20).await;
    let asked = || broker.said().matches("Received SUBSCRIBE").count();
    assert_eq!(asked(), 1);
    until(&told, "silence", |text| {
        text.is_some_and(|text| text.contains("nothing has come on `a/#`"))
    })
    .await;
    out.push(says("a/b", "20", Qos::AtLeastOnce), 20);
    out.settle(0).await;
    assert_eq!(numbers(&mut inbox, 1).await, [20]);
    until(&told, "it speaks again", |text| text.is_none()).await;
    assert_eq!(asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_after_a_break_does_not_overtake_what_had_no_answer_before_it() {
    for version in [MqttVersion::V5, MqttVersion::V3] {
        let mut broker = Mosquitto::start(FORGETS);
        let (mut hears, mut says_it) = (host(&broker, 1), host(&broker, 2));
        (hears.mqtt.version, says_it.mqtt.version) = (version, version);
        let (mut inbox, _) = inbox(&hears, "p/n", &[("a/#", Qos::AtLeastOnce)]);
        let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
        let mut probe = Broker::lease(None, &host(&broker, 3)).unwrap().outgoing();
        begin(&mut inbox, &mut out, "a/b").await;
        let push = |out: &mut Outgoing<u32>, number: u32| {
            out.push(says("a/b", &number.to_string(), Qos::AtLeastOnce), number);
        };
        broker.signal(rustix::process::Signal::STOP);
        (0..10).for_each(|number| push(&mut out, number));
        timeout(WITHIN, out.send()).await.unwrap();
        broker.end(false);
        until(&out.trouble(), "the broker is away", |text| text.is_some()).await;
        broker.go_on();
        begin(&mut inbox, &mut probe, "a/b").await;
        until(&out.trouble(), "the broker is back", |text| text.is_none()).await;
        (10..20).for_each(|number| push(&mut out, number));
        timeout(WITHIN, out.send()).await.unwrap();
        timeout(WITHIN, out.settle(0)).await.unwrap();
        assert_eq!(numbers(&mut inbox, 20).await, (0..20).collect::<Vec<_>>(), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_host_says_too_is_taken_so_often_in_a_second_where_nothing_marks_it() {
    let broker = Mosquitto::start(FORGETS);
    let (mut loops, says_it) = (host(&broker, 1), host(&broker, 2));
    loops.mqtt.version = MqttVersion::V3;
    let (mut inbox, _) = inbox(&loops, "p/n", &[("a/#", Qos::AtLeastOnce)]);
    let mut other = Broker::lease(None, &says_it).unwrap().outgoing();
    begin(&mut inbox, &mut other, "a/probe").await;
    let mut out = Broker::lease(None, &loops).unwrap().outgoing();
    let began = std::time::Instant::now();
    for number in 0..1_000 {
        out.push(says("a/loop", &number.to_string(), Qos::AtLeastOnce), number);
    }
    timeout(WITHIN, out.settle(0)).await.unwrap();
    other.push(says("a/end", "1000", Qos::AtLeastOnce), 0);
    timeout(WITHIN, other.settle(0)).await.unwrap();
    let mut came = Vec::new();
    while came.last() != Some(&1_000) {
        came.extend(numbers(&mut inbox, 1).await);
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    assert!(came.len() <= seconds * 100 + 1, "{} in {seconds} s", came.len());
    assert_eq!(came[..50], (0..50).collect::<Vec<_>>());
}
