//! Devices that sensors hang on, and whether this user may open them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::finding::Finding;
use super::ownership::{group, in_group, is_member, may, me, user};

/// Devices by the beginning of their name, and what they are.
const KINDS: [(&str, &str); 9] = [
    ("gpiochip", "pins"),
    ("gpiomem", "pins"),
    ("i2c-", "I²C buses"),
    ("spidev", "SPI buses"),
    ("ttyUSB", "serial ports"),
    ("ttyACM", "serial ports"),
    ("ttyAMA", "serial ports"),
    ("video", "cameras"),
    ("vcio", "the firmware of a Raspberry Pi"),
];

/// Devices of one kind that belong to one group.
#[derive(Debug, Default, PartialEq, Eq)]
struct Devices {
    what: &'static str,
    paths: Vec<PathBuf>,
    closed: bool,
}

pub(super) fn findings() -> Vec<Finding> {
    let found = look(Path::new("/dev"), &|path| may(path, Access::READ_OK | Access::WRITE_OK));
    let me = user(me());
    found
        .iter()
        .map(|(gid, devices)| {
            let name = group(*gid);
            let logs_in_again = !in_group(*gid) && is_member(&me, *gid);
            judge(devices, &name, &me, logs_in_again)
        })
        .collect()
}

/// The devices that there are, by group; several kinds of one group are one.
fn look(folder: &Path, opens: &dyn Fn(&Path) -> bool) -> BTreeMap<u32, Devices> {
    let mut found: BTreeMap<u32, Devices> = BTreeMap::new();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kind = KINDS.iter().find(|(beginning, _)| name.starts_with(beginning));
        let (Some((_, what)), Ok(about)) = (kind, fs::metadata(&path)) else { continue };
        let devices = found.entry(about.gid()).or_default();
        devices.what = what;
        devices.closed |= !opens(&path);
        devices.paths.push(path);
    }
    found
}

fn judge(devices: &Devices, group: &str, me: &str, logs_in_again: bool) -> Finding {
    const CHECK: &str = "devices.groups";
    let names: Vec<String> =
        devices.paths.iter().take(3).map(|path| path.display().to_string()).collect();
    let more = if devices.paths.len() > 3 { ", …" } else { "" };
    let names = format!("{}{more}", names.join(", "));
    if !devices.closed {
        return Finding::ok(CHECK, format!("{me} may use {} ({names})", devices.what));
    }
    let text =
        format!("{me} may not use {} ({names}), which are for the group `{group}`", devices.what);
    if logs_in_again {
        return Finding::note(CHECK, text)
            .fix(format!("log in again: {me} is in `{group}` from then on; restart the service"));
    }
    let fix = format!(
        "only for pipelines that read them: sudo usermod -aG {group} {me}, then log in again"
    );
    Finding::note(CHECK, text).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn devices_that_sensors_hang_on_are_found_with_their_group() {
        let dev = tempfile::tempdir().unwrap();
        for name in ["gpiochip0", "gpiochip1", "null", "tty0", "sda"] {
            fs::write(dev.path().join(name), "").unwrap();
        }
        let found = look(dev.path(), &|path| !path.ends_with("gpiochip1"));
        let [(gid, devices)] = &found.into_iter().collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!(*gid, fs::metadata(dev.path().join("null")).unwrap().gid());
        assert_eq!(devices.paths.len(), 2);
        let finding = judge(devices, "gpio", "pi", false);
        assert_eq!(finding.level, Level::Note);
        assert!(finding.fix.unwrap().contains("sudo usermod -aG gpio pi"));
        assert!(judge(devices, "gpio", "pi", true).fix.unwrap().starts_with("log in again"));

        let open = look(dev.path(), &|_| true).into_values().next().unwrap();
        assert_eq!(judge(&open, "gpio", "pi", false).level, Level::Ok);
        assert!(look(Path::new("/nowhere"), &|_| true).is_empty());
    }
}
