//! Subscriptions that nobody wants any more, over restarts.

use std::sync::Arc;

use smollama_engine::running::{Caretaker, Places};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::mosquitto::{KEEPS, Mosquitto};
use super::*;

/// What runs in a life of the host ends with it, as it does when the process is killed.
fn life() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

struct Site {
    broker: Mosquitto,
    folder: TempDir,
}

impl Site {
    fn new() -> Site {
        Site { broker: Mosquitto::start(KEEPS), folder: TempDir::new().unwrap() }
    }

    fn host(&self) -> (Arc<Host>, Arc<Outbox>) {
        let mut host = host(&self.broker, 1);
        host.data_dir = self.folder.path().to_owned();
        let host = Arc::new(host);
        let outbox = Outbox::open(&host).unwrap();
        (host, outbox)
    }

    /// The filters that are noted.
    fn noted(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("mqtt/outbox.jsonl"));
        let mut noted = BTreeSet::new();
        for line in text.unwrap_or_default().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(filter) = line["asked"]["filter"].as_str() {
                noted.insert(filter.to_owned());
            }
            if let Some(filter) = line["given_back"]["filter"].as_str() {
                noted.remove(filter);
            }
        }
        noted.into_iter().collect()
    }

    async fn notes(&self, filters: &[&str]) {
        let waited = timeout(WITHIN, async {
            while self.noted() != filters {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{filters:?}: {:?} {}", self.noted(), self.broker.said());
    }

    /// A life in which two filters are wanted.
    fn first_life(&self) {
        life().block_on(async {
            let (host, _outbox) = self.host();
            let says_it = super::host(&self.broker, 2);
            let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
            let filters = [("a/#", Qos::AtLeastOnce), ("b/#", Qos::AtLeastOnce)];
            let (mut inbox, _) = inbox(&host, "p/n", &filters);
            begin(&mut inbox, &mut out, "b/probe").await;
            self.notes(&["a/#", "b/#"]).await;
            host.leases.stopping().cancel();
        });
    }

    /// What waits in the session is what it would have if it were still subscribed.
    fn publish(&self, topics: &[&str]) {
        life().block_on(async {
            let says_it = super::host(&self.broker, 2);
            let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
            for topic in topics {
                out.push(says(topic, topic, Qos::AtLeastOnce), 0);
            }
            timeout(WITHIN, out.settle(0)).await.unwrap();
        });
    }
}

#[test]
fn what_a_later_run_does_not_want_is_given_back_and_what_it_wants_stays() {
    let site = Site::new();
    site.first_life();
    life().block_on(async {
        let (host, _outbox) = site.host();
        let says_it = super::host(&site.broker, 2);
        let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
        let (mut inbox, _) = inbox(&host, "p/n", &[("b/#", Qos::AtLeastOnce)]);
        begin(&mut inbox, &mut out, "b/probe").await;
        site.notes(&["b/#"]).await;
        host.leases.stopping().cancel();
    });
    site.publish(&["a/1", "b/1"]);
    life().block_on(async {
        let (host, _outbox) = site.host();
        let all = [("a/#", Qos::AtLeastOnce), ("b/#", Qos::AtLeastOnce)];
        let (mut inbox, _) = inbox(&host, "p/n", &all);
        // A probe of before may come again.
        let mut came = keep(&mut inbox, 1).await;
        while came == ["probe"] {
            came = keep(&mut inbox, 1).await;
        }
        assert_eq!(came, ["b/1"], "nothing was kept of `a/#`");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_last_node_wanted_is_given_back_though_the_broker_was_away_when_it_went() {
    let mut site = Site::new();
    let (host, _outbox) = site.host();
    let says_it = super::host(&site.broker, 2);
    let mut out = Broker::lease(None, &says_it).unwrap().outgoing();
    let (mut inbox, told) = inbox(&host, "p/n", &[("b/#", Qos::AtLeastOnce)]);
    begin(&mut inbox, &mut out, "b/probe").await;
    site.notes(&["b/#"]).await;
    site.broker.end(true);
    until(&told, "the broker is away", |text| text.is_some()).await;
    drop(inbox);
    site.broker.go_on();
    site.notes(&[]).await;
}

#[test]
fn a_host_without_a_source_gives_everything_back_and_leaves() {
    let site = Site::new();
    site.first_life();
    let left = || site.broker.said().matches("-sub disconnected").count();
    let before = left();
    life().block_on(async {
        let (_host, outbox) = site.host();
        outbox.clone().now_runs(&Arc::new(Places::new()), &BTreeMap::new());
        site.notes(&[]).await;
        let waited = timeout(WITHIN, async {
            while left() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{}", site.broker.said());
    });
}
