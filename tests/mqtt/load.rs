//! Who publishes and remembers what was acknowledged, who looks at what comes out, and how the two are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Packet};

/// 2025-01-01T00:00:00Z in microseconds since 1970.
const BEGIN: u64 = 1_735_689_600_000_000;
/// How many topics the numbers go to in turn.
const TOPICS: u64 = 4;

/// Publishes the numbers 0, 1, 2... on `in/0`, `in/1`..., each with a time of its own, and notes which of them the broker
/// acknowledged. What it was not told of when a connection ended is published again, before what is new.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    qos: u8,
    /// Whether each number is acknowledged.
    acknowledged: Mutex<Vec<bool>>,
    /// How many numbers were published more than once.
    pub(super) repeated: AtomicUsize,
    /// How many are acknowledged.
    pub(super) count: AtomicUsize,
    enough: AtomicBool,
}

/// A publisher at work; it stops when this goes.
pub(super) struct Publishing {
    publisher: Arc<Publisher>,
    thread: Option<JoinHandle<()>>,
}

impl Publishing {
    /// Publishes bursts of so many messages, with pauses of so long between them, to the broker on this port.
    pub(super) fn start(port: u16, qos: u8, burst: usize, pause: Duration) -> Publishing {
        let publisher = Arc::new(Publisher { qos, ..Publisher::default() });
        let publishing = publisher.clone();
        let thread = std::thread::spawn(move || publishing.run(port, burst, pause));
        Publishing { publisher, thread: Some(thread) }
    }

    /// How many messages are acknowledged so far.
    pub(super) fn count(&self) -> usize {
        self.publisher.count.load(Ordering::Relaxed)
    }

    /// Publishes no more, and waits until all that was published is acknowledged.
    pub(super) fn stop(mut self) -> Arc<Publisher> {
        self.publisher.enough.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| thread.join().expect("it published"));
        self.publisher.clone()
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.publisher.enough.store(true, Ordering::Relaxed);
    }
}

impl Publisher {
    fn run(&self, port: u16, burst: usize, pause: Duration) {
        let mut unheard: BTreeSet<u64> = BTreeSet::new();
        let enough = || self.enough.load(Ordering::Relaxed);
        while !(enough() && unheard.is_empty()) {
            let Ok(mut client) = Client::connect(port, "publisher") else {
                if enough() && std::thread::panicking() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            self.repeated.fetch_add(unheard.len(), Ordering::Relaxed);
            while !(enough() && unheard.is_empty()) {
                if unheard.is_empty() {
                    let mut acknowledged = self.acknowledged.lock().expect("no thread failed");
                    let first = acknowledged.len();
                    acknowledged.resize(first + burst, false);
                    unheard.extend((first..first + burst).map(|number| number as u64));
                }
                if self.publish(&mut client, &mut unheard).is_err() {
                    break;
                }
                std::thread::sleep(pause);
            }
        }
    }

    fn publish(&self, client: &mut Client, unheard: &mut BTreeSet<u64>) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let mut under_way = BTreeMap::new();
        for number in unheard.iter() {
            let (topic, payload) = message(*number);
            let id = client.compose(&topic, payload.as_bytes(), self.qos, &mut bytes);
            under_way.insert(id, *number);
        }
        client.send(&bytes)?;
        while !under_way.is_empty() {
            let Packet::Taken(id) = client.next()? else { continue };
            let number = under_way.remove(&id).expect("what was published is acknowledged");
            unheard.remove(&number);
            self.acknowledged.lock().expect("no thread failed")[number as usize] = true;
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The topic and payload of a number.
pub(super) fn message(number: u64) -> (String, String) {
    let time = BEGIN + 1_000 * number;
    (format!("in/{}", number % TOPICS), format!("{{\"time\":{time},\"value\":{number}}}"))
}

/// The number in a line of JSON that came out, `None` where nobody published it so.
pub(super) fn number_in(line: &[u8]) -> Option<u64> {
    let row: Value = serde_json::from_slice(line).ok()?;
    let number = row["value"].as_u64()?;
    let time: jiff::Timestamp = row["time"].as_str()?.parse().ok()?;
    let topic: u64 = row["source"].as_str()?.strip_prefix("s:")?.parse().ok()?;
    let time = u64::try_from(time.as_microsecond()).ok()?;
    (time == BEGIN + 1_000 * number && topic == number % TOPICS).then_some(number)
}

/// Takes everything that is published to a filter, with QoS 1, over the lives of the broker.
pub(super) struct Observer {
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    over: Arc<AtomicBool>,
}

impl Observer {
    pub(super) fn start(port: u16, filter: &str) -> Observer {
        let (seen, over): (Arc<Mutex<Vec<_>>>, Arc<AtomicBool>) = Default::default();
        let (noting, ends) = (Arc::clone(&seen), Arc::clone(&over));
        let mut client = Client::resume(port, "observer").expect("the broker runs");
        client.subscribe(filter, 1).expect("it may");
        let filter = filter.to_owned();
        std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                match client.next() {
                    Ok(Packet::Message { payload, .. }) => {
                        noting.lock().expect("no thread failed").push(payload);
                    }
                    Ok(_) => {}
                    // Nothing came for long.
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => match Client::resume(port, "observer") {
                        Ok(again) => {
                            client = again;
                            // A broker that came back empty has to be told.
                            let _ = client.ask(&filter, 1);
                        }
                        Err(_) => std::thread::sleep(Duration::from_millis(5)),
                    },
                }
            }
        });
        Observer { seen, over }
    }

