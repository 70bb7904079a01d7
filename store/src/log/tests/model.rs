//! Random lives of a journal, with crashes, failing disks and damage, beside the simplest thing that could do the same: a list.
//!
//! A life is made from a seed. `LOG_SEED=7` lives one again; `LOG_LIVES=10000` lives many.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use smollama_engine::disk::{Crash, Fault};
use smollama_engine::reading::Value;

use super::*;

const CAP: ByteSize = ByteSize::kib(64);
const LIVES: u64 = 200;

/// One thing that happens to a journal.
#[derive(Debug, Clone)]
enum Step {
    /// An event with a text of that length, with a receipt or without.
    Append {
        len: usize,
        receipt: bool,
    },
    SkipNumber,
    Sync,
    /// All behind that part of what there is.
    Read {
        after: prop::sample::Index,
    },
    /// Some records of a reader that is kept.
    ReadOn {
        count: usize,
    },
    Free {
        upto: prop::sample::Index,
    },
    Fault {
        ahead: u64,
        fault: Fault,
    },
    FailAll,
    Heal,
    Crash(Crash),
    /// The process is killed, and some bytes of a file change before the next start.
    Damage {
        file: prop::sample::Index,
        place: prop::sample::Index,
        len: usize,
        byte: u8,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let fault = prop_oneof![
        Just(Fault::Error(std::io::ErrorKind::StorageFull)),
        Just(Fault::TornWrite),
        Just(Fault::Crash(Crash::Kill)),
        Just(Fault::Crash(Crash::Power)),
    ];
    let len = prop_oneof![4 => 0usize..200, 2 => 0usize..5000, 1 => 10_000usize..20_000];
    prop_oneof![
        30 => (len, any::<bool>()).prop_map(|(len, receipt)| Step::Append { len, receipt }),
        1 => Just(Step::SkipNumber),
        3 => Just(Step::Sync),
        3 => index().prop_map(|after| Step::Read { after }),
        3 => (1usize..20).prop_map(|count| Step::ReadOn { count }),
        3 => index().prop_map(|upto| Step::Free { upto }),
        4 => (0u64..6, fault).prop_map(|(ahead, fault)| Step::Fault { ahead, fault }),
        1 => Just(Step::FailAll),
        3 => Just(Step::Heal),
        2 => prop_oneof![Just(Crash::Kill), Just(Crash::Power)].prop_map(Step::Crash),
        1 => (index(), index(), 1usize..3000, any::<u8>())
            .prop_map(|(file, place, len, byte)| Step::Damage { file, place, len, byte }),
        2 => Just(Step::Restart),
    ]
}

/// What the journal must know of an event.
#[derive(Debug, Clone, Copy)]
struct Kept {
    seq: u64,
    len: usize,
    /// The place of its receipt among those given out in this life.
    receipt: Option<usize>,
    /// A power cut may not take it.
    durable: bool,
    /// Where its sync failed and the process was killed before it could write it elsewhere, no later process can know: it may never
    /// reach the disk.
    doubtful: bool,
    /// What its series is was lost with what was before it.
    empty: bool,
}

impl Kept {
    fn text(&self) -> Option<(u64, usize)> {
        if self.empty { None } else { Some((self.seq, self.len)) }
    }
}

struct Life {
    disk: SimulatedDisk,
    durability: Durability,
    journal: Option<(Arc<Host>, LogJournal)>,
    kept: Vec<Kept>,
    freed: u64,
    told: Arc<std::sync::Mutex<Vec<bool>>>,
    reader: Option<(Box<dyn JournalReader>, u64)>,
    /// Something failed in this life of the process: what a kill leaves unsynced may never reach the disk.
    failed: bool,
    /// Something was damaged: what was kept may be missing.
    damaged: bool,
}

impl Life {
    fn new(seed: u64, durability: Durability) -> Life {
        let mut life = Life {
            disk: SimulatedDisk::new(seed),
            durability,
            journal: None,
            kept: Vec::new(),
            freed: 0,
            told: Arc::default(),
            reader: None,
            failed: false,
            damaged: false,
        };
        life.open();
        life
    }

    fn journal(&self) -> &LogJournal {
        &self.journal.as_ref().unwrap().1
    }

    fn open(&mut self) {
        let opened = inline(&self.disk, CAP, self.durability);
        (self.journal, self.failed) = (Some(opened), false);
        *self.told.lock().unwrap() = Vec::new();
    }

