//! The clock: whether it can be right, whether somebody keeps it right, and in which zone days begin.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::config::host::HostConfig;

use super::finding::Finding;

/// Nobody has this program any earlier.
const NOT_BEFORE: &str = "2026-01-01T00:00:00Z";
/// A clock that says more has lost its date.
const NOT_AFTER: &str = "2100-01-01T00:00:00Z";
/// How much older than what was written a clock may say it is.
const TOLERANCE: Duration = Duration::from_secs(300);
/// How long the system may take to say whether its clock is synchronised.
const WITHIN: Duration = Duration::from_secs(2);

/// What the system says of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synchronised {
    Yes,
    No,
    /// It does not say.
    Unknown,
}

pub(super) fn findings(config: &HostConfig, data_dir: &Path) -> Vec<Finding> {
    let now = SystemClock::default().now().to_jiff();
    let system = TimeZone::system();
    let configured = config.timezone.as_ref().map(|zone| &zone.0);
    let mut found = vec![time(now, configured.unwrap_or(&system), newest(data_dir))];
    found.push(zone(configured, &system));
    let has_clock = Path::new("/sys/class/rtc/rtc0").exists();
    found.push(synchronised(ask(), has_clock));
    found
}

fn time(now: Timestamp, zone: &TimeZone, newest: Option<Timestamp>) -> Finding {
    const CHECK: &str = "clock.time";
    let shown = now.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let bound = |text: &str| text.parse::<Timestamp>();
    let absurd = bound(NOT_BEFORE).is_ok_and(|least| now < least)
        || bound(NOT_AFTER).is_ok_and(|most| now > most);
    let fix =
        "sudo timedatectl set-ntp true; or set it: sudo timedatectl set-time '2026-11-21 12:00:00'";
    if absurd {
        let text = format!("it is {shown} by this clock, which cannot be");
        return Finding::error(CHECK, text, fix);
    }
    if let Some(newest) = newest
        && Duration::try_from(newest.duration_since(now)).is_ok_and(|ahead| ahead > TOLERANCE)
    {
        let written = newest.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let text = format!(
            "it is {shown} by this clock, but something in the data directory was written at {written}: the clock went back"
        );
        return Finding::error(CHECK, text, fix);
    }
    Finding::ok(CHECK, format!("it is {shown}"))
}

/// When anything directly in the data directory was written last.
fn newest(data_dir: &Path) -> Option<Timestamp> {
    let entries = fs::read_dir(data_dir).ok()?.flatten();
    let written = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    written.filter_map(|time| Timestamp::try_from(time).ok()).max()
}

fn zone(configured: Option<&TimeZone>, system: &TimeZone) -> Finding {
    const CHECK: &str = "clock.zone";
    let fix = "write the zone that you live in into config.yaml: `timezone: Europe/Berlin`";
    let name = |zone: &TimeZone| zone.iana_name().map(ToOwned::to_owned);
    if let Some(zone) = configured {
        return Finding::ok(
            CHECK,
            format!("days begin by {}, as config.yaml says", name(zone).unwrap_or_default()),
        );
    }
    match name(system) {
        None => Finding::warning(
            CHECK,
            "this machine does not say in which zone it is: days begin by UTC",
            fix,
        ),
        Some(zone) if matches!(zone.as_str(), "UTC" | "Etc/UTC" | "Etc/UCT" | "Etc/Unknown") => {
            Finding::note(CHECK, format!("days begin by {zone}, as this machine says")).fix(fix)
        }
        Some(zone) => Finding::ok(CHECK, format!("days begin by {zone}, as this machine says")),
    }
}

fn synchronised(is: Synchronised, has_clock: bool) -> Finding {
    const CHECK: &str = "clock.synchronised";
    let after_a_cut = match has_clock {
        true => "",
        false => {
            "; it has no hardware clock, so after a power cut it begins with the time of its last shutdown"
        }
    };
    match is {
        Synchronised::Yes => Finding::ok(CHECK, "the network keeps it right (NTP)"),
        Synchronised::No => Finding::warning(
            CHECK,
            format!("nothing keeps it right{after_a_cut}"),
            "sudo timedatectl set-ntp true; without a network, add a hardware clock",
        ),
        Synchronised::Unknown => Finding::note(
            CHECK,
            format!("whether something keeps it right cannot be seen from here{after_a_cut}"),
        )
        .fix("run systemd-timesyncd or chrony; in a container the host does it"),
    }
}

fn ask() -> Synchronised {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Synchronised::Yes;
    }
    match said("timedatectl", &["show", "--property=NTPSynchronized", "--value"]).as_deref() {
        Some("yes") => Synchronised::Yes,
        Some("no") => Synchronised::No,
        _ => Synchronised::Unknown,
    }
}

/// What a program prints, if it does so in time.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().ok()? {
            break status;
        }
        if began.elapsed() > WITHIN {
            // It is of no use any more; that it has ended already is no error.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut text = String::new();
    child.stdout.take()?.take(1024).read_to_string(&mut text).ok()?;
    status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_an_error() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let level =
            |now: &str, newest: Option<&str>| time(at(now), &TimeZone::UTC, newest.map(at)).level;
        assert_eq!(level("2026-11-21T12:00:00Z", None), Level::Ok);
        assert_eq!(level("1970-01-01T00:01:00Z", None), Level::Error);
        assert_eq!(level("2106-02-07T06:28:15Z", None), Level::Error);
        // It went back behind what it wrote.
        let now = "2026-11-21T12:00:00Z";
        assert_eq!(level(now, Some("2026-11-21T12:04:59Z")), Level::Ok);
        assert_eq!(level(now, Some("2026-11-21T12:05:01Z")), Level::Error);
        assert_eq!(level(now, Some("2026-11-20T12:00:00Z")), Level::Ok);
    }

    #[test]
    fn a_zone_is_worth_a_word_where_it_is_none_of_anybody() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(zone(None, &berlin).level, Level::Ok);
        assert_eq!(zone(None, &TimeZone::UTC).level, Level::Note);
        assert_eq!(zone(Some(&TimeZone::UTC), &berlin).level, Level::Ok, "somebody meant it");
        assert_eq!(zone(None, &TimeZone::unknown()).level, Level::Warning);
    }

    #[test]
    fn what_is_synchronised_is_asked_of_the_system() {
        assert_eq!(said("echo", &["yes"]).as_deref(), Some("yes"));
        assert_eq!(said("false", &[]), None);
        assert_eq!(said("no-such-program-anywhere", &[]), None);
        assert_eq!(synchronised(Synchronised::No, true).level, Level::Warning);
        assert!(synchronised(Synchronised::No, false).text.contains("no hardware clock"));
    }
}
