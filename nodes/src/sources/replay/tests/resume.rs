//! Going on where an earlier run stopped.

use proptest::prelude::*;
use smollama_engine::duration::Duration;
use smollama_engine::node::NodeError;
use smollama_engine::series::{Series, SourceKey};
use smollama_store::history::{Settings, Writer};

use super::*;

impl Bench {
    /// What comes when after so many batches each time a new source goes on at the last position.
    fn run_in_pieces(&self, settings: &serde_json::Value, pieces: &[usize]) -> Given {
        let mut given = Given::default();
        for batches in pieces.iter().chain([&usize::MAX]) {
            let (mut source, context) = self.source(settings).unwrap();
            if let Some(position) = given.positions.last() {
                block_on(source.resume(position)).unwrap();
            }
            if !given.take(&mut *source, &context, *batches) {
                break;
            }
        }
        given
    }

    fn refusal(&self, settings: &serde_json::Value, position: &Position) -> String {
        let (mut source, context) = self.source(settings).unwrap();
        let Err(NodeError::Reject(why)) = block_on(source.resume(position)) else {
            panic!("{position:?} is taken")
        };
        // It then begins at the beginning, as if nobody had asked.
        let mut given = Given::default();
        given.take(&mut *source, &context, usize::MAX);
        assert_eq!(given.readings, self.run(settings.clone()).readings);
        why
    }
}

fn packed(bytes: &[u8], packing: &str) -> Vec<u8> {
    match packing {
        ".gz" => {
            let level = flate2::Compression::fast();
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), level);
            gz.write_all(bytes).unwrap();
            gz.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}

/// Rows of a table: good ones, bad ones, one in quotes over two lines, one without a value, a blank, one that is too long.
fn csv(rows: &[(u8, u16)], line_end: &str) -> String {
    let mut text = format!("\u{feff}time,value,note{line_end}");
    for (second, (kind, run)) in rows.iter().enumerate() {
        for repeat in 0..*run {
            let time = 1_767_225_600 + second * 1000 + usize::from(repeat);
            text += &match kind {
                0..6 => format!("{time},{second}.5,fine"),
                6 => format!("{time},{second},\"two{line_end}lines\""),
                7 => format!("{time},x{second},bad"),
                8 => format!("{time},,"),
                9 => format!("{time}"),
                10 => String::new(),
                _ => format!("{time},1,{}", "long".repeat(100)),
            };
            text += line_end;
        }
    }
    text
}

