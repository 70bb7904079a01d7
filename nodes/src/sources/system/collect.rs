//! One poll: each group that was asked for, read and turned into readings.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::node::{Reject, SourceBatch};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesId};
use smollama_engine::time::Timestamp;

use super::config::{Metric, SystemConfig};
use super::files::KernelFile;
use super::parse::{self, CpuTime};
use super::thermal;

/// How often sensors are looked for again: some come and go with their driver.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// All that is kept from one poll to the next.
pub(super) struct Collector {
    config: SystemConfig,
    root: PathBuf,
    buffer: Vec<u8>,
    stat: KernelFile,
    memory: KernelFile,
    load: KernelFile,
    uptime: KernelFile,
    frequency: KernelFile,
    mounts: KernelFile,
    disks: KernelFile,
    network: KernelFile,
    sensors: Vec<(String, KernelFile)>,
    looked: Option<Timestamp>,
    /// The sample that the next percentage is counted from: all cores, then each.
    cpu: HashMap<Option<u32>, CpuTime>,
    usage: fn(&Path) -> Option<Usage>,
    out: Out,
}

/// How full a file system is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) used: u64,
    /// What those without privileges can still write.
    pub(super) free: u64,
}

/// Where readings go: their series are looked up by id.
struct Out {
    context: Context,
    series: HashMap<Box<str>, Option<SeriesId>>,
    generation: u64,
    name: String,
    now: Timestamp,
    readings: Vec<Reading>,
    rejects: Vec<Reject>,
}

/// What is the same for all readings of an id.
#[derive(Clone, Copy, Default)]
struct About<'a> {
    unit: &'a str,
    label: Option<(&'a str, &'a str)>,
    counter: bool,
}

impl Out {
    /// Forgets the series that gave their slots back since the last call, and those for which there was no room.
    fn refresh(&mut self) {
        let table = &self.context.host.series;
        if table.generation() != self.generation {
            self.generation = table.generation();
            self.series.retain(|_, id| id.is_some_and(|id| table.is_live(id)));
        }
    }

    fn put(&mut self, id: &str, about: About<'_>, value: impl Into<Value>) {
        let series = match self.series.get(id) {
            Some(known) => *known,
            None => {
                let made = self.context.source_series(id, |series| about.describe(series));
                if let Err(error) = &made {
                    // Once for each: the id is known from now on.
                    let (reason, origin) = (error.to_string(), id.to_owned());
                    self.rejects.push(Reject { reason, origin, bytes: Vec::new() });
                }
                *self.series.entry(id.into()).or_insert(made.ok())
            }
        };
        self.readings.extend(series.map(|series| Reading::new(self.now, series, value)));
    }

    /// The same for an id of two parts around a name.
    fn put_of(&mut self, parts: [&str; 3], about: About<'_>, value: impl Into<Value>) {
        let mut name = std::mem::take(&mut self.name);
        name.clear();
        parts.iter().for_each(|part| name.push_str(part));
        self.put(&name, about, value);
        self.name = name;
    }
}

impl About<'_> {
    fn unit(unit: &str) -> About<'_> {
        About { unit, ..About::default() }
    }

    fn describe(self, series: Series) -> Series {
        let mut series = series.with_unit(self.unit);
        if let Some((name, value)) = self.label {
            series = series.with_label(name, value);
        }
        if self.counter { series.counter() } else { series }
    }
}

