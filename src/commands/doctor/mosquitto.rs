//! The configuration of a mosquitto on this machine: which of its settings make it forget or drop what waits for this host.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::finding::Finding;
use crate::text::span;

/// What the promises need of it.
pub(super) const NEEDED: &str = "`persistence true` and `max_queued_messages 0`";
/// Where a package puts it.
const USUAL: &str = "/etc/mosquitto/mosquitto.conf";
const PORT: u16 = 1883;
/// How many files may include each other.
const DEPTH_MAX: usize = 4;
/// How often it writes what waits to disk, if nobody says otherwise, in seconds.
const AUTOSAVE_S: u64 = 1800;
/// It writes often enough for a power cut to take little.
const AUTOSAVE_FINE_S: u64 = 60;

/// What is known of the mosquitto that listens on a port.
#[derive(Debug)]
pub(super) enum Place {
    /// Its configuration.
    Read(Configuration),
    /// Its configuration lies there, and cannot be read.
    Unreadable(PathBuf),
}

/// A configuration with all that it includes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    /// The file; empty where it runs without one.
    path: PathBuf,
    /// Settings that hold for all listeners: the last word counts.
    settings: BTreeMap<String, String>,
    ports: Vec<u16>,
    /// A folder whose files it includes.
    included: Option<PathBuf>,
}

/// Finds the configuration of the mosquitto that listens on a port: of those that run, by their arguments, or the usual one.
pub(super) fn of_port(port: u16) -> Option<Place> {
    let running: Vec<(PathBuf, Option<u16>)> = running(Path::new("/proc"));
    let usual = (PathBuf::from(USUAL), None);
    let candidates = if running.is_empty() && usual.0.exists() { vec![usual] } else { running };
    let mut unreadable = None;
    for (path, flag) in candidates {
        match Configuration::read(&path) {
            Ok(found) if found.listens_on(port, flag) => return Some(Place::Read(found)),
            Ok(_) => {}
            Err(_) => unreadable = Some(path),
        }
    }
    unreadable.map(Place::Unreadable)
}

/// The configuration and the port of each mosquitto that runs, as its arguments name them.
fn running(proc: &Path) -> Vec<(PathBuf, Option<u16>)> {
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word));
            let program = words.next()?.into_owned();
            if Path::new(&program).file_name()? != "mosquitto" {
                return None;
            }
            let (mut path, mut port) = (PathBuf::new(), None);
            while let Some(word) = words.next() {
                match &*word {
                    "-c" | "--config-file" => path = PathBuf::from(words.next()?.into_owned()),
                    "-p" | "--port" => port = words.next()?.parse().ok(),
                    _ => {}
                }
            }
            if path.is_relative() && !path.as_os_str().is_empty() {
                path = fs::read_link(process.path().join("cwd")).unwrap_or_default().join(path);
            }
            Some((path, port))
        })
        .collect()
}

impl Configuration {
    fn read(path: &Path) -> io::Result<Configuration> {
        let mut read = Configuration { path: path.to_owned(), ..Configuration::default() };
        // Without a file everything is as it is by default.
        if !path.as_os_str().is_empty() {
            read.take(path, 0)?;
        }
        Ok(read)
    }

