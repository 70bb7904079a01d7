//! What entities look like, and when they come.

use std::sync::Arc;

use serde_json::json;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};

use super::*;
use crate::io::mqtt::tests::mosquitto::FORGETS;

fn observation(author: &str, text: &str) -> Items {
    Items::Observations(vec![Observation {
        id: uuid::Uuid::from_u128(9),
        time: Timestamp::from_micros(1_790_000_000_000_000),
        author: Arc::from(author),
        kind: ObservationKind::Anomaly,
        text: text.into(),
        confidence: 1.0,
        sources: Vec::new(),
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    }])
}

/// What Home Assistant is told of a door, the air and the weather.
fn expected(id: &str) -> [Json; 3] {
    let version = env!("CARGO_PKG_VERSION");
    let messages = [
        json!({
            "unique_id": format!("{id}_yard--door"),
            "default_entity_id": "binary_sensor.shed_yard__door",
            "name": "yard door",
            "state_topic": "home/yard:door",
            "device_class": "door",
            "payload_on": "true",
            "payload_off": "false",
        }),
        json!({
            "unique_id": format!("{id}_air--north"),
            "default_entity_id": "sensor.shed_air__north",
            "name": "Air of shed",
            "icon": "mdi:leaf",
            "suggested_display_precision": 1,
            "state_topic": "home/air:north",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
        }),
        json!({
            "unique_id": format!("{id}_sky--weather"),
            "default_entity_id": "sensor.shed_sky__weather",
            "name": "sky weather",
            "state_topic": "home/sky:weather",
            "value_template": "{{ value[:255] }}",
        }),
    ];
    messages.map(|mut message| {
        let common = json!({
            "qos": 1,
            "expire_after": 3600,
            "availability": [{ "topic": "smollama/shed/status" }],
            "device": {
                "identifiers": [id],
                "name": "shed",
                "suggested_area": "Garden",
                "sw_version": format!("Smollama {version}"),
            },
            "origin": { "name": "Smollama", "sw_version": version },
        });
        message.as_object_mut().unwrap().extend(common.as_object().unwrap().clone());
        message
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_is_announced_before_its_first_state_and_once() {
    let broker = Mosquitto::start(FORGETS);
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&broker, folder.path());
    let mut looker = Looker::new(&broker).await;
    let settings = json!({
        "topic": "home/{{ source }}",
        "payload": "value",
        "discovery": {
            "expire_after": "1h",
            "device": { "area": "Garden" },
            "overrides": [
                { "match": "air:**", "name": "Air of {{ host }}", "icon": "mdi:leaf", "precision": 1 },
                { "match": "secret:**", "skip": true },
            ],
        },
    });
    let mut sink = site.sink("p/rooms", settings);
    let all = [
        ("air:north", "°C", Value::Float(21.5)),
        ("secret:x", "°C", Value::Float(1.0)),
        ("yard:door", "", Value::Bool(true)),
        ("sky:weather", "", Value::text("rainy")),
    ];
    site.readings(&mut *sink, &all).await;
    site.readings(&mut *sink, &all[..1]).await;
    let mut came = Vec::new();
    while came.len() < 8 {
        came.push(looker.next().await);
    }
    let id = "smollama_00000000000000000000000000000007";
    let topics: Vec<_> = came.iter().map(|one| one.topic.replace(id, "ID")).collect();
    assert_eq!(
        topics,
        [
            "homeassistant/binary_sensor/ID/yard--door/config",
            "homeassistant/sensor/ID/air--north/config",
            "homeassistant/sensor/ID/sky--weather/config",
            "home/air:north",
            "home/secret:x",
            "home/yard:door",
            "home/sky:weather",
            "home/air:north",
        ]
    );
    for (message, expected) in came.iter().zip(expected(id)) {
        assert_eq!(serde_json::from_slice::<Json>(&message.payload).unwrap(), expected);
    }
    assert_eq!(came[5].payload, "true", "what `payload_on` says");
    let mut late = Looker::new(&broker).await;
    assert!(late.next().await.retained, "Home Assistant finds it when it begins later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_share_a_topic_are_told_apart_or_refused() {
    let broker = Mosquitto::start(FORGETS);
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&broker, folder.path());
    let mut looker = Looker::new(&broker).await;
    let mut json = site.sink("p/json", json!({ "topic": "home/all", "discovery": true }));
    site.readings(&mut *json, &[("air:a", "°C", Value::Float(1.0))]).await;
    let (topic, said) = looker.entity().await;
    assert_eq!(topic, "sensor/air--a");
    assert_eq!(said.unwrap()["value_template"], "{{ value_json.value }}");
    site.readings(&mut *json, &[("air:b", "", Value::Bool(true))]).await;
    let mut said = BTreeMap::from([looker.entity().await, looker.entity().await]);
    let mut template = |topic: &str| said.remove(topic).unwrap().unwrap()["value_template"].clone();
    assert_eq!(
        template("sensor/air--a"),
        "{{ (value_json.value) if value_json.source == 'air:a' else '' }}"
    );
    assert_eq!(
        template("binary_sensor/air--b"),
        "{{ ('ON' if value_json.value else 'OFF') if value_json.source == 'air:b' else '' }}"
    );
    let settings = json!({ "topic": "home/one", "payload": "value", "discovery": true });
    let mut plain = site.sink("p/plain", settings);
    let two = [("soil:a", "%", Value::Float(1.0)), ("soil:b", "%", Value::Float(2.0))];
    site.readings(&mut *plain, &two).await;
    assert_eq!(looker.entity().await.0, "sensor/soil--a");
    site.readings(&mut *json, &[("end:x", "", Value::Int(1))]).await;
    let next = looker.entity().await.0;
    assert!(next != "sensor/soil--b", "{next}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observation_is_a_text_with_attributes() {
    let broker = Mosquitto::start(FORGETS);
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&broker, folder.path());
    let mut looker = Looker::new(&broker).await;
    let mut sink = site.sink("p/news", json!({ "topic": "home/news", "discovery": true }));
    site.write(&mut *sink, observation("home/watcher", "It is cold.")).await;
    let (topic, said) = looker.entity().await;
    let said = said.unwrap();
    assert_eq!(topic, "sensor/observation--home-watcher");
    assert_eq!(said["value_template"], "{{ value_json.text[:255] }}");
    assert_eq!(said["json_attributes_topic"], "home/news");
    assert_eq!(said["name"], "home watcher");
    assert!(said.get("state_class").is_none() && said.get("unit_of_measurement").is_none());
    // Where their kinds have topics of their own, they are entities of their own.
    let settings = json!({ "topic": "home/{{ kind }}", "discovery": true });
    let mut sink = site.sink("p/kinds", settings);
    site.write(&mut *sink, observation("home/watcher", "It is cold.")).await;
    let (topic, said) = looker.entity().await;
    assert_eq!(topic, "sensor/observation--home-watcher-anomaly");
    assert_eq!(said.unwrap()["state_topic"], "home/anomaly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_announced_again_when_home_assistant_begins_anew_or_the_broker_forgot() {
    let mut broker = Mosquitto::start(FORGETS);
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&broker, folder.path());
    let mut looker = Looker::new(&broker).await;
    let mut sink = site.sink("p/a", json!({ "topic": "home/{{ source }}", "discovery": true }));
    site.readings(&mut *sink, &[("air:a", "°C", Value::Float(1.0))]).await;
    let first = looker.entity().await;
    // Until it listens for it, a birth goes by.
    let again = loop {
        looker.says("homeassistant/status", "online").await;
        let entity = timeout(Duration::from_secs(4), looker.entity()).await;
        if let Ok(entity) = entity {
            break entity;
        }
    };
    assert_eq!(again, first);
    drop(looker);
    broker.end(false);
    broker.go_on();
    let mut looker = Looker::new(&broker).await;
    assert_eq!(looker.entity().await, first, "the broker had forgotten it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_no_more_entities_than_allowed_and_no_two_sinks_have_one() {
    let broker = Mosquitto::start(FORGETS);
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(&broker, folder.path());
    site.runs(&["p/a", "p/b"]);
    let mut looker = Looker::new(&broker).await;
    let settings = json!({ "topic": "home/{{ source }}", "discovery": { "max_entities": 2 } });
    let mut sink = site.sink("p/a", settings);
    let names = ["x:1", "x:2", "x:3"].map(|name| (name, "", Value::Int(1)));
    site.readings(&mut *sink, &names).await;
    let mut other = site.sink("p/b", json!({ "topic": "home/b/{{ source }}", "discovery": true }));
    site.readings(&mut *other, &[names[0].clone(), ("y:1", "", Value::Int(1))]).await;
    let mut said = BTreeMap::new();
    while said.len() < 3 {
        let (topic, entity) = looker.entity().await;
        said.insert(topic, entity.unwrap()["state_topic"].clone());
    }
    let topics: Vec<_> = said.keys().map(String::as_str).collect();
    assert_eq!(topics, ["sensor/x--1", "sensor/x--2", "sensor/y--1"]);
    assert_eq!(said["sensor/x--1"], "home/x:1", "who came first has it");
    assert_eq!(site.outbox.left_by("p/a") + site.outbox.left_by("p/b"), 3);
}
