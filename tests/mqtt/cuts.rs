//! A network that breaks again and again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::load::{Observer, Publishing, Tally};
use super::proxy::Proxy;
use super::{broker, place, redelivered, wait_for_subscription};
use crate::kill::{Random, number_of};
use crate::place::{Engine, wait_until};

const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
sinks:
  out: { inputs: [in], file: { path: out.jsonl } }
  sent: { inputs: [in], mqtt: { topic: \"out/{{ source }}\" } }
";

/// Cuts unless `SMOLLAMA_KILLS` says otherwise; 40 take a minute (`scripts/soak.sh 40 cuts`).
const CUTS: usize = 8;

/// A connection has held for so long before it is cut, so that the next one is tried for at once, and at most so much longer.
const HOLDS: (Duration, Duration) = (Duration::from_millis(1_050), Duration::from_millis(300));

/// What the engine has used of a processor, in seconds.
fn processor(engine: &Engine) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", engine.process.id()));
    let stat = stat.expect("it runs");
    // Behind the name, which can hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
fn connections_that_are_cut_again_and_again_lose_nothing_and_keep_the_order() {
    let broker = broker("");
    let proxy = Proxy::before(broker.port);
    let place = place(proxy.port, "");
    let observer = Observer::start(broker.port, "out/#");
    let mut engine = place.engine(PIPELINE);
    wait_for_subscription(&broker, "in/+");
    let seed = number_of("SMOLLAMA_SEED").unwrap_or(uuid::Uuid::new_v4().as_u128() as usize);
    println!("cuts: SMOLLAMA_SEED={seed}");
    let (mut random, began) = (Random::new(seed as u64), Instant::now());
    let (processor_before, mut most_memory) = (processor(&engine), 0);
    let publishing = Publishing::start(broker.port, 1, 10, Duration::from_millis(20));
    let cuts = number_of("SMOLLAMA_KILLS").unwrap_or(CUTS);
    for _ in 0..cuts {
        let before = observer.count();
        wait_until("both connections are there, and something comes", || {
            engine.check_alive();
            proxy.connections() == 2 && observer.count() > before
        });
        std::thread::sleep(HOLDS.0);
        std::thread::sleep(
            Duration::from_micros(random.below(HOLDS.1.as_micros() as usize) as u64),
        );
        proxy.cut();
        let memory = place.json(&["status"])["host"]["rss_bytes"].as_u64().expect("bytes");
        most_memory = most_memory.max(memory);
    }
    let publisher = publishing.stop();
    wait_until("everything is where it belongs", || {
        place.is_idle() && observer.is_over(&publisher)
    });
    let (took, used) = (began.elapsed(), processor(&engine) - processor_before);
    engine.stop();
    let sent = observer.tally(&publisher).check("sent");
    let out = place.read("data/out.jsonl");
    let out = Tally::of(&publisher, out.lines().map(str::as_bytes)).check("out");
    let many = publisher.count.load(Ordering::Relaxed);
    println!(
        "| mqtt, cuts | {cuts} | {many} | {} | {} published, {} in `file` | {:.0} s |",
        sent.missing + out.missing,
        sent.doubled,
        out.doubled,
        took.as_secs_f64()
    );
    println!("cuts: {used:.1} s of a processor, {most_memory} bytes");
    assert!(out.doubled <= redelivered(&broker), "{out:?}");
    // Each of the four topics once for each life of the connection that publishes. One that began while others were cut may be cut, too;
    // the other connection was made anew after each cut.
    let lives = proxy.made() - 2 - cuts;
    assert!(sent.back <= 4 * lives, "{sent:?} in {lives} lives");
    assert!(most_memory < 256 << 20, "{most_memory} bytes");
    assert!(used < took.as_secs_f64() / 2.0, "{used} s of a processor in {took:?}");
}
