//! The sink as the engine uses it. What is kept when the disk misbehaves lies in `trouble`, what rotation does in `rotation`.

mod crashes;
mod rotation;
mod trouble;

use std::fs;

use proptest::prelude::*;
use smollama_engine::disk::Disk;
use smollama_engine::duration::Duration;
use smollama_engine::observation::Observation;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::testing::START;
use smollama_engine::window::{Accumulator, Cause, Window};

use super::*;

/// A file sink in a folder of its own.
struct Bench {
    folder: tempfile::TempDir,
    host: Arc<Host>,
    settings: serde_json::Value,
    sink: Option<Box<dyn Sink>>,
    now: Timestamp,
}

/// Nothing in the sink waits, so the simplest runtime will do.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Bench {
    fn new(settings: serde_json::Value) -> Bench {
        Bench::on(smollama_engine::disk::RealDisk::shared(), settings)
    }

    fn on(disk: Arc<dyn Disk>, settings: serde_json::Value) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host { disk, ..Host::for_tests(folder.path()) });
        Bench { folder, host, settings, sink: None, now: START }
    }

    fn try_sink(&mut self) -> Result<&mut Box<dyn Sink>, Problem> {
        if self.sink.is_none() {
            let config: FileConfig = serde_json::from_value(self.settings.clone()).unwrap();
            assert_eq!(config.problems(), []);
            let Node::Sink(sink) = config.build(&Context::new(self.host.clone(), "p/f", "f"))?
            else {
                unreachable!()
            };
            self.sink = Some(sink);
        }
        Ok(self.sink.as_mut().unwrap())
    }

    fn write(&mut self, items: Items) -> Result<(), NodeError> {
        let batch = Batch::new(items, self.now);
        block_on(self.try_sink().unwrap().write(&batch))
    }

    fn readings(&mut self, readings: Vec<Reading>) {
        self.write(Items::Readings(readings)).unwrap();
    }

    fn flush(&mut self) -> Result<(), NodeError> {
        let now = self.now;
        block_on(self.try_sink().unwrap().flush(now))
    }

    /// Ends the sink as a clean stop does.
    fn close(&mut self) {
        let now = self.now;
        block_on(self.try_sink().unwrap().close(now)).unwrap();
        self.sink = None;
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn put(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let entries = self.host.disk.list(self.folder.path()).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    /// A reading so many seconds after the start.
    fn reading(&self, seconds: i64, series: Series, value: impl Into<Value>) -> Reading {
        let series = self.host.series.intern(&series).unwrap();
        Reading::new(START + Duration::from_secs(seconds), series, value)
    }

    fn value(&self, seconds: i64, value: f64) -> Reading {
        self.reading(seconds, Series::new(SourceKey::parse("t:a")), value)
    }
}

fn kitchen() -> Series {
    let series = Series::new(SourceKey::parse("mqtt:t/a")).with_unit("°C");
    series.with_label("source", "node-1").with_label("metric", "temp_c")
}

#[test]
fn json_lines_without_fields_are_the_one_form() {
    let mut bench = Bench::new(serde_json::json!({ "path": "a/b.jsonl" }));
    let mut news = bench.reading(1, kitchen(), 21.5);
    (news.score, news.count) = (1.5, 3);
    let counter = Series::new(SourceKey::parse("t:n")).counter();
    let items = Items::Readings(vec![
        bench.reading(0, kitchen(), 7i64),
        news,
        bench.reading(2, counter, Value::text("a\"b")),
        bench.value(3, 0.1),
    ]);
    let mut expected = Vec::new();
    for index in 0..items.len() {
        json::write_item(&items, index, &bench.host.series, &mut expected);
        expected.push(b'\n');
    }
    bench.write(items).unwrap();
    bench.close();
    assert_eq!(bench.text("a/b.jsonl"), String::from_utf8(expected).unwrap());
}

#[test]
fn fields_choose_names_order_and_the_form_of_time() {
    for (time, first) in [
        ("rfc3339", "\"2026-01-01T00:00:00.500Z\""),
        ("s", "1767225600"),
        ("ms", "1767225600500"),
        ("us", "1767225600500000"),
        ("ns", "1767225600500000000"),
    ] {
        let mut bench = Bench::new(serde_json::json!({
            "path": "x.jsonl", "time": time,
            "fields": { "ts": "time", "source": "label.source", "none": "label.none", "metric": "label.metric", "value": "value" }
        }));
        let mut reading = bench.reading(0, kitchen(), 21.5);
        reading.time = reading.time + Duration::from_millis(500);
        bench.readings(vec![reading]);
        bench.close();
        assert_eq!(
            bench.text("x.jsonl"),
            format!(r#"{{"ts":{first},"source":"node-1","metric":"temp_c","value":21.5}}"#) + "\n"
        );
    }
}

#[test]
fn an_absent_score_leaves_no_comma_behind() {
    let mut bench = Bench::new(serde_json::json!({
        "path": "x.jsonl", "fields": { "s": "score", "v": "value", "h": "host", "t": "type", "i": "id" }
    }));
    let mut news = bench.value(1, 2.0);
    news.score = 0.5;
    bench.readings(vec![bench.value(0, 1.0), news]);
    bench.close();
    assert_eq!(
        bench.text("x.jsonl"),
        "{\"v\":1.0,\"h\":\"test\",\"t\":\"t\",\"i\":\"a\"}\n{\"s\":0.5,\"v\":2.0,\"h\":\"test\",\"t\":\"t\",\"i\":\"a\"}\n"
    );
}

#[test]
fn csv_has_one_header_and_quotes_what_needs_it() {
    let settings = serde_json::json!({
        "path": "x.csv", "fields": { "time": "time", "a,b": "value", "room": "label.room", "labels": "labels", "score": "score" }
    });
    let mut bench = Bench::new(settings);
    let room = Series::new(SourceKey::parse("t:a")).with_label("room", "a \"big\", one");
    let texts = ["plain", "", "two\nlines", " blank", "quote\""];
    let mut readings: Vec<Reading> =
        texts.iter().map(|text| bench.reading(0, room.clone(), Value::text(text))).collect();
    readings.push(bench.reading(1, Series::new(SourceKey::parse("t:b")), true));
    readings.push(bench.reading(
        1,
        Series::new(SourceKey::parse("t:b")),
        Value::Json(Arc::new(serde_json::json!([1, "x"]))),
    ));
    bench.readings(readings[..3].to_vec());
    bench.close();
    bench.readings(readings[3..].to_vec());
    bench.close();
    insta::assert_snapshot!(bench.text("x.csv"), @r#"
    time,"a,b",room,labels,score
    2026-01-01T00:00:00Z,plain,"a ""big"", one","{""room"":""a \""big\"", one""}",
    2026-01-01T00:00:00Z,"","a ""big"", one","{""room"":""a \""big\"", one""}",
    2026-01-01T00:00:00Z,"two
    lines","a ""big"", one","{""room"":""a \""big\"", one""}",
    2026-01-01T00:00:00Z," blank","a ""big"", one","{""room"":""a \""big\"", one""}",
    2026-01-01T00:00:00Z,"quote""","a ""big"", one","{""room"":""a \""big\"", one""}",
    2026-01-01T00:00:01Z,true,,,
    2026-01-01T00:00:01Z,"[1,""x""]",,,
    "#);
    assert_eq!(bench.files(), ["x.csv"]);
}

