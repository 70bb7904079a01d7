use std::fs;
use std::path::Path;
use std::sync::Arc;

use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::duration::Duration;
use smollama_engine::reading::Value;
use smollama_engine::testing::START;

use super::collect::Usage;
use super::*;

/// A fake tree of `/proc` and `/sys`, and a source that reads it.
struct Machine {
    tree: tempfile::TempDir,
    collector: Option<Collector>,
    context: Context,
    now: Timestamp,
}

const STAT: &str = "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 50 0 50 350 50 0 0 0 0 0\ncpu1 50 0 50 350 50 0 0 0 0 0\nintr 1 2 3\nctxt 5\n";

impl Machine {
    fn new() -> Machine {
        let tree = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(tree.path()));
        let context = Context::new(host, "p/board", "system");
        let machine = Machine { tree, collector: None, context, now: START };
        machine.put("proc/stat", STAT);
        machine
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn start(&mut self, settings: serde_json::Value) {
        let config: SystemConfig = serde_json::from_value(settings).unwrap();
        let collector = Collector::new(&config, self.tree.path().to_owned(), self.context.clone());
        let usage = |path: &Path| {
            let full = Usage { used: 30, free: 10 };
            (!path.ends_with("gone")).then_some(full)
        };
        self.collector = Some(collector.with_usage(usage));
    }

    /// Polls ten seconds later; each reading as a line.
    fn poll(&mut self) -> String {
        self.now = self.now + Duration::from_secs(10);
        let batch = self.collector.as_mut().unwrap().collect(self.now);
        assert_eq!(batch.rejects, []);
        let Items::Readings(readings) = batch.items else { unreachable!() };
        let mut lines = String::new();
        for reading in readings {
            assert_eq!(reading.time, self.now);
            let series = self.context.series(reading.series);
            let unit = series.unit.as_deref().unwrap_or("-");
            let counter = if series.monotonic { " counter" } else { "" };
            lines.push_str(&format!(
                "{} {:?} {unit}{counter}\n",
                series.source.id(),
                reading.value
            ));
        }
        lines
    }
}

fn only(metric: &str) -> serde_json::Value {
    serde_json::json!({ "metrics": [metric] })
}

#[test]
fn what_is_not_there_is_absent_and_never_zero() {
    let mut machine = Machine::new();
    machine.start(serde_json::json!({}));
    assert_eq!(machine.poll(), "");
    machine.put("proc/meminfo", "MemTotal: 0 kB\nMemAvailable: 0 kB\n");
    machine.put("sys/class/thermal/thermal_zone0/temp", "not a number\n");
    machine.put("proc/loadavg", "");
    machine.start(serde_json::json!({}));
    assert_eq!(machine.poll(), "");
}

#[test]
fn cpu_use_is_counted_from_one_poll_to_the_next() {
    let mut machine = Machine::new();
    machine.start(serde_json::json!({ "metrics": ["cpu", "cores"] }));
    assert_eq!(machine.poll(), "", "no time has passed since the start");
    // 100 ticks more: 20 user, 5 system, 75 idle and waiting; guest time is in user already.
    machine.put("proc/stat", "cpu  120 0 105 770 105 0 0 0 60 0\ncpu0 70 0 55 375 50 0 0 0 0 0\ncpu1 50 0 50 395 55 0 0 0 0 0\nintr 1\n");
    assert_eq!(machine.poll(), "cpu_percent 25 %\ncpu/0/percent 50 %\ncpu/1/percent 0 %\n");
    assert_eq!(machine.poll(), "", "too little time to tell");
    machine.put("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\n");
    assert_eq!(machine.poll(), "", "counters that begin anew are no use");
    machine.put("proc/stat", "cpu  100 0 0 100 0 0 0 0 0 0\n");
    assert_eq!(machine.poll(), "cpu_percent 50 %\n");
}

