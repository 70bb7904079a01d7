use smollama_engine::batch::Items;
use smollama_engine::disk::{Crash, SimulatedDisk};
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SourceKey};
use smollama_engine::window::{Accumulator, Cause, Window};
use smollama_store::history::{Reader, Sources};

use super::*;

const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

fn sink(config: &ParquetConfig, host: &Arc<Host>) -> Box<dyn Sink> {
    let context = Context::new(host.clone(), "p/history", "parquet");
    match config.build(&context) {
        Ok(Node::Sink(sink)) => sink,
        other => panic!("{other:?}"),
    }
}

fn batch(items: Items, seconds: i64) -> Batch {
    Batch::new(items, START + Duration::from_secs(seconds))
}

fn readings(host: &Host, seconds: std::ops::Range<i64>) -> Items {
    let series = host.series.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
    let reading = |s| Reading::new(START + Duration::from_secs(s), series, s as f64);
    Items::Readings(seconds.map(reading).collect())
}

fn kept(host: &Host) -> usize {
    let reader = Reader::new(host.disk.clone(), &host.data_dir.join("history"));
    let always = Timestamp::MIN..Timestamp::MAX;
    let rows = reader.readings(always, Sources::all(), &host.series).unwrap();
    rows.map(|rows| rows.unwrap().len()).sum()
}

#[tokio::test]
async fn items_are_finalized_when_they_have_waited_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let mut sink = sink(&ParquetConfig::default(), &host);
    sink.write(&batch(readings(&host, 0..10), 10)).await.unwrap();
    sink.flush(START + Duration::from_secs(10)).await.unwrap();
    sink.flush(START + Duration::from_secs(309)).await.unwrap();
    assert_eq!(kept(&host), 0);
    sink.flush(START + Duration::from_secs(310)).await.unwrap();
    assert_eq!(kept(&host), 10);
    sink.write(&batch(readings(&host, 10..15), 400)).await.unwrap();
    sink.flush(START + Duration::from_secs(401)).await.unwrap();
    assert_eq!(kept(&host), 10);
    sink.close(START + Duration::from_secs(402)).await.unwrap();
    assert_eq!(kept(&host), 15);
}

/// What comes late, out of a journal or a spool, is gathered like anything else: not a file for each pause.
#[tokio::test]
async fn what_was_received_long_ago_waits_as_long_as_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let mut sink = sink(&ParquetConfig::default(), &host);
    for second in 0..10 {
        sink.write(&batch(readings(&host, second..second + 1), second)).await.unwrap();
        sink.flush(START + Duration::from_secs(7_200 + second)).await.unwrap();
    }
    assert_eq!(kept(&host), 0);
    sink.flush(START + Duration::from_secs(7_500)).await.unwrap();
    let files = host.disk.list(&folder.path().join("history/readings")).unwrap().len();
    assert_eq!((files, kept(&host)), (1, 10));
}

#[tokio::test]
async fn files_of_a_day_that_is_over_are_merged_as_time_goes_by() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let mut sink = sink(&ParquetConfig::default(), &host);
    for hour in 0..4 {
        let start = hour * 3_600;
        sink.write(&batch(readings(&host, start..start + 10), start)).await.unwrap();
        sink.flush(START + Duration::from_secs(start)).await.unwrap();
        sink.flush(START + Duration::from_secs(start + 600)).await.unwrap();
    }
    let files = || host.disk.list(&folder.path().join("history/readings")).unwrap().len();
    assert_eq!(files(), 4);
    sink.flush(START + Duration::from_hours(25)).await.unwrap();
    assert_eq!((files(), kept(&host)), (1, 40));
}

/// What a sink has at a checkpoint is durable at once, and its successor is asked for the rest.
#[tokio::test]
async fn a_checkpoint_finalizes_and_a_successor_knows_how_far_it_had_come() {
    let disk = SimulatedDisk::new(3);
    let host = |disk: &SimulatedDisk| {
        Arc::new(Host { disk: disk.shared(), ..Host::for_tests(std::path::Path::new("/data")) })
    };
    let stream = Uuid::from_u128(9);
    let first = host(&disk);
    let mut old = sink(&ParquetConfig::default(), &first);
    assert!(old.keeps_position());
    assert_eq!(old.position(stream, ItemKind::Readings), Some(0));
    let counted = |host: &Host, seconds: std::ops::Range<i64>| {
        let end = seconds.end as u64;
        Batch { end, ..batch(readings(host, seconds), 0) }
    };
    old.write(&counted(&first, 0..10)).await.unwrap();
    old.checkpoint(START).await.unwrap();
    old.write(&counted(&first, 10..14)).await.unwrap();
    disk.crash(Crash::Power);

    let next = host(&disk.restart());
    assert_eq!(kept(&next), 10);
    let mut new = sink(&ParquetConfig::default(), &next);
    assert_eq!(new.position(stream, ItemKind::Readings), Some(10));
    assert_eq!(new.position(stream, ItemKind::Windows), Some(0));
    new.write(&counted(&next, 10..14)).await.unwrap();
    new.close(START).await.unwrap();
    assert_eq!(kept(&next), 14);
}

#[tokio::test]
async fn every_kind_has_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let mut sink = sink(&ParquetConfig::default(), &host);
    let items = readings(&host, 0..1);
    let Items::Readings(readings) = &items else { unreachable!() };
    let window = Window {
        start: START,
        end: START + Duration::from_secs(60),
        cause: Cause::Time,
        summaries: vec![Accumulator::new(&readings[0]).summary(readings[0].series)],
    };
    let observation = Observation {
        id: Default::default(),
        time: START,
        author: "p/a".into(),
        kind: ObservationKind::Status,
        text: "calm".into(),
        confidence: 1.0,
        sources: Vec::new(),
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    };
    sink.write(&batch(items.clone(), 0)).await.unwrap();
    sink.write(&batch(Items::Windows(vec![window]), 0)).await.unwrap();
    sink.write(&batch(Items::Observations(vec![observation]), 0)).await.unwrap();
    sink.close(START).await.unwrap();
    for set in ["readings", "windows", "observations"] {
        let files = host.disk.list(&folder.path().join("history").join(set)).unwrap();
        assert_eq!(files.len(), 1, "{set}");
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let config = |text: &str| serde_json::from_str::<ParquetConfig>(text).unwrap();
    let fields = |text| config(text).problems().into_iter().map(|it| it.field).collect::<Vec<_>>();
    assert_eq!(fields("{}"), Vec::<String>::new());
    assert_eq!(
        fields(r#"{"path":"","finalize":"0s","keep":"1h","max_size":"1MiB"}"#),
        ["path", "finalize", "keep", "max_size"]
    );
    let claim = |text: &str| config(text).profile().claims[0].key.clone();
    assert_eq!(claim(r#"{"path":"./a/b/"}"#), claim(r#"{"path":"a/b"}"#));
}

#[test]
fn a_folder_that_cannot_be_made_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("history"), b"a file").unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let problem =
        ParquetConfig::default().build(&Context::new(host, "p/h", "parquet")).unwrap_err();
    assert_eq!(problem.field, "path");
    assert!(problem.message.starts_with("cannot make the folder `"), "{problem:?}");
}
