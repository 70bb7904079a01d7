//! What goes in: 1,000 series in turn, a reading each millisecond, of which 70 % repeat the one before.

use std::sync::Arc;

use smollama_engine::batch::{Batch, ItemKind, Items};
use smollama_engine::context::{Context, Host};
use smollama_engine::duration::Duration;
use smollama_engine::reading::Reading;
use smollama_engine::series::{Series, SeriesId, SourceKey};
use smollama_engine::testing::START;

/// The kind of item that goes in.
pub(crate) const KIND: ItemKind = ItemKind::Readings;

const SERIES: usize = 1_000;
const BATCH: usize = 4_096;
const QUANTITIES: [&str; 4] = ["temp_c", "humidity_pct", "pressure_hpa", "co2_ppm"];

/// A context on a host of its own.
pub(crate) fn context() -> Context {
    let host = Arc::new(Host::for_tests(&std::env::temp_dir()));
    Context::new(host, "bench/node", "bench.node")
}

/// So many readings, cut into batches.
pub(crate) fn batches(context: &Context, readings: usize) -> Vec<Batch> {
    let series: Vec<SeriesId> = (0..SERIES).filter_map(|number| intern(context, number)).collect();
    let mut values = vec![20.0; SERIES];
    let mut random = Random(88_172_645_463_325_252);
    let all: Vec<Reading> = (0..)
        .zip(series.iter().enumerate().cycle())
        .take(readings)
        .map(|(at, (number, &series))| {
            if random.next() % 100 >= 70 {
                values[number] += 0.06 + (random.next() % 50) as f64 / 100.0;
            }
            Reading::new(START + Duration::from_millis(at), series, values[number])
        })
        .collect();
    (1..).zip(all.chunks(BATCH)).map(|(seq, readings)| batch(seq, readings)).collect()
}

fn intern(context: &Context, number: usize) -> Option<SeriesId> {
    let (room, quantity) = (number / QUANTITIES.len(), QUANTITIES[number % QUANTITIES.len()]);
    let source = SourceKey::local("bench", &format!("node-{room}/{quantity}"));
    let series = Series::new(source).with_label("room", &format!("{room}"));
    context.host.series.intern(&series).ok()
}

/// For nodes with a second input port: before each batch a reading there, by turns 20 and 21.
pub(crate) fn controls(context: &Context, batches: &[Batch]) -> Vec<Batch> {
    let Ok(series) = context.host.series.intern(&Series::new(SourceKey::parse("bench:control")))
    else {
        return Vec::new();
    };
    let turns = [20.0, 21.0].into_iter().cycle();
    let control = |(before, value): (&Batch, f64)| {
        batch(before.seq, &[Reading::new(before.received, series, value)])
    };
    batches.iter().zip(turns).map(control).collect()
}

fn batch(seq: u64, readings: &[Reading]) -> Batch {
    let received = readings.first().map_or(START, |first| first.time);
    Batch { items: Items::Readings(readings.to_vec()), received, seq, end: 0 }
}

/// Marsaglia's xorshift with 64 bits of state.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
