//! P1 and P5 over applies: whatever is edited and whatever is under way, no item is lost or comes twice on an edge that stays, the order
//! of each source is kept, and so are the states that the plan said would be.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::Poll;

use proptest::prelude::*;

use super::blueprint::{Blueprint, Edit, any_edit};
use super::cases;
use super::memory::{Crash, Durability};
use super::model::{Model, values_in};
use super::nodes::TallyState;
use super::site::{Life, Site};
use super::truth::{Owes, States};
use super::world::{Item, Mode};
use crate::run::{NoCheckpoint, NotApplied};

/// Something that happens. Senders and stores are chosen among those there are.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Send(usize, i64),
    Pass(f64),
    Steps(usize),
    Checkpoint,
    Set(usize, Mode),
    /// While it is applied so many numbers come from everyone. The host may crash when the apply has waited so often.
    Apply(Vec<Edit>, i64, Option<(usize, Crash)>),
    Crash(Crash),
}

/// What is played.
pub(super) struct Play<'a> {
    site: &'a Site,
    pub(super) blueprint: Blueprint,
    /// The next number that a sender says: beyond what a tally says.
    next: i64,
    crash: Option<Crash>,
    /// What was tried last, and the revision before.
    tried: Option<(u64, Blueprint)>,
    pub(super) applied: usize,
}

