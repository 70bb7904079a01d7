//! Pipelines that are edited at random, as their author would: each is one that the checker lets through.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::site::graph;
use crate::plan::Graph;

/// A pipeline file. Its nodes are told apart by a number, whatever they are called.
#[derive(Debug, Clone)]
pub(super) struct Blueprint {
    nodes: Vec<Drawn>,
    next: usize,
}

#[derive(Debug, Clone)]
struct Drawn {
    id: usize,
    what: What,
    /// How often it was renamed, and whether the last edit did.
    renamed: usize,
    just_renamed: bool,
    version: u32,
    /// By number; of nodes that stand before it.
    inputs: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Source,
    Tally { window: i64, through: bool },
    Sink { kind: &'static str, spool: bool },
}

/// An edit: what is done, and two numbers that choose to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    pub(super) what: Kind,
    pub(super) which: usize,
    pub(super) other: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A setting that the state does not depend on.
    Retune,
    /// Another kind of state.
    Reset,
    /// A sink or a source is made anew.
    Remake,
    Rename,
    Rewire,
    AddTransform,
    AddBranch,
    AddSource,
    Remove,
    RemoveBranch,
    Spool,
}

pub(super) fn any_edit() -> impl Strategy<Value = Edit> {
    let what = prop::sample::select(vec![
        Kind::Retune,
        Kind::Reset,
        Kind::Remake,
        Kind::Rename,
        Kind::Rewire,
        Kind::Rewire,
        Kind::AddTransform,
        Kind::AddBranch,
        Kind::AddSource,
        Kind::Remove,
        Kind::Remove,
        Kind::RemoveBranch,
        Kind::Spool,
    ]);
    (what, 0usize..64, 0usize..64).prop_map(|(what, which, other)| Edit { what, which, other })
}

/// The kinds of sinks, by their settings.
const KINDS: [&str; 4] = ["", "keeps_position: true, ", "sent: true, ", "shown: true, "];
/// With more nodes than this none is added.
const NODES_MAX: usize = 14;

impl Drawn {
    fn name(&self, renamed: usize) -> String {
        let letter = match self.what {
            What::Source => 'x',
            What::Tally { .. } => 't',
            What::Sink { .. } => 's',
        };
        match renamed {
            0 => format!("{letter}{}", self.id),
            times => format!("{letter}{}r{times}", self.id),
        }
    }

    fn words(&self) -> String {
        match self.just_renamed {
            true => format!("renamed_from: {}, ", self.name(self.renamed - 1)),
            false => String::new(),
        }
    }
}

impl Blueprint {
    /// Two sources, a fork, a join, a sink of each kind, and another part beside.
    pub(super) fn new() -> Blueprint {
        let mut blueprint = Blueprint { nodes: Vec::new(), next: 0 };
        let tally = |through| What::Tally { window: 1_000_000, through };
        let sink = |kind| What::Sink { kind: KINDS[kind], spool: true };
        let [a, b, c] = [(); 3].map(|()| blueprint.add(What::Source, &[]));
        let fork = blueprint.add(tally(true), &[a]);
        let join = blueprint.add(tally(false), &[a, b, fork]);
        let apart = blueprint.add(tally(false), &[c]);
        blueprint.add(sink(0), &[fork, b]);
        blueprint.add(sink(1), &[join, b]);
        blueprint.add(sink(2), &[fork, join]);
        blueprint.add(sink(3), &[join, a]);
        blueprint.add(sink(1), &[apart]);
        blueprint
    }

    fn add(&mut self, what: What, inputs: &[usize]) -> usize {
        let id = self.next;
        self.next += 1;
        let (inputs, version) = (inputs.to_vec(), 1);
        let drawn = Drawn { id, what, renamed: 0, just_renamed: false, version, inputs };
        self.nodes.push(drawn);
        id
    }

    /// Who speaks to its sources.
    pub(super) fn senders(&self) -> Vec<String> {
        let sources = self.nodes.iter().filter(|one| one.what == What::Source);
        sources.map(|one| sender(one.id)).collect()
    }

    /// Where its sinks put things now.
    pub(super) fn stores(&self) -> Vec<String> {
        let sinks = self.nodes.iter().filter(|one| matches!(one.what, What::Sink { .. }));
        sinks.map(|one| store(one.id)).collect()
    }

    pub(super) fn graph(&self) -> Graph {
        let mut yaml = String::from("sources:\n");
        for one in self.nodes.iter().filter(|one| one.what == What::Source) {
            let (name, words) = (one.name(one.renamed), one.words());
            let (from, version) = (sender(one.id), one.version);
            let _ = writeln!(
                yaml,
                "  {name}: {{ {words}as: a, feed: {{ from: {from}, version: {version} }} }}"
            );
        }
        yaml += "transforms:\n";
        for one in &self.nodes {
            let What::Tally { window, through } = one.what else { continue };
            let (name, words, inputs) = (one.name(one.renamed), one.words(), self.inputs(one));
            let version = one.version;
            let _ = writeln!(
                yaml,
                "  {name}: {{ {words}as: b, {inputs}, tally: {{ window: {window}, through: {through}, version: {version} }} }}"
            );
        }
        yaml += "sinks:\n";
        for one in &self.nodes {
            let What::Sink { kind, spool } = one.what else { continue };
            let (name, words, inputs) = (one.name(one.renamed), one.words(), self.inputs(one));
            let (into, version) = (store(one.id), one.version);
            let sleeps = one.id % 2 == 0;
            let spool = if spool { "64MiB" } else { "0B" };
            let spool = match kind.contains("sent") {
                true => format!(", spool: {spool}"),
                false => String::new(),
            };
            let _ = writeln!(
                yaml,
                "  {name}: {{ {words}{inputs}, queue: {{ size: 64KiB{spool} }}, stash: {{ {kind}sleeps: {sleeps}, into: {into}, version: {version} }} }}"
            );
        }
        graph(&yaml)
    }

