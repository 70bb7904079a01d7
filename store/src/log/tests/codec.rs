//! Everything that flows comes back as it was, to the last bit.

use proptest::prelude::*;
use smollama_engine::batch::Batch;
use smollama_engine::node::Position;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::Value;
use smollama_engine::series::SeriesId;
use smollama_engine::window::{Cause, Summary, Window};
use uuid::Uuid;

use super::*;
use crate::log::decode::{Decoder, Spooled};
use crate::log::encode::Encoder;

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
        (-100_000i64..100_000).prop_map(|whole| whole as f64 / 100.0),
        Just(-0.0),
        any::<f32>().prop_map(f64::from).prop_filter("finite", |value| value.is_finite()),
    ]
}

/// Figures may be NaN, of any kind.
fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![double(), Just(f64::NAN), any::<u64>().prop_map(f64::from_bits)]
}

fn one_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        double().prop_map(Value::Float),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(|text| Value::text(&text)),
        (double(), ".{0,8}", any::<u64>()).prop_map(|(a, b, c)| {
            Value::Json(Arc::new(serde_json::json!({"b": [a, null, b], "a": {"deep": c}})))
        }),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![(0i64..1_000_000_000).prop_map(at), any::<i64>().prop_map(Timestamp::from_micros)]
}

fn series() -> impl Strategy<Value = Series> {
    let labels = prop::collection::btree_map("[a-z]{1,3}", ".{0,4}", 0..3);
    let unit = prop::option::of(prop_oneof![Just("%"), Just("celsius"), Just("")]);
    ("[a-z]{0,2}", ".{0,3}", unit, labels, any::<bool>()).prop_map(
        |(type_part, id, unit, labels, monotonic)| Series {
            source: SourceKey::local(&type_part, &id),
            // As it is, normalised or not.
            unit: unit.map(Into::into),
            labels: labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            monotonic,
        },
    )
}

/// Items of one kind before their series have numbers.
#[derive(Debug, Clone)]
enum Made {
    Readings(Vec<(Series, Timestamp, Value, f64, u32)>),
    Windows(Vec<(Timestamp, Timestamp, Cause, Vec<MadeSummary>)>),
    Observations(Vec<Observation>),
}

type MadeSummary = (Series, u64, [f64; 5], Value, Value);

fn summary() -> impl Strategy<Value = MadeSummary> {
    (series(), any::<u64>(), prop::array::uniform5(figure()), one_value(), one_value())
}

fn observation() -> impl Strategy<Value = Observation> {
    let kinds = prop::sample::select(vec![
        ObservationKind::Pattern,
        ObservationKind::Anomaly,
        ObservationKind::Status,
        ObservationKind::General,
        ObservationKind::Summary,
        ObservationKind::Fact,
    ]);
    let rungs = vec![Rung::LocalModel, Rung::RemoteModel, Rung::Statistics, Rung::Rule];
    let rungs = prop::sample::select(rungs);
    let texts = || prop::collection::vec("[a-z:]{0,5}".prop_map(Arc::<str>::from), 0..3);
    let who = ("[a-z]{1,3}", prop::option::of("[a-z]{1,3}"), rungs);
    let when = (time(), time(), time());
    (any::<u128>(), who, when, kinds, ".{0,30}", figure(), texts(), texts()).prop_map(
        |(
            id,
            (author, model, rung),
            (time, from, to),
            kind,
            text,
            confidence,
            sources,
            made_from,
        )| {
            Observation {
                id: Uuid::from_u128(id),
                time,
                author: author.into(),
                kind,
                text: text.into(),
                confidence,
                sources,
                evidence: Evidence { from, to, sources: made_from },
                model: model.map(Into::into),
                rung,
            }
        },
    )
}

fn made() -> impl Strategy<Value = Made> {
    let score = prop_oneof![3 => Just(f64::NAN), 1 => figure()];
    let count = prop_oneof![3 => Just(1), 1 => any::<u32>()];
    let reading = (series(), time(), one_value(), score, count);
    let cause = prop::sample::select(Cause::ALL.to_vec());
    let window = (time(), time(), cause, prop::collection::vec(summary(), 0..3));
    prop_oneof![
        4 => prop::collection::vec(reading, 0..6).prop_map(Made::Readings),
        1 => prop::collection::vec(window, 0..3).prop_map(Made::Windows),
        1 => prop::collection::vec(observation(), 0..3).prop_map(Made::Observations),
    ]
}

