//! Building a part of a graph: out of nodes that were just made, and of what others left.

mod sink;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use self::sink::{SinkStart, forget_known};
use super::assembly::{Assembly, Part, rebuild};
use super::census::Census;
use super::command::Yielded;
use super::give_back::Sweeps;
use super::heritage::{Heritage, Stream};
use super::inbox::{Entrance, Inbox, Ledger, Move, Reached, To};
use super::island::Island;
use super::outlets::{Outlet, Outlets};
use super::part::{Inlet, LivePart};
use super::queue::queue;
use super::sink::{Passes, Remains};
use super::source::{Ahead, Asked, SourceRun, Way};
use super::stats::NodeStats;
use super::topology::Options;
use super::virtual_time::{Recorded, VirtualKind, VirtualPart, VirtualSource};
use crate::context::Host;
use crate::node::{Node, Source};
use crate::plan::{Graph, journaled};
use crate::registry::Pace;
use crate::time::Timestamp;

/// Batches of a recording that may wait before its part in virtual time.
const SOURCE_BATCHES: usize = 4;

/// What parts are built with.
pub(crate) struct Yard<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) host: &'a Arc<Host>,
    pub(crate) options: &'a Options,
    pub(crate) stats: &'a BTreeMap<Arc<str>, Arc<NodeStats>>,
    pub(crate) ledger: &'a Arc<Ledger>,
    pub(crate) hurry: &'a CancellationToken,
    pub(crate) passes: &'a Arc<Passes>,
    /// The ways in of sources that go on.
    pub(crate) entrances: &'a BTreeMap<Arc<str>, Arc<Entrance>>,
}

/// A part that was built and does not run yet.
pub(crate) struct Raised {
    /// The addresses of its nodes.
    pub(crate) nodes: Vec<Arc<str>>,
    pub(crate) body: Yielded,
    /// Loops of new sources.
    pub(crate) sources: Vec<SourceStart>,
    /// Ways in that lead elsewhere from now on.
    pub(crate) moves: Vec<Move>,
    /// Loops of new sinks.
    pub(crate) sinks: Vec<SinkStart>,
}

/// The loop of a source, before it runs.
pub(crate) struct SourceStart {
    pub(crate) address: Arc<str>,
    pub(crate) entrance: Option<Arc<Entrance>>,
    pub(crate) stop: CancellationToken,
    pub(crate) blocks: bool,
    pub(crate) run: Box<SourceRun>,
}

/// Whether a part runs in virtual time: it has a recording, or only made-up sources that are to end, and nothing live.
pub(crate) fn in_virtual_time(graph: &Graph, nodes: &[NodeIndex], once: bool) -> bool {
    let paces = || nodes.iter().filter_map(|&n| graph.dag[n].profile.pace);
    let live = paces().any(|pace| matches!(pace, Pace::Live | Pace::Polled(_)));
    let recorded = paces().any(|pace| pace == Pace::Recorded);
    !live && (recorded || once)
}