    fn is_told(&self, kept: &Kept) -> bool {
        kept.receipt.is_some_and(|at| self.told.lock().unwrap()[at])
    }

    fn append(&mut self, len: usize, receipt: bool) -> TestCaseResult {
        let (host, journal) = self.journal.as_ref().unwrap();
        let place = receipt.then(|| {
            let mut told = self.told.lock().unwrap();
            told.push(false);
            told.len() - 1
        });
        let tell = place.map(|place| {
            let told = self.told.clone();
            Receipt::new(move || told.lock().unwrap()[place] = true)
        });
        let last = journal.last_seq();
        let appended = journal.append(at(0), &text(host, last + 1, len), tell);
        match appended {
            Ok(seq) => {
                prop_assert!(seq > last && self.kept.last().is_none_or(|kept| kept.seq < seq));
                self.kept.push(Kept {
                    seq,
                    len,
                    receipt: place,
                    durable: false,
                    doubtful: false,
                    empty: false,
                });
            }
            Err(full) => prop_assert!(full.receipt.is_some() == receipt),
        }
        Ok(())
    }

    /// What is read behind a number is what was kept behind it; of what was let go of, the end.
    fn check_read(&mut self, after: u64) -> TestCaseResult {
        let found = read(self.journal(), after);
        let live: Vec<&Record> = found.iter().filter(|record| record.seq > self.freed).collect();
        let from = self.kept.partition_point(|kept| kept.seq <= after.max(self.freed));
        let expected = &self.kept[from..];
        prop_assert_eq!(live.len(), expected.len(), "behind {}", after);
        for (record, kept) in live.iter().zip(expected) {
            prop_assert_eq!((record.seq, text_of(record)), (kept.seq, kept.text()));
        }
        Ok(())
    }

    fn read_on(&mut self, count: usize) -> TestCaseResult {
        let (mut reader, mut at) = match self.reader.take() {
            Some(reader) => reader,
            None => (self.journal().read_after(self.freed).unwrap(), self.freed),
        };
        for _ in 0..count {
            // A record that it is behind of may have been let go of.
            let next = self.kept.iter().find(|kept| kept.seq > at);
            let Some(record) = reader.next().unwrap() else {
                prop_assert!(next.is_none_or(|next| next.seq <= self.freed));
                break;
            };
            let next = next.unwrap();
            prop_assert!(record.seq == next.seq || next.seq <= self.freed);
            at = record.seq;
        }
        self.reader = Some((reader, at));
        Ok(())
    }

    /// The process has died, of what is not always known. What was promised must be found by the next, which believes what it finds.
    fn restart(&mut self, crash: Option<Crash>) -> TestCaseResult {
        self.disk.crash(crash.unwrap_or(Crash::Power));
        self.reader = None;
        self.journal = None;
        prop_assert_eq!(self.disk.violations(), Vec::<String>::new());
        self.disk = self.disk.restart();
        prop_assert!(self.disk.used() <= CAP.0, "{} bytes", self.disk.used());
        self.believe(crash)
    }

