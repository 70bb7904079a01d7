mod resume;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::json::write_reading;
use smollama_engine::node::Position;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::testing::START;
use tempfile::TempDir;

use super::*;

/// A folder with recordings, and what a source makes of them.
struct Bench {
    folder: TempDir,
}

/// What a source gave until it ended.
#[derive(Default)]
struct Given {
    /// In the one JSON form.
    readings: Vec<String>,
    rejects: Vec<String>,
    positions: Vec<Position>,
    raw: Vec<Reading>,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench { folder };
        files.iter().for_each(|(name, text)| bench.put(name, text.as_bytes()));
        bench
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn context(&self) -> Context {
        let host = Arc::new(Host::for_tests(Path::new(".")));
        let mut context = Context::new(host, "p/air", "air");
        context.folder = self.folder.path().to_owned();
        context
    }

    fn source(&self, settings: &serde_json::Value) -> Result<(Box<dyn Source>, Context), Problem> {
        let config: ReplayConfig = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(config.problems(), []);
        let context = self.context();
        let Node::Source(source) = config.build(&context)? else { unreachable!() };
        Ok((source, context))
    }

    fn try_run(&self, settings: serde_json::Value) -> Result<Given, Problem> {
        let (mut source, context) = self.source(&settings)?;
        let mut given = Given::default();
        given.take(&mut *source, &context, usize::MAX);
        Ok(given)
    }

    fn run(&self, settings: serde_json::Value) -> Given {
        self.try_run(settings).unwrap()
    }