#[test]
fn memory_swap_load_uptime_and_frequency() {
    let mut machine = Machine::new();
    machine.put("proc/meminfo", "MemTotal:       4000000 kB\nMemFree: 1 kB\nMemAvailable:   1000000 kB\nSwapTotal: 2048 kB\nSwapFree: 1024 kB\n");
    machine.put("proc/loadavg", "0.30 0.39 12.5 2/92 16383\n");
    machine.put("proc/uptime", "1563.17 2700.67\n");
    machine.put("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500500\n");
    machine.put("proc/1/stat", "");
    machine.put("proc/22/stat", "");
    machine.start(serde_json::json!({ "metrics": ["frequency", "load", "memory", "swap", "uptime", "processes"] }));
    insta::assert_snapshot!(machine.poll(), @r"
    cpu_freq 1500.5 MHz
    load_avg 0.3 -
    load_avg_5m 0.39 -
    load_avg_15m 12.5 -
    mem_percent 75 %
    mem_available_mb 976 MiB
    swap_percent 50 %
    swap_used_mb 1 MiB
    uptime 1563 s counter
    process_count 2 -
    ");
    machine.put(
        "proc/meminfo",
        "MemTotal: 100 kB\nMemAvailable: 90 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    );
    assert!(!machine.poll().contains("swap"), "a machine without swap says nothing of it");
}

#[test]
fn the_cpus_sensor_is_found_among_others() {
    let mut machine = Machine::new();
    for (zone, kind, temp) in
        [(0, "acpitz", "27800"), (1, "x86_pkg_temp", "51000"), (2, "acpitz", "30000")]
    {
        machine.put(&format!("sys/class/thermal/thermal_zone{zone}/type"), &format!("{kind}\n"));
        machine.put(&format!("sys/class/thermal/thermal_zone{zone}/temp"), &format!("{temp}\n"));
    }
    machine.put("sys/class/hwmon/hwmon0/name", "acpitz\n");
    machine.put("sys/class/hwmon/hwmon0/temp1_input", "27800\n");
    machine.put("sys/class/hwmon/hwmon1/name", "nvme\n");
    machine.put("sys/class/hwmon/hwmon1/temp1_label", "Composite\n");
    machine.put("sys/class/hwmon/hwmon1/temp1_input", "38850\n");
    machine.put("sys/class/hwmon/hwmon1/temp2_input", "-274000\n");
    machine.start(only("temperature"));
    insta::assert_snapshot!(machine.poll(), @r"
    cpu_temp 51 °C
    temp/acpitz 27.8 °C
    temp/acpitz-2 30 °C
    temp/nvme/composite 38.85 °C
    ");
}

#[test]
fn a_board_with_one_zone_has_the_originals_id_and_sensors_may_come_later() {
    let mut machine = Machine::new();
    machine.start(only("temperature"));
    assert_eq!(machine.poll(), "");
    machine.put("sys/class/thermal/thermal_zone0/type", "something\n");
    machine.put("sys/class/thermal/thermal_zone0/temp", "48312\n");
    assert_eq!(machine.poll(), "", "it is looked for every five minutes");
    machine.now = machine.now + Duration::from_mins(5);
    assert_eq!(machine.poll(), "cpu_temp 48.312 °C\n");
    machine.put("sys/class/thermal/thermal_zone0/temp", "0\n");
    assert_eq!(machine.poll(), "cpu_temp 0 °C\n", "a real zero is one");
}

const MOUNTS: &str = "22 27 0:21 / /proc rw - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
28 27 254:0 / /a/second/place rw - ext4 /dev/vda rw
29 27 254:1 /etc/hosts /etc/hosts rw - ext4 /dev/vdb rw
30 27 254:2 / /mnt/my\\040disk rw shared:1 - xfs /dev/vdc rw
31 27 0:30 / /dev/shm rw - tmpfs tmpfs rw
32 27 0:31 / /nas rw - nfs4 nas:/ rw
33 27 7:0 / /snap/x ro - squashfs /dev/loop0 ro
34 27 254:3 / /root rw - btrfs /dev/vdd rw
35 27 254:4 / /gone rw - ext4 /dev/vde rw
";

#[test]
fn file_systems_on_devices_count_once() {
    let mut machine = Machine::new();
    machine.put("proc/self/mountinfo", MOUNTS);
    machine.start(only("disk"));
    insta::assert_snapshot!(machine.poll(), @r"
    disk/root/percent 75 %
    disk/root/free_bytes 10 B
    disk/mnt/my disk/percent 75 %
    disk/mnt/my disk/free_bytes 10 B
    disk/root-home/percent 75 %
    disk/root-home/free_bytes 10 B
    ");
    machine.start(serde_json::json!({ "metrics": ["disk"], "mounts": { "include": ["/**"], "exclude": ["/mnt/*", "/root"] } }));
    assert_eq!(machine.poll(), "disk/root/percent 75 %\ndisk/root/free_bytes 10 B\n");
}

const NETWORK: &str = "Inter-|   Receive                    |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0: 157614774    5197    1    9    9     9          9         9   308506    3316    2    0    0     0       0          0
veth12:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
";

#[test]
fn interfaces_have_counters_and_loopback_only_on_request() {
    let mut machine = Machine::new();
    machine.put("proc/net/dev", NETWORK);
    machine.start(only("network"));
    insta::assert_snapshot!(machine.poll(), @r"
    net/eth0/rx_bytes 157614774 B counter
    net/eth0/rx_packets 5197 - counter
    net/eth0/rx_errors 1 - counter
    net/eth0/tx_bytes 308506 B counter
    net/eth0/tx_packets 3316 - counter
    net/eth0/tx_errors 2 - counter
    ");
    machine
        .start(serde_json::json!({ "metrics": ["network"], "interfaces": { "include": ["l*"] } }));
    assert!(machine.poll().starts_with("net/lo/rx_bytes 3193 B counter\n"));
    machine.start(
        serde_json::json!({ "metrics": ["network"], "interfaces": { "exclude": ["eth*"] } }),
    );
    assert_eq!(machine.poll(), "");
}

#[test]
fn whole_disks_have_counters() {
    let mut machine = Machine::new();
    machine.put("proc/diskstats", "   7 0 loop0 1 0 1 0 0 0 0 0 0 0 0\n 254 0 vda 87254 11249 1000 98595 14254 46006 2000 30817 0 13060 130111 6504 34 2191704 689 320 10\n 254 1 vda1 1 1 1 1 1 1 1 1 0 1 1\n");
    machine.put("sys/block/vda/size", "1");
    machine.put("sys/block/loop0/size", "1");
    machine.start(only("disk_io"));
    insta::assert_snapshot!(machine.poll(), @r"
    disk_io/vda/read_bytes 512000 B counter
    disk_io/vda/written_bytes 1024000 B counter
    disk_io/vda/busy_s 13.06 s counter
    ");
}

#[test]
fn every_id_fits_what_the_checker_was_told() {
    let mut machine = Machine::new();
    machine.put("proc/self/mountinfo", MOUNTS);
    machine.put("proc/net/dev", NETWORK);
    machine.put("proc/loadavg", "1 2 3 4/5 6\n");
    machine.put("proc/uptime", "1.0 2.0\n");
    machine.put(
        "proc/meminfo",
        "MemTotal: 2 kB\nMemAvailable: 1 kB\nSwapTotal: 2 kB\nSwapFree: 1 kB\n",
    );
    machine.put("sys/class/thermal/thermal_zone0/temp", "1000\n");
    machine.put("sys/class/thermal/thermal_zone1/temp", "1000\n");
    machine.start(serde_json::json!({ "metrics": ["cpu", "cores", "temperature", "frequency", "load", "memory", "swap", "disk", "disk_io", "network", "uptime", "processes"] }));
    machine
        .put("proc/stat", "cpu  200 0 200 1400 100 0 0 0 50 0\ncpu0 100 0 100 700 50 0 0 0 0 0\n");
    let ids = SystemConfig::default().profile().ids.unwrap();
    let lines = machine.poll();
    assert!(lines.lines().count() > 20, "{lines}");
    for line in lines.lines() {
        let id = line.rsplit_once(' ').unwrap().0;
        assert!(ids.iter().any(|glob| glob.matches(id.split(" ").next().unwrap())), "{line}");
    }
}

#[test]
fn a_tree_without_proc_is_a_problem_of_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::new(Arc::new(Host::for_tests(folder.path())), "p/b", "system");
    let config = SystemConfig { root: folder.path().to_owned(), ..SystemConfig::default() };
    let problem = config.build(&context).err().unwrap();
    assert_eq!(problem.field, "root");
    assert!(problem.message.contains("proc/stat"), "{}", problem.message);
    let nothing: SystemConfig =
        serde_json::from_value(serde_json::json!({ "metrics": [] })).unwrap();
    assert_eq!(nothing.problems()[0].field, "metrics");
}

#[tokio::test]
async fn this_machine_says_something_at_once() {
    let context = Context::new(Arc::new(Host::for_tests(Path::new("."))), "p/b", "system");
    let Node::Source(mut source) = SystemConfig::default().build(&context).unwrap() else {
        unreachable!()
    };
    let Read::Batch(batch) = source.read(START).await.unwrap() else { unreachable!() };
    let Items::Readings(readings) = batch.items else { unreachable!() };
    let value = |id: &str| {
        let named =
            |one: &&smollama_engine::reading::Reading| context.series(one.series).source.id() == id;
        readings.iter().find(named).map(|one| one.value.clone())
    };
    assert!(
        matches!(value("mem_percent"), Some(Value::Float(percent)) if (0.0..=100.0).contains(&percent))
    );
    assert!(matches!(value("uptime"), Some(Value::Int(seconds)) if seconds > 0));
}