impl Made {
    fn items(&self, table: &SeriesTable) -> Items {
        let id = |series: &Series| table.intern(series).unwrap();
        match self {
            Made::Readings(all) => {
                let reading =
                    |(of, time, value, score, count): &(Series, _, Value, _, _)| Reading {
                        time: *time,
                        value: value.clone(),
                        score: *score,
                        series: id(of),
                        count: *count,
                    };
                Items::Readings(all.iter().map(reading).collect())
            }
            Made::Windows(all) => {
                let summary = |(of, count, figures, first, last): &MadeSummary| {
                    let [min, max, mean, stddev, score] = *figures;
                    let (first, last) = (first.clone(), last.clone());
                    let (series, count) = (id(of), *count);
                    Summary { series, count, min, max, mean, stddev, first, last, score }
                };
                let window = |(start, end, cause, of): &(_, _, _, Vec<MadeSummary>)| Window {
                    start: *start,
                    end: *end,
                    cause: *cause,
                    summaries: of.iter().map(summary).collect(),
                };
                Items::Windows(all.iter().map(window).collect())
            }
            Made::Observations(all) => Items::Observations(all.clone()),
        }
    }
}

/// In a form in which every bit of a double shows.
fn shown(items: &Items) -> String {
    let value = |value: &Value| match value {
        Value::Float(value) => format!("float {:x}", value.to_bits()),
        Value::Int(value) => format!("int {value}"),
        other => format!("{other:?} {}", matches!(other, Value::Text(_))),
    };
    match items {
        Items::Readings(all) => all
            .iter()
            .map(|one| {
                let score = one.score.to_bits();
                format!("{} {} {score:x} {}\n", one.time.as_micros(), value(&one.value), one.count)
            })
            .collect(),
        Items::Windows(all) => all
            .iter()
            .map(|one| {
                let summaries = one.summaries.iter().map(|one| {
                    let figures = [one.min, one.max, one.mean, one.stddev, one.score];
                    let bits = figures.map(f64::to_bits);
                    format!("{} {bits:x?} {} {}\n", one.count, value(&one.first), value(&one.last))
                });
                let summaries: String = summaries.collect();
                let (start, end) = (one.start.as_micros(), one.end.as_micros());
                format!("{start} {end} {:?}\n{summaries}", one.cause)
            })
            .collect(),
        Items::Observations(all) => all
            .iter()
            .map(|one| {
                let bits = one.confidence.to_bits();
                format!("{bits:x} {:?}\n", Observation { confidence: 0.0, ..one.clone() })
            })
            .collect(),
    }
}

fn assert_same(ours: (&Host, &Items), theirs: (&Host, &Items)) {
    assert_eq!(shown(ours.1), shown(theirs.1));
    assert_eq!(described(&ours.0.series, ours.1), described(&theirs.0.series, theirs.1));
}

fn series_of(items: &Items) -> Vec<SeriesId> {
    match items {
        Items::Readings(all) => all.iter().map(|one| one.series).collect(),
        Items::Windows(all) => {
            all.iter().flat_map(|one| &one.summaries).map(|one| one.series).collect()
        }
        Items::Observations(_) => Vec::new(),
    }
}

fn an_event() -> impl Strategy<Value = (Timestamp, Made, Timestamp, Option<Position>, u8)> {
    let position = (".{0,5}", any::<u64>(), any::<u64>());
    let position = position.prop_map(|(part, offset, line)| Position { part, offset, line });
    (time(), made(), time(), prop::option::of(position), any::<u8>())
}

