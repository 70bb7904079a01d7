//! P1 over MQTT: `kill -9` at a random moment, again and again, while a publisher says numbers to a broker that keeps them.
//!
//! The publisher never meets the engine, so what it was told is the broker's word. A round begins with the start of the engine; when
//! something came out at the other end, a random pause passes, and the engine is killed. In the end everything that the broker
//! acknowledged has to be in every sink, in order.
//!
//! What may come twice, and why:
//! - What the engine had taken and the broker not yet heard of is sent again, and is then two readings: at most as many as the broker
//!   says that it sent again. `kept` takes them as they come. They bear the times of the first ones, so `dedup` finds them late, and
//!   neither `out` nor `sent` has them.
//! - `out` (a file) and `sent` (published) repeat what they had done and not yet confirmed: one run for each kill.
//!
//! With QoS 2 `kept` has nothing twice: the journal knows the numbers of what the broker has not released.

use std::time::{Duration, Instant};

use super::load::{Observer, Publishing, Tally, number_in};
use super::{broker, place, redelivered, wait_for_subscription};
use crate::http::ask_engine;
use crate::kill::verdict::{lines, listed};
use crate::kill::{KILLS, REST, Random, number_of};
use crate::place::{wait_long_until, wait_until};

/// How many messages the broker has under way to a client.
const INFLIGHT: usize = 100;

const PIPELINE: &str = "\
pipeline: k
sources:
  in: { as: s, mqtt: { topic: \"in/+\", qos: QOS, id: \"{2}\" } }
transforms:
  news: { inputs: [in], dedup: { deadband: 0, heartbeat: never } }
sinks:
  kept: { inputs: [in], parquet: {} }
  out: { inputs: [news], file: { path: out.jsonl } }
  sent: { inputs: [news], mqtt: { topic: \"out/{{ source }}\", qos: QOS } }
";

#[test]
fn p1_kill_9_at_any_moment_over_mqtt() {
    run("mqtt", 1, "power", "5");
}

#[test]
fn p1_kill_9_at_any_moment_over_mqtt_with_qos_2() {
    run("mqtt, qos 2", 2, "process", "5");
}

#[test]
fn p1_kill_9_at_any_moment_over_mqtt_3() {
    run("mqtt 3.1.1", 1, "process", "3.1.1");
}

fn run(name: &str, qos: u8, durability: &str, version: &str) {
    let seed = number_of("SMOLLAMA_SEED").unwrap_or(uuid::Uuid::new_v4().as_u128() as usize);
    println!("{name}: SMOLLAMA_SEED={seed}");
    let (mut random, began) = (Random::new(seed as u64), Instant::now());
    let broker = broker(&format!("max_inflight_messages {INFLIGHT}\n"));
    let more = format!(", version: {version:?}, receive_maximum: {INFLIGHT}");
    let place = place(broker.port, &more);
    let config = place.read("config.yaml");
    place.write("config.yaml", &format!("{config}journal: {{ durability: {durability} }}\n"));
    place.write("k.yaml", &PIPELINE.replace("QOS", &qos.to_string()));
    let observer = Observer::start(broker.port, "out/#");
    // What is published before the first subscription is for nobody.
    let mut engine = place.start(&["run", "k.yaml", "--no-dashboard"]);
    wait_for_subscription(&broker, "in/+");
    let publishing = Publishing::start(broker.port, qos, 10, Duration::from_millis(4));

    let kills = number_of("SMOLLAMA_KILLS").unwrap_or(KILLS);
    for kill in 1..=kills {
        if kill % 4 == 3 {
            // While it restores what was.
            std::thread::sleep(Duration::from_micros(random.below(60_000) as u64));
        } else {
            let before = observer.count();
            wait_until("something goes through", || {
                engine.check_alive();
                observer.count() > before
            });
            std::thread::sleep(Duration::from_micros(random.below(120_000) as u64));
            if kill % REST == 0 {
                // What came out may be the last of an earlier life.
                wait_until("a checkpoint is taken", || {
                    ask_engine(&place.path("data"), "POST /api/checkpoint", "{}").is_ok()
                });
            }
        }
        engine.kill();
        engine = place.spawn(&["run", "--no-dashboard"]);
    }
    let publisher = publishing.stop();
    wait_long_until(Duration::from_secs(900), "everything is where it belongs", || {
        engine.check_alive();
        place.is_idle() && observer.is_over(&publisher)
    });
    engine.stop();

    let sent = observer.tally(&publisher).check("sent");
    let out = lines(&place, "out", &[place.path("data/out.jsonl")]);
    let out = Tally::of(&publisher, out.lines().map(str::as_bytes)).check("out");
    let kept = lines(&place, "kept", &listed(&place, "data/history/readings"));
    let mut kept: Vec<&[u8]> = kept.lines().map(str::as_bytes).collect();
    // The files of the history are in no order.
    kept.sort_by_key(|line| number_in(line));
    let kept = Tally::of(&publisher, kept).check("kept");
    println!(
        "| {name} | {kills} | {} | {} | {} published, {} in `file`, {} in `parquet` | {:.0} s |",
        publisher.count.load(std::sync::atomic::Ordering::Relaxed),
        sent.missing + out.missing + kept.missing,
        sent.doubled,
        out.doubled,
        kept.doubled,
        began.elapsed().as_secs_f64()
    );
    let most = if qos == 2 { 0 } else { redelivered(&broker) };
    assert!(kept.doubled <= most, "{} came again to the history, of {most}", kept.doubled);
    // Each topic goes back once for a kill.
    assert!(sent.back <= 4 * kills && out.back <= 4 * kills, "{sent:?} {out:?}");
}
