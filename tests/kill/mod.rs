//! P1 with the real process and the real disk: `kill -9` at a random moment, again and again, on one data directory.
//!
//! Senders say numbers to an acknowledged `socket` and say again what was not acknowledged. A round begins with the start of the
//! engine; after the first acknowledgement a random pause passes, and the engine is killed. In the end everything that was
//! acknowledged has to be in every sink, in order, and twice only where `docs/guarantees.md` says so.
//!
//! `SMOLLAMA_KILLS` says how many kills there are of each situation, `SMOLLAMA_SEED` repeats the pauses of a run that failed.
//! `scripts/soak.sh` does it a thousand times.

mod asker;
pub(crate) mod receiver;
mod sender;
pub(crate) mod verdict;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::place::{Engine, Place, wait_long_until, wait_until};
use asker::Asker;
use receiver::{Mood, Receiver};
use sender::{Round, Sender};

/// Every so many rounds one is long enough for a checkpoint: else there would never be any, and ever more to replay.
pub(crate) const REST: usize = 6;

/// Kills of a situation unless `SMOLLAMA_KILLS` says otherwise.
pub(crate) const KILLS: usize = 30;

/// How the other side of the sink `away` is: there as often as not.
const MOODS: [Mood; 4] = [Mood::There, Mood::There, Mood::Away, Mood::Mute];

/// What goes on while the engine is killed.
#[derive(Debug, Clone, Copy)]
struct Situation {
    name: &'static str,
    durability: &'static str,
    senders: usize,
    /// Between two readings of a sender.
    step: Duration,
    /// Settings of the sink `out`, after its path.
    out: &'static str,
    /// How often the history finalizes files.
    finalize: &'static str,
    /// What else is asked of the engine.
    asks: Asks,
    /// With a sink `away`, whose other side is there and is not.
    away: bool,
}

/// What else is asked of the engine while senders talk to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// One checkpoint in rounds that rest.
    Little,
    /// One checkpoint after the other: files of the history, segments of the journal.
    Checkpoints,
    /// One apply after the other, each of an edited pipeline.
    Applies,
}

const LOAD: Situation = Situation {
    name: "load",
    durability: "power",
    senders: 8,
    step: Duration::from_millis(1),
    out: "",
    finalize: "5m",
    asks: Asks::Little,
    away: false,
};

#[test]
fn p1_kill_9_at_any_moment_under_load() {
    Field::new(LOAD).run();
}

#[test]
fn p1_kill_9_at_any_moment_of_an_apply() {
    let situation = Situation { name: "apply", durability: "process", senders: 3, ..LOAD };
    Field::new(Situation { asks: Asks::Applies, ..situation }).run();
}

#[test]
fn p1_kill_9_at_any_moment_while_files_rotate() {
    let out = ", rotate: { size: 16KiB }, compress: gzip";
    let situation = Situation { name: "rotation", durability: "process", senders: 3, ..LOAD };
    let often = Situation { out, finalize: "200ms", asks: Asks::Checkpoints, ..situation };
    Field::new(often).run();
}

#[test]
fn p1_kill_9_at_any_moment_while_the_history_is_merged() {
    let situation = Situation { name: "compaction", senders: 3, finalize: "200ms", ..LOAD };
    let days = Duration::from_secs(97);
    Field::new(Situation { step: days, asks: Asks::Checkpoints, ..situation }).run();
}

#[test]
fn p1_kill_9_at_any_moment_with_a_backlog() {
    let situation = Situation { name: "backlog", senders: 3, away: true, ..LOAD };
    Field::new(situation).run();
}

#[test]
fn p1_kill_9_at_any_moment_with_a_backlog_that_a_power_cut_may_take() {
    let situation = Situation { name: "backlog, process", durability: "process", ..LOAD };
    Field::new(Situation { senders: 3, away: true, ..situation }).run();
}

/// Where it happens, and what is known of it.
struct Field {
    situation: Situation,
    place: Place,
    random: Random,
    senders: Vec<Sender>,
    receiver: Arc<Receiver>,
    asker: Asker,
    rounds: usize,
    kills: usize,
    began: Instant,
}

