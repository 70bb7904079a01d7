//! A sender that keeps what it said until that is acknowledged, and says again what was not.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::Random;

/// 2025-01-01T00:00:00Z in microseconds since 1970: days that are over, so that the history is merged.
const BEGIN: u64 = 1_735_689_600_000_000;

/// How many readings a sender says as fast as it can, at the beginning of each round.
const SPURT: usize = 200;

/// What all senders of a round see.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// How many acknowledgements there were.
    pub(super) acknowledgements: AtomicUsize,
    /// How many checkpoints or applies were answered.
    pub(super) answers: AtomicUsize,
    /// At least one of them is waited for.
    pub(super) rests: bool,
    /// The engine is about to be killed: from now on it may hang up.
    pub(super) ending: AtomicBool,
    /// The engine was killed.
    pub(super) over: AtomicBool,
}

/// Says the numbers 0, 1, 2... Each time it says one, that is a reading of its own, told from the others by its time.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) name: usize,
    /// Microseconds between readings.
    step: u64,
    /// How many lines may be under way without an answer.
    window: usize,
    /// What was said, and whether that is acknowledged.
    pub(super) said: Vec<(u64, bool)>,
    /// What has to be said again.
    unheard: VecDeque<u64>,
    next: u64,
}

impl Sender {
    pub(super) fn new(name: usize, step: Duration) -> Sender {
        let step = u64::try_from(step.as_micros()).expect("a short step");
        // One waits for every answer, the others do not.
        let window = if name == 0 { 0 } else { 40 };
        let (said, unheard) = (Vec::new(), VecDeque::new());
        Sender { name, step, window, said, unheard, next: 0 }
    }

    /// Which of the readings of this sender has this time (microseconds).
    pub(super) fn number(&self, time: u64) -> Option<usize> {
        let since = time.checked_sub(BEGIN + self.name as u64)?;
        let number = usize::try_from(since / self.step).ok()?;
        (since % self.step == 0 && number < self.said.len()).then_some(number)
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.said.iter().filter(|(_, acknowledged)| *acknowledged).count()
    }

    /// Says what comes until the engine is no more.
    pub(super) fn talk(&mut self, socket: &Path, round: &Round, random: &mut Random) {
        let Some(mut line) = Line::connect(socket, round) else { return };
        let first = self.said.len();
        while !round.over.load(Ordering::Relaxed) {
            let mut most = 20;
            if self.said.len() - first > SPURT {
                // Whoever goes on like this is replayed at every start.
                std::thread::sleep(Duration::from_millis(2));
                most = 2;
            }
            let numbers = (0..1 + random.below(most)).map(|_| self.take()).collect::<Vec<_>>();
            if line.stream.write_all(self.lines(&numbers).as_bytes()).is_err() {
                break;
            }
            let mut heard = true;
            while heard && self.said.len() - first - line.answered > self.window {
                heard = self.hear(&mut line, first, round);
            }
            if !heard {
                break;
            }
        }
        assert!(round.ending.load(Ordering::Relaxed), "the engine hung up on {}", self.name);
        // What it had answered before it died is in the socket.
        while self.hear(&mut line, first, round) {}
        self.forget(first);
    }

    /// Says again what was not heard, and waits until all of it is.
    pub(super) fn finish(&mut self, socket: &Path) {
        let round = Round::default();
        let mut line = Line::connect(socket, &round).expect("the engine runs");
        let first = self.said.len();
        let numbers: Vec<u64> = self.unheard.drain(..).collect();
        line.stream.write_all(self.lines(&numbers).as_bytes()).expect("the engine takes it");
        while line.answered < numbers.len() {
            assert!(self.hear(&mut line, first, &round), "the engine hung up on {}", self.name);
        }
    }

    fn take(&mut self) -> u64 {
        self.unheard.pop_front().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn lines(&mut self, numbers: &[u64]) -> String {
        let mut text = String::new();
        for number in numbers {
            let time = BEGIN + self.name as u64 + self.step * self.said.len() as u64;
            let name = self.name;
            writeln!(text, "{{\"source\":\"{name}\",\"time\":{time},\"value\":{number}}}")
                .expect("a text takes everything");
            self.said.push((*number, false));
        }
        text
    }

    /// Takes one answer. False when there is none any more.
    fn hear(&mut self, line: &mut Line, first: usize, round: &Round) -> bool {
        let mut answer = String::new();
        // A line that the death of the engine cut off is no answer.
        if line.answers.read_line(&mut answer).is_err() || !answer.ends_with('\n') {
            return false;
        }
        let said: Value = serde_json::from_str(&answer).expect("an answer in JSON");
        let upto = said["ack"].as_u64().unwrap_or_else(|| panic!("the engine said {answer}"));
        let upto = usize::try_from(upto).expect("so many lines");
        for (_, acknowledged) in &mut self.said[first + line.answered..first + upto] {
            *acknowledged = true;
        }
        line.answered = upto;
        round.acknowledgements.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The connection is over: what was not acknowledged on it is to be said again, before what is new.
    fn forget(&mut self, first: usize) {
        let lost = self.said[first..].iter().filter(|(_, acknowledged)| !acknowledged);
        let mut lost: VecDeque<u64> = lost.map(|(number, _)| *number).collect();
        lost.append(&mut self.unheard);
        self.unheard = lost;
    }
}

/// A connection.
struct Line {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
    /// How many lines were acknowledged.
    answered: usize,
}

impl Line {
    /// Nothing where the engine was killed before it listened.
    fn connect(socket: &Path, round: &Round) -> Option<Line> {
        while !round.over.load(Ordering::Relaxed) {
            if let Ok(stream) = UnixStream::connect(socket) {
                let limit = Some(Duration::from_secs(60));
                stream.set_read_timeout(limit).expect("a time-out");
                stream.set_write_timeout(limit).expect("a time-out");
                let answers = BufReader::new(stream.try_clone().expect("the same socket"));
                return Some(Line { stream, answers, answered: 0 });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }
}
