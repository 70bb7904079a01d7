//! What can be asked of the machine.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;

/// How often it is asked where the pipeline file does not say.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// Measures the machine it runs on: CPU, temperature, memory, disks, network.
///
/// A sensor that is not there gives no reading; it is never 0. The ids:
///
/// - `cpu`: `cpu_percent` (%), the share of all cores in use since the last poll; the first poll gives none if it comes too soon to tell
/// - `cores`: `cpu/0/percent` (%) and so on, one for each core
/// - `temperature`: `cpu_temp` (°C), and `temp/NAME` for each other sensor the kernel names
/// - `frequency`: `cpu_freq` (MHz), of the first core
/// - `load`: `load_avg`, `load_avg_5m`, `load_avg_15m`: how many tasks ran or waited, over 1, 5 and 15 minutes
/// - `memory`: `mem_percent` (%), the share that is not available; `mem_available_mb` (MiB)
/// - `swap`: `swap_percent` (%), `swap_used_mb` (MiB), where there is swap
/// - `disk`: `disk/root/percent` (%) as `df` counts it, and `disk/root/free_bytes` (B); `disk/home/…` for `/home`, and so on. Only file systems
///   that lie on a device
/// - `disk_io`: `disk_io/sda/read_bytes`, `written_bytes` (B) and `busy_s` (s): counters
/// - `network`: `net/eth0/rx_bytes`, `tx_bytes` (B), `rx_packets`, `tx_packets`, `rx_errors`, `tx_errors`: counters
/// - `uptime`: `uptime` (s): a counter
/// - `processes`: `process_count`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SystemConfig {
    /// Which groups to measure. Default: `[cpu, temperature, frequency, load, memory, swap, disk, network, uptime]`.
    pub metrics: Vec<Metric>,
    /// Which file systems, by mount point: `include` and `exclude` are lists of patterns such as `/media/**`. Default: all that lie on a
    /// device.
    pub mounts: Selection,
    /// Which network interfaces, by name: `include` and `exclude` are lists of patterns such as `wl*`. Default: all but `lo` and the
    /// `veth*` of containers; name them in `include` to have them.
    pub interfaces: Selection,
    /// Where `proc` and `sys` lie: another folder for tests and for containers that have the host's mounted. Default: `/`.
    pub root: PathBuf,
}

impl Default for SystemConfig {
    fn default() -> SystemConfig {
        SystemConfig {
            metrics: vec![
                Metric::Cpu,
                Metric::Temperature,
                Metric::Frequency,
                Metric::Load,
                Metric::Memory,
                Metric::Swap,
                Metric::Disk,
                Metric::Network,
                Metric::Uptime,
            ],
            mounts: Selection::default(),
            interfaces: Selection::default(),
            root: PathBuf::from("/"),
        }
    }
}

/// A group of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// CPU use of all cores together.
    Cpu,
    /// CPU use of each core.
    Cores,
    /// Temperatures.
    Temperature,
    /// CPU frequency.
    Frequency,
    /// Load averages.
    Load,
    /// Memory.
    Memory,
    /// Swap space.
    Swap,
    /// How full file systems are.
    Disk,
    /// What disks read and write.
    DiskIo,
    /// What network interfaces receive and send.
    Network,
    /// Time since the machine started.
    Uptime,
    /// How many processes there are.
    Processes,
}

/// Which of several things are measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Those that fit one of these patterns. Default: the usual ones.
    pub include: Vec<Glob>,
    /// But not those that fit one of these.
    pub exclude: Vec<Glob>,
}

impl Selection {
    /// Whether a name is chosen; `usual` says so where nothing is included by name.
    pub(super) fn takes(&self, name: &str, usual: bool) -> bool {
        let fits = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name));
        let included = if self.include.is_empty() { usual } else { fits(&self.include) };
        included && !fits(&self.exclude)
    }
}