fn jsonl(rows: &[(u8, u16)]) -> String {
    let mut text = String::new();
    for (second, (kind, run)) in rows.iter().enumerate() {
        for repeat in 0..*run {
            let time = 1_767_225_600 + second * 1000 + usize::from(repeat);
            text += &match kind {
                0..6 => format!(r#"{{"time":{time},"source":"a:{kind}","value":{second}}}"#),
                6 => format!(r#"{{"source":"a:b","value":"on","time":{time},"unit":"W"}}"#),
                7 => format!(r#"{{"time":{time},"value":}}"#),
                8 => "{".into(),
                9 => "[]".into(),
                10 => String::new(),
                _ => format!(r#"{{"time":{time},"x":"{}"}}"#, "long".repeat(100)),
            };
            text.push('\n');
        }
    }
    text
}

fn parquet(bench: &Bench, name: &str, rows: usize) {
    let context = bench.context();
    let id = |n: usize| {
        let series = Series::new(SourceKey::local("t", &n.to_string()));
        context.host.series.intern(&series).unwrap()
    };
    let at = |n: usize| START + Duration::from_secs(n as i64);
    let readings: Vec<Reading> =
        (0..rows).map(|n| Reading::new(at(n), id(n % 3), n as f64 / 4.0)).collect();
    let folder = bench.folder.path().join("made");
    let settings = Settings { rows_max: 100_000, ..Settings::default() };
    let mut writer = Writer::open(&context.host.disk, folder.clone(), settings).unwrap();
    writer.append_readings(&readings, &context.host.series).unwrap();
    writer.finalize().unwrap();
    let made = fs::read_dir(folder.join("readings")).unwrap().next().unwrap().unwrap().path();
    fs::rename(made, bench.folder.path().join(name)).unwrap();
}

/// Some thousand rows, as kinds and how many of a kind follow one another.
fn rows() -> impl Strategy<Value = Vec<(u8, u16)>> {
    prop::collection::vec((0u8..12, prop_oneof![9 => 1u16..20, 1 => 300u16..2500]), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// However often it is begun anew: the same readings and the same refusals, with the same lines.
    #[test]
    fn going_on_gives_what_reading_through_gives(
        files in prop::collection::vec(
            (rows(), 0usize..3, prop::sample::select(vec!["", ".gz", ".zst"]), any::<bool>()), 1..5),
        pieces in prop::collection::vec(0usize..5, 0..12),
        header: bool,
    ) {
        let bench = Bench::new(&[("d/.here", "")]);
        for (number, (rows, form, packing, crlf)) in files.iter().enumerate() {
            let text = match form {
                0 => csv(rows, if *crlf { "\r\n" } else { "\n" }),
                1 => jsonl(rows),
                _ => {
                    parquet(&bench, &format!("d/{number}.parquet"), 1 + rows.len() * 100);
                    continue;
                }
            };
            let form = if *form == 0 { "csv" } else { "jsonl" };
            bench.put(&format!("d/{number}.{form}{packing}"), &packed(text.as_bytes(), packing));
        }
        let mut settings = json!({ "path": "d", "max_line": "200B", "value": "value", "source": "all" });
        if header {
            settings["header"] = json!(["time", "value", "note"]);
        }
        let whole = bench.run(settings.clone());
        let parts = bench.run_in_pieces(&settings, &pieces);
        prop_assert_eq!(&whole.readings, &parts.readings);
        // How much there is of a row when it is refused for its length depends on how the bytes come.
        let refused = |given: &Given| -> Vec<String> {
            given.rejects.iter().map(|one| one.split(" [").next().unwrap().to_owned()).collect()
        };
        prop_assert_eq!(refused(&whole), refused(&parts));
    }
}

#[test]
fn a_long_file_is_gone_on_with_from_the_middle() {
    let text = "time,value\n".to_owned()
        + &(0..60_000).map(|n| format!("{},{n}\n", 1_767_225_600 + n)).collect::<String>();
    for packing in ["", ".gz", ".zst"] {
        let bench = Bench::new(&[]);
        let name = format!("long.csv{packing}");
        bench.put(&name, &packed(text.as_bytes(), packing));
        let settings = json!({ "path": name });
        let given = bench.run_in_pieces(&settings, &[3, 30, 1, 1, 10]);
        let values: Vec<f64> = given.raw.iter().map(|one| one.value.as_f64().unwrap()).collect();
        assert!(values.iter().enumerate().all(|(n, value)| n as f64 == *value));
        assert_eq!(values.len(), 60_000);
    }
}

#[test]
fn a_position_never_lies_within_a_refused_row() {
    for (name, head) in [("a.csv", "time,value\n"), ("a.jsonl", "")] {
        let good = if head.is_empty() { r#"{"time":1,"value":1}"# } else { "1,1" };
        let good = format!("{good}\n");
        // Longer than what is read at once, so that it is refused before all of it is there.
        let long = "1,1,".repeat(300_000) + "\n";
        let text = head.to_owned() + &good.repeat(3) + &long + &good.repeat(3);
        let bench = Bench::new(&[(name, &text)]);
        let settings = json!({ "path": name, "max_line": "200B" });
        let whole = bench.run(settings.clone());
        assert_eq!((whole.raw.len(), whole.rejects.len()), (6, 1));
        let parts = bench.run_in_pieces(&settings, &[1; 20]);
        assert_eq!((parts.readings, parts.rejects), (whole.readings, whole.rejects));
    }
}

/// A file that was refused or broke off is behind us, and is not told of a second time.
#[test]
fn what_was_given_up_is_not_tried_again() {
    let bench = Bench::new(&[
        ("d/a.csv", "time,x\n1,1\n"),
        ("d/b.csv", "time,y\n1,1\n"),
        ("d/d.csv", "time,x\n2,2\n"),
    ]);
    let long = "time,x\n".to_owned() + &"3,3\n".repeat(5000);
    let gz = packed(long.as_bytes(), ".gz");
    bench.put("d/c.csv.gz", &gz[..gz.len() - 9]);
    let settings = json!({ "path": "d", "value": "x" });
    let whole = bench.run(settings.clone());
    assert_eq!(whole.rejects.len(), 2);
    let parts = bench.run_in_pieces(&settings, &[1; 20]);
    assert_eq!((parts.readings, parts.rejects), (whole.readings, whole.rejects));
}

#[test]
fn a_recording_that_grew_is_gone_on_with_at_its_end() {
    let bench = Bench::new(&[("a.csv", "time,value\n1,1\n")]);
    let settings = json!({ "path": "a.csv" });
    let first = bench.run(settings.clone());
    bench.put("a.csv", b"time,value\n1,1\n2,2\n");
    let (mut source, context) = bench.source(&settings).unwrap();
    block_on(source.resume(&first.positions[0])).unwrap();
    let mut given = Given::default();
    given.take(&mut *source, &context, usize::MAX);
    assert_eq!(given.raw.len(), 1);
    assert_eq!(given.raw[0].value, 2.into());
}

#[test]
fn a_recording_that_changed_is_refused_and_read_from_its_beginning() {
    let text = "time,value\n".to_owned() + &"1,1\n".repeat(3000);
    let bench = Bench::new(&[("d/a.csv", &text), ("d/b.csv", &text)]);
    parquet(&bench, "d/c.parquet", 2000);
    let settings = json!({ "path": "d", "source": "all", "value": "value" });
    let positions = bench.run(settings.clone()).positions;
    let of = |name: &str| {
        let part = |one: &&Position| one.part.starts_with(name);
        positions.iter().find(part).unwrap().clone()
    };
    let (b, c) = (of("d/b.csv@"), of("d/c.parquet@"));

    bench.put("d/b.csv", text.replacen("1,1", "1,2", 1).as_bytes());
    let no_longer = |name: &str| format!("`{name}` no longer begins with what was read of it");
    assert_eq!(bench.refusal(&settings, &b), no_longer("d/b.csv"));
    bench.put("d/b.csv", &text.as_bytes()[..100]);
    assert_eq!(bench.refusal(&settings, &b), no_longer("d/b.csv"));
    parquet(&bench, "d/c.parquet", 2001);
    assert_eq!(bench.refusal(&settings, &c), no_longer("d/c.parquet"));
    fs::remove_file(bench.folder.path().join("d/b.csv")).unwrap();
    let gone = "`d/b.csv` is no longer among the recordings";
    assert_eq!(bench.refusal(&settings, &b), gone);
    let none = Position { part: "d/a.csv".into(), offset: 0, line: 0 };
    assert_eq!(bench.refusal(&settings, &none), "`d/a.csv` is no place in a recording");
}
