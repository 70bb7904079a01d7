//! What sinks must have after any number of applies, made out of what entered and of where the checkpoints say that one graph ended
//! and the next began: one item after the other, with nothing of the runtime.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use uuid::Uuid;

use super::nodes::{Stash, Tally};
use super::site::{Site, transition};
use super::truth::Owes;
use super::{site, values_of};
use crate::config::Section;
use crate::plan::Graph;
use crate::run::{Checkpoint, DeadContent, DeadLetter, Event};

/// What a sink's stream must hold.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) owes: Owes,
    pub(super) store: String,
    /// By offset.
    pub(super) values: BTreeMap<u64, i64>,
    /// The last offset counted.
    sent: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) streams: BTreeMap<Uuid, Stream>,
    /// Of each transform: the hash and the sum.
    pub(super) states: BTreeMap<Arc<str>, (i64, i64)>,
    /// The stream of each sink now.
    of_sink: BTreeMap<Arc<str>, Uuid>,
    /// What sources had given that were removed before it took effect.
    pub(super) buried: Vec<i64>,
}

/// Something that entered.
struct Entered {
    seq: u64,
    key: Arc<str>,
    values: Vec<i64>,
}

/// From here on a stream is counted behind an offset.
struct Resumed {
    seq: u64,
    stream: Uuid,
    end: u64,
}

/// From one commit to the next.
struct Segment {
    graph: Graph,
    checkpoint: Checkpoint,
    /// What lay in the dead letters before it was tried.
    letters: usize,
}

impl Segment {
    /// By what it is called in the journal: the source's address, and where it began.
    fn sources(&self) -> BTreeMap<Arc<str>, (Arc<str>, u64)> {
        let sources = self.checkpoint.cuts.iter().flat_map(|cut| &cut.sources);
        sources.map(|one| (one.key.clone(), (one.address.clone(), one.done))).collect()
    }

    /// How far streams had come when it began.
    fn streams(&self) -> BTreeMap<Uuid, u64> {
        let sinks = self.checkpoint.cuts.iter().flat_map(|cut| &cut.sinks);
        sinks.map(|one| (one.stream, one.sent)).collect()
    }
}

fn settings<T: 'static>(graph: &Graph, node: NodeIndex) -> &T {
    let settings: &dyn Any = &*graph.dag[node].settings;
    settings.downcast_ref().expect("a node of these tests")
}

impl Model {
    /// What the sinks of a site must have.
    pub(super) fn of(site: &Site) -> Model {
        let (events, mut resumed, segments) = history(site);
        let letters = site.letters.all();
        let mut model = Model::default();
        let mut before: Option<&Segment> = None;
        let mut rest: Vec<Entered> = events;
        for (index, segment) in segments.iter().enumerate() {
            model.begin(before, segment);
            let next = segments.get(index + 1);
            let ends = next.map(Segment::sources);
            let sources = segment.sources();
            let gone = next.map(|next| buried_by(next, &letters, segments.get(index + 2)));
            let (mut waits, mut now) = (Vec::new(), Vec::new());
            for event in rest {
                let until = ends.as_ref().map(|ends| ends.get(&event.key).map(|(_, done)| *done));
                match (sources.get(&event.key), until) {
                    (None, Some(_)) => waits.push(event),
                    (None, None) => panic!("{} entered and is nowhere", event.key),
                    (Some((_, done)), _) if event.seq <= *done => {}
                    (Some(_), Some(Some(until))) if event.seq > until => waits.push(event),
                    (Some(_), Some(None))
                        if gone.as_ref().is_some_and(|gone| {
                            event.values.iter().any(|one| gone.contains(one))
                        }) =>
                    {
                        model.buried.extend(&event.values);
                    }
                    _ => now.push(event),
                }
            }
            let ways = model.ways(&segment.graph);
            let until = next.map(Segment::streams);
            let (mut counts, later): (Vec<_>, Vec<_>) = resumed.into_iter().partition(|one| {
                // The next graph may not have it any more; or it may begin later still.
                let known = model.streams.contains_key(&one.stream);
                until.as_ref().is_none_or(|until| {
                    until.get(&one.stream).map_or(known, |sent| one.end <= *sent)
                })
            });
            resumed = later;
            for event in now {
                for one in counts.extract_if(.., |one| one.seq < event.seq) {
                    model.count_from(&one);
                }
                let source = segment.graph.find(&sources[&event.key].0).expect("a source");
                for value in event.values {
                    model.enter(&ways, source, value);
                }
            }
            counts.iter().for_each(|one| model.count_from(one));
            rest = waits;
            before = Some(segment);
        }
        model
    }

