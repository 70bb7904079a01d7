//! The disk that the data directory lies on: what it is, how much room it has, and how fast it makes things durable.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use smollama_engine::config::host::{DurabilityWord, JournalConfig};
use smollama_store::{dead_letters, revisions};

use super::data::Engine;
use super::finding::Finding;
use crate::text::bytes;

/// How long syncs are counted, and how many at most.
const MEASURED_FOR: Duration = Duration::from_millis(500);
const SYNCS_MAX: usize = 500;
/// What is appended each time: a block of most file systems.
const PAGE: [u8; 4096] = [0x5a; 4096];
/// A disk that is slower holds up each sender noticeably.
const SLOW_MS: f64 = 50.0;
/// Fewer files than this can be made: checkpoints and history soon cannot.
const FILES_FREE_MIN: u64 = 1_000;

/// What lies at a mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
    device: String,
    read_only: bool,
}

pub(super) fn findings(data_dir: &Path, journal: &JournalConfig, engine: &Engine) -> Vec<Finding> {
    // What is not there yet comes to lie where the nearest folder above it lies.
    let Some(folder) = data_dir.ancestors().find(|path| path.is_dir()) else { return Vec::new() };
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mount = mount_of(&mounts, &real);
    if let Some(mount) = &mount {
        found.push(kind(mount, journal));
    }
    space(folder, journal, engine, &mut found);
    if mount.is_none_or(|mount| !mount.read_only) {
        found.push(match sync_times(folder) {
            Ok(times) => rate(times, journal),
            Err(error) => Finding::warning(
                "disk.sync",
                format!("how fast {} syncs cannot be measured: {error}", folder.display()),
                "run this as the user that the engine runs as",
            ),
        });
    }
    found
}

/// The mount that a folder lies on: of `/proc/self/mountinfo`, the last one with the longest path.
fn mount_of(mounts: &str, folder: &Path) -> Option<Mount> {
    let mounts = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let point = PathBuf::from(unescaped(fields.nth(4)?));
        let options = fields.next()?;
        let mut after = after.split(' ');
        Some(Mount {
            point,
            kind: after.next()?.to_owned(),
            device: unescaped(after.next()?),
            read_only: options.split(',').any(|option| option == "ro"),
        })
    });
    mounts
        .filter(|mount| folder.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

/// Blanks and the like stand as `\040` there.
fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for (code, char) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, char);
    }
    out
}