impl Field {
    fn new(situation: Situation) -> Field {
        let seed = number_of("SMOLLAMA_SEED").unwrap_or(uuid::Uuid::new_v4().as_u128() as usize);
        println!("{}: SMOLLAMA_SEED={seed}", situation.name);
        let random = Random::new(seed as u64);
        let (place, receiver) = (Place::new(), Receiver::start());
        let asker = Asker::new(situation, &place, receiver.address);
        let senders = (0..situation.senders).map(|name| Sender::new(name, situation.step));
        let (senders, began) = (senders.collect(), Instant::now());
        Field { situation, place, random, senders, receiver, asker, rounds: 0, kills: 0, began }
    }

    fn run(mut self) {
        let durability = self.situation.durability;
        self.place.write("config.yaml", &format!("journal: {{ durability: {durability} }}\n"));
        self.asker.write();
        while self.kills < number_of("SMOLLAMA_KILLS").unwrap_or(KILLS) {
            self.round();
            self.asker.check_revision(&self.place);
        }
        self.finish();
        verdict::check(&self);
    }

    /// Starts the engine and kills it.
    fn round(&mut self) {
        let mut engine = self.start();
        if self.kills > 0 && self.random.below(4) == 0 {
            // While it restores what was.
            std::thread::sleep(Duration::from_micros(self.random.below(40_000) as u64));
            engine.kill();
            self.kills += 1;
            engine = self.start();
        }
        self.receiver.be(MOODS[self.random.below(MOODS.len())]);
        let pause = Duration::from_micros(self.random.below(120_000) as u64);
        self.rounds += 1;
        let round = Round { rests: self.rounds.is_multiple_of(REST), ..Round::default() };
        let socket = self.place.path("data/in.sock");
        let Field { senders, asker, random, .. } = self;
        std::thread::scope(|scope| {
            let (round, socket) = (&round, &socket);
            // Also where something here fails: otherwise the others would go on for ever.
            let end = Ends(round, &mut engine);
            for sender in senders {
                let mut random = random.fork();
                scope.spawn(move || sender.talk(socket, round, &mut random));
            }
            scope.spawn(move || asker.ask(round));
            wait_until("something is acknowledged", || {
                end.1.check_alive();
                let rested = !round.rests || round.answers.load(Ordering::Relaxed) > 0;
                round.acknowledgements.load(Ordering::Relaxed) > 0 && rested
            });
            std::thread::sleep(pause);
            end.1.check_alive();
        });
        self.kills += 1;
    }

    /// The first time with a pipeline, then with what was applied.
    fn start(&self) -> Engine {
        let paths = if self.kills == 0 { &["run", "k.yaml"][..] } else { &["run"] };
        self.place.spawn(&[paths, &["--no-dashboard"]].concat())
    }

    /// Once more without a kill, until everything was said, acknowledged and sent.
    fn finish(&mut self) {
        self.receiver.be(Mood::There);
        let mut engine = self.start();
        let socket = self.place.path("data/in.sock");
        for sender in &mut self.senders {
            sender.finish(&socket);
        }
        // After a thousand kills a sink that rotates at every turn may have minutes of work before it.
        wait_long_until(Duration::from_secs(900), "everything is where it belongs", || {
            engine.check_alive();
            self.place.is_idle()
        });
        engine.stop();
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}: see {}", self.situation.name, self.place.folder().display());
            self.place.keep();
        }
    }
}

/// A number in the environment.
pub(crate) fn number_of(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Ends a round: the engine is killed, and everybody is told.
struct Ends<'a>(&'a Round, &'a mut Engine);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ending.store(true, Ordering::Relaxed);
        drop(self.1.process.kill());
        drop(self.1.process.wait());
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Marsaglia's xorshift64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        // Neighbouring seeds are to give different numbers, and none may be zero.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number less than `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 11) % limit as u64) as usize
    }

    fn fork(&mut self) -> Random {
        Random::new(self.next())
    }
}