    /// A graph takes the place of another.
    fn begin(&mut self, before: Option<&Segment>, after: &Segment) {
        let origins = before.map(|before| transition(&before.graph, &after.graph).origins);
        let origins = origins.unwrap_or_default();
        let mut states = BTreeMap::new();
        for (index, node) in
            after.graph.nodes().filter(|(_, node)| node.section == Section::Transforms)
        {
            let old = origins.get(&node.address).and_then(|origin| {
                let old = &before?.graph;
                let same = settings::<Tally>(old, old.find(&origin.address)?).version
                    == settings::<Tally>(&after.graph, index).version;
                same.then(|| self.states[&origin.address])
            });
            states.insert(node.address.clone(), old.unwrap_or_default());
        }
        self.states = states;
        let sinks = after.checkpoint.cuts.iter().flat_map(|cut| &cut.sinks);
        let of_sink: BTreeMap<_, _> = sinks.map(|one| (one.address.clone(), one.stream)).collect();
        for (index, node) in after.graph.nodes().filter(|(_, node)| node.section == Section::Sinks)
        {
            let stream = of_sink[&node.address];
            let old = origins.get(&node.address).map(|origin| self.of_sink[&origin.address]);
            assert!(old.is_none_or(|old| old == stream), "the stream of {} goes on", node.address);
            let stash: &Stash = settings(&after.graph, index);
            let owes = match (stash.keeps_position, stash.shown) {
                (true, _) => Owes::Once,
                (_, true) => Owes::AtMostOnce,
                _ => Owes::AtLeastOnce,
            };
            let store = stash.into.clone();
            let new = self.streams.entry(stream);
            let known = matches!(new, std::collections::btree_map::Entry::Occupied(_));
            assert_eq!(known, old.is_some(), "a new sink has a new stream: {}", node.address);
            new.or_insert(Stream { owes, store, values: BTreeMap::new(), sent: 0 });
        }
        self.of_sink = of_sink;
    }

    /// A new life of the host counts a stream from there.
    fn count_from(&mut self, resumed: &Resumed) {
        if let Some(stream) = self.streams.get_mut(&resumed.stream) {
            stream.sent = stream.sent.max(resumed.end);
        }
    }

    /// Lets one value go through a graph.
    fn enter(&mut self, ways: &Ways, source: NodeIndex, value: i64) {
        let mut waiting: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        self.deliver(&ways.from[&source], &mut waiting, value);
        while let Some((at, values)) = waiting.pop_first() {
            let Transform { address, through, to } = &ways.transforms[&at];
            for value in values {
                let (hash, sum) = self.states.get_mut(address).expect("a transform");
                *hash = (*hash * 31 + value + 7) % 1_000_003;
                *sum += value;
                let says = if *through { value } else { *hash };
                self.deliver(to, &mut waiting, says);
            }
        }
    }

    fn deliver(&mut self, to: &[To], waiting: &mut BTreeMap<usize, Vec<i64>>, value: i64) {
        for to in to {
            match to {
                To::Transform(at) => waiting.entry(*at).or_default().push(value),
                To::Sink(stream) => {
                    let stream = self.streams.get_mut(stream).expect("a stream");
                    stream.sent += 1;
                    stream.values.insert(stream.sent, value);
                }
            }
        }
    }

    /// The ways through a graph.
    fn ways(&self, graph: &Graph) -> Ways {
        let place = |index| graph.order.iter().position(|one| *one == index).expect("a node");
        let to = |index| {
            let out = graph.outgoing(index).into_iter();
            let to = out.map(|(_, to, _)| match graph.dag[to].section {
                Section::Sinks => To::Sink(self.of_sink[&graph.dag[to].address]),
                _ => To::Transform(place(to)),
            });
            to.collect()
        };
        let of = |section| graph.nodes().filter(move |(_, node)| node.section == section);
        let transforms = of(Section::Transforms).map(|(index, node)| {
            let through = settings::<Tally>(graph, index).through;
            (place(index), Transform { address: node.address.clone(), through, to: to(index) })
        });
        let from = of(Section::Sources).map(|(index, _)| (index, to(index)));
        Ways { from: from.collect(), transforms: transforms.collect() }
    }
}

/// The ways through a graph.
struct Ways {
    from: BTreeMap<NodeIndex, Vec<To>>,
    /// By their place in the order of the graph.
    transforms: BTreeMap<usize, Transform>,
}

struct Transform {
    address: Arc<str>,
    through: bool,
    to: Vec<To>,
}

enum To {
    Transform(usize),
    Sink(Uuid),
}

/// What entered, from where streams were counted, and which graph ran from when on.
fn history(site: &Site) -> (Vec<Entered>, Vec<Resumed>, Vec<Segment>) {
    let inner = site.memory.lock();
    let events = inner.history.iter().filter_map(|record| match &record.event {
        Event::Items { source, items, .. } => {
            Some(Entered { seq: record.seq, key: source.clone(), values: values_of(items) })
        }
        _ => None,
    });
    let resumed = inner.history.iter().filter_map(|record| match record.event {
        Event::Resumed { stream, end } => Some(Resumed { seq: record.seq, stream, end }),
        _ => None,
    });
    let mut segments: Vec<Segment> = Vec::new();
    for checkpoint in &inner.checkpoints {
        let revision = checkpoint.revision;
        if segments.last().is_none_or(|last| last.checkpoint.revision != revision) {
            let site::Revision { graph, letters } = site.revision(revision);
            segments.push(Segment { graph, checkpoint: checkpoint.clone(), letters });
        }
    }
    (events.collect(), resumed.collect(), segments)
}

/// What an apply put to the dead letters of what sources had given that it removed.
fn buried_by(segment: &Segment, letters: &[DeadLetter], next: Option<&Segment>) -> BTreeSet<i64> {
    let until = next.map_or(letters.len(), |next| next.letters);
    let of_source = |letter: &&DeadLetter| letter.address.starts_with("p/x");
    letters[segment.letters..until].iter().filter(of_source).flat_map(values_in).collect()
}

/// What lies in a dead letter.
pub(super) fn values_in(letter: &DeadLetter) -> Vec<i64> {
    match &letter.content {
        DeadContent::Items(items) => values_of(items),
        DeadContent::Raw(_) => panic!("only items here"),
    }
}
