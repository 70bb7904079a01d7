//! `mqtt PORT QOS READINGS RATE TOPICS IN OUT`: readings into what stands between two topics, and what comes out of it.
//!
//! RATE is in readings a second; 0 is as fast as they come out, with at most 8,192 under way. There are a thousand series; half of the readings
//! of each are news to a deadband of 0.05, and are expected back in their order. With TOPICS above 0 a number stands behind IN and OUT, and all
//! are expected back.
//! Ends with an error if they do not come. Prints, as JSON, how long it took, and the microseconds between the two topics.

mod wire;

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep, spawn};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::{Packet, Reader, Writer};

type Failure = Box<dyn Error + Send + Sync>;

const SERIES: u64 = 1_000;
/// So many readings can be under way, fewer than a queue that drops would take.
const UNDER_WAY: u64 = 8_192;
/// What is sent until something comes out, so that it is known that all listen.
const PROBE: &str = "bench:probe/";

struct Load {
    port: u16,
    qos: u8,
    readings: u64,
    rate: u64,
    topics: u64,
    from: String,
    to: String,
}

/// A reading that is expected back.
struct Expected {
    number: u64,
    value: f64,
    sent: Instant,
}

#[derive(serde::Deserialize)]
struct Reading<'a> {
    source: &'a str,
    value: f64,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, qos, readings, rate, topics, from, to] = arguments.as_slice() else {
        return Err("usage: mqtt PORT QOS READINGS RATE TOPICS IN OUT".into());
    };
    let load = Load {
        port: port.parse()?,
        qos: qos.parse()?,
        readings: readings.parse()?,
        rate: rate.parse()?,
        topics: topics.parse()?,
        from: from.clone(),
        to: to.clone(),
    };
    let (mut hears, mut comes) = wire::connect(load.port, "load-sub")?;
    let filter = if load.topics > 0 { format!("{to}/+") } else { to.clone() };
    hears.subscribe(&filter, load.qos)?;
    let (mut says, mut answers) = wire::connect(load.port, "load-pub")?;
    load.probe(&mut says, &mut hears, &mut comes)?;

    let expected: Vec<Mutex<VecDeque<Expected>>> = (0..SERIES).map(|_| Mutex::default()).collect();
    // The latest reading that came out.
    let through = AtomicU64::new(0);
    let began = Instant::now();
    // Ends with this process.
    spawn(move || while answers.read(|_| {}).is_ok() {});
    let mut taken = scope(|scope| {
        let sender = scope.spawn(|| load.send(&mut says, &expected, &through, began));
        let taken = load.take(&mut hears, &mut comes, &expected, &through);
        sender.join().map_err(|_| "the sender panicked")??;
        taken
    })?;
    report(&load, &mut taken, began.elapsed());
    Ok(())
}

impl Load {
    fn topic(&self, base: &str, number: u64) -> String {
        if self.topics > 0 { format!("{base}/{}", number % self.topics) } else { base.to_owned() }
    }

    /// Every other one of a series is news.
    fn passes(&self, number: u64) -> bool {
        self.topics > 0 || number / SERIES % 2 == 0
    }