fn window(bench: &Bench) -> Items {
    let (one, two) = (bench.reading(0, kitchen(), 1.0), bench.reading(1, kitchen(), 3.0));
    let mut numbers = Accumulator::new(&one);
    numbers.add(&two);
    let word = bench.reading(0, Series::new(SourceKey::parse("t:w")), Value::text("on"));
    let words = Accumulator::new(&word);
    let summaries = vec![numbers.summary(one.series), words.summary(word.series)];
    let end = START + Duration::from_mins(1);
    Items::Windows(vec![Window { start: START, end, cause: Cause::Time, summaries }])
}

#[test]
fn a_window_is_a_row_for_each_series_or_one_object() {
    let mut bench = Bench::new(serde_json::json!({ "path": "w.csv", "time": "s" }));
    bench.write(window(&bench)).unwrap();
    bench.close();
    insta::assert_snapshot!(bench.text("w.csv"), @r"
    start,end,cause,source,unit,count,min,max,mean,stddev,first,last,score
    1767225600,1767225660,time,mqtt:t/a,°C,2,1.0,3.0,2.0,1.4142135623730951,1.0,3.0,
    1767225600,1767225660,time,t:w,,1,,,,,on,on,
    ");
    let mut bench = Bench::new(serde_json::json!({
        "path": "w.jsonl", "time": "ms",
        "fields": { "window_start": "start", "source": "label.source", "n": "count", "mean": "mean", "value": "value" }
    }));
    bench.write(window(&bench)).unwrap();
    bench.close();
    assert_eq!(
        bench.text("w.jsonl"),
        "{\"window_start\":1767225600000,\"source\":\"node-1\",\"n\":2,\"mean\":2.0}\n{\"window_start\":1767225600000,\"n\":1}\n"
    );
    let mut bench = Bench::new(serde_json::json!({ "path": "w.jsonl" }));
    bench.write(window(&bench)).unwrap();
    bench.close();
    let lines = bench.text("w.jsonl");
    assert!(lines.starts_with("{\"start\":") && lines.lines().count() == 1, "{lines}");
}

fn observation() -> Items {
    let written = r#"{"id":"00000000-0000-0000-0000-000000000007","time":"2026-01-01T00:00:00Z","author":"home/frost","kind":"anomaly","text":"cold, again","confidence":0.75,"sources":["t:a","t:b"],"evidence":{"from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:00Z"},"rung":"local_model"}"#;
    Items::Observations(vec![serde_json::from_str::<Observation>(written).unwrap()])
}

#[test]
fn observations_have_rows_and_the_one_form() {
    let mut bench = Bench::new(serde_json::json!({ "path": "o.csv" }));
    bench.write(observation()).unwrap();
    bench.close();
    insta::assert_snapshot!(bench.text("o.csv"), @r#"
    time,id,author,kind,text,confidence,sources,model,rung
    2026-01-01T00:00:00Z,00000000-0000-0000-0000-000000000007,home/frost,anomaly,"cold, again",0.75,t:a t:b,,local_model
    "#);
    let fields = serde_json::json!(["time", "text", "model", "source", "sources"]);
    let mut bench = Bench::new(serde_json::json!({ "path": "o.jsonl", "fields": fields }));
    bench.write(observation()).unwrap();
    bench.close();
    assert_eq!(
        bench.text("o.jsonl"),
        "{\"time\":\"2026-01-01T00:00:00Z\",\"text\":\"cold, again\",\"source\":\"t:a\",\"sources\":[\"t:a\",\"t:b\"]}\n"
    );
    let mut bench = Bench::new(serde_json::json!({ "path": "o.jsonl" }));
    bench.write(observation()).unwrap();
    bench.close();
    assert!(serde_json::from_str::<Observation>(&bench.text("o.jsonl")).is_ok());
}

#[test]
fn one_csv_file_holds_one_kind_unless_the_columns_are_chosen() {
    let mut bench = Bench::new(serde_json::json!({ "path": "x.csv" }));
    bench.readings(vec![bench.value(0, 1.0)]);
    let error = bench.write(observation()).unwrap_err();
    assert!(matches!(&error, NodeError::Reject(text) if text.contains("other columns")), "{error}");
    let mut bench =
        Bench::new(serde_json::json!({ "path": "x.csv", "fields": ["time", "value", "text"] }));
    bench.readings(vec![bench.value(0, 1.0)]);
    bench.write(observation()).unwrap();
    bench.close();
    assert_eq!(
        bench.text("x.csv"),
        "time,value,text\n2026-01-01T00:00:00Z,1.0,\n2026-01-01T00:00:00Z,,\"cold, again\"\n"
    );
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let config = |settings: serde_json::Value| serde_json::from_value::<FileConfig>(settings);
    let problems = |settings: serde_json::Value| -> Vec<String> {
        config(settings).unwrap().problems().into_iter().map(|one| one.field).collect()
    };
    assert_eq!(problems(serde_json::json!({ "path": "" })), ["path"]);
    assert_eq!(problems(serde_json::json!({ "path": "x", "rotate": {} })), ["rotate"]);
    assert_eq!(problems(serde_json::json!({ "path": "x", "compress": "gzip" })), ["compress"]);
    assert_eq!(
        problems(
            serde_json::json!({ "path": "x", "fields": {}, "rotate": { "every": "1ms", "size": "0B", "keep": 0 } })
        ),
        ["fields", "rotate.size", "rotate.every", "rotate.keep"]
    );
    let error = config(serde_json::json!({ "path": "x", "fields": { "a": "valu" } })).unwrap_err();
    assert!(error.to_string().starts_with("`valu` is nothing a row can hold"), "{error}");
    let error = config(serde_json::json!({ "path": "x", "fields": ["time", "time"] })).unwrap_err();
    assert!(error.to_string().contains("two columns are named `time`"), "{error}");
    assert!(
        config(serde_json::json!({})).unwrap_err().to_string().contains("missing field `path`")
    );
}

#[test]
fn two_spellings_of_a_file_claim_the_same() {
    let key = |path: &str| {
        let config: FileConfig =
            serde_json::from_value(serde_json::json!({ "path": path })).unwrap();
        config.profile().claims[0].key.clone()
    };
    assert_eq!(key("./a/../b.csv"), key("b.csv"));
    assert_ne!(key("../b.csv"), key("b.csv"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_file_is_the_same_however_the_input_is_cut(
        values in prop::collection::vec((0u8..4, -1e9f64..1e9, prop::option::of(0.0f64..3.0)), 1..60),
        cuts in prop::collection::vec(0usize..60, 0..6), csv: bool,
    ) {
        let settings = serde_json::json!({ "path": "x", "format": if csv { "csv" } else { "jsonl" } });
        let (mut whole, mut cut) = (Bench::new(settings.clone()), Bench::new(settings));
        let readings = |bench: &Bench| -> Vec<Reading> {
            values.iter().enumerate().map(|(at, (series, value, score))| {
                let series = Series::new(SourceKey::local("t", &series.to_string())).with_label("n", &series.to_string());
                let mut reading = bench.reading(at as i64, series, *value);
                reading.score = score.unwrap_or(f64::NAN);
                reading
            }).collect()
        };
        whole.readings(readings(&whole));
        whole.close();
        let mut rest = readings(&cut);
        for (at, size) in cuts.iter().enumerate() {
            let batch = rest.drain(..(*size).min(rest.len())).collect();
            cut.readings(batch);
            if at % 2 == 0 { cut.close() } else { cut.flush().unwrap() }
        }
        cut.readings(rest);
        cut.close();
        prop_assert_eq!(whole.text("x"), cut.text("x"));
    }
}
