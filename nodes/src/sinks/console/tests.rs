use std::io;
use std::path::Path;

use smollama_engine::context::{Console, Kept};
use smollama_engine::duration::Duration;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::START;
use smollama_engine::window::{Accumulator, Cause, Window};

use super::*;

#[derive(Debug)]
struct Closed(ErrorKind);

impl Console for Closed {
    fn write(&self, _: &[u8]) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[derive(Debug, Default)]
struct Coloured(Kept);

impl Console for Coloured {
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        self.0.write(lines)
    }
    fn colour(&self) -> bool {
        true
    }
}

fn host(console: Arc<dyn Console>) -> Arc<Host> {
    let timezone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
    Arc::new(Host { console, timezone, ..Host::for_tests(Path::new(".")) })
}

fn sink(settings: serde_json::Value, host: &Arc<Host>) -> Box<dyn Sink> {
    let config: ConsoleConfig = serde_json::from_value(settings).unwrap();
    match config.build(&Context::new(host.clone(), "p/screen", "screen")) {
        Ok(Node::Sink(sink)) => sink,
        other => panic!("{other:?}"),
    }
}

fn readings(host: &Host) -> Items {
    let lamp = Series::new(SourceKey::parse("mqtt:lamp"));
    let air = Series::new(SourceKey::parse("mqtt:air")).with_unit("°C");
    let (lamp, air) = (host.series.intern(&lamp).unwrap(), host.series.intern(&air).unwrap());
    let mut news = Reading::new(START + Duration::from_millis(1500), air, 21.5);
    (news.score, news.count) = (1.34, 12);
    Items::Readings(vec![
        Reading::new(START, lamp, Value::text("on\u{1b}[2J\nnow")),
        news,
        Reading::new(START + Duration::from_millis(1501), air, 21i64),
    ])
}

async fn shown(settings: serde_json::Value, items: impl FnOnce(&Host) -> Items) -> String {
    let console = Arc::new(Kept::default());
    let host = host(console.clone());
    let items = items(&host);
    let mut sink = sink(settings, &host);
    sink.write(&Batch::new(items, START)).await.unwrap();
    sink.close(START).await.unwrap();
    console.text()
}

#[tokio::test]
async fn readings_are_lines_in_the_hosts_zone() {
    let text = shown(serde_json::json!({}), readings).await;
    insta::assert_snapshot!(text, @r"
    2026-01-01 02:00:00.000  mqtt:lamp  on\u{1b}[2J\nnow
    2026-01-01 02:00:01.500  mqtt:air  21.5 °C  news 1.3  ×12
    2026-01-01 02:00:01.501  mqtt:air  21 °C
    ");
}

#[tokio::test]
async fn only_news_is_shown_where_that_is_wanted() {
    let text = shown(serde_json::json!({ "only_news": true }), readings).await;
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("21.5 °C  news"), "{text}");
}

#[tokio::test]
async fn json_lines_are_the_form_that_is_read_everywhere() {
    let text = shown(serde_json::json!({ "format": "json" }), readings).await;
    let lines: Vec<_> = text.lines().map(|line| json::parse_reading(line.as_bytes())).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1].as_ref().unwrap().value, Value::Float(21.5));
}

#[tokio::test]
async fn windows_and_observations_have_lines_too() {
    let window = |host: &Host| {
        let Items::Readings(all) = readings(host) else { unreachable!() };
        let mut air = Accumulator::new(&all[1]);
        air.add(&all[2]);
        let summaries = vec![air.summary(all[1].series)];
        let end = START + Duration::from_mins(10);
        Items::Windows(vec![Window { start: START, end, cause: Cause::Urgent, summaries }])
    };
    let text = shown(serde_json::json!({}), window).await;
    insta::assert_snapshot!(text, @r"
    2026-01-01 02:10:00.000  window urgent  10m  1 series, 13 readings
      mqtt:air  21 °C  mean 21.25, 21 to 21.5  news 1.3  ×13
    ");
    let observation = |_: &Host| {
        Items::Observations(vec![Observation {
            id: "00000000-0000-0000-0000-000000000000".parse().unwrap(),
            time: START,
            author: "home/frost".into(),
            kind: ObservationKind::Anomaly,
            text: "cold".into(),
            confidence: 1.0,
            sources: Vec::new(),
            evidence: Evidence::default(),
            model: None,
            rung: Rung::Rule,
        }])
    };
    let text = shown(serde_json::json!({ "only_news": true }), observation).await;
    assert_eq!(text, "2026-01-01 02:00:00.000  anomaly  cold  (home/frost)\n");
}

#[tokio::test]
async fn colour_marks_the_time_and_the_news() {
    let console = Arc::new(Coloured::default());
    let host = host(console.clone());
    let mut sink = sink(serde_json::json!({}), &host);
    sink.write(&Batch::new(readings(&host), START)).await.unwrap();
    let text = console.0.text();
    assert!(text.starts_with("\u{1b}[2m2026-01-01 02:00:00.000\u{1b}[0m  mqtt:lamp"), "{text}");
    assert!(text.contains("\u{1b}[1mnews 1.3\u{1b}[0m"), "{text}");
}

#[tokio::test]
async fn a_closed_pipe_ends_the_node_and_other_trouble_is_tried_again() {
    for (kind, fatal) in [(ErrorKind::BrokenPipe, true), (ErrorKind::TimedOut, false)] {
        let host = host(Arc::new(Closed(kind)));
        let mut sink = sink(serde_json::json!({}), &host);
        let batch = Batch::new(readings(&host), START);
        let error = sink.write(&batch).await.unwrap_err();
        assert_eq!(matches!(error, NodeError::Fatal(_)), fatal, "{error}");
        if fatal {
            assert_eq!(error.to_string(), "standard output was closed");
        }
    }
}