    /// How many messages came.
    pub(super) fn count(&self) -> usize {
        self.seen.lock().expect("no thread failed").len()
    }

    /// What came since the beginning, in order.
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        self.seen.lock().expect("no thread failed").clone()
    }

    /// What came, held against what was published.
    pub(super) fn tally(&self, publisher: &Publisher) -> Tally {
        Tally::of(publisher, self.payloads().iter().map(Vec::as_slice))
    }

    /// Whether the last numbers came: those before them came then, or never will.
    pub(super) fn is_over(&self, publisher: &Publisher) -> bool {
        let seen = self.seen.lock().expect("no thread failed");
        Tally::is_over(publisher, seen.iter().map(Vec::as_slice))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What came out, held against what the broker acknowledged.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Numbers that were acknowledged and did not come.
    pub(super) missing: usize,
    /// Numbers beyond the first time each came.
    pub(super) doubled: usize,
    /// How often a topic went back, to a number that had come.
    pub(super) back: usize,
    /// What must not be, in words.
    pub(super) wrong: Vec<String>,
}

impl Tally {
    /// Of lines of JSON, in the order in which they came.
    pub(super) fn of<'a>(
        publisher: &Publisher,
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Tally {
        let acknowledged = publisher.acknowledged.lock().expect("no thread failed");
        let (mut tally, mut came) = (Tally::default(), vec![false; acknowledged.len()]);
        let (mut newest, mut last) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            let known =
                number_in(line).and_then(|number| Some((number, came.get_mut(number as usize)?)));
            let Some((number, came)) = known else {
                tally.wrong.push(format!("nobody published {}", String::from_utf8_lossy(line)));
                continue;
            };
            let topic = number % TOPICS;
            if *came {
                tally.doubled += 1;
                tally.back += usize::from(last.get(&topic).is_some_and(|last| number <= *last));
            } else if let Some(before) = newest.insert(topic, number)
                && before > number
            {
                tally.wrong.push(format!("{number} came after {before}"));
            }
            last.insert(topic, number);
            *came = true;
        }
        let missing = acknowledged.iter().zip(&came).enumerate();
        let missing = missing.filter(|(_, (acknowledged, came))| **acknowledged && !**came);
        let missing: Vec<usize> = missing.map(|(number, _)| number).collect();
        tally.missing = missing.len();
        if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
            let many = missing.len();
            tally.wrong.push(format!("{many} are missing, from {first} to {last}"));
        }
        tally
    }

    /// Whether the last numbers came: those before them came then, or never will.
    fn is_over<'a>(
        publisher: &Publisher,
        lines: impl IntoIterator<Item = &'a [u8], IntoIter: DoubleEndedIterator>,
    ) -> bool {
        let all = publisher.acknowledged.lock().expect("no thread failed").len() as u64;
        let mut last: BTreeSet<u64> = (all.saturating_sub(TOPICS)..all).collect();
        for line in lines.into_iter().rev() {
            if last.is_empty() {
                break;
            }
            number_in(line).map(|number| last.remove(&number));
        }
        last.is_empty()
    }

    /// Fails where something is wrong.
    pub(super) fn check(mut self, what: &str) -> Tally {
        self.wrong.truncate(20);
        assert!(self.wrong.is_empty(), "{what}: {}", self.wrong.join("\n"));
        self
    }
}