    fn take(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let text = fs::read_to_string(path)?;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let value = value.trim();
            match word {
                "" => {}
                "listener" | "port" => {
                    let port =
                        value.split_whitespace().next().and_then(|port| port.parse::<u16>().ok());
                    self.ports.extend(port);
                }
                "include_dir" => self.include(Path::new(value), depth)?,
                _ => drop(self.settings.insert(word.to_owned(), value.to_owned())),
            }
        }
        Ok(())
    }

    fn include(&mut self, folder: &Path, depth: usize) -> io::Result<()> {
        self.included = Some(folder.to_owned());
        if depth == DEPTH_MAX {
            return Ok(());
        }
        let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|ending| ending == "conf"))
            .collect();
        files.sort();
        files.iter().try_for_each(|path| self.take(path, depth + 1))
    }

    fn listens_on(&self, port: u16, flag: Option<u16>) -> bool {
        let usual = self.ports.is_empty() && flag.is_none() && port == PORT;
        usual || self.ports.contains(&port) || flag == Some(port)
    }

    fn number(&self, setting: &str) -> Option<u64> {
        self.settings.get(setting)?.parse().ok()
    }

    /// Where to write a setting down.
    fn place(&self) -> String {
        match &self.included {
            Some(folder) => folder.join("smollama.conf").display().to_string(),
            None if self.path.as_os_str().is_empty() => {
                format!("a file, and start it with -c FILE, such as {USUAL}")
            }
            None => self.path.display().to_string(),
        }
    }

    /// What in it makes the broker forget or drop what waits for this host, which asks for sessions of `wanted`.
    pub(super) fn findings(&self, wanted: Duration) -> Vec<Finding> {
        const CHECK: &str = "mqtt.keeps";
        let mut found = Vec::new();
        let shown = match self.path.as_os_str().is_empty() {
            true => "it runs without a configuration, in which".to_owned(),
            false => format!("in {}", self.path.display()),
        };
        let fix = |line: &str| {
            format!("write `{line}` into {}, then: sudo systemctl restart mosquitto", self.place())
        };
        let is = |setting: &str| self.settings.get(setting).is_some_and(|value| value == "true");
        if !is("persistence") {
            let text = format!(
                "{shown} `persistence` is off: a restart of the broker forgets what waits for this host"
            );
            found.push(Finding::warning(CHECK, text, fix("persistence true")));
        } else if !is("autosave_on_changes") {
            let every = self.number("autosave_interval").unwrap_or(AUTOSAVE_S);
            if every == 0 || every > AUTOSAVE_FINE_S {
                let when = match every {
                    0 => "only at its end".to_owned(),
                    every => format!("every {}", span(every as f64)),
                };
                let text = format!(
                    "{shown} what waits is written to disk {when}: a power cut at the broker takes the rest"
                );
                found.push(Finding::note(CHECK, text).fix(fix("autosave_interval 60")));
            }
        }
        let most = match self.number("max_queued_messages") {
            Some(0) => None,
            Some(most) => Some(format!("is {most}")),
            None => Some("is not set, and so is 1000".to_owned()),
        };
        if let Some(most) = most {
            let text = format!(
                "{shown} `max_queued_messages` {most}: what is beyond, though acknowledged to its publisher, is dropped while \
                 this host is away, and nobody is told"
            );
            found.push(Finding::warning(CHECK, text, fix("max_queued_messages 0")));
        }
        if let Some(most) = self.number("max_queued_bytes").filter(|most| *most > 0) {
            let text = format!(
                "{shown} `max_queued_bytes` is {most}: what is beyond is dropped while this host is away"
            );
            found.push(Finding::warning(CHECK, text, fix("max_queued_bytes 0")));
        }
        let expires = self.settings.get("persistent_client_expiration");
        if let Some(kept) = expires.and_then(|text| expiry(text)).filter(|kept| *kept < wanted) {
            let text = format!(
                "{shown} sessions end after {}, and this host asks for {}",
                span(kept.as_secs_f64()),
                span(wanted.as_secs_f64())
            );
            found.push(Finding::warning(CHECK, text, fix("persistent_client_expiration 14d")));
        }
        if found.is_empty() {
            found.push(Finding::ok(
                CHECK,
                format!("{shown} it keeps what waits for this host, all of it"),
            ));
        }
        found
    }
}

