//! Files of earlier formats, as the releases wrote them. A later release must read them; one that writes others must count its format up.

use smollama_engine::batch::Batch;
use smollama_engine::node::Position;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Value;
use smollama_engine::run::Spools;
use smollama_engine::window::{Cause, Summary, Window};

use super::*;
use crate::log::LogSpools;
use crate::log::frame::Header;

const CAP: ByteSize = ByteSize::kib(64);
const NAME: &str = "00000000000000000001.log";

fn readings(host: &Host) -> Items {
    let kitchen = Series::new(SourceKey::local("air", "kitchen/temperature")).with_unit("°C");
    let kitchen = host.series.intern(&kitchen.with_label("floor", "1")).unwrap();
    let meter = Series::new(SourceKey::local("meter", "a:b")).counter();
    let meter = host.series.intern(&meter).unwrap();
    let values: [Value; 9] = [
        Value::Float(21.5),
        Value::Float(-0.0),
        Value::Float(0.1 + 0.2),
        Value::Float(f64::from(1.1f32)),
        Value::Int(-7),
        Value::Bool(true),
        Value::Bool(false),
        Value::text("open ✓"),
        Value::from_json(serde_json::json!({"b": [1, 2.5], "a": null})).unwrap(),
    ];
    let mut readings = Vec::new();
    for (n, value) in (0i64..).zip(values) {
        let series = if n % 2 == 0 { kitchen } else { meter };
        readings.push(Reading::new(at(-n * 250), series, value));
    }
    readings[2].score = 0.75;
    readings[3].count = 12;
    Items::Readings(readings)
}

fn windows(host: &Host) -> Items {
    let series = host.series.intern(&Series::new(SourceKey::local("air", ""))).unwrap();
    let summary = Summary {
        series,
        count: 300,
        min: 1.5,
        max: 1e9,
        mean: 2.0 / 3.0,
        stddev: 0.0,
        first: Value::Int(1),
        last: Value::text("x"),
        score: f64::INFINITY,
    };
    let summaries = vec![summary];
    Items::Windows(vec![Window {
        start: at(0),
        end: at(60_000_000),
        cause: Cause::Urgent,
        summaries,
    }])
}

fn observations() -> Items {
    let observation = Observation {
        id: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        time: at(5),
        author: "greenhouse/watcher".into(),
        kind: ObservationKind::Anomaly,
        text: "the vent is stuck".into(),
        confidence: 0.9,
        sources: vec!["air:kitchen".into()],
        evidence: Evidence { from: at(-100), to: at(0), sources: vec!["air:kitchen".into()] },
        model: Some("llama3.2:1b".into()),
        rung: Rung::LocalModel,
    };
    Items::Observations(vec![observation])
}

fn events(host: &Host) -> Vec<(Timestamp, Event)> {
    let items = |source: &str, received, items, position| Event::Items {
        source: source.into(),
        received,
        items,
        position,
        retained: false,
    };
    let position = Position { part: "data/a.csv".into(), offset: 4711, line: 42 };
    vec![
        (at(0), items("greenhouse/air", at(-1), readings(host), None)),
        (at(1), Event::Tick { node: "greenhouse/pace".into() }),
        (at(2), items("greenhouse/file", at(2), windows(host), Some(position))),
        (at(3), items("greenhouse/air", at(3), observations(), None)),
        (at(4), Event::Confirmed { stream: Uuid::from_u128(7), end: 300 }),
    ]
}

/// Holds what is written today against a golden file, and gives a disk on which the golden one lies.
fn hold(disk: &SimulatedDisk, folder: &str, name: &str) -> SimulatedDisk {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/log/tests").join(name);
    let ours = disk.read(&Path::new(folder).join(NAME)).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&golden, &ours).unwrap();
    }
    let theirs = std::fs::read(golden).unwrap();
    // The header names the release.
    let records = |bytes: &[u8]| bytes[Header::read(bytes).unwrap().1..].to_vec();
    assert!(records(&ours) == records(&theirs), "{name}: another format needs another number");
    let other = SimulatedDisk::new(1);
    other.create_dir_all(Path::new(folder)).unwrap();
    other.create_new(&Path::new(folder).join(NAME)).unwrap().write_all(&theirs).unwrap();
    other
}

/// What the second format has besides.
fn events_of_the_second(host: &Host) -> Vec<(Timestamp, Event)> {
    let series =
        [Series::new(SourceKey::local("air", "attic")), Series::new(SourceKey::parse("a"))];
    let series = series.iter().map(|one| host.series.intern(one).unwrap()).collect();
    let forgotten = Event::Forgotten { source: "greenhouse/air".into(), series };
    events(host).into_iter().chain([(at(5), forgotten)]).collect()
}

/// What the third format has besides.
fn events_of_the_third(host: &Host) -> Vec<(Timestamp, Event)> {
    let source = "greenhouse/air".into();
    let (received, items, position) = (at(6), readings(host), None);
    let retained = Event::Items { source, received, items, position, retained: true };
    events_of_the_second(host).into_iter().chain([(at(6), retained)]).collect()
}

#[test]
fn a_journal_of_the_first_format_is_read() {
    assert_read("journal-1.log", events);
}

#[test]
fn a_journal_of_the_second_format_is_read() {
    assert_read("journal-2.log", events_of_the_second);
}

#[test]
fn a_journal_of_the_third_format_is_read() {
    assert_read("journal-3.log", events_of_the_third);
}

fn assert_read(name: &str, events: impl Fn(&Host) -> Vec<(Timestamp, Event)>) {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, CAP, Durability::Power);
    for (now, event) in events(&host) {
        journal.append(now, &event, None).unwrap();
    }
    let disk = hold(&disk, FOLDER, name);
    let (host, journal) = inline(&disk, CAP, Durability::Power);
    let found: Vec<_> =
        read(&journal, 0).into_iter().map(|record| (record.now, record.event)).collect();
    // NaN is not equal to itself, but its text is.
    assert_eq!(format!("{found:?}"), format!("{:?}", events(&host)));
    for ((_, one), (_, other)) in found.iter().zip(events(&host)) {
        if let (Event::Items { items, .. }, Event::Items { items: ours, .. }) = (one, &other) {
            assert_eq!(described(&host.series, items), described(&host.series, ours));
        }
    }
}

#[test]
fn a_spool_of_the_first_format_is_read() {
    let disk = SimulatedDisk::new(1);
    let host = host(&disk);
    let batches = |host: &Host| {
        let of = |items, received, seq, end| Batch { items, received, seq, end };
        [
            of(readings(host), at(0), 7, 109),
            of(windows(host), at(9), 7, 110),
            of(observations(), at(8), 300, 111),
        ]
    };
    let mut spool = LogSpools::new(&host).open("p/a", CAP).unwrap();
    for batch in batches(&host) {
        spool.append(&batch).unwrap();
    }
    spool.next().unwrap();
    spool.confirm(109);
    spool.persist().unwrap();
    let disk = hold(&disk, "/data/spool/p%2fa", "spool-1.log");
    let host = super::host(&disk);
    let mut spool = LogSpools::new(&host).open("p/a", CAP).unwrap();
    assert_eq!((spool.items(), spool.last_end()), (2, Some(111)));
    for batch in batches(&host).into_iter().skip(1) {
        assert_eq!(format!("{:?}", spool.next().unwrap().unwrap()), format!("{batch:?}"));
    }
    assert!(spool.next().unwrap().is_none());
}
