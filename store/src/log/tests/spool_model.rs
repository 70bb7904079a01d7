//! Random lives of a spool beside a queue. `LOG_SEED` and `LOG_LIVES` as for the journal's.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use smollama_engine::batch::Batch;
use smollama_engine::disk::{Crash, Fault};
use smollama_engine::reading::Value;
use smollama_engine::run::{Spool, Spools};

use super::model::lives;
use super::*;
use crate::log::LogSpools;

const CAP: ByteSize = ByteSize::kib(64);
const LIVES: u64 = 200;

#[derive(Debug, Clone)]
enum Step {
    Append {
        items: u64,
        len: usize,
    },
    Take {
        count: usize,
    },
    /// All up to that part of what was taken.
    Confirm {
        upto: prop::sample::Index,
    },
    /// All up to that part of what there is, taken or not.
    ConfirmUntaken {
        upto: prop::sample::Index,
    },
    Rewind,
    Persist,
    Fault {
        ahead: u64,
        fault: Fault,
    },
    FailAll,
    Heal,
    Crash(Crash),
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
    let len = prop_oneof![4 => 0usize..100, 1 => 0usize..9000];
    prop_oneof![
        20 => (1u64..20, len).prop_map(|(items, len)| Step::Append { items, len }),
        10 => (1usize..20).prop_map(|count| Step::Take { count }),
        6 => index().prop_map(|upto| Step::Confirm { upto }),
        1 => index().prop_map(|upto| Step::ConfirmUntaken { upto }),
        2 => Just(Step::Rewind),
        4 => Just(Step::Persist),
        3 => (0u64..6, fault).prop_map(|(ahead, fault)| Step::Fault { ahead, fault }),
        1 => Just(Step::FailAll),
        3 => Just(Step::Heal),
        2 => prop_oneof![Just(Crash::Kill), Just(Crash::Power)].prop_map(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Waiting {
    end: u64,
    items: u64,
    persisted: bool,
    /// See the journal's model.
    doubtful: bool,
}

struct Life {
    disk: SimulatedDisk,
    open: Option<(Arc<Host>, Box<dyn Spool>)>,
    /// What is not confirmed, and how many of those were taken.
    waiting: VecDeque<Waiting>,
    taken: usize,
    end: u64,
    /// The largest offset that `persist` has seen.
    persisted_end: Option<u64>,
    /// The offsets of batches that were confirmed once: they may come again.
    confirmed: BTreeSet<u64>,
    /// Something failed in this life of the process.
    failed: bool,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut life = Life {
            disk: SimulatedDisk::new(seed),
            open: None,
            waiting: VecDeque::new(),
            taken: 0,
            end: 0,
            persisted_end: None,
            confirmed: BTreeSet::new(),
            failed: false,
        };
        life.reopen();
        life
    }

    fn reopen(&mut self) {
        let host = host(&self.disk);
        let spool = LogSpools::new(&host).open("p/a", CAP).unwrap();
        self.open = Some((host, spool));
    }

    fn spool(&mut self) -> &mut dyn Spool {
        &mut *self.open.as_mut().unwrap().1
    }

    fn items(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.items).sum()
    }

    fn append(&mut self, items: u64, len: usize) -> TestCaseResult {
        let (host, spool) = self.open.as_mut().unwrap();
        let end = self.end + items;
        let mut readings: Vec<Reading> = (self.end + 1..=end).map(|n| reading(host, n)).collect();
        readings[0].value = Value::text(&"x".repeat(len));
        let batch = Batch { items: Items::Readings(readings), received: at(0), seq: end, end };
        let had = spool.items();
        if spool.append(&batch).is_ok() {
            self.end = end;
            self.waiting.push_back(Waiting { end, items, persisted: false, doubtful: false });
        } else {
            prop_assert_eq!(spool.items(), had, "not taken");
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> TestCaseResult {
        for _ in 0..count {
            let expected = self.waiting.get(self.taken).map(|waiting| (waiting.end, waiting.items));
            let next = self.spool().next().unwrap();
            let next = next.map(|batch| (batch.end, batch.items.len() as u64));
            prop_assert_eq!(next, expected);
            self.taken = (self.taken + 1).min(self.waiting.len());
        }
        Ok(())
    }

    fn confirm(&mut self, upto: usize) {
        let Some(end) = self.waiting.get(upto).map(|waiting| waiting.end) else { return };
        self.spool().confirm(end);
        self.confirmed.extend(self.waiting.drain(..=upto).map(|waiting| waiting.end));
        self.taken = self.taken.saturating_sub(upto + 1);
    }

    fn persist(&mut self) {
        if self.spool().persist().is_ok() && !self.disk.has_crashed() {
            self.waiting.iter_mut().for_each(|waiting| waiting.persisted |= !waiting.doubtful);
            if self.waiting.iter().all(|waiting| waiting.persisted) {
                self.persisted_end = self.spool().last_end();
            }
        }
    }

    /// What was persisted is there, in order; of the rest perhaps some; of what was confirmed perhaps some again.
    fn restart(&mut self, crash: Option<Crash>) -> TestCaseResult {
        if let Some(crash) = crash {
            self.disk.crash(crash);
        }
        self.open = None;
        prop_assert_eq!(self.disk.violations(), Vec::<String>::new());
        self.disk = self.disk.restart();
        prop_assert!(self.disk.used() <= CAP.0, "{} bytes", self.disk.used());
        self.reopen();
        let (items, last_end) = (self.spool().items(), self.spool().last_end());
        prop_assert!(last_end >= self.persisted_end, "{last_end:?} {:?}", self.persisted_end);
        let mut found = Vec::new();
        while let Some(batch) = self.spool().next().unwrap() {
            let one = Waiting {
                end: batch.end,
                items: batch.items.len() as u64,
                persisted: false,
                doubtful: false,
            };
            found.push(one);
        }
        let whole = self.spool().fill().quarantined == 0;
        let counted: u64 = found.iter().map(|one| one.items).sum();
        prop_assert!(items == counted || !whole, "{items} said, {counted} there");
        prop_assert!(found.is_sorted_by(|a, b| a.end < b.end));
        let new = |one: &&Waiting| !self.confirmed.contains(&one.end);
        let mut again = found.iter().filter(new).peekable();
        for waiting in self.waiting.iter().filter(new) {
            let here = again.next_if(|one| (one.end, one.items) == (waiting.end, waiting.items));
            prop_assert!(here.is_some() || !waiting.persisted, "{waiting:?} is lost");
        }
        prop_assert_eq!(again.next(), None);
        for one in &mut found {
            let before = self.waiting.iter().find(|waiting| waiting.end == one.end);
            one.persisted = before.is_some_and(|before| before.persisted);
            one.doubtful = self.failed || before.is_some_and(|before| before.doubtful);
        }
        if std::mem::take(&mut self.failed) {
            self.persisted_end = None;
        }
        self.waiting = found.into();
        self.taken = self.waiting.len();
        Ok(())
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        match step {
            Step::Append { items, len } => self.append(*items, *len)?,
            Step::Take { count } if !self.disk.has_crashed() => self.take(*count)?,
            Step::Take { .. } => {}
            Step::Confirm { upto } if self.taken > 0 => self.confirm(upto.index(self.taken)),
            Step::Confirm { .. } => {}
            Step::ConfirmUntaken { upto } if !self.waiting.is_empty() => {
                self.confirm(upto.index(self.waiting.len()));
                // Those are only known to be done with when they are passed.
                let taken = self.taken;
                if !self.disk.has_crashed() {
                    self.take(self.waiting.len() - taken + 1)?;
                }
            }
            Step::ConfirmUntaken { .. } => {}
            Step::Rewind => {
                self.spool().rewind();
                self.taken = 0;
            }
            Step::Persist => self.persist(),
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
            Step::Restart => self.restart(None)?,
        }
        prop_assert!(self.disk.used() <= CAP.0, "{} bytes", self.disk.used());
        if self.disk.has_crashed() {
            return self.restart(None);
        }
        let items = self.items();
        prop_assert_eq!(self.spool().items(), items);
        Ok(())
    }
}

#[test]
fn whatever_happens_what_was_persisted_is_there_in_order_until_it_is_confirmed() {
    let life = (any::<u64>(), prop::collection::vec(step(), 1..80));
    lives(LIVES, life, |(seed, steps)| {
        let mut life = Life::new(seed);
        steps.iter().try_for_each(|step| life.step(step))?;
        life.restart(Some(Crash::Power))
    });
}