fn kind(mount: &Mount, journal: &JournalConfig) -> Finding {
    const CHECK: &str = "disk.kind";
    let Mount { point, kind, device, .. } = mount;
    let what = format!("{kind} on {device}");
    let elsewhere = "choose a folder on a disk of this machine with `--data-dir DIR`";
    let finding = match kind.as_str() {
        _ if mount.read_only => Finding::error(
            CHECK,
            format!("{} is read-only ({what})", point.display()),
            "a disk that fails is often made read-only (`dmesg`); otherwise: sudo mount -o remount,rw",
        ),
        "tmpfs" | "ramfs" => Finding::error(
            CHECK,
            format!("{} lies in memory ({kind}): a restart of the machine takes everything", point.display()),
            elsewhere,
        ),
        "overlay" | "aufs" => Finding::warning(
            CHECK,
            format!("{} lies in a container's own layer ({kind}): it goes with the container", point.display()),
            "mount a volume and put the data directory there: docker run -v smollama:/var/lib/smollama",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "fuse.sshfs" | "ceph" | "glusterfs" => {
            Finding::warning(
                CHECK,
                format!("{what} lies on another machine: locks and syncs are only as good as the network and the other side"),
                elsewhere,
            )
        }
        "vfat" | "exfat" | "msdos" => Finding::warning(
            CHECK,
            format!("{what} keeps no permissions, and a power cut can take more than the last writes"),
            "format it with ext4, or choose a folder elsewhere with `--data-dir DIR`",
        ),
        _ if device.starts_with("/dev/mmcblk") && journal.durability == DurabilityWord::Power => {
            Finding::note(CHECK, format!("{what}: a card, which wears with each sync")).fix(
                "`journal: { durability: process, flush: 1m }` writes less, and a power cut may take a minute",
            )
        }
        _ => Finding::ok(CHECK, what),
    };
    finding.fact("file_system", kind.as_str()).fact("device", device.as_str())
}

fn space(folder: &Path, journal: &JournalConfig, engine: &Engine, found: &mut Vec<Finding>) {
    const CHECK: &str = "disk.space";
    let about = match rustix::fs::statvfs(folder) {
        Ok(about) => about,
        Err(error) => {
            let text = format!("how much room {} has cannot be told: {error}", folder.display());
            found.push(Finding::warning(CHECK, text, "look with `df`"));
            return;
        }
    };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let (wanted, counted) = still_wanted(journal, engine);
    let finding = if free < wanted {
        let text = format!(
            "{} are free, and {counted} may still take {}: full, nothing more is acknowledged",
            bytes(free),
            bytes(wanted)
        );
        let fix = "make room, or allow less: `journal: { size: 16MiB }` in config.yaml, `queue: { spool: 8MiB }` and `max_size` in pipelines";
        Finding::error(CHECK, text, fix)
    } else {
        let text = format!("{} are free; {counted} may still take {}", bytes(free), bytes(wanted));
        Finding::ok(CHECK, text)
    };
    found.push(finding.fact("free_bytes", free).fact("wanted_bytes", wanted));
    // Some file systems count no files, and say 0 of 0.
    if about.f_files > 0 && about.f_favail < FILES_FREE_MIN {
        let text = format!("only {} more files can be made there (inodes)", about.f_favail);
        found.push(Finding::warning("disk.files", text, "remove files; `df -i` shows where"));
    }
}

/// What may be written beyond what is there, and what that is.
fn still_wanted(journal: &JournalConfig, engine: &Engine) -> (u64, &'static str) {
    let fixed = revisions::BYTES_MAX.0 + dead_letters::BYTES_MAX.0;
    let Some(status) = engine.status() else {
        return (journal.size.0 + fixed, "journal, revisions and dead letters");
    };
    let used = status.journal.as_ref().map_or(0, |journal| journal.bytes);
    let cap = status.journal.as_ref().map_or(journal.size.0, |journal| journal.cap);
    let spools = status.nodes.iter().filter_map(|node| node.spool.as_ref());
    let spools: u64 = spools.map(|spool| spool.cap.saturating_sub(spool.bytes)).sum();
    let letters = dead_letters::BYTES_MAX.0.saturating_sub(status.dead_letters.bytes);
    let wanted = cap.saturating_sub(used) + spools + letters + revisions::BYTES_MAX.0;
    (wanted, "journal, spools, revisions and dead letters")
}

/// How long each of some appended pages took to become durable, in milliseconds.
fn sync_times(folder: &Path) -> io::Result<Vec<f64>> {
    let path = folder.join(format!(".smollama-doctor-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    // Without a name it goes by itself, however this ends.
    fs::remove_file(&path)?;
    let mut times = Vec::new();
    let began = Instant::now();
    while times.is_empty() || (began.elapsed() < MEASURED_FOR && times.len() < SYNCS_MAX) {
        let before = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        times.push(before.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(times)
}

fn rate(mut times: Vec<f64>, journal: &JournalConfig) -> Finding {
    const CHECK: &str = "disk.sync";
    let total: f64 = times.iter().sum();
    let per_second = times.len() as f64 / (total / 1_000.0).max(f64::MIN_POSITIVE);
    times.sort_by(f64::total_cmp);
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    let text = format!(
        "{per_second:.0} syncs of 4 KiB a second: {} each, the slowest {}",
        shown(median),
        shown(slowest)
    );
    let finding = if median > SLOW_MS && journal.durability == DurabilityWord::Power {
        let fix = "`journal: { durability: process }` acknowledges without a sync, and a power cut may take 5 s; or use a faster disk";
        Finding::warning(CHECK, format!("{text}; each group of messages waits that long"), fix)
    } else {
        Finding::ok(CHECK, text)
    };
    finding
        .fact("syncs_per_second", per_second.round())
        .fact("median_ms", round(median))
        .fact("slowest_ms", round(slowest))
}

/// Milliseconds in as many digits as anybody reads.
fn shown(ms: f64) -> String {
    if ms < 1.0 { format!("{ms:.2} ms") } else { format!("{ms:.1} ms") }
}

fn round(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const MOUNTS: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /run rw,nosuid - tmpfs tmpfs rw
31 22 179:2 / /mnt/my\\040card ro,noatime - ext4 /dev/mmcblk0p2 rw
";

    fn level_of(kind_of: &str, device: &str, durability: DurabilityWord) -> Level {
        let mount = Mount {
            point: "/".into(),
            kind: kind_of.into(),
            device: device.into(),
            read_only: false,
        };
        kind(&mount, &JournalConfig { durability, ..JournalConfig::default() }).level
    }

    #[test]
    fn a_folder_lies_on_the_nearest_mount_above_it() {
        let kind = |path: &str| mount_of(MOUNTS, Path::new(path)).map(|mount| mount.kind);
        assert_eq!(kind("/home/pi").as_deref(), Some("ext4"));
        assert_eq!(kind("/run/user").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/running").as_deref(), Some("ext4"));
        let card = mount_of(MOUNTS, Path::new("/mnt/my card/data")).unwrap();
        assert_eq!((card.device.as_str(), card.read_only), ("/dev/mmcblk0p2", true));
        assert_eq!(mount_of("nonsense\n", Path::new("/")), None);
    }

    #[test]
    fn file_systems_are_judged_by_what_they_keep() {
        use DurabilityWord::{Power, Process};
        assert_eq!(level_of("ext4", "/dev/sda1", Power), Level::Ok);
        assert_eq!(level_of("tmpfs", "tmpfs", Power), Level::Error);
        assert_eq!(level_of("overlay", "overlay", Power), Level::Warning);
        assert_eq!(level_of("ext4", "/dev/mmcblk0p2", Power), Level::Note);
        assert_eq!(level_of("ext4", "/dev/mmcblk0p2", Process), Level::Ok);
        let full =
            Mount { point: "/".into(), kind: "ext4".into(), device: "d".into(), read_only: true };
        assert_eq!(kind(&full, &JournalConfig::default()).level, Level::Error);
    }

    #[test]
    fn a_slow_disk_matters_only_to_who_waits_for_it() {
        let slow = vec![80.0; 7];
        let journal = JournalConfig::default();
        assert_eq!(rate(slow.clone(), &journal).level, Level::Warning);
        let process = JournalConfig { durability: DurabilityWord::Process, ..journal.clone() };
        assert_eq!(rate(slow, &process).level, Level::Ok);
        let quick = rate(vec![0.5, 0.25, 2.0, 1.0, 0.25], &journal);
        assert_eq!(quick.text, "1250 syncs of 4 KiB a second: 0.50 ms each, the slowest 2.0 ms");
        assert_eq!(quick.facts["syncs_per_second"], 1250.0);
    }

    #[test]
    fn syncs_are_measured_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!sync_times(folder.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
