//! Against a real broker, which stands for what Home Assistant would see.

mod entities;
mod removal;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use smollama_engine::batch::{Batch, Items};
use smollama_engine::config::mqtt::MqttConfig as Brokers;
use smollama_engine::context::{Context, Host};
use smollama_engine::node::{Node, Sink};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::NodeConfig;
use smollama_engine::running::{Caretaker, Places};
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::time::Timestamp;
use tokio::time::timeout;

use crate::io::mqtt::tests::mosquitto::Mosquitto;
use crate::io::mqtt::{Announcer, Arrived, Client, Outbox, Publication, Qos};
use crate::sinks::mqtt::MqttConfig;

/// Nothing here takes as long, unless it never happens.
const WITHIN: Duration = Duration::from_secs(30);

/// A host with its outbox.
struct Site {
    host: Arc<Host>,
    outbox: Arc<Outbox>,
    end: u64,
}

impl Site {
    fn new(broker: &Mosquitto, folder: &Path) -> Site {
        let mut host = Host::for_tests(folder);
        host.name = "shed".into();
        host.id = uuid::Uuid::from_u128(7);
        host.mqtt = Brokers {
            broker: Some("127.0.0.1".into()),
            port: Some(broker.port),
            ..Brokers::default()
        };
        let host = Arc::new(host);
        let outbox = Outbox::open(&host).unwrap();
        Site { host, outbox, end: 0 }
    }

    /// From now on these nodes run, and have entities.
    fn runs(&self, nodes: &[&str]) {
        let place = Announcer::place("default", "homeassistant");
        let nodes = nodes.iter().map(|node| (Arc::from(*node), Some(place.clone())));
        let nodes: Arc<Places> = Arc::new(nodes.collect());
        self.outbox.clone().now_runs(&nodes, &BTreeMap::new());
    }

    fn sink(&self, address: &str, settings: Json) -> Box<dyn Sink> {
        let config: MqttConfig = serde_json::from_value(settings).unwrap();
        assert_eq!(NodeConfig::problems(&config), []);
        let context = Context::new(self.host.clone(), address, "mqtt");
        match config.build(&context).unwrap() {
            Node::Sink(sink) => sink,
            other => panic!("{other:?}"),
        }
    }

    fn reading(&self, source: &str, unit: &str, value: Value) -> Reading {
        let series = Series::new(SourceKey::parse(source)).with_unit(unit);
        let series = self.host.series.intern(&series).unwrap();
        Reading::new(Timestamp::from_micros(1_790_000_000_000_000), series, value)
    }

    async fn write(&mut self, sink: &mut dyn Sink, items: Items) {
        self.end += items.len() as u64;
        let received = Timestamp::from_micros(1_790_000_000_000_000);
        let batch = Batch { received, seq: 0, items, end: self.end };
        timeout(WITHIN, sink.write(&batch)).await.unwrap().unwrap();
        timeout(WITHIN, sink.flush(received)).await.unwrap().unwrap();
    }

    async fn readings(&mut self, sink: &mut dyn Sink, readings: &[(&str, &str, Value)]) {
        let readings = readings.iter();
        let readings =
            readings.map(|(source, unit, value)| self.reading(source, unit, value.clone()));
        let items = Items::Readings(readings.collect());
        self.write(sink, items).await;
    }
}

/// Someone who looks at a broker as Home Assistant does.
struct Looker(Client);

impl Looker {
    async fn new(broker: &Mosquitto) -> Looker {
        let settings = Brokers {
            broker: Some("127.0.0.1".into()),
            port: Some(broker.port),
            ..Brokers::default()
        };
        let settings = settings.named("default").unwrap();
        let mut client = Client::connect(&settings).await.unwrap();
        for filter in ["homeassistant/+/+/+/config", "home/#"] {
            client.subscribe(filter, Qos::AtLeastOnce).await.unwrap();
        }
        Looker(client)
    }

    async fn next(&mut self) -> Arrived {
        timeout(WITHIN, self.0.next()).await.expect("a message").unwrap()
    }

    /// The next announcement: the topic without what all have in common, and what it says; nothing where something is taken back.
    async fn entity(&mut self) -> (String, Option<Json>) {
        loop {
            let Arrived { topic, payload, .. } = self.next().await;
            let Some(topic) = topic.strip_prefix("homeassistant/") else { continue };
            let topic = topic.strip_suffix("/config").unwrap();
            let id = "smollama_00000000000000000000000000000007/";
            let said = (!payload.is_empty()).then(|| serde_json::from_slice(&payload).unwrap());
            return (topic.replace(id, ""), said);
        }
    }

    async fn says(&mut self, topic: &str, payload: &'static str) {
        let publication = Publication {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: Vec::new(),
            expiry: None,
        };
        self.0.publish(publication).await.unwrap();
    }
}
