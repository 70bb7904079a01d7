//! The forms of the kernel's files, as proc(5) and the kernel's Documentation/admin-guide/iostats.rst describe them.

/// Time the CPU spent, in clock ticks since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CpuTime {
    pub(super) busy: u64,
    pub(super) total: u64,
}

/// The lines of `/proc/stat` that speak of CPUs: `None` for all together, else the number of the core.
pub(super) fn cpu_times(stat: &str) -> impl Iterator<Item = (Option<u32>, CpuTime)> {
    stat.lines().map_while(|line| {
        let mut words = line.strip_prefix("cpu")?.split_ascii_whitespace();
        let core = if line.starts_with("cpu ") { None } else { Some(words.next()?.parse().ok()?) };
        // user nice system idle iowait irq softirq steal; guest time is in user already.
        let (mut total, mut idle) = (0u64, 0u64);
        for (index, word) in words.take(8).enumerate() {
            let ticks: u64 = word.parse().ok()?;
            total += ticks;
            if index == 3 || index == 4 {
                idle += ticks;
            }
        }
        Some((core, CpuTime { busy: total - idle, total }))
    })
}

impl CpuTime {
    /// The share in use between an earlier sample and this one, in percent; `None` where too little time lies between to
    /// tell: a tick is usually a hundredth of a second.
    pub(super) fn percent_since(self, earlier: CpuTime) -> Option<f64> {
        const TICKS_MIN: u64 = 10;
        let total = self.total.checked_sub(earlier.total)?;
        // The kernel lets idle time go back a little at times.
        let busy = self.busy.saturating_sub(earlier.busy).min(total);
        (total >= TICKS_MIN).then(|| 100.0 * busy as f64 / total as f64)
    }
}

/// A line of `/proc/meminfo`, in KiB.
pub(super) fn memory(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// A line of `/proc/net/dev`: the interface, and bytes, packets and errors received, then sent.
pub(super) fn interface(line: &str) -> Option<(&str, [i64; 6])> {
    let (name, rest) = line.split_once(':')?;
    let mut words = rest.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    let mut counters = [0u64; 11];
    for counter in &mut counters {
        *counter = words.next()??;
    }
    let [rx_bytes, rx_packets, rx_errors, _, _, _, _, _, tx_bytes, tx_packets, tx_errors] =
        counters;
    let all = [rx_bytes, rx_packets, rx_errors, tx_bytes, tx_packets, tx_errors];
    Some((name.trim(), all.map(|counter| i64::try_from(counter).unwrap_or(i64::MAX))))
}

/// A line of `/proc/diskstats`: the device, bytes read, bytes written, milliseconds busy.
pub(super) fn disk(line: &str) -> Option<(&str, [i64; 3])> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let name = words.next()?;
    let mut counter = |skip: usize| words.nth(skip)?.parse::<i64>().ok();
    let (read, written, busy) = (counter(2)?, counter(3)?, counter(2)?);
    // Sectors are of 512 bytes there, whatever the device's are.
    Some((name, [read.saturating_mul(512), written.saturating_mul(512), busy]))
}

/// A file system in use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    /// Major and minor number.
    pub(super) device: &'a str,
    /// Where it is seen, with octal escapes.
    pub(super) point: &'a str,
    /// The folder of it that is seen there.
    pub(super) part: &'a str,
    /// Its type.
    pub(super) kind: &'a str,
}

/// File systems that hold what someone put there. Network file systems are not among them: asking one can hang.
const REAL: [&str; 22] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "vfat", "msdos", "exfat",
    "ntfs", "ntfs3", "fuseblk", "hfsplus", "apfs", "jfs", "reiserfs", "nilfs2", "ubifs", "jffs2",
    "overlay",
];

/// A line of `/proc/self/mountinfo`.
pub(super) fn mount(line: &str) -> Option<Mount<'_>> {
    let (head, tail) = line.split_once(" - ")?;
    let mut words = head.split(' ').skip(2);
    let (device, part, point) = (words.next()?, words.next()?, words.next()?);
    Some(Mount { device, point, part, kind: tail.split(' ').next()? })
}

impl Mount<'_> {
    /// Whether it lies on a device and is not a part of one that is seen elsewhere. In a container the root is an overlay.
    pub(super) fn is_real(&self) -> bool {
        let whole = self.part == "/" || self.kind == "btrfs";
        REAL.contains(&self.kind) && whole && (self.kind != "overlay" || self.point == "/")
    }
}

/// A path with its octal escapes (`\040` for a blank) undone.
pub(super) fn unescape(path: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) if byte == b'\\' => {
                out.push(code);
                rest = &tail[3..];
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