    fn problem(&self, settings: serde_json::Value) -> String {
        let problem = self.try_run(settings).err().unwrap();
        let shown = format!(
            "{}: {} ({})",
            problem.field,
            problem.message,
            problem.help.unwrap_or_default()
        );
        shown.replace(&self.folder.path().display().to_string(), "")
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Given {
    /// Takes so many batches, or all there are; `false` when there is nothing more.
    fn take(&mut self, source: &mut dyn Source, context: &Context, batches: usize) -> bool {
        let given = self;
        for _ in 0..batches {
            let Read::Batch(batch) = block_on(source.read(START)).unwrap() else { return false };
            let Items::Readings(readings) = batch.items else { unreachable!() };
            assert!(!readings.is_empty() || !batch.rejects.is_empty());
            for reading in &readings {
                let mut line = Vec::new();
                write_reading(reading, &context.series(reading.series), &mut line);
                given.readings.push(String::from_utf8(line).unwrap());
            }
            let reject = |one: Reject| {
                let bytes = String::from_utf8_lossy(&one.bytes).into_owned();
                format!("{}: {} [{}]", one.origin, one.reason, bytes.trim_end())
            };
            given.rejects.extend(batch.rejects.into_iter().map(reject));
            given.positions.extend(batch.position);
            given.raw.extend(readings);
        }
        true
    }
}

#[test]
fn a_table_needs_no_settings() {
    let bench = Bench::new(&[(
        "office.csv",
        "timestamp,value\n2013-07-04 00:00:00,69.88083514\n2013-07-04 01:00:00,71\n",
    )]);
    let given = bench.run(json!({ "path": "office.csv" }));
    insta::assert_snapshot!(given.readings.join("\n"), @r#"
    {"time":"2013-07-04T00:00:00Z","source":"air:office","value":69.88083514,"count":1}
    {"time":"2013-07-04T01:00:00Z","source":"air:office","value":71,"count":1}
    "#);
    let bytes = fs::read(bench.folder.path().join("office.csv")).unwrap();
    let part = format!("office.csv@{:016x}", crate::fnv::fnv1a(&bytes));
    assert_eq!(given.positions, [Position { part, offset: 71, line: 3 }]);
}

#[test]
fn a_wide_table_gives_a_source_for_each_column_of_numbers() {
    let text = "\u{feff}time,temp,note,hum\n2026-01-01,1.5,fine,40\n2026-01-02,NA,,41\n2026-01-03,x,ok,\n2026-01-04,-2,ok,43\n";
    let bench = Bench::new(&[("a.csv", text)]);
    let given = bench.run(json!({ "path": "a.csv", "columns": { "temp": { "unit": "celsius" }, "hum": { "id": "humidity" } } }));
    insta::assert_snapshot!(given.readings.join("\n"), @r#"
    {"time":"2026-01-01T00:00:00Z","source":"air:humidity","value":40,"count":1}
    {"time":"2026-01-01T00:00:00Z","source":"air:temp","value":1.5,"unit":"°C","count":1}
    {"time":"2026-01-02T00:00:00Z","source":"air:humidity","value":41,"count":1}
    {"time":"2026-01-04T00:00:00Z","source":"air:humidity","value":43,"count":1}
    {"time":"2026-01-04T00:00:00Z","source":"air:temp","value":-2,"unit":"°C","count":1}
    "#);
    insta::assert_snapshot!(given.rejects.join("\n"), @"a.csv:4: `temp`: `x` is not a number [2026-01-03,x,ok,]");
    let text = text.replace(",x,", ",3,");
    let bench = Bench::new(&[("a.csv", &text)]);
    let given = bench.run(json!({ "path": "a.csv" }));
    assert_eq!((given.readings.len(), given.rejects.len()), (6, 0));
    assert!(given.readings[0].contains("air:temp"), "{}", given.readings[0]);
}

#[test]
fn json_lines_by_configured_names() {
    let text = concat!(
        r#"{"ts":1767225600000,"source":"node-0","metric":"temp_c","value":21.50,"at":{"room":"hall"}}"#,
        "\n",
        r#"{"ts":1767225600001,"source":"node-0","metric":"hum","value":45,"at":{"room":"hall"}}"#,
        "\n",
        r#"{"ts":1767225601000,"source":"node-0","metric":"temp_c","value":"open","at":{"room":"hall"}}"#,
        "\n",
        r#"{"ts":1767225601001,"source":7,"metric":"hum","value":null,"at":{"room":"hall"}}"#,
        "\n",
        r#"{"ts":1767225601002,"source":7,"metric":"on","value":true,"at":{}}"#,
        "\n",
    );
    let bench = Bench::new(&[("in.jsonl", text)]);
    let given = bench.run(json!({ "path": "in.jsonl", "time": "ts", "source": "{source}/{metric}", "labels": ["at.room"] }));
    insta::assert_snapshot!(given.readings.join("\n"), @r#"
    {"time":"2026-01-01T00:00:00Z","source":"air:node-0/temp_c","value":21.5,"labels":{"at.room":"hall"},"count":1}
    {"time":"2026-01-01T00:00:00.001Z","source":"air:node-0/hum","value":45,"labels":{"at.room":"hall"},"count":1}
    {"time":"2026-01-01T00:00:01Z","source":"air:node-0/temp_c","value":"open","labels":{"at.room":"hall"},"count":1}
    {"time":"2026-01-01T00:00:01.002Z","source":"air:7/on","value":true,"count":1}
    "#);
    assert!(given.rejects.is_empty());
}

#[test]
fn what_we_write_we_read() {
    let text = concat!(
        r#"{"time":"2026-11-21T01:02:03.000004Z","source":"mqtt:t/a","value":21.5,"unit":"°C","labels":{"room":"kitchen"},"score":0.3,"count":1}"#,
        "\n",
        r#"{"time":"2026-11-21T01:02:04Z","source":"a:c","value":7,"monotonic":true,"count":3}"#,
        "\n",
        r#"{"time":"2026-11-21T01:02:05Z","source":"a:d","value":{"x":[1,2]},"count":1}"#,
        "\n",
    );
    let bench = Bench::new(&[("out.jsonl", text)]);
    assert_eq!(bench.run(json!({ "path": "out.jsonl" })).readings.join("\n") + "\n", text);
    bench.put("out.csv", b"time,source,value,unit,score,count\n2026-11-21T01:02:03Z,a:b,on,,0.5,2\n2026-11-21T01:02:04Z,a:c,1.0,W,,1\n");
    insta::assert_snapshot!(bench.run(json!({ "path": "out.csv" })).readings.join("\n"), @r#"
    {"time":"2026-11-21T01:02:03Z","source":"a:b","value":"on","score":0.5,"count":2}
    {"time":"2026-11-21T01:02:04Z","source":"a:c","value":1.0,"unit":"W","count":1}
    "#);
}

#[test]
fn our_own_parquet_and_that_of_others() {
    use smollama_store::history::{Settings, Writer};
    let bench = Bench::new(&[]);
    let context = bench.context();
    let id = |source: &str, unit: &str| {
        let series =
            smollama_engine::series::Series::new(smollama_engine::series::SourceKey::parse(source));
        context.host.series.intern(&series.with_unit(unit)).unwrap()
    };
    let folder = bench.folder.path().join("history");
    let mut writer = Writer::open(&context.host.disk, folder.clone(), Settings::default()).unwrap();
    let readings = [
        Reading::new(START, id("a:b", "W"), 1.5),
        Reading::new(START, id("a:c", ""), 7),
        Reading::new(START, id("a:d", ""), Value::text("on")),
    ];
    writer.append_readings(&readings, &context.host.series).unwrap();
    writer.finalize().unwrap();
    let given = bench.run(json!({ "path": "history/**/*.parquet" }));
    let mut lines = given.readings;
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"time":"2026-01-01T00:00:00Z","source":"a:b","value":1.5,"unit":"W","count":1}
    {"time":"2026-01-01T00:00:00Z","source":"a:c","value":7,"count":1}
    {"time":"2026-01-01T00:00:00Z","source":"a:d","value":"on","count":1}
    "#);
    let given = bench.run(json!({ "path": "history/**/*.parquet", "source": "{source}", "columns": { "value": {}, "value_int": { "id": "whole" } } }));
    assert_eq!((given.readings.len(), given.rejects), (3, vec![]), "an integer is in both");
}

#[test]
fn broken_rows_are_told_with_their_line_and_the_rest_goes_on() {
    let text = concat!(
        "time,value\n2026-01-01,1\n2026-01-02\nsoon,3\n\n2026-01-03,NaN\n1969-01-01,5\n2026-01-04,-inf\n",
        "2026-01-05,\"a\nb\"\n2026-01-06,\"7\n2026-01-02,8\n2026-01-07,\n",
    );
    let bench = Bench::new(&[("b.csv", text)]);
    let given = bench.run(json!({ "path": "b.csv" }));
    insta::assert_snapshot!(given.rejects.join("\n"), @r#"
    b.csv:3: 1 fields where the header has 2 [2026-01-02]
    b.csv:4: not a time: `soon` [soon,3]
    b.csv:6: `value`: `NaN` is not a finite number [2026-01-03,NaN]
    b.csv:7: a time before 1970 or after 2199: `1969-01-01` [1969-01-01,5]
    b.csv:8: `value`: `-inf` is not a finite number [2026-01-04,-inf]
    b.csv:9: `value`: `a
    b` is not a number [2026-01-05,"a
    b"]
    b.csv:11: a quoted field without an end [2026-01-06,"7]
    "#);
    let values: Vec<_> = given.raw.iter().map(|one| one.value.clone()).collect();
    assert_eq!(values, [1.into(), 8.into()], "times out of order are passed on");
}

#[test]
fn missing_values_are_skipped_as_configured() {
    let bench = Bench::new(&[("m.csv", "t,value\n1,-999\n2,-999.0\n3,NaN\n4,\n5,5\n6,NA\n")]);
    let given = bench.run(json!({ "path": "m.csv", "missing": ["NaN", "-999"] }));
    insta::assert_snapshot!(given.rejects.join("\n"), @"m.csv:7: `value`: `NA` is not a number [6,NA]");
    assert_eq!(given.raw.len(), 1);
}

#[test]
fn a_folder_and_a_pattern_are_read_by_name() {
    let day = |day: u32| format!("time,value\n2026-01-{day:02},{day}\n");
    let bench = Bench::new(&[
        ("d/b:2.csv", &day(2)),
        ("d/a.csv", &day(1)),
        ("d/x/c.csv", &day(3)),
        ("d/notes.txt", "nothing"),
        ("d/.hidden.csv", "time,value\n1,1\n"),
    ]);
    let values = |path: &str| -> Vec<f64> {
        let given = bench.run(json!({ "path": path, "source": "all" }));
        given.raw.iter().map(|one| one.value.as_f64().unwrap()).collect()
    };
    assert_eq!(values("d"), [1.0, 2.0]);
    assert_eq!(values("d/*.csv"), [1.0, 2.0]);
    assert_eq!(values("d/**"), [1.0, 2.0, 3.0]);
    assert_eq!(values("d/?.csv"), [1.0]);
    assert_eq!(values("d/*/*.csv"), [3.0]);
    let positions = bench.run(json!({ "path": "d" })).positions;
    assert!(positions[1].part.starts_with("d/b:2.csv@"));
}

#[test]
fn packed_files_are_unpacked_and_damaged_ones_told() {
    let text = "time,value\n2026-01-01,1\n".to_owned() + &"2026-01-02,2\n".repeat(9000);
    let bench = Bench::new(&[]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    bench.put("p/a.csv.gz", &gz);
    bench.put("p/c.csv.zst", &zstd::encode_all(text.as_bytes(), 1).unwrap());
    let given = bench.run(json!({ "path": "p" }));
    assert_eq!(given.raw.len(), 2 * 9001);
    assert_eq!(given.positions.last().unwrap().offset, text.len() as u64);
    bench.put("p/b.csv.gz", &gz[..gz.len() / 2]);
    let given = bench.run(json!({ "path": "p" }));
    assert!(given.raw.len() >= 2 * 9001);
    assert_eq!(given.rejects.len(), 1);
    assert!(
        given.rejects[0].starts_with("p/b.csv.gz: cannot be read further"),
        "{}",
        given.rejects[0]
    );
}

#[test]
fn a_later_file_that_does_not_fit_is_left_and_told() {
    let bench = Bench::new(&[
        ("a.csv", "time,x\n1,1\n"),
        ("b.csv", "time,y\n1,1\n"),
        ("c.csv", "time,x\n2,2\n"),
    ]);
    let given = bench.run(json!({ "path": ".", "value": "x" }));
    assert_eq!(given.raw.len(), 2);
    insta::assert_snapshot!(given.rejects.join("\n"), @"b.csv: the file has no column `x`; it has `time`, `y` []");
}

#[test]
fn batches_are_bounded_and_positions_lie_between_rows() {
    let text: String = (0..5000)
        .map(|n| format!("{{\"time\":{},\"source\":\"a:b\",\"value\":{n}}}\n", 1_767_225_600 + n))
        .collect();
    let bench = Bench::new(&[("l.jsonl", &text)]);
    let given = bench.run(json!({ "path": "l.jsonl" }));
    assert_eq!(given.raw.len(), 5000);
    assert_eq!(given.positions[0].line, 1024);
    for position in &given.positions {
        let before = &text[..position.offset as usize];
        assert_eq!(before.matches('\n').count() as u64, position.line);
    }
}

#[test]
fn too_many_series_refuse_their_rows() {
    let text: String = (0..10_010)
        .map(|n| format!("{{\"time\":1767225600,\"source\":\"a:{n}\",\"value\":1}}\n"))
        .collect();
    let bench = Bench::new(&[("s.jsonl", &text)]);
    let given = bench.run(json!({ "path": "s.jsonl" }));
    assert_eq!((given.raw.len(), given.rejects.len()), (10_000, 10));
}

#[test]
fn one_series_in_many_spellings_stays_one_and_is_not_kept_for_each() {
    let line = |n: usize| {
        let blanks = " ".repeat(n % 1000);
        let labels = format!("{{{blanks}\"room\":{}\"hall\"}}", " ".repeat(n / 1000));
        format!("{{\"time\":1767225600,\"source\":\"a:b\",\"value\":{n},\"labels\":{labels}}}\n")
    };
    let text: String = (0..45_000).map(line).collect();
    let bench = Bench::new(&[("s.jsonl", &text)]);
    let given = bench.run(json!({ "path": "s.jsonl" }));
    assert_eq!((given.raw.len(), given.rejects.len()), (45_000, 0));
    assert!(given.raw.iter().all(|one| one.series == given.raw[0].series));
}

#[test]
fn empty_files_have_no_rows() {
    let bench =
        Bench::new(&[("a.csv", ""), ("b.jsonl", ""), ("c.csv", "time,value\n"), ("d.csv", "\n\n")]);
    let given = bench.run(json!({ "path": "." }));
    assert_eq!((given.raw.len(), given.rejects), (0, vec![]));
}

#[test]
fn says_what_is_wrong_with_the_files() {
    let bench = Bench::new(&[("a.csv", "t,x\n1,b\n"), ("empty/n.txt", ""), ("data.txt", "")]);
    insta::assert_snapshot!(bench.problem(json!({ "path": "no.csv" })), @"path: `/no.csv` cannot be read: No such file or directory (os error 2) ()");
    insta::assert_snapshot!(bench.problem(json!({ "path": "empty" })), @"path: there is no recording in `empty` (files are known by their extension, or set `format`)");
    insta::assert_snapshot!(bench.problem(json!({ "path": "*.json" })), @"path: there is no recording in `*.json` (files are known by their extension, or set `format`)");
    insta::assert_snapshot!(bench.problem(json!({ "path": "data.txt" })), @"format: the name `data.txt` does not tell the format (set `format` to `csv`, `jsonl` or `parquet`)");
    insta::assert_snapshot!(bench.problem(json!({ "path": "a.csv", "time": "when" })), @"time: the file has no column `when`; it has `t`, `x` ()");
    insta::assert_snapshot!(bench.problem(json!({ "path": "a.csv" })), @"columns: `a` has no column of numbers (name the columns with values in `columns`, or the one in `value`)");
}

#[test]
fn a_first_line_that_is_no_header_is_told_and_costs_no_row() {
    let bench = Bench::new(&[
        ("row.csv", "2026-01-01T00:00:00Z,1.5\n2026-01-01T00:01:00Z,2.5\n"),
        ("semi.csv", "time;value\n2026-01-01T00:00:00Z;1,5\n"),
        ("bare.csv", "value\n1\n2\n"),
    ]);
    insta::assert_snapshot!(bench.problem(json!({ "path": "row.csv" })), @"header: the first line of `row` is a row, not a header (name the columns in order, such as `header: [time, value]`)");
    insta::assert_snapshot!(bench.problem(json!({ "path": "semi.csv" })), @r#"delimiter: the fields of `semi` seem to be separated by `;` (set `delimiter: ";"`)"#);
    insta::assert_snapshot!(bench.problem(json!({ "path": "bare.csv" })), @"time: `bare` has no column of times: `value` holds the values (name the column with the time in `time`)");
    assert_eq!(bench.run(json!({ "path": "row.csv", "header": ["time", "value"] })).raw.len(), 2);
}

#[test]
fn says_what_is_wrong_with_the_settings() {
    let problems = |settings: serde_json::Value| {
        let config: ReplayConfig = serde_json::from_value(settings).unwrap();
        let text = |one: &Problem| {
            format!("{}: {} ({})", one.field, one.message, one.help.clone().unwrap_or_default())
        };
        config.problems().iter().map(text).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(problems(json!({
        "path": "-", "source": "{a", "value": "v", "columns": {}, "zone": "Mars", "time_format": "iso", "max_line": "1GiB",
    })), @r#"
    source: a `{` is not closed (write it like "{building}/{room}")
    columns: `value` and `columns` are both set (`value` is for one reading a row, `columns` for several)
    columns: there is none (leave `columns` out to find them)
    zone: there is no zone `Mars` (write it as `Europe/Berlin` or `UTC`)
    time_format: `iso` is no time format (write `s`, `ms`, `us`, `ns`, or a pattern such as `%d.%m.%Y %H:%M:%S`)
    format: standard input has no name that tells its format (set `format: jsonl` or `format: csv`)
    max_line: it must lie between 1B and 64MiB ()
    "#);
    insta::assert_snapshot!(problems(json!({ "path": "a.csv", "delimiter": "\"" })), @"delimiter: it must be one ASCII character that is neither a quote nor a line break ()");
}

#[test]
fn the_checker_learns_which_ids_there_can_be() {
    let ids = |settings: serde_json::Value| {
        let config: ReplayConfig = serde_json::from_value(settings).unwrap();
        let ids = config.profile().ids;
        ids.map(|ids| ids.iter().map(|glob| glob.as_str().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        ids(json!({ "path": "a.csv", "source": "{a}{b}/x/{c}" })),
        Some(vec!["**/x/**".to_owned()])
    );
    let columns = json!({ "path": "a.csv", "columns": { "t": {}, "u": { "id": "v" } } });
    assert_eq!(ids(columns), Some(vec!["t".to_owned(), "v".to_owned()]));
    assert_eq!(ids(json!({ "path": "a.csv" })), None);
}

#[test]
fn the_example_replays_the_file_beside_it() {
    let bench = Bench::new(&[("soil.csv", include_str!("soil.csv"))]);
    let settings = json!({
        "path": "soil.csv", "zone": "Europe/Berlin", "columns": { "bed": { "unit": "%" }, "greenhouse": { "id": "glass", "unit": "%" } },
    });
    let given = bench.run(settings);
    assert_eq!((given.readings.len(), given.rejects.len()), (7, 0));
    insta::assert_snapshot!(given.readings[1], @r#"{"time":"2026-05-04T04:00:00Z","source":"air:glass","value":42,"unit":"%","count":1}"#);
}