    fn inputs(&self, one: &Drawn) -> String {
        let of = |id: &usize| self.nodes.iter().find(|one| one.id == *id);
        let names: Vec<String> =
            one.inputs.iter().filter_map(of).map(|input| input.name(input.renamed)).collect();
        format!("inputs: [{}]", names.join(", "))
    }

    /// Edits the file, before it is applied.
    pub(super) fn edit(&mut self, edits: &[Edit]) {
        self.nodes.iter_mut().for_each(|one| one.just_renamed = false);
        edits.iter().for_each(|edit| self.edit_once(*edit));
    }

    /// An edit that has nothing to do here does nothing.
    fn edit_once(&mut self, edit: Edit) {
        let Edit { what, which, other } = edit;
        let adds = matches!(what, Kind::AddTransform | Kind::AddBranch | Kind::AddSource);
        let Some(at) = self.pick(which, what).filter(|_| !adds || self.nodes.len() < NODES_MAX)
        else {
            return;
        };
        let tally = |through| What::Tally { window: 1_000_000, through };
        let one = &mut self.nodes[at];
        match what {
            Kind::Retune => {
                let through = matches!(one.what, What::Tally { through, .. } if through);
                let window = 1_000_000 * (1 + other as i64 % 3);
                one.what = What::Tally { window, through: through ^ (other % 2 == 0) };
            }
            Kind::Reset | Kind::Remake => one.version += 1,
            Kind::Rename if one.just_renamed => {}
            Kind::Rename => (one.renamed, one.just_renamed) = (one.renamed + 1, true),
            Kind::Rewire => {
                let input = self.input_for(at, other);
                let inputs = &mut self.nodes[at].inputs;
                match inputs.iter().position(|one| *one == input) {
                    Some(at) if inputs.len() > 1 => drop(inputs.remove(at)),
                    Some(_) => {}
                    None => inputs.push(input),
                }
            }
            Kind::AddTransform => {
                // Between two that were neighbours.
                let input = one.inputs[other % one.inputs.len()];
                let id = self.add(tally(true), &[input]);
                let inputs = &mut self.nodes[at].inputs;
                inputs.iter_mut().filter(|one| **one == input).for_each(|one| *one = id);
                self.nodes[at..].rotate_right(1);
            }
            Kind::AddBranch => {
                let input = self.input_for(self.nodes.len(), which);
                let id = self.add(tally(other % 2 == 0), &[input]);
                self.add(What::Sink { kind: KINDS[other % 4], spool: which % 2 == 0 }, &[id]);
            }
            Kind::AddSource => {
                let id = self.add(What::Source, &[]);
                self.nodes[at].inputs.push(id);
                self.nodes.rotate_right(1);
            }
            Kind::Remove => {
                let gone = BTreeSet::from([one.id]);
                self.remove(&gone);
            }
            Kind::RemoveBranch => {
                let mut gone = BTreeSet::from([one.id]);
                for node in &self.nodes {
                    if !node.inputs.is_empty() && node.inputs.iter().all(|one| gone.contains(one)) {
                        gone.insert(node.id);
                    }
                }
                self.remove(&gone);
            }
            Kind::Spool => {
                if let What::Sink { spool, .. } = &mut one.what {
                    *spool ^= true;
                }
            }
        }
    }

    /// One of the nodes that an edit can be done to.
    fn pick(&self, which: usize, what: Kind) -> Option<usize> {
        let fits = |one: &Drawn| match what {
            Kind::Retune | Kind::Reset => matches!(one.what, What::Tally { .. }),
            Kind::Remake => !matches!(one.what, What::Tally { .. }),
            Kind::Spool => matches!(one.what, What::Sink { kind, .. } if kind.contains("sent")),
            Kind::Rewire | Kind::AddTransform | Kind::AddSource => one.what != What::Source,
            Kind::Rename | Kind::AddBranch | Kind::Remove | Kind::RemoveBranch => true,
        };
        let fitting: Vec<usize> =
            (0..self.nodes.len()).filter(|at| fits(&self.nodes[*at])).collect();
        (!fitting.is_empty()).then(|| fitting[which % fitting.len()])
    }

    /// A node from which one at a place may read: a source or a transform before it.
    fn input_for(&self, place: usize, which: usize) -> usize {
        let before: Vec<&Drawn> = self.nodes[..place]
            .iter()
            .filter(|one| !matches!(one.what, What::Sink { .. }))
            .collect();
        before[which % before.len()].id
    }

    /// Removes nodes. Who read from one of them reads from the first source, if from nobody else. A pipeline keeps one source and one
    /// sink.
    fn remove(&mut self, gone: &BTreeSet<usize>) {
        let mut nodes = self.nodes.clone();
        nodes.retain(|one| !gone.contains(&one.id));
        let Some(first) = nodes.iter().find(|one| one.what == What::Source).map(|one| one.id)
        else {
            return;
        };
        if !nodes.iter().any(|one| matches!(one.what, What::Sink { .. })) {
            return;
        }
        for one in nodes.iter_mut().filter(|one| one.what != What::Source) {
            one.inputs.retain(|input| !gone.contains(input));
            if one.inputs.is_empty() {
                one.inputs.push(first);
            }
        }
        self.nodes = nodes;
    }
}

fn sender(id: usize) -> String {
    format!("from{id}")
}

fn store(id: usize) -> String {
    format!("into{id}")
}