impl Yard<'_> {
    /// Builds a part. Nodes are taken out of `made`, and where they are not there, they live on in `heritage`.
    pub(crate) fn raise(
        &self,
        nodes: &[NodeIndex],
        made: &mut BTreeMap<NodeIndex, Node>,
        remains: &mut BTreeMap<Arc<str>, Remains>,
        heritage: &mut Heritage,
    ) -> Raised {
        let part = Part::new(self.graph, nodes);
        let addresses: Vec<Arc<str>> =
            nodes.iter().map(|&n| self.graph.dag[n].address.clone()).collect();
        let virtual_time = in_virtual_time(self.graph, nodes, self.options.once);
        let mut sinks = Vec::new();
        let mut outlets = Vec::new();
        let mut streams = Vec::new();
        for &n in &part.sinks {
            let node = &self.graph.dag[n];
            let address = &node.address;
            let mut stream = heritage.streams.remove(address).unwrap_or_else(Stream::begin);
            if let Some(Node::Sink(sink)) = made.remove(&n) {
                let left = remains.remove(address);
                let confirmed = heritage.confirmed.get(&stream.id).copied();
                let (start, giver) = self.sink(n, sink, left, confirmed, virtual_time, &mut stream);
                if giver.is_some() && !virtual_time {
                    self.note_known(n, &mut stream, heritage.replay_until > 0);
                }
                heritage.givers.extend(giver.map(|giver| (address.clone(), giver)));
                sinks.push(start);
            }
            // Without a loop behind it, what goes there is counted as dropped.
            let giver = heritage.givers.remove(address);
            let giver = giver.unwrap_or_else(|| queue(node.queue, self.stats[address].clone()).0);
            outlets.push(Outlet { address: address.clone(), queue: giver });
            streams.push(stream);
        }
        let outlets = Outlets::new(outlets, self.options.dead.clone());
        let assembly = Assembly {
            graph: self.graph,
            host: self.host,
            watch: self.options.watch.as_ref(),
            stats: self.stats,
        };
        let mut island = assembly.island(&part, made, &mut heritage.slots, streams);
        for (address, batch) in std::mem::take(&mut heritage.unsent) {
            match outlets.sinks.iter().position(|outlet| outlet.address == address) {
                Some(sink) => island.outbox.sinks.entry(sink).or_default().push_back(batch),
                None => heritage.unsent.push((address, batch)),
            }
        }
        island.look();
        let place = heritage.place(addresses.iter()).unwrap_or((heritage.begin, Timestamp::MIN));
        island.seq = place.0;
        let (body, sources, moves) = if virtual_time {
            self.virtual_part(&part, made, heritage, island, outlets, place.1)
        } else {
            island.began_with(&heritage.states);
            self.live_part(&part, made, heritage, island, outlets, place)
        };
        Raised { nodes: addresses, body, sources, moves, sinks }
    }

    fn live_part(
        &self,
        part: &Part,
        made: &mut BTreeMap<NodeIndex, Node>,
        heritage: &mut Heritage,
        island: Island,
        outlets: Outlets,
        (seq, now): (u64, Timestamp),
    ) -> (Yielded, Vec<SourceStart>, Vec<Move>) {
        let kept = journaled(self.graph);
        let journaled =
            self.ledger.journal.is_some() && part.sources.iter().any(|n| kept.contains(n));
        let replay_until = if journaled { heritage.replay_until } else { 0 };
        let inbox = Inbox::new(part.sources.len(), replay_until > 0);
        let finished = self.is_finished(part, heritage);
        let (mut starts, mut moves, mut inlets) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, &n) in part.sources.iter().enumerate() {
            let address = self.graph.dag[n].address.clone();
            let mut inlet = heritage.inlets.remove(&address).unwrap_or_else(|| Inlet {
                address: address.clone(),
                key: address.clone(),
                done: heritage.begin,
                reached: Reached::default(),
                census: Census::default(),
            });
            let restarts = made.contains_key(&n) && !heritage.ended.contains(&address);
            let entrance = match self.entrances.get(&address) {
                Some(old) => {
                    let (entrance, inbox) = (old.clone(), inbox.clone());
                    moves.push(Move { entrance, inbox, entry, journaled, restarts });
                    old.clone()
                }
                None => {
                    let ledger = self.ledger.clone();
                    let key = self.free_key(&inlet.key);
                    let entered = heritage.entered.remove(&address);
                    let reached = entered.unwrap_or_else(|| inlet.reached.clone());
                    Entrance::new(key, ledger, &inbox, entry, journaled, reached)
                }
            };
            inlet.key = entrance.key.clone();
            match made.remove(&n) {
                Some(Node::Source(source)) if restarts => {
                    let way = Way::Entrance(entrance.clone());
                    let mut start = self.source(n, source, way, false);
                    start.run.resume = entrance.reached();
                    start.entrance = Some(entrance);
                    starts.push(start);
                }
                _ if heritage.ended.contains(&address) => inbox.end(entry),
                _ => {}
            }
            inlets.push(inlet);
        }
        if let Some(first) = inlets.first_mut() {
            // Nodes may still keep something of what sources gave that are no more.
            let gone = heritage.inlets.values();
            gone.filter(|inlet| self.graph.find(&inlet.address).is_none())
                .for_each(|inlet| first.census.join(&inlet.census));
        }
        let here = |to: &To| matches!(to, To::Node(address) if island.takes(address));
        let strays = heritage.strays.extract_if(.., |stray| here(&stray.to));
        inbox.put(strays.collect());
        let cuts = island.addresses().find_map(|address| heritage.cuts.remove(address));
        let live = LivePart {
            upto: inlets.iter().map(|inlet| inlet.done).min().unwrap_or(seq),
            cuts: cuts.unwrap_or_default(),
            noted: seq,
            reader: None,
            clock: self.options.clock.clone(),
            host: self.host.clone(),
            sweeps: Sweeps::default(),
            ledger: self.ledger.clone(),
            island,
            inlets,
            outlets,
            inbox,
            journaled,
            replay_until,
            seq,
            now,
            finished,
        };
        (Yielded::Live(Box::new(live)), starts, moves)
    }

    /// Whether everything a part held was emitted: its sources had ended.
    fn is_finished(&self, part: &Part, heritage: &Heritage) -> bool {
        let finished = |n: &NodeIndex| heritage.finished.contains(&self.graph.dag[*n].address);
        !part.sources.is_empty() && part.sources.iter().all(finished)
    }

    /// What a source is called in the journal: something that no other source there is called.
    fn free_key(&self, wanted: &Arc<str>) -> Arc<str> {
        let taken = |key: &str| self.entrances.values().any(|entrance| *entrance.key == *key);
        if !taken(wanted) {
            return wanted.clone();
        }
        let mut number = 2;
        loop {
            // No address has this character.
            let key = format!("{wanted}#{number}");
            if !taken(&key) {
                return key.into();
            }
            number += 1;
        }
    }

    fn virtual_part(
        &self,
        part: &Part,
        made: &mut BTreeMap<NodeIndex, Node>,
        heritage: &mut Heritage,
        island: Island,
        outlets: Outlets,
        now: Timestamp,
    ) -> (Yielded, Vec<SourceStart>, Vec<Move>) {
        let mut starts = Vec::new();
        let mut sources = Vec::new();
        let finished = self.is_finished(part, heritage);
        let inlets = part.sources.iter().filter_map(|&n| {
            let address = &self.graph.dag[n].address;
            heritage.inlets.get(address).map(|inlet| inlet.done)
        });
        let needs = inlets.min().unwrap_or(heritage.begin);
        for &n in &part.sources {
            let address = self.graph.dag[n].address.clone();
            match made.remove(&n) {
                Some(Node::Source(source)) => {
                    let kind = self.virtual_source(n, source, heritage, &mut starts);
                    let stats = self.stats[&address].clone();
                    sources.push(VirtualSource { address, kind, stats });
                }
                _ => sources.extend(heritage.virtual_sources.remove(&address)),
            }
        }
        let part = VirtualPart {
            island,
            ledger: self.ledger.clone(),
            outlets,
            sources,
            speed: self.options.speed,
            start: self.options.clock.now(),
            clock: Some(now).filter(|now| *now > Timestamp::MIN),
            finished,
            needs,
        };
        (Yielded::Virtual(Box::new(part)), starts, Vec::new())
    }

    fn virtual_source(
        &self,
        n: NodeIndex,
        source: Box<dyn Source>,
        heritage: &mut Heritage,
        starts: &mut Vec<SourceStart>,
    ) -> VirtualKind {
        let node = &self.graph.dag[n];
        let reached = heritage.inlets.remove(&node.address).map(|inlet| inlet.reached);
        let reached = reached.unwrap_or_default();
        match node.profile.pace {
            Some(Pace::Simulated(default) | Pace::Polled(default)) => VirtualKind::Simulated {
                asked: self.asked(n, source),
                every: node.every.unwrap_or(default),
                due: reached.position.map(|position| position.time()),
                once: self.options.once && !node.profile.ends,
            },
            _ => {
                let (give, receive) = mpsc::channel::<Ahead>(SOURCE_BATCHES);
                let ended = heritage.ended.contains(&node.address);
                let anew = Arc::<std::sync::atomic::AtomicBool>::default();
                if !ended {
                    let mut start = self.source(n, source, Way::Ahead(give), true);
                    start.run.resume = reached.clone();
                    start.run.anew = anew.clone();
                    starts.push(start);
                }
                VirtualKind::Recorded(Recorded::new(receive, reached, ended, anew))
            }
        }
    }

    fn asked(&self, n: NodeIndex, source: Box<dyn Source>) -> Asked {
        let node = &self.graph.dag[n];
        Asked {
            address: node.address.clone(),
            source,
            rebuild: Box::new(rebuild(node, self.host, |made| match made {
                Node::Source(source) => Some(source),
                _ => None,
            })),
            stats: self.stats[&node.address].clone(),
            failures: VecDeque::new(),
            ends: node.profile.ends || node.profile.pace == Some(Pace::Recorded),
            gave: false,
        }
    }

    fn source(
        &self,
        n: NodeIndex,
        source: Box<dyn Source>,
        way: Way,
        virtual_time: bool,
    ) -> SourceStart {
        let node = &self.graph.dag[n];
        let recorded = node.profile.pace == Some(Pace::Recorded);
        let stop = CancellationToken::new();
        let blocks = source.blocks();
        let run = SourceRun {
            asked: self.asked(n, source),
            pace: node.profile.pace.unwrap_or(Pace::Live),
            every: node.every,
            clock: self.options.clock.clone(),
            stop: stop.clone(),
            way,
            dead: self.options.dead.clone(),
            resume: Reached::default(),
            anew: Arc::default(),
            waits: node.profile.promises || node.profile.waits || recorded,
            // In virtual time the part itself keeps the pace.
            play: (recorded && !virtual_time).then(|| self.options.speed.unwrap_or(1.0)),
            once: self.options.once && !node.profile.ends,
        };
        let run = Box::new(run);
        SourceStart { address: node.address.clone(), entrance: None, stop, blocks, run }
    }
}