    /// Sends to each topic until something comes out of it.
    fn probe(
        &self,
        says: &mut Writer,
        hears: &mut Writer,
        comes: &mut Reader,
    ) -> Result<(), Failure> {
        let topics = self.topics.max(1);
        let mut silent: Vec<bool> = vec![true; topics as usize];
        for round in 1..=200u16 {
            for topic in (0..topics).filter(|topic| silent[*topic as usize]) {
                let payload =
                    format!(r#"{{"time":{},"source":"{PROBE}{topic}","value":{round}}}"#, now());
                says.publish(&self.topic(&self.from, topic), payload.as_bytes(), self.qos, round);
            }
            // What ends the round: the load's own message.
            says.publish(&self.topic(&self.to, 0), b"round", self.qos, round);
            says.flush()?;
            sleep(Duration::from_millis(50));
            let mut over = false;
            while !over {
                let mut kept = Vec::new();
                comes.read(|packet| {
                    let Packet::Message { number, payload } = packet else { return };
                    kept.extend(number);
                    over |= payload == b"round";
                    let reading = serde_json::from_slice::<Reading>(payload).ok();
                    let topic = reading
                        .and_then(|one| one.source.strip_prefix(PROBE)?.parse::<usize>().ok());
                    if let Some(silent) = topic.and_then(|topic| silent.get_mut(topic)) {
                        *silent = false;
                    }
                })?;
                kept.into_iter().for_each(|number| hears.acknowledge(number));
                hears.flush()?;
            }
            if !silent.contains(&true) {
                return Ok(());
            }
        }
        Err("nothing comes out".into())
    }

    fn send(
        &self,
        says: &mut Writer,
        expected: &[Mutex<VecDeque<Expected>>],
        through: &AtomicU64,
        began: Instant,
    ) -> Result<(), Failure> {
        let time = now();
        for number in 0..self.readings {
            if self.rate > 0 {
                // In steps of a millisecond.
                let due = began + Duration::from_millis(number * 1_000 / self.rate);
                let left = due.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    says.flush()?;
                    sleep(left);
                }
            } else {
                while number - through.load(Ordering::Relaxed) >= UNDER_WAY {
                    says.flush()?;
                    sleep(Duration::from_micros(50));
                }
            }
            let (series, round) = (number % SERIES, number / SERIES);
            let value = 20.0 + (round / 2 % 50) as f64 / 5.0;
            if self.passes(number) {
                let one = Expected { number, value, sent: Instant::now() };
                expected[series as usize].lock().map_err(|_| "poisoned")?.push_back(one);
            }
            let payload = format!(
                r#"{{"time":{},"source":"bench:{series:03}/air","value":{value}}}"#,
                time + number
            );
            says.publish(
                &self.topic(&self.from, number),
                payload.as_bytes(),
                self.qos,
                (number % 65_000 + 1) as u16,
            );
            if says.waiting() > 16 << 10 {
                says.flush()?;
            }
        }
        says.flush()?;
        Ok(())
    }

    /// Takes all that is expected; gives for each its number, and how long it was under way.
    fn take(
        &self,
        hears: &mut Writer,
        comes: &mut Reader,
        expected: &[Mutex<VecDeque<Expected>>],
        through: &AtomicU64,
    ) -> Result<Vec<(u64, Duration)>, Failure> {
        let many = (0..self.readings).filter(|number| self.passes(*number)).count();
        let mut taken = Vec::with_capacity(many);
        while taken.len() < many {
            let mut failure = None;
            let read = comes.read(|packet| {
                let Packet::Message { number, payload } = packet else { return };
                if let Some(number) = number {
                    hears.acknowledge(number);
                }
                match came(payload, expected) {
                    Ok(Some(one)) => {
                        through.fetch_max(one.number, Ordering::Relaxed);
                        taken.push((one.number, one.sent.elapsed()));
                    }
                    Ok(None) => {}
                    Err(why) => failure = Some(why),
                }
            });
            if let Some(why) = failure {
                return Err(why);
            }
            read.map_err(|error| format!("{} of {many} came: {error}", taken.len()))?;
            hears.flush()?;
        }
        Ok(taken)
    }
}

/// What was expected in place of this; `None` for a probe.
fn came(
    payload: &[u8],
    expected: &[Mutex<VecDeque<Expected>>],
) -> Result<Option<Expected>, Failure> {
    let reading: Reading = serde_json::from_slice(payload)?;
    let Some(rest) = reading.source.strip_prefix("bench:") else {
        return Err(format!("a foreign reading of {}", reading.source).into());
    };
    let Some(series) = rest.get(..3).and_then(|series| series.parse::<usize>().ok()) else {
        return Ok(None);
    };
    let one = expected[series].lock().map_err(|_| "poisoned")?.pop_front();
    match one {
        Some(one) if one.value == reading.value => Ok(Some(one)),
        Some(one) => {
            Err(format!("{} came in place of {} of series {series}", reading.value, one.value)
                .into())
        }
        None => Err(format!("{} of series {series} was not expected", reading.value).into()),
    }
}

fn report(load: &Load, taken: &mut [(u64, Duration)], took: Duration) {
    let seconds = took.as_secs_f64();
    let median = |part: &[(u64, Duration)]| {
        let mut times: Vec<Duration> = part.iter().map(|(_, time)| *time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).map_or(0, Duration::as_micros)
    };
    // A queue that grows makes the last ones wait longer than the first.
    let fifth = taken.len() / 5;
    let (first, last) = (median(&taken[..fifth]), median(&taken[taken.len() - fifth..]));
    taken.sort_unstable_by_key(|(_, time)| *time);
    let at = |part: f64| {
        taken
            .get(((taken.len() - 1) as f64 * part) as usize)
            .map_or(0, |(_, time)| time.as_micros())
    };
    println!(
        r#"{{"readings":{},"passed":{},"seconds":{seconds:.4},"p50":{},"p99":{},"max":{},"p50_first":{first},"p50_last":{last}}}"#,
        load.readings,
        taken.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
}

/// Microseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
