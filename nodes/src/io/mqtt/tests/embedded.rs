//! This program as the broker.

use std::net::TcpListener;

use smollama_engine::config::Secret;

use super::*;

/// A host that is a broker itself, and one that uses it.
fn hosts(folder: &Path) -> [Host; 2] {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let [mut one, mut other] = [1, 2].map(|id| {
        let mut host = Host::for_tests(folder);
        host.id = uuid::Uuid::from_u128(id);
        host.mqtt.port = Some(port);
        host
    });
    one.mqtt.embedded = true;
    other.mqtt.broker = Some("127.0.0.1".into());
    [one, other]
}

async fn message(inbox: &mut Inbox) -> Message {
    let mut came = Vec::new();
    let took = timeout(WITHIN, inbox.take(1, &mut came)).await;
    match came.pop() {
        Some(Delivery::Message(message)) => message,
        other => panic!("{took:?}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_broker_acknowledges_what_the_nodes_of_its_host_have_kept() {
    let folder = tempfile::tempdir().unwrap();
    let [is_broker, uses_it] = hosts(folder.path());
    for version in [MqttVersion::V5, MqttVersion::V3] {
        let mut uses_it = Host { mqtt: uses_it.mqtt.clone(), ..Host::for_tests(folder.path()) };
        (uses_it.id, uses_it.mqtt.version) = (uuid::Uuid::from_u128(3), version);
        let (mut inbox, told) = inbox(&is_broker, "p/n", &[("a/#", Qos::AtLeastOnce)]);
        let mut out = Broker::lease(None, &uses_it).unwrap().outgoing();
        for (number, qos) in [Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().enumerate() {
            out.push(says("a/b", &number.to_string(), qos), 0_u32);
            let sent = timeout(WITHIN, async { tokio::join!(out.send(), message(&mut inbox)) });
            let ((), message) = sent.await.unwrap();
            assert_eq!(message.payload, number.to_string());
            let unanswered = timeout(Duration::from_millis(50), out.settle(0)).await;
            assert!(unanswered.is_err(), "acknowledged before it was kept: {version:?} {qos:?}");
            message.claim.unwrap().kept();
            timeout(WITHIN, out.settle(0)).await.unwrap();
        }
        // A node that will not keep it gets it once more.
        out.push(says("a/b", "again", Qos::AtLeastOnce), 0);
        let sent = timeout(WITHIN, async { tokio::join!(out.send(), message(&mut inbox)) });
        drop(sent.await.unwrap());
        message(&mut inbox).await.claim.unwrap().kept();
        timeout(WITHIN, out.settle(0)).await.unwrap();
        assert_eq!((told.get(), out.take_refused()), (None, vec![]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_hear_of_an_embedded_broker_what_its_host_and_others_say() {
    let folder = tempfile::tempdir().unwrap();
    let [is_broker, uses_it] = hosts(folder.path());
    let (mut own, _) = inbox(&is_broker, "p/own", &[("a/#", Qos::AtLeastOnce)]);
    let mut says_it = Broker::lease(None, &is_broker).unwrap().outgoing();
    let (mut theirs, _) = inbox(&uses_it, "p/theirs", &[("a/#", Qos::AtLeastOnce)]);
    begin(&mut theirs, &mut says_it, "a/probe").await;
    says_it.push(says("a/b", "1", Qos::AtLeastOnce), 0);
    timeout(WITHIN, says_it.settle(0)).await.unwrap();
    assert_eq!(numbers(&mut theirs, 1).await, [1]);
    // It does not hear itself.
    let mut came = Vec::new();
    assert!(timeout(Duration::from_millis(50), own.take(9, &mut came)).await.is_err(), "{came:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_password_is_not_let_in_to_an_embedded_broker() {
    let folder = tempfile::tempdir().unwrap();
    let [mut is_broker, uses_it] = hosts(folder.path());
    is_broker.mqtt.username = Some(Secret::literal("pi"));
    is_broker.mqtt.password = Some(Secret::literal("secret"));
    let mut own = Broker::lease(None, &is_broker).unwrap().outgoing();
    own.push(says("a", "1", Qos::AtLeastOnce), 0_u32);
    timeout(WITHIN, own.settle(0)).await.unwrap();
    let mut theirs: Outgoing<u32> = Broker::lease(None, &uses_it).unwrap().outgoing();
    let told = theirs.trouble();
    theirs.push(says("a", "2", Qos::AtLeastOnce), 0);
    tokio::select! {
        () = theirs.settle(0) => panic!("it was let in"),
        () = until(&told, "it is refused", |text| {
            text.is_some_and(|text| text.contains("user name and password"))
        }) => {}
    }
}
