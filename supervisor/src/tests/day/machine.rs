//! A small computer that is made up: what `system` says of a Raspberry Pi that idles and now and then works for five minutes.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Node, NodeError, Read, Source, SourceBatch};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;

/// How often it is asked.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// The ids and units of `system`, and whether they count.
const SERIES: [(&str, &str, bool); 20] = [
    ("cpu_percent", "%", false),
    ("cpu_temp", "°C", false),
    ("temp/rp1_adc", "°C", false),
    ("cpu_freq", "MHz", false),
    ("load_avg", "", false),
    ("load_avg_5m", "", false),
    ("load_avg_15m", "", false),
    ("mem_percent", "%", false),
    ("mem_available_mb", "MiB", false),
    ("swap_percent", "%", false),
    ("swap_used_mb", "MiB", false),
    ("disk/root/percent", "%", false),
    ("disk/root/free_bytes", "B", false),
    ("net/eth0/rx_bytes", "B", true),
    ("net/eth0/rx_packets", "", true),
    ("net/eth0/rx_errors", "", true),
    ("net/eth0/tx_bytes", "B", true),
    ("net/eth0/tx_packets", "", true),
    ("net/eth0/tx_errors", "", true),
    ("uptime", "s", true),
];
/// So many series it has.
pub(super) const SERIES_COUNT: usize = SERIES.len();

/// Of so many polls one begins a spell of work, and that lasts so many.
const SPELL_ONE_IN: f64 = 500.0;
const SPELL: u32 = 30;
const MEMORY_MIB: f64 = 4_096.0;
const DISK_BYTES: f64 = 60e9;

/// The settings of `system`, all left as they are.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Machine {}

impl NodeConfig for Machine {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "system";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Polled(EVERY))
    }
    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let series = SERIES.iter().map(|(id, unit, counts)| {
            let made = context.source_series(id, |series| {
                let series = series.with_unit(unit);
                if *counts { series.counter() } else { series }
            });
            made.map_err(|error| Problem::at("", error.to_string()))
        });
        Ok(Node::Source(Box::new(MachineSource {
            series: series.collect::<Result<_, _>>()?,
            noise: Noise(0x9e37_79b9_7f4a_7c15),
            working: 0,
            cpu: 4.0,
            chip: 44.0,
            load: [0.1; 3],
            memory: 30.0,
            disk: 20e9,
            counted: [0.0; 4],
            uptime: 100_000,
        })))
    }
}

struct MachineSource {
    series: Vec<SeriesId>,
    noise: Noise,
    /// For how many polls more it works.
    working: u32,
    cpu: f64,
    chip: f64,
    load: [f64; 3],
    memory: f64,
    /// Bytes in use.
    disk: f64,
    /// Bytes and packets received and sent.
    counted: [f64; 4],
    uptime: i64,
}

impl MachineSource {
    /// Ten seconds pass.
    fn live(&mut self) {
        if self.working == 0 && self.noise.uniform() < 1.0 / SPELL_ONE_IN {
            self.working = SPELL;
        }
        self.working = self.working.saturating_sub(1);
        let busy = self.working > 0;
        let usual = if busy { 70.0 } else { 4.0 };
        self.cpu += 0.4 * (usual - self.cpu) + self.noise.normal(if busy { 8.0 } else { 0.8 });
        self.cpu = self.cpu.clamp(0.2, 100.0);
        self.chip += 0.1 * (43.0 + 0.25 * self.cpu - self.chip) + self.noise.normal(0.15);
        for (load, seconds) in self.load.iter_mut().zip([60.0, 300.0, 900.0]) {
            *load += (self.cpu / 25.0 - *load) * 10.0 / seconds;
        }
        let memory = if busy { 45.0 } else { 30.0 };
        self.memory += 0.05 * (memory - self.memory) + self.noise.normal(0.05);
        self.disk += 4_096.0 * (15.0 * self.noise.uniform()).floor() - 25_000.0;
        let packets = (20.0 + self.noise.normal(6.0)).max(2.0).floor();
        let sizes = [900.0, 300.0].map(|size| size + self.noise.normal(60.0));
        for (way, size) in sizes.into_iter().enumerate() {
            self.counted[2 * way] += (packets * size).floor();
            self.counted[2 * way + 1] += packets;
        }
        self.uptime += 10;
    }

    /// What `system` would say, rounded as it and the kernel round.
    fn values(&mut self) -> [Value; SERIES_COUNT] {
        let to = |value: f64, step: f64| Value::Float((value / step).round() * step);
        let tenth = |value: f64| Value::Float((value * 10.0).round() / 10.0);
        let hundredth = |value: f64| Value::Float((value * 100.0).round() / 100.0);
        let whole = |value: f64| Value::Int(value as i64);
        let adc = 46.0 + 0.5 * (self.chip - 44.0) + self.noise.normal(0.2);
        [
            tenth(self.cpu),
            to(self.chip, 0.55),
            to(adc, 0.469),
            Value::Float(if self.cpu > 20.0 { 2_400.0 } else { 1_500.0 }),
            hundredth(self.load[0]),
            hundredth(self.load[1]),
            hundredth(self.load[2]),
            tenth(self.memory),
            whole(MEMORY_MIB * (1.0 - self.memory / 100.0)),
            Value::Float(0.0),
            Value::Int(0),
            tenth(100.0 * self.disk / DISK_BYTES),
            whole(DISK_BYTES - self.disk),
            whole(self.counted[0]),
            whole(self.counted[1]),
            Value::Int(0),
            whole(self.counted[2]),
            whole(self.counted[3]),
            Value::Int(0),
            Value::Int(self.uptime),
        ]
    }
}

#[async_trait]
impl Source for MachineSource {
    async fn read(&mut self, now: Timestamp) -> Result<Read, NodeError> {
        self.live();
        let values = self.values();
        let readings = self.series.iter().zip(values);
        let readings = readings.map(|(series, value)| Reading::new(now, *series, value)).collect();
        Ok(Read::Batch(SourceBatch::readings(readings)))
    }
}

/// A seeded source of numbers.
struct Noise(u64);

impl Noise {
    /// From 0 to below 1.
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal around 0.
    fn normal(&mut self, spread: f64) -> f64 {
        spread * ((0..12).map(|_| self.uniform()).sum::<f64>() - 6.0)
    }
}