impl<'a> Play<'a> {
    pub(super) fn begin(site: &'a Site) -> Play<'a> {
        let blueprint = Blueprint::new();
        site.begin(&blueprint.graph());
        Play { site, blueprint, next: 2_000_000, crash: None, tried: None, applied: 0 }
    }

    fn send(&mut self, which: usize, count: i64) {
        let senders = self.blueprint.senders();
        self.site.world.send(&senders[which % senders.len()], self.next..self.next + count);
        self.next += count;
    }

    fn send_all(&mut self, count: i64) {
        (0..self.blueprint.senders().len()).for_each(|one| self.send(one, count));
    }

    /// Takes one step. False when the host crashes then.
    pub(super) async fn step(&mut self, life: &mut Life<'_>, step: &Step) -> bool {
        match step {
            Step::Send(sender, count) => self.send(*sender, *count),
            Step::Pass(seconds) => life.pass(*seconds).await,
            Step::Steps(steps) => life.steps(*steps).await,
            // One that is blocked is no harm.
            Step::Checkpoint => drop(life.topology.checkpoint().await),
            Step::Set(store, mode) => {
                let stores = self.blueprint.stores();
                self.site.world.set(&stores[store % stores.len()], *mode);
            }
            Step::Apply(edit, count, crash) => {
                return self.apply(life, edit, *count, *crash).await;
            }
            Step::Crash(crash) => {
                self.crash = Some(*crash);
                return false;
            }
        }
        true
    }

    async fn apply(
        &mut self,
        life: &mut Life<'_>,
        edits: &[Edit],
        count: i64,
        crash: Option<(usize, Crash)>,
    ) -> bool {
        let mut edited = self.blueprint.clone();
        edited.edit(edits);
        let graph = edited.graph();
        let before = self.site.memory.latest().map_or(0, |latest| latest.revision);
        self.send_all(count);
        let meanwhile = async {
            for _ in 0..3 {
                life_steps(11).await;
                self.send_all(count);
            }
        };
        let applying = life.apply_meanwhile(&graph, meanwhile);
        let applied = match crash {
            Some((polls, _)) => polled(polls, applying).await,
            None => Some(applying.await),
        };
        self.tried = Some((before, edited));
        if applied.is_some() {
            self.settle();
        }
        match applied {
            None => {
                self.crash = crash.map(|(_, crash)| crash);
                false
            }
            Some(Ok(applied)) => {
                let resets = applied.resets.iter().all(|(node, _)| node.starts_with("p/t"));
                assert!(resets, "{:?}", applied.resets);
                true
            }
            // Somebody does not take what came before, or cannot be closed, or what was before a crash is still replayed.
            Some(Err(
                NotApplied::NotKept(NoCheckpoint::Blocked(_))
                | NotApplied::NotClosed(_)
                | NotApplied::Busy(_),
            )) => true,
            Some(Err(error)) => panic!("{error:?}"),
        }
    }

    /// Whether what was tried last is what runs shows in the checkpoint, once nobody writes one any more.
    fn settle(&mut self) {
        let revision = self.site.memory.latest().map_or(0, |latest| latest.revision);
        if let Some((_, edited)) = self.tried.take().filter(|(before, _)| *before != revision) {
            self.blueprint = edited;
            self.applied += 1;
        }
    }

    /// Everyone takes again what he did not take, and there is time for it.
    pub(super) async fn heal(&self, life: &Life<'_>) {
        let all: Vec<String> = self.site.world.lock().stores.keys().cloned().collect();
        all.iter().for_each(|store| self.site.world.set(store, Mode::Fine));
        // What waits for a receipt gets it.
        self.site.memory.lock().durability = Durability::Process;
        self.site.memory.sync_now();
        life.pass(70.0).await;
    }

    /// All that waits goes out. Gives the states at the end.
    pub(super) async fn end(&self, life: &mut Life<'_>) -> States {
        self.heal(life).await;
        life.end().await
    }
}

async fn life_steps(steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

/// Drives a future until it has waited so often; `None` if it was not done by then.
async fn polled<F: Future>(mut times: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if times == 0 => Poll::Ready(None),
        Poll::Pending => {
            times -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Plays steps, over as many lives as there are crashes. Gives how often the host crashed and how many applies were done.
pub(super) fn play(site: &Site, steps: &[Step]) -> (Vec<Crash>, usize) {
    let mut play = Play::begin(site);
    let mut steps = steps.iter();
    let mut crashes = Vec::new();
    loop {
        let states = site.live(&site.graph(), async |life| {
            life.topology.release();
            for step in steps.by_ref() {
                if !play.step(life, step).await {
                    return None;
                }
            }
            Some(play.end(life).await)
        });
        let Some(states) = states else {
            let crash = play.crash.take().unwrap();
            crashes.push(crash);
            site.crash(crash);
            play.settle();
            continue;
        };
        check(site, &crashes, &states);
        return (crashes, play.applied);
    }
}

/// Checks what sinks have against what they must have.
pub(super) fn check(site: &Site, crashes: &[Crash], states: &States) {
    let model = Model::of(site);
    let cut = crashes.contains(&Crash::PowerCut);
    let mut letters: BTreeMap<i64, usize> = BTreeMap::new();
    for letter in site.letters.all().iter().filter(|letter| !letter.address.starts_with("p/x")) {
        values_in(letter).into_iter().for_each(|value| *letters.entry(value).or_default() += 1);
    }
    let mut kept: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (id, stream) in &model.streams {
        let items = site.world.kept(&stream.store);
        kept.entry(stream.store.clone())
            .or_insert_with(|| items.iter().map(|one| one.value).collect());
        if cut {
            continue;
        }
        let mine: Vec<_> = items.iter().filter(|item| item.stream == Some(*id)).collect();
        for item in &mine {
            let should = stream.values.get(&item.end);
            let numbers = &stream.values;
            assert_eq!(should, Some(&item.value), "{} has {item:?} of {numbers:?}", stream.store);
        }
        if crashes.is_empty() || stream.owes != Owes::AtLeastOnce {
            let ordered = mine.is_sorted_by(|one, next| one.end < next.end);
            assert!(ordered, "{} in order, and nothing twice: {:?}", stream.store, Disorder(&mine));
        }
        if stream.owes == Owes::AtMostOnce && !crashes.is_empty() {
            continue;
        }
        let there: BTreeSet<u64> = mine.iter().map(|item| item.end).collect();
        for (_, value) in stream.values.iter().filter(|(end, _)| !there.contains(end)) {
            let left = letters.get_mut(value).filter(|left| **left > 0);
            let left = left.unwrap_or_else(|| panic!("{} never got {value}", stream.store));
            *left -= 1;
        }
    }
    if cut {
        return check_passed_through(&model, &kept, &letters);
    }
    // What one that keeps its position wrote since its last checkpoint may be in the dead letters as well.
    let once = |value: &i64| {
        let mut once = model.streams.values().filter(|one| one.owes == Owes::Once);
        once.any(|one| one.values.values().any(|one| one == value))
    };
    let extra: Vec<_> = letters.iter().filter(|(value, left)| **left > 0 && !once(value)).collect();
    assert!(!crashes.is_empty() || extra.is_empty(), "buried, and there: {extra:?}");
    let decoded = states.iter().map(|(address, state)| {
        let state = TallyState::of(state);
        (address.clone(), (state.hash, state.sum))
    });
    assert_eq!(decoded.collect::<BTreeMap<_, _>>(), model.states);
}

/// Where items of a stream do not follow each other: the offsets, and the number of the sink that wrote them.
struct Disorder<'a>(&'a [&'a Item]);

impl std::fmt::Debug for Disorder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |item: &&Item| format!("{} by {}", item.end, item.by);
        let breaks = self.0.windows(2).enumerate().filter(|(_, pair)| pair[0].end >= pair[1].end);
        let around =
            breaks.map(|(at, _)| &self.0[at.saturating_sub(3)..(at + 5).min(self.0.len())]);
        f.debug_list()
            .entries(around.map(|items| items.iter().map(shown).collect::<Vec<_>>()))
            .finish()
    }
}

/// After a power cut offsets say nothing; but what entered and came through as it was has to be there.
fn check_passed_through(
    model: &Model,
    kept: &BTreeMap<String, Vec<i64>>,
    letters: &BTreeMap<i64, usize>,
) {
    for stream in model.streams.values().filter(|one| one.owes != Owes::AtMostOnce) {
        for value in stream.values.values().filter(|value| **value >= 2_000_000) {
            let there = kept[&stream.store].contains(value) || letters.contains_key(value);
            assert!(there, "{} never got {value}", stream.store);
        }
    }
}

/// What is acknowledged has entered; `in_order`: a source that is made anew does not ask for what still waits for a receipt.
fn assert_entered(site: &Site, in_order: bool) {
    let inner = site.memory.lock();
    let mut entered: Vec<i64> = Vec::new();
    for record in &inner.history {
        if let crate::run::Event::Items { items, .. } = &record.event {
            entered.extend(super::values_of(items));
        }
    }
    entered.sort_unstable();
    drop(inner);
    for sender in site.world.lock().senders.values() {
        let lost = sender.acked.iter().find(|value| entered.binary_search(value).is_err());
        assert_eq!(lost, None, "was acknowledged");
        assert!(!in_order || sender.acked.is_sorted_by(|one, next| one < next));
    }
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        5 => Just(Mode::Fine),
        1 => Just(Mode::Fails),
        1 => Just(Mode::Hangs),
        1 => Just(Mode::FlushFails),
        1 => Just(Mode::CloseFails),
        2 => (1u64..4_000).prop_map(Mode::Slow),
    ]
}

/// Mostly a few, sometimes so many that queues are full, and now and then more than waits in memory.
pub(super) fn any_count() -> impl Strategy<Value = i64> {
    prop_oneof![24 => 1i64..5, 2 => Just(700), 1 => Just(5_000)]
}

pub(super) fn any_step(count: impl Strategy<Value = i64>) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..16, count).prop_map(|(sender, count)| Step::Send(sender, count)),
        4 => (0.0f64..9.0).prop_map(Step::Pass),
        2 => (0usize..40).prop_map(Step::Steps),
        1 => Just(Step::Checkpoint),
        3 => (0usize..16, any_mode()).prop_map(|(store, mode)| Step::Set(store, mode)),
        8 => (any_edits(), 0i64..4).prop_map(|(edits, count)| Step::Apply(edits, count, None)),
    ]
}