    fn believe(&mut self, crash: Option<Crash>) -> TestCaseResult {
        let (failed, before) = (self.failed, std::mem::take(&mut self.kept));
        let promised: Vec<bool> = before
            .iter()
            .map(|kept| match crash {
                Some(Crash::Kill) => kept.durable || self.is_told(kept),
                _ if self.durability == Durability::Process => kept.durable,
                _ => kept.durable || self.is_told(kept),
            })
            .collect();
        self.open();
        let found = read(self.journal(), 0);
        prop_assert!(found.is_sorted_by(|a, b| a.seq < b.seq));
        let mut found = found.iter().peekable();
        for (kept, promised) in before.into_iter().zip(promised) {
            while let Some(record) = found.next_if(|record| record.seq < kept.seq) {
                prop_assert!(record.seq <= self.freed, "made up: {record:?}");
            }
            let here = found.next_if(|record| record.seq == kept.seq);
            let lost_is_a_fault = kept.seq > self.freed && promised && !self.damaged;
            prop_assert!(here.is_some() || !lost_is_a_fault, "{kept:?} is lost by {crash:?}");
            let Some(record) = here else { continue };
            // Where an earlier record was lost, so may be what its series is.
            let text = text_of(record);
            let empty = text.is_none();
            prop_assert!(empty || text == kept.text(), "{record:?} is not {kept:?}");
            prop_assert!(
                !empty || kept.empty || !lost_is_a_fault,
                "{kept:?} is empty after {crash:?}"
            );
            // What is found after a power cut is on the disk.
            let durable = crash == Some(Crash::Power) || kept.durable;
            let doubtful = kept.doubtful || failed;
            self.kept.push(Kept { receipt: None, durable, doubtful, empty, ..kept });
        }
        prop_assert!(found.all(|record| record.seq <= self.freed), "made up");
        prop_assert!(self.journal().last_seq() >= self.kept.last().map_or(0, |kept| kept.seq));
        Ok(())
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Append { len, receipt } => self.append(*len, *receipt)?,
            Step::SkipNumber => drop(self.journal().skip_seq()),
            Step::Sync => {
                if self.journal().sync().is_ok() && !self.disk.has_crashed() {
                    self.kept.iter_mut().for_each(|kept| kept.durable |= !kept.doubtful);
                }
            }
            Step::Read { after } => {
                let after = after.index(self.journal().last_seq() as usize + 1) as u64;
                if !self.disk.has_crashed() {
                    self.check_read(after)?;
                }
            }
            Step::ReadOn { count } => {
                if !self.disk.has_crashed() {
                    self.read_on(*count)?;
                }
            }
            Step::Free { upto } => {
                let upto = upto.index(self.journal().last_seq() as usize + 1) as u64;
                self.journal().free(upto);
                self.freed = self.freed.max(upto);
            }
            Step::Fault { ahead, fault } => {
                self.disk.fail_at(*ahead, *fault);
                self.failed = true;
            }
            Step::FailAll => {
                self.disk.fail_all(std::io::ErrorKind::StorageFull);
                self.failed = true;
            }
            Step::Heal => self.disk.heal(),
            Step::Crash(crash) => self.restart(Some(*crash))?,
            Step::Damage { file, place, len, byte } => {
                self.restart(Some(Crash::Kill))?;
                self.journal = None;
                self.reader = None;
                let names = names(&self.disk);
                if !names.is_empty() {
                    rewrite(&self.disk, &names[file.index(names.len())], |bytes| {
                        let place = place.index(bytes.len().max(1));
                        let end = (place + len).min(bytes.len());
                        bytes[place..end].fill(*byte);
                    });
                    self.damaged = true;
                }
                self.believe(Some(Crash::Kill))?;
            }
            Step::Restart => {
                // What cannot be written at the end was not promised.
                self.restart(Some(Crash::Kill))?;
            }
        }
        prop_assert!(self.disk.used() <= CAP.0, "{} bytes", self.disk.used());
        if self.disk.has_crashed() {
            self.restart(None)?;
        }
        Ok(())
    }
}

/// An event that knows its number, and how long its text is.
fn text(host: &Host, seq: u64, len: usize) -> Event {
    let mut reading = reading(host, seq);
    reading.value = Value::text(&format!("{seq} {}", "x".repeat(len)));
    event_of(vec![reading])
}

/// The number and the length of an event; `None` where what its series is was lost.
fn text_of(record: &Record) -> Option<(u64, usize)> {
    let Event::Items { items: Items::Readings(readings), .. } = &record.event else { return None };
    let Value::Text(text) = &readings.first()?.value else { return None };
    let (seq, rest) = text.split_once(' ')?;
    Some((seq.parse().ok()?, rest.len()))
}

/// Lives a life from each seed, or from the one asked for.
pub(super) fn lives<T: std::fmt::Debug>(
    all: u64,
    steps: impl Strategy<Value = T>,
    live: impl Fn(T) -> TestCaseResult,
) {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
    let seeds = match number("LOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LOG_LIVES").unwrap_or(all),
    };
    for seed in seeds {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let lived = TestRunner::new_with_rng(config, rng).run(&steps, &live);
        assert!(lived.is_ok(), "LOG_SEED={seed}: {}", lived.unwrap_err());
    }
}

#[test]
fn whatever_happens_what_was_promised_is_there_and_nothing_else() {
    let durability = prop_oneof![Just(Durability::Process), Just(Durability::Power)];
    let life = (any::<u64>(), durability, prop::collection::vec(step(), 1..80));
    lives(LIVES, life, |(seed, durability, steps)| {
        let mut life = Life::new(seed, durability);
        steps.iter().try_for_each(|step| life.step(step))?;
        life.disk.heal();
        life.check_read(0)?;
        life.restart(Some(Crash::Power))
    });
}
