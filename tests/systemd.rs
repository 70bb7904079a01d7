//! The engine as a service of `Type=notify`: what systemd is told, and a stop at any moment of the start.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::place::{Place, signal};

const HOME: &str = "pipeline: home\nsources: { air: { every: 50ms, simulate: {} } }\n\
    sinks: { out: { inputs: [air], file: { path: air.jsonl } } }\n";

/// What systemd hears.
struct Manager(UnixDatagram);

impl Manager {
    fn hears(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.0.recv(&mut buffer).expect("the engine says something");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The next that is no sign of life.
    fn hears_news(&self) -> String {
        loop {
            let said = self.hears();
            if said.trim() != "WATCHDOG=1" {
                return said;
            }
        }
    }
}

#[test]
fn systemd_hears_of_the_start_life_reloads_and_the_stop() {
    let place = Place::new();
    place.write("home.yaml", HOME);
    let path = place.path("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("a socket for the test"));
    manager.0.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let path = path.to_str().expect("text");
    let variables = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "200000")];
    let mut engine = place.spawn_with(&["run", "home.yaml", "--no-dashboard"], &variables);
    assert_eq!(manager.hears().trim(), "READY=1");
    assert!(place.run(&["status"]).status.success(), "ready is ready");
    // A sign of life is due twice in 200 ms; three of them take no longer than six would.
    let (first, began) = (manager.hears(), Instant::now());
    for said in [first, manager.hears(), manager.hears()] {
        assert_eq!(said.trim(), "WATCHDOG=1");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());

    place.write("home.yaml", &HOME.replace("50ms", "60ms"));
    signal(&engine.process, "HUP");
    let said = manager.hears_news();
    let usec = said.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(said.contains("RELOADING=1"), "{said}");
    assert!(usec.is_some_and(|usec| usec.parse::<u64>().is_ok_and(|usec| usec > 0)), "{said}");
    assert_eq!(manager.hears_news().trim(), "READY=1");
    assert_eq!(place.json(&["status"])["revision"], 2);
    // Files that are wrong change nothing, and the service is ready all the same.
    place.write("home.yaml", "pipeline: [");
    signal(&engine.process, "HUP");
    assert!(manager.hears_news().contains("RELOADING=1"));
    assert_eq!(manager.hears_news().trim(), "READY=1");
    assert_eq!(place.json(&["status"])["revision"], 2);

    signal(&engine.process, "TERM");
    assert_eq!(manager.hears_news().trim(), "STOPPING=1");
    let ended = engine.ends();
    assert!(ended.success(), "{}", place.read("engine.log"));
}

/// Whenever it comes, the stop is one: the process ends soon, by itself or by the signal, and the next start goes on.
#[test]
fn a_stop_in_the_first_moments_of_a_start_is_a_stop() {
    let place = Place::new();
    place.write("home.yaml", HOME);
    for moment in 0..40 {
        let mut engine = place.spawn(&["run", "home.yaml", "--no-dashboard"]);
        std::thread::sleep(Duration::from_millis(moment));
        signal(&engine.process, "TERM");
        let began = Instant::now();
        let ended = engine.ends();
        let log = place.read("engine.log");
        let terminated = ended.signal() == Some(15);
        assert!(ended.success() || terminated, "after {moment} ms: {ended}, {log}");
        assert!(began.elapsed() < Duration::from_secs(10), "after {moment} ms");
    }
    let mut engine = place.start(&["run", "home.yaml", "--no-dashboard"]);
    assert_eq!(place.json(&["status"])["revision"], 1, "what ran is what runs");
    engine.stop();
}
