//! A network that loses what goes over it without a word, or is slow; a broker that takes connections and says nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::load::{Observer, Publishing, Tally};
use super::proxy::{Proxy, Way};
use super::{broker, configure, node, place, redelivered, wait_for_subscription};
use crate::mosquitto::{Mosquitto, free_port};
use crate::place::{Place, wait_until};

const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
  tick: { every: 50ms, simulate: {} }
sinks:
  out: { inputs: [in], file: { path: out.jsonl } }
  sent: { inputs: [in], mqtt: { topic: \"out/{{ source }}\" } }
  ticks: { inputs: [tick], file: { path: ticks.jsonl } }
";

/// Whether `status` gives this as what keeps both mqtt nodes from their work.
fn says(place: &Place, why: &str) -> bool {
    // Asking costs more than waiting.
    std::thread::sleep(Duration::from_millis(50));
    let says = |name| node(place, name)["error"].to_string();
    ["in", "sent"].into_iter().all(|name| says(name).contains(why))
}

/// Fails unless nodes that have nothing to do with the broker go on.
fn others_go_on(place: &Place) {
    let ticks = || place.read("data/ticks.jsonl").lines().count();
    let before = ticks();
    wait_until("other nodes go on", || ticks() > before + 5);
}

/// Fails unless all has come.
fn check(place: &Place, broker: &Mosquitto, observer: &Observer, publishing: Publishing) {
    let publisher = publishing.stop();
    wait_until("everything is where it belongs", || {
        place.is_idle() && observer.is_over(&publisher)
    });
    observer.tally(&publisher).check("sent");
    let out = place.read("data/out.jsonl");
    let out = Tally::of(&publisher, out.lines().map(str::as_bytes)).check("out");
    assert!(out.doubled <= redelivered(broker), "{out:?}");
}

#[test]
fn silence_of_the_broker_or_the_network_is_named_and_nothing_is_lost() {
    let broker = broker("");
    let proxy = Proxy::before(broker.port);
    // It accepts, and says nothing.
    proxy.set(Way::Held);
    let place = place(proxy.port, ", keep_alive: 5s");
    let observer = Observer::start(broker.port, "out/#");
    let _engine = place.engine(PIPELINE);
    wait_until("the silence is told", || says(&place, "it does not answer"));
    others_go_on(&place);
    proxy.set(Way::Open);
    wait_for_subscription(&broker, "in/+");
    let publishing = Publishing::start(broker.port, 1, 10, Duration::from_millis(10));
    wait_until("messages go through", || observer.count() > 500);
    // It falls silent, and nobody hangs up.
    proxy.set(Way::Held);
    wait_until("the silence is told", || says(&place, "cannot be reached"));
    assert!(place.says(&["logs"]).contains("it went silent"));
    others_go_on(&place);
    proxy.set(Way::Open);
    check(&place, &broker, &observer, publishing);
}

#[test]
fn a_slow_network_delays_and_loses_nothing() {
    let broker = broker("");
    let proxy = Proxy::before(broker.port);
    let place = place(proxy.port, ", keep_alive: 5s");
    let observer = Observer::start(broker.port, "out/#");
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/+");
    proxy.set(Way::Trickle);
    let publishing = Publishing::start(broker.port, 1, 10, Duration::from_millis(20));
    let began = Instant::now();
    // Several times the keep-alive: it neither hangs nor counts as silent.
    wait_until("time passes, and messages go through", || {
        engine.check_alive();
        began.elapsed() > Duration::from_secs(12) && observer.count() > 100
    });
    others_go_on(&place);
    proxy.set(Way::Open);
    check(&place, &broker, &observer, publishing);
    let said = broker.said();
    let connected = said
        .lines()
        .filter(|line| line.contains("New client connected") && line.contains("smollama-"));
    assert_eq!(connected.count(), 2, "slowness was taken for silence");
}

/// A network with one end in a namespace of its own, taken away at the end.
struct Away(String);

/// Where the broker is to listen.
const NEAR: &str = "10.231.7.1";
const FAR: &str = "10.231.7.2";

impl Away {
    /// Nothing without the rights for it.
    fn new() -> Option<Away> {
        let name = format!("smollama-{}", std::process::id());
        let (near, far) =
            (format!("sm{}", std::process::id()), format!("sf{}", std::process::id()));
        ip(&["netns", "add", &name]).then_some(())?;
        let away = Away(name.clone());
        let made = ip(&["link", "add", &near, "type", "veth", "peer", "name", &far])
            && ip(&["link", "set", &far, "netns", &name])
            && ip(&["addr", "add", &format!("{NEAR}/30"), "dev", &near])
            && ip(&["link", "set", &near, "up"])
            && ip(&["-n", &name, "addr", "add", &format!("{FAR}/30"), "dev", &far])
            && ip(&["-n", &name, "link", "set", &far, "up"]);
        made.then_some(away)
    }

    /// The end that is here. What is sent while it is down is lost, and nobody is told.
    fn link(&self, way: &str) {
        assert!(ip(&["link", "set", &format!("sm{}", std::process::id()), way]));
    }

    /// A command that sees that network alone.
    fn within(&self, command: &Command) -> Command {
        let mut within = Command::new("ip");
        within.args(["netns", "exec", &self.0]).arg(command.get_program());
        within.args(command.get_args());
        within.current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
        within.stdin(Stdio::null());
        within
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        ip(&["link", "del", &format!("sm{}", std::process::id())]);
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(args: &[&str]) -> bool {
    let ran = Command::new("ip").args(args).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

#[test]
fn packets_that_are_dropped_and_not_refused_are_silence() {
    let Some(away) = Away::new() else {
        eprintln!("not tested: no right to make a network namespace");
        return;
    };
    // Whoever publishes and looks is on this side, where nothing is dropped.
    let port = free_port();
    let broker = broker(&format!("listener {port} {NEAR}\n"));
    let place = Place::new();
    configure(&place, port, ", keep_alive: 5s");
    let config = place.read("config.yaml").replace("127.0.0.1", NEAR);
    place.write("config.yaml", &config);
    place.write("home.yaml", PIPELINE);
    let observer = Observer::start(broker.port, "out/#");
    let run = away.within(&place.command(&["run", "home.yaml", "--no-dashboard"]));
    let mut engine = place.run_in_background(run);
    wait_for_subscription(&broker, "in/+");
    let publishing = Publishing::start(broker.port, 1, 10, Duration::from_millis(10));
    wait_until("messages go through", || observer.count() > 500);
    away.link("down");
    wait_until("the silence is told", || says(&place, "cannot be reached"));
    let logs = place.says(&["logs"]);
    assert!(logs.contains("it went silent"), "{logs}");
    others_go_on(&place);
    engine.check_alive();
    away.link("up");
    check(&place, &broker, &observer, publishing);
    assert_eq!(node(&place, "in")["error"], Value::Null);
}