/// To one decimal: more is noise.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl Collector {
    pub(super) fn new(config: &SystemConfig, root: PathBuf, context: Context) -> Collector {
        let file = |path: &str| KernelFile::new(root.join(path));
        let mut new = Collector {
            config: config.clone(),
            buffer: Vec::new(),
            stat: file("proc/stat"),
            memory: file("proc/meminfo"),
            load: file("proc/loadavg"),
            uptime: file("proc/uptime"),
            frequency: file("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"),
            mounts: file("proc/self/mountinfo"),
            disks: file("proc/diskstats"),
            network: file("proc/net/dev"),
            sensors: Vec::new(),
            looked: None,
            cpu: HashMap::new(),
            usage,
            out: Out {
                context,
                series: HashMap::new(),
                generation: 0,
                name: String::new(),
                now: Timestamp::EPOCH,
                readings: Vec::new(),
                rejects: Vec::new(),
            },
            root,
        };
        // The first percentage counts from here.
        new.cpu();
        new.out.readings.clear();
        new
    }

    /// With another way to ask a file system how full it is.
    #[cfg(test)]
    pub(super) fn with_usage(mut self, usage: fn(&Path) -> Option<Usage>) -> Collector {
        self.usage = usage;
        self
    }

    /// One poll.
    pub(super) fn collect(&mut self, now: Timestamp) -> SourceBatch {
        self.out.now = now;
        self.out.refresh();
        if self.wants(Metric::Cpu) || self.wants(Metric::Cores) {
            self.cpu();
        }
        if self.wants(Metric::Temperature) {
            self.temperature(now);
        }
        if self.wants(Metric::Frequency)
            && let Some(khz) = self.frequency.number(&mut self.buffer)
        {
            self.out.put("cpu_freq", About::unit("MHz"), khz as f64 / 1000.0);
        }
        if self.wants(Metric::Load) {
            self.load();
        }
        if self.wants(Metric::Memory) || self.wants(Metric::Swap) {
            self.memory();
        }
        if self.wants(Metric::Disk) {
            self.disk();
        }
        if self.wants(Metric::DiskIo) {
            self.disk_io();
        }
        if self.wants(Metric::Network) {
            self.network();
        }
        if self.wants(Metric::Uptime) {
            let text = self.uptime.read(&mut self.buffer);
            let seconds = text.and_then(|text| text.split('.').next()?.parse::<i64>().ok());
            if let Some(seconds) = seconds {
                self.out.put("uptime", About { unit: "s", counter: true, label: None }, seconds);
            }
        }
        if self.wants(Metric::Processes) {
            self.processes();
        }
        let expected = self.out.readings.len();
        let readings = std::mem::replace(&mut self.out.readings, Vec::with_capacity(expected));
        let rejects = std::mem::take(&mut self.out.rejects);
        SourceBatch { rejects, ..SourceBatch::readings(readings) }
    }

    fn wants(&self, metric: Metric) -> bool {
        self.config.metrics.contains(&metric)
    }

    fn cpu(&mut self) {
        let (all, cores) = (self.wants(Metric::Cpu), self.wants(Metric::Cores));
        let Some(text) = self.stat.read(&mut self.buffer) else { return };
        for (core, time) in parse::cpu_times(text) {
            let earlier = *self.cpu.entry(core).or_insert(time);
            if time.total < earlier.total {
                self.cpu.insert(core, time);
            }
            let Some(percent) = time.percent_since(earlier) else { continue };
            self.cpu.insert(core, time);
            let about = About::unit("%");
            match core {
                None if all => self.out.put("cpu_percent", about, tenth(percent)),
                Some(core) if cores => {
                    let mut number = itoa::Buffer::new();
                    let id = ["cpu/", number.format(core), "/percent"];
                    self.out.put_of(id, about, tenth(percent));
                }
                _ => {}
            }
        }
    }

    fn temperature(&mut self, now: Timestamp) {
        if self.looked.is_none_or(|looked| now.since(looked) >= LOOK_AGAIN) {
            self.looked = Some(now);
            let sensors = thermal::sensors(&self.root).into_iter();
            self.sensors = sensors.map(|one| (one.id, KernelFile::new(one.path))).collect();
        }
        for (id, file) in &mut self.sensors {
            let thousandths = file.number(&mut self.buffer);
            // A chip without its sensor answers with the end of its scale.
            let real = thousandths.filter(|value| (-100_000..=250_000).contains(value));
            if let Some(value) = real {
                self.out.put(id, About::unit("°C"), value as f64 / 1000.0);
            }
        }
    }

    fn load(&mut self) {
        let Some(text) = self.load.read(&mut self.buffer) else { return };
        let ids = ["load_avg", "load_avg_5m", "load_avg_15m"];
        for (id, word) in ids.into_iter().zip(text.split_ascii_whitespace()) {
            if let Some(value) = word.parse().ok().and_then(Value::float) {
                self.out.put(id, About::default(), value);
            }
        }
    }

    fn memory(&mut self) {
        let (memory, swap) = (self.wants(Metric::Memory), self.wants(Metric::Swap));
        let Some(text) = self.memory.read(&mut self.buffer) else { return };
        let pair = |total: &str, rest: &str| {
            let total = parse::memory(text, total).filter(|&total| total > 0)?;
            let rest = parse::memory(text, rest)?.min(total);
            Some((rest, total - rest, 100.0 * (total - rest) as f64 / total as f64))
        };
        if memory && let Some((available, _, percent)) = pair("MemTotal", "MemAvailable") {
            self.out.put("mem_percent", About::unit("%"), tenth(percent));
            self.out.put("mem_available_mb", About::unit("MiB"), (available / 1024) as i64);
        }
        if swap && let Some((_, used, percent)) = pair("SwapTotal", "SwapFree") {
            self.out.put("swap_percent", About::unit("%"), tenth(percent));
            self.out.put("swap_used_mb", About::unit("MiB"), (used / 1024) as i64);
        }
    }

    fn disk(&mut self) {
        let Some(text) = self.mounts.read(&mut self.buffer) else { return };
        // A device that is seen at several points counts once, at the shortest.
        let mut points: Vec<(&str, &str)> = Vec::new();
        for mount in text.lines().filter_map(parse::mount).filter(parse::Mount::is_real) {
            match points.iter_mut().find(|(device, _)| *device == mount.device) {
                Some((_, point)) if mount.point.len() < point.len() => *point = mount.point,
                Some(_) => {}
                None => points.push((mount.device, mount.point)),
            }
        }
        for (_, point) in points {
            let point = parse::unescape(point);
            if !self.config.mounts.takes(&point, true) {
                continue;
            }
            let Some(usage) = (self.usage)(&self.root.join(point.trim_start_matches('/'))) else {
                continue;
            };
            let name = match point.as_str() {
                "/" => "root",
                "/root" => "root-home",
                other => other.trim_start_matches('/'),
            };
            let label = Some(("mount", point.as_str()));
            let total = usage.used.saturating_add(usage.free);
            if total > 0 {
                let percent = 100.0 * usage.used as f64 / total as f64;
                let about = About { unit: "%", label, counter: false };
                self.out.put_of(["disk/", name, "/percent"], about, tenth(percent));
            }
            let free = i64::try_from(usage.free).unwrap_or(i64::MAX);
            let about = About { unit: "B", label, counter: false };
            self.out.put_of(["disk/", name, "/free_bytes"], about, free);
        }
    }

    fn disk_io(&mut self) {
        let Some(text) = self.disks.read(&mut self.buffer) else { return };
        for (name, [read, written, busy]) in text.lines().filter_map(parse::disk) {
            let made_up = ["loop", "ram", "zram", "dm-", "md", "sr", "fd"];
            if made_up.iter().any(|prefix| name.starts_with(prefix))
                || !self.root.join("sys/block").join(name).exists()
            {
                continue;
            }
            let about = |unit| About { unit, label: Some(("device", name)), counter: true };
            self.out.put_of(["disk_io/", name, "/read_bytes"], about("B"), read);
            self.out.put_of(["disk_io/", name, "/written_bytes"], about("B"), written);
            self.out.put_of(["disk_io/", name, "/busy_s"], about("s"), busy as f64 / 1000.0);
        }
    }

    fn network(&mut self) {
        const NAMES: [(&str, &str); 6] = [
            ("/rx_bytes", "B"),
            ("/rx_packets", ""),
            ("/rx_errors", ""),
            ("/tx_bytes", "B"),
            ("/tx_packets", ""),
            ("/tx_errors", ""),
        ];
        let Some(text) = self.network.read(&mut self.buffer) else { return };
        for (name, counters) in text.lines().filter_map(parse::interface) {
            let usual = name != "lo" && !name.starts_with("veth");
            if !self.config.interfaces.takes(name, usual) {
                continue;
            }
            for ((suffix, unit), value) in NAMES.into_iter().zip(counters) {
                let about = About { unit, label: Some(("interface", name)), counter: true };
                self.out.put_of(["net/", name, suffix], about, value);
            }
        }
    }

    fn processes(&mut self) {
        let Ok(entries) = std::fs::read_dir(self.root.join("proc")) else { return };
        let is_process =
            |name: &std::ffi::OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        let count = entries.flatten().filter(|entry| is_process(&entry.file_name())).count();
        self.out.put("process_count", About::default(), count as i64);
    }
}

/// Asks a file system.
fn usage(path: &Path) -> Option<Usage> {
    let found = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let used = bytes(found.f_blocks.saturating_sub(found.f_bfree));
    Some(Usage { used, free: bytes(found.f_bavail) })
}
