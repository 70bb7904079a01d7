//! The sink with real programs: those that read in `read`, those that answer in `line`, a run a batch in `exit`.

mod exit;
mod line;
mod read;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use serde_json::{Value as Json, json};
use smollama_engine::batch::{Batch, Items};
use smollama_engine::context::Host;
use smollama_engine::duration::Duration;
use smollama_engine::node::NodeError;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::START;
use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::sources::exec::tests::{is_alive, is_gone};

struct Bench {
    host: Arc<Host>,
    sink: Box<dyn Sink>,
    /// Where programs work.
    folder: TempDir,
    /// How many items its stream had so far.
    end: u64,
}

fn config(settings: Json) -> ExecConfig {
    let config: ExecConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    config
}

impl Bench {
    fn new(settings: Json) -> Bench {
        let host = Arc::new(Host::for_tests(Path::new("/nonexistent")));
        let mut context = Context::new(host.clone(), "p/out", "exec");
        let folder = tempfile::tempdir().unwrap();
        context.folder = folder.path().to_owned();
        let mut sink = sink(&config(settings), &context).unwrap();
        assert_eq!(sink.position(Uuid::from_u128(0xab), ItemKind::Readings), None);
        Bench { host, sink, folder, end: 0 }
    }

    /// The next batch of its stream.
    fn batch(&mut self, values: impl IntoIterator<Item = i64>) -> Batch {
        let series = self.host.series.intern(&Series::new(SourceKey::parse("t:a"))).unwrap();
        let reading = |value| Reading::new(START + Duration::from_secs(value), series, value);
        let items = Items::Readings(values.into_iter().map(reading).collect());
        self.end += items.len() as u64;
        Batch { end: self.end, ..Batch::new(items, START) }
    }

    async fn try_write(&mut self, batch: &Batch) -> Result<(), String> {
        let wrote = timeout(StdDuration::from_secs(20), self.sink.write(batch)).await;
        wrote.expect("it returns").map_err(|error| match error {
            NodeError::Retry(why) => why,
            other => panic!("{other}"),
        })
    }

    /// Writes values as the engine does: the same batch again until it is taken.
    async fn write(&mut self, values: impl IntoIterator<Item = i64>) -> Vec<String> {
        let (batch, mut whys) = (self.batch(values), Vec::new());
        while let Err(why) = self.try_write(&batch).await {
            whys.push(why);
            tokio::time::sleep(StdDuration::from_millis(5)).await;
            assert!(whys.len() < 1_000, "{whys:?}");
        }
        whys.dedup();
        whys
    }

    /// The values of the items that were refused, and why.
    fn refused(&mut self) -> Vec<(Vec<i64>, String)> {
        let values = |items: Items| {
            let Items::Readings(readings) = items else { panic!("readings") };
            readings.iter().map(|one| one.value.as_f64().unwrap() as i64).collect()
        };
        let refused = self.sink.take_refused().into_iter();
        refused.map(|one| (values(one.items), one.reason)).collect()
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Waits until a file is as it should be.
    async fn holds(&self, name: &str, text: &str) {
        let holds = async {
            while self.file(name) != text {
                tokio::time::sleep(StdDuration::from_millis(5)).await;
            }
        };
        let held = timeout(StdDuration::from_secs(20), holds).await;
        assert!(held.is_ok(), "{name}: {:?}", self.file(name));
    }

    /// The values in lines of JSON.
    fn values(&self, name: &str) -> Vec<i64> {
        let value = |line: &str| serde_json::from_str::<Json>(line).unwrap()["value"].as_i64();
        self.file(name).lines().map(|line| value(line).unwrap()).collect()
    }

    fn trouble(&self) -> Option<String> {
        self.sink.trouble().unwrap().get()
    }
}

/// What makes lines short.
fn value_only() -> Json {
    json!({ "template": "{{ value }}" })
}

fn lines(values: impl IntoIterator<Item = i64>) -> String {
    values.into_iter().map(|value| format!("{value}\n")).collect()
}

#[test]
fn problems_are_named() {
    let problems = |settings: Json| {
        let config: ExecConfig = serde_json::from_value(settings).unwrap();
        let problems = config.problems().into_iter();
        problems.map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>()
    };
    for (settings, problem) in [
        (json!({}), ": nothing says what to start"),
        (
            json!({ "shell": "a", "timeout": "1s" }),
            "timeout: a program that need not answer may read when it likes",
        ),
        (
            json!({ "shell": "a", "ack": "exit", "timeout": "0s" }),
            "timeout: no program answers in no time",
        ),
        (
            json!({ "shell": "a", "body": "json" }),
            "body: a program that runs on is given lines, and an array is one text",
        ),
        (
            json!({ "shell": "a", "batch": { "items": 0 } }),
            "batch.items: it must lie between 1 and 10000",
        ),
    ] {
        assert_eq!(problems(settings), [problem]);
    }
    assert_eq!(
        problems(json!({ "shell": "a", "ack": "exit", "body": "json", "timeout": "1s" })),
        [""; 0]
    );
}

#[test]
fn a_program_can_be_away_so_what_comes_waits_in_a_spool() {
    assert_eq!(config(json!({ "shell": "a" })).profile().delivery, Delivery::Sent);
}
