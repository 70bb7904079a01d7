//! How entities go.

use serde_json::json;

use super::*;
use crate::io::mqtt::tests::mosquitto::KEEPS;

const READINGS: [(&str, &str, Value); 2] =
    [("air:a", "°C", Value::Float(1.0)), ("soil:b", "%", Value::Float(2.0))];

/// A site with a sink that has announced two entities, and someone who has seen them.
async fn announced(broker: &Mosquitto, folder: &Path) -> (Site, Box<dyn Sink>, Looker) {
    let mut site = Site::new(broker, folder);
    site.runs(&["p/a"]);
    let mut looker = Looker::new(broker).await;
    let mut sink = site.sink("p/a", json!({ "topic": "home/{{ source }}", "discovery": true }));
    site.readings(&mut *sink, &READINGS).await;
    let topics = [looker.entity().await.0, looker.entity().await.0];
    assert_eq!(topics, ["sensor/air--a", "sensor/soil--b"]);
    (site, sink, looker)
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let waited = timeout(WITHIN, async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

/// What the outbox has on disk.
fn listed(folder: &Path) -> usize {
    let text = std::fs::read_to_string(folder.join("mqtt/outbox.jsonl")).unwrap_or_default();
    let count = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    count("{\"kept\"") - count("{\"gone\"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_removed_takes_its_entities_with_it() {
    let broker = Mosquitto::start(KEEPS);
    let folder = tempfile::tempdir().unwrap();
    let (site, sink, mut looker) = announced(&broker, folder.path()).await;
    assert_eq!((site.outbox.left_by("p/a"), listed(folder.path())), (2, 2));
    drop(sink);
    site.runs(&["p/other"]);
    assert_eq!(looker.entity().await, ("sensor/air--a".to_owned(), None));
    assert_eq!(looker.entity().await, ("sensor/soil--b".to_owned(), None));
    until("nothing is left", || listed(folder.path()) == 0).await;
    assert_eq!(site.outbox.left_by("p/a"), 0);
    let left = |which: &str| broker.said().contains(&format!("-{which} disconnected"));
    until("nobody needs the broker", || left("pub") && left("sub")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_stops_takes_nothing_back() {
    let broker = Mosquitto::start(KEEPS);
    let folder = tempfile::tempdir().unwrap();
    let (site, sink, _) = announced(&broker, folder.path()).await;
    drop((sink, site));
    let mut late = Looker::new(&broker).await;
    assert!(late.entity().await.1.is_some());
    assert_eq!(listed(folder.path()), 2);
}

/// Whether nothing is retained for Home Assistant.
async fn nothing_is_there(broker: &Mosquitto) {
    let mut late = Looker::new(broker).await;
    late.says("home/end", "1").await;
    assert_eq!(late.next().await.topic, "home/end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_while_the_broker_is_away_goes_when_it_is_back() {
    let mut broker = Mosquitto::start(KEEPS);
    let folder = tempfile::tempdir().unwrap();
    let (site, sink, looker) = announced(&broker, folder.path()).await;
    drop(looker);
    broker.end(true);
    drop(sink);
    site.runs(&[]);
    broker.go_on();
    until("nothing is left", || listed(folder.path()) == 0).await;
    nothing_is_there(&broker).await;
}

#[test]
fn what_went_while_the_broker_was_away_goes_after_a_restart_of_the_host_too() {
    // What a life has running ends with it.
    let life =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let mut broker = Mosquitto::start(KEEPS);
    let folder = tempfile::tempdir().unwrap();
    life().unwrap().block_on(async {
        let (site, sink, _) = announced(&broker, folder.path()).await;
        broker.end(true);
        drop(sink);
        site.runs(&[]);
    });
    broker.go_on();
    assert_eq!(listed(folder.path()), 2);
    life().unwrap().block_on(async {
        let site = Site::new(&broker, folder.path());
        assert!(Looker::new(&broker).await.entity().await.1.is_some(), "they are still there");
        site.runs(&[]);
        until("nothing is left", || listed(folder.path()) == 0).await;
        nothing_is_there(&broker).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_make_an_entity_no_more_take_it_back_and_a_rename_does_not() {
    let broker = Mosquitto::start(KEEPS);
    let folder = tempfile::tempdir().unwrap();
    let (mut site, sink, mut looker) = announced(&broker, folder.path()).await;
    drop(sink);
    let place = Announcer::place("default", "homeassistant");
    let nodes: Arc<Places> = Arc::new([("p/b".into(), Some(place))].into());
    site.outbox.clone().now_runs(&nodes, &[("p/a".into(), "p/b".into())].into());
    let settings = json!({ "topic": "home/{{ source }}", "discovery": { "sources": ["air:**"] } });
    let mut sink = site.sink("p/b", settings);
    site.readings(&mut *sink, &READINGS).await;
    assert_eq!(looker.entity().await, ("sensor/soil--b".to_owned(), None));
    // The same thing as another kind of entity.
    let mut anew = site.sink("p/b", json!({ "topic": "home/{{ source }}", "discovery": true }));
    site.readings(&mut *anew, &[("air:a", "°C", Value::Bool(true))]).await;
    let said = BTreeMap::from([looker.entity().await, looker.entity().await]);
    assert!(said["binary_sensor/air--a"].is_some() && said["sensor/air--a"].is_none(), "{said:?}");
}