proptest! {
    #[test]
    fn events_come_back_as_they_were(given in prop::collection::vec(an_event(), 1..12)) {
        let disk = SimulatedDisk::new(1);
        let (host, journal) = inline(&disk, ByteSize::mib(4), Durability::Process);
        let mut events = Vec::new();
        for (now, made, received, position, kind) in given {
            let source: Arc<str> = format!("p/{}", kind % 3).into();
            let event = match kind {
                0..10 => Event::Tick { node: source },
                10..20 => Event::Resumed { stream: Uuid::from_u128(kind.into()), end: now.as_micros().unsigned_abs() },
                20..30 => Event::Confirmed { stream: Uuid::from_u128(kind.into()), end: now.as_micros().unsigned_abs() },
                30..40 => Event::Cut { node: source, seq: now.as_micros().unsigned_abs() },
                40..55 => Event::Forgotten { source, series: series_of(&made.items(&host.series)) },
                _ => {
                    let received = if kind < 110 { now } else { received };
                    let (items, retained) = (made.items(&host.series), kind % 4 == 0);
                    Event::Items { source, received, items, position, retained }
                }
            };
            journal.append(now, &event, None).unwrap();
            events.push((now, event));
        }
        drop(journal);
        let (other, journal) = inline(&disk.restart(), ByteSize::mib(4), Durability::Process);
        let records = read(&journal, 0);
        prop_assert_eq!(records.len(), events.len());
        for (record, (now, event)) in records.iter().zip(&events) {
            prop_assert_eq!(record.now, *now);
            match (&record.event, event) {
                (
                    Event::Items { source, received, items, position, retained },
                    Event::Items { source: s, received: r, items: i, position: p, retained: k },
                ) => {
                    prop_assert_eq!((source, received, position, retained), (s, r, p, k));
                    assert_same((&other, items), (&host, i));
                }
                (
                    Event::Forgotten { source, series },
                    Event::Forgotten { source: s, series: ours },
                ) => {
                    let named = |host: &Host, ids: &[SeriesId]| -> Vec<_> {
                        ids.iter().map(|id| host.series.get(*id)).collect()
                    };
                    prop_assert_eq!(source, s);
                    prop_assert_eq!(named(&other, series), named(&host, ours));
                }
                (one, another) => prop_assert_eq!(one, another),
            }
        }
    }

    #[test]
    fn batches_come_back_as_they_were(given in prop::collection::vec((made(), time(), any::<u64>(), any::<u64>()), 1..6)) {
        let (ours, theirs) = (host(&SimulatedDisk::new(1)), host(&SimulatedDisk::new(1)));
        let mut encoder = Encoder::new(ours.clone());
        let mut decoder = Decoder::new(theirs.clone());
        decoder.begin_segment(0);
        for (made, received, seq, end) in given {
            let batch = Batch { items: made.items(&ours.series), received, seq, end };
            let mut out = Vec::new();
            encoder.batch(&mut out, &batch);
            let Some(Spooled::Batch(read)) = decoder.spooled(&out) else { panic!("a batch") };
            prop_assert_eq!((read.received, read.seq, read.end), (received, seq, end));
            assert_same((&theirs, &read.items), (&ours, &batch.items));
            out.clear();
            encoder.taken(&mut out, &[seq, end]);
            let Some(Spooled::Taken(numbers)) = decoder.spooled(&out) else { panic!("numbers") };
            prop_assert_eq!(numbers, [seq, end]);
        }
    }

    /// Checksums keep such bytes away, but a release may be wrong about its own format.
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(host(&SimulatedDisk::new(1)));
        decoder.begin_segment(100);
        let _ = decoder.event(&bytes);
        let _ = decoder.spooled(&bytes);
    }

    #[test]
    fn a_record_with_other_bytes_in_it_does_not_make_it_panic(made in made(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let ours = host(&SimulatedDisk::new(1));
        let mut out = Vec::new();
        let batch = Batch::new(made.items(&ours.series), at(0));
        Encoder::new(ours.clone()).batch(&mut out, &batch);
        for (index, byte) in changes {
            let index = index.index(out.len());
            out[index] = byte;
        }
        let mut decoder = Decoder::new(ours);
        decoder.begin_segment(100);
        let _ = decoder.spooled(&out);
    }
}

#[test]
fn series_over_the_cap_are_read_and_take_no_slots() {
    let disk = SimulatedDisk::new(1);
    let (host, journal) = inline(&disk, ByteSize::mib(1), Durability::Process);
    append(&host, &journal, 0..14);
    drop(journal);
    let small = Arc::new(Host {
        disk: disk.shared(),
        series: SeriesTable::new(5),
        ..Host::for_tests(Path::new("/data"))
    });
    let settings = settings(ByteSize::mib(1), Durability::Process);
    let journal = LogJournal::inline(&small, settings, 0).unwrap();
    let items = |record: &Record| match &record.event {
        Event::Items { items, .. } => items.clone(),
        _ => Items::Readings(vec![]),
    };
    let read: Vec<Items> = read(&journal, 0).iter().map(items).collect();
    assert!(read.iter().all(|items| items.len() == 1), "what was let in is read");
    let named = read.iter().flat_map(|items| described(&small.series, items));
    let ours = (0..14).map(|n| (*host.series.get(super::reading(&host, n).series)).clone());
    assert_eq!(named.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
    assert_eq!((small.series.len(), journal.skipped()), (0, 0));
    assert_eq!(journal.fill().quarantined, 0);
}