fn any_edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(any_edit(), 1..4)
}

fn any_crash(crash: Crash) -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any_edits(), 0i64..4, 0usize..60)
            .prop_map(move |(edits, count, polls)| Step::Apply(edits, count, Some((polls, crash)))),
        1 => Just(Step::Crash(crash)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    #[test]
    fn applies_lose_nothing_and_double_nothing(
        steps in prop::collection::vec(any_step(any_count()), 1..40),
        blocking in any::<bool>(),
    ) {
        let site = Site::new();
        if blocking {
            site.spools_block();
        }
        play(&site, &steps);
        assert_entered(&site, true);
    }

    #[test]
    fn a_kill_in_an_apply_finds_the_old_graph_or_the_new_one(
        steps in prop::collection::vec(prop_oneof![10 => any_step(any_count()), 3 => any_crash(Crash::Kill)], 1..30),
        blocking in any::<bool>(),
    ) {
        let site = Site::new();
        if blocking {
            site.spools_block();
        }
        play(&site, &steps);
        assert_entered(&site, true);
    }

    #[test]
    fn a_power_cut_in_an_apply_loses_nothing_acknowledged(
        steps in prop::collection::vec(
            prop_oneof![10 => any_step(any_count()), 3 => any_crash(Crash::PowerCut), 1 => any_crash(Crash::Kill)],
            1..30,
        ),
    ) {
        let site = Site::new();
        site.memory.lock().durability = Durability::Power;
        play(&site, &steps);
        assert_entered(&site, false);
    }
}