/// `14d`, as mosquitto writes it: hours, days, weeks, months or years.
fn expiry(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let hours: u64 = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 24 * 7,
        "m" => 24 * 30,
        "y" => 24 * 365,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(hours * 3600)?))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn read(text: &str, included: &[(&str, &str)]) -> Configuration {
        let folder = tempfile::tempdir().unwrap();
        let conf_d = folder.path().join("conf.d");
        fs::create_dir(&conf_d).unwrap();
        for (name, text) in included {
            fs::write(conf_d.join(name), text).unwrap();
        }
        let path = folder.path().join("mosquitto.conf");
        fs::write(&path, text.replace("CONF.D", &conf_d.display().to_string())).unwrap();
        Configuration::read(&path).unwrap()
    }

    fn said(configuration: &Configuration) -> Vec<(Level, String)> {
        let found = configuration.findings(WEEK).into_iter();
        found
            .map(|finding| {
                let fix = finding.fix.clone().unwrap_or_default();
                assert!(finding.level == Level::Ok || fix.contains("write `"), "{finding:?}");
                (finding.level, finding.text)
            })
            .collect()
    }

    #[test]
    fn the_defaults_forget_and_drop() {
        let bare = said(&read("# nothing\n\nlistener 1883 127.0.0.1\n", &[]));
        let [(Level::Warning, forgets), (Level::Warning, drops)] = &bare[..] else {
            panic!("{bare:?}")
        };
        assert!(forgets.contains("`persistence` is off") && drops.contains("is 1000"), "{bare:?}");
        let without = Configuration::default().findings(WEEK);
        assert_eq!(without.len(), 2);
        assert!(without[0].fix.as_ref().unwrap().contains("-c FILE"), "{without:?}");
    }

    #[test]
    fn what_the_promises_need_is_found_also_where_it_is_included() {
        let good = "persistence true\nautosave_interval 1\nmax_queued_messages 0\n";
        assert_eq!(said(&read(good, &[]))[0].0, Level::Ok);
        let parts = [("a.conf", "max_queued_messages 0"), ("b.txt", "persistence false")];
        let debian = "persistence true\nautosave_on_changes true\ninclude_dir CONF.D\n";
        assert_eq!(said(&read(debian, &parts))[0].0, Level::Ok);
        // The last word counts.
        let again = read(debian, &[("a.conf", "max_queued_messages 500")]);
        assert!(said(&again)[0].1.contains("is 500"));
        assert!(again.findings(WEEK)[0].fix.as_ref().unwrap().contains("conf.d/smollama.conf"));
    }

    #[test]
    fn rarer_settings_are_looked_at_too() {
        let base = "persistence true\nmax_queued_messages 0\n";
        let note = said(&read(base, &[]));
        assert!(note[0].0 == Level::Note && note[0].1.contains("every 30m"), "{note:?}");
        let full = format!(
            "{base}autosave_interval 60\nmax_queued_bytes 1000\npersistent_client_expiration 2d\n"
        );
        let found = said(&read(&full, &[]));
        assert!(found[0].1.contains("`max_queued_bytes` is 1000"), "{found:?}");
        assert!(found[1].1.contains("end after 2d, and this host asks for 7d"), "{found:?}");
        for (text, hours) in [("3h", 3), ("2w", 336), ("1y", 8760)] {
            assert_eq!(expiry(text), Some(Duration::from_secs(hours * 3600)));
        }
        assert!(["", "d", "5", "5x"].iter().all(|text| expiry(text).is_none()));
    }

    #[test]
    fn it_is_known_by_its_port() {
        let usual = read("persistence true\n", &[]);
        assert!(usual.listens_on(1883, None) && !usual.listens_on(1884, None));
        assert!(usual.listens_on(1884, Some(1884)) && !usual.listens_on(1883, Some(1884)));
        let two = read("listener 1884 127.0.0.1\nport 1885\n", &[]);
        assert!(two.listens_on(1884, None) && two.listens_on(1885, None));
        assert!(!two.listens_on(1883, None));
    }

    #[test]
    fn those_that_run_are_found_by_their_arguments() {
        let proc = tempfile::tempdir().unwrap();
        let process = |id: &str, line: &str| {
            fs::create_dir(proc.path().join(id)).unwrap();
            fs::write(proc.path().join(id).join("cmdline"), line.replace(' ', "\0")).unwrap();
        };
        process("1", "/sbin/init splash");
        process("7", "/usr/sbin/mosquitto -c /etc/mosquitto/mosquitto.conf");
        process("8", "mosquitto -v -p 1884");
        process("9", "");
        let mut found = running(proc.path());
        found.sort();
        let usual = PathBuf::from("/etc/mosquitto/mosquitto.conf");
        assert_eq!(found, [(PathBuf::new(), Some(1884)), (usual, None)]);
    }
}
