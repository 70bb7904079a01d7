//! Building a part of a graph: out of nodes that were just made, and of what others left.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::assembly::{Assembly, Part, rebuild};
use super::heritage::{Heritage, Stream};
use super::inbox::{Entrance, Inbox, Ledger, Move};
use super::outlets::{Outlet, Outlets};
use super::part::{Inlet, LivePart, Yielded};
use super::queue::{Gauge, queue};
use super::sink::{Caller, DirectSink, Passed, Remains, Shelf, SinkCommand, SpooledSink, Ties};
use super::source::{Asked, Received, SourceRun, Way};
use super::stats::NodeStats;
use super::topology::Options;
use super::virtual_time::{Recorded, VirtualKind, VirtualPart, VirtualSource};
use crate::context::Host;
use crate::node::{Node, Sink, Source};
use crate::plan::{Graph, journaled};
use crate::registry::{Delivery, Pace};
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
    pub(crate) passed: &'a mpsc::UnboundedSender<Passed>,
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
    pub(crate) run: SourceRun,
}

/// The loop of a sink, before it runs.
pub(crate) struct SinkStart {
    pub(crate) address: Arc<str>,
    pub(crate) commands: mpsc::UnboundedSender<SinkCommand>,
    pub(crate) retire: watch::Sender<bool>,
    pub(crate) blocks: bool,
    pub(crate) gauge: Gauge,
    pub(crate) run: SinkLoop,
}

pub(crate) enum SinkLoop {
    Direct(Box<DirectSink>),
    Spooled(Box<SpooledSink>),
}

impl SinkLoop {
    /// What it was to take over.
    pub(crate) fn into_remains(self) -> Remains {
        match self {
            SinkLoop::Direct(sink) => {
                Remains { taker: sink.taker, spool: None, unwritten: sink.first.into() }
            }
            SinkLoop::Spooled(sink) => {
                let Shelf { taker, spool, tail, .. } = sink.shelf;
                Remains { taker, spool: Some(spool), unwritten: tail.into() }
            }
        }
    }

    pub(crate) async fn run(self) -> Result<(), String> {
        match self {
            SinkLoop::Direct(sink) => sink.run().await,
            SinkLoop::Spooled(sink) => sink.run().await,
        }
    }
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
        let virtual_time = self.in_virtual_time(&part);
        let mut sinks = Vec::new();
        let mut outlets = Vec::new();
        let mut streams = Vec::new();
        for &n in &part.sinks {
            let address = &self.graph.dag[n].address;
            let mut stream = heritage.streams.remove(address).unwrap_or_else(Stream::begin);
            if let Some(Node::Sink(sink)) = made.remove(&n) {
                let left = remains.remove(address);
                let confirmed = heritage.confirmed.get(address).copied();
                let (start, taker_side) =
                    self.sink(n, sink, left, confirmed, virtual_time, &mut stream);
                heritage.givers.extend(taker_side.map(|giver| (address.clone(), giver)));
                sinks.push(start);
            }
            if let Some(giver) = heritage.givers.remove(address) {
                outlets.push(Outlet { address: address.clone(), queue: giver });
                streams.push(stream);
            }
        }
        let mut outlets = Outlets::new(outlets, self.options.dead.clone());
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
        let place = heritage.place(addresses.iter());
        island.seq = place.map_or(0, |(seq, _)| seq);
        outlets.held = None;
        let (body, sources, moves) = if virtual_time {
            self.virtual_part(&part, made, heritage, island, outlets, place)
        } else {
            self.live_part(&part, made, heritage, island, outlets, place)
        };
        Raised { nodes: addresses, body, sources, moves, sinks }
    }

    /// Whether a part runs in virtual time: it has a recording, or only made-up sources that are to end, and nothing live.
    fn in_virtual_time(&self, part: &Part) -> bool {
        let paces: Vec<Pace> =
            part.sources.iter().filter_map(|&n| self.graph.dag[n].profile.pace).collect();
        let live = paces.iter().any(|pace| matches!(pace, Pace::Live | Pace::Polled(_)));
        let recorded = paces.contains(&Pace::Recorded);
        !live && (recorded || self.options.once)
    }

    fn live_part(
        &self,
        part: &Part,
        made: &mut BTreeMap<NodeIndex, Node>,
        heritage: &mut Heritage,
        island: super::island::Island,
        outlets: Outlets,
        place: Option<(u64, Timestamp)>,
    ) -> (Yielded, Vec<SourceStart>, Vec<Move>) {
        let kept = journaled(self.graph);
        let journaled =
            self.ledger.journal.is_some() && part.sources.iter().any(|n| kept.contains(n));
        let replay_until = if journaled { heritage.replay_until } else { 0 };
        let (seq, now) = place.unwrap_or_else(|| {
            let last = self.ledger.journal.as_ref().map_or(0, |journal| journal.last_seq());
            (last, Timestamp::MIN)
        });
        let inbox = Inbox::new(part.sources.len(), replay_until > 0);
        let (mut starts, mut moves, mut inlets) = (Vec::new(), Vec::new(), Vec::new());
        for (entry, &n) in part.sources.iter().enumerate() {
            let address = self.graph.dag[n].address.clone();
            let inherited = heritage.inlets.remove(&address);
            let inlet = inherited.unwrap_or_else(|| Inlet {
                address: address.clone(),
                done: seq,
                position: None,
            });
            let old = self.entrances.get(&address);
            let entrance = old.cloned().unwrap_or_else(|| {
                let ledger = self.ledger.clone();
                Entrance::new(address.clone(), ledger, &inbox, entry, journaled)
            });
            let restarts = made.contains_key(&n);
            if old.is_some() {
                let (entrance, inbox) = (entrance.clone(), inbox.clone());
                moves.push(Move { entrance, inbox, entry, journaled, restarts });
            }
            if heritage.ended.contains(&address) {
                made.remove(&n);
                inbox.end(entry);
            } else if let Some(Node::Source(source)) = made.remove(&n) {
                let way = Way::Entrance(entrance.clone());
                let mut start = self.source(n, source, way, false);
                start.run.resume.clone_from(&inlet.position);
                start.entrance = Some(entrance);
                starts.push(start);
            }
            inlets.push(inlet);
        }
        let finished = !part.sources.is_empty()
            && part.sources.iter().all(|&n| {
                let address = &self.graph.dag[n].address;
                heritage.ended.contains(address) || heritage.finished.contains(address)
            });
        let upto = inlets.iter().map(|inlet| inlet.done).min().unwrap_or(seq);
        let live = LivePart {
            island,
            inlets,
            outlets,
            inbox,
            ledger: self.ledger.clone(),
            journaled,
            clock: self.options.clock.clone(),
            replay_until,
            upto,
            seq,
            now,
            reader: None,
            finished,
        };
        (Yielded::Live(Box::new(live)), starts, moves)
    }

    fn virtual_part(
        &self,
        part: &Part,
        made: &mut BTreeMap<NodeIndex, Node>,
        heritage: &mut Heritage,
        island: super::island::Island,
        outlets: Outlets,
        place: Option<(u64, Timestamp)>,
    ) -> (Yielded, Vec<SourceStart>, Vec<Move>) {
        let mut starts = Vec::new();
        let mut sources = Vec::new();
        for &n in &part.sources {
            let address = self.graph.dag[n].address.clone();
            match made.remove(&n) {
                Some(Node::Source(source)) => {
                    let kind = self.virtual_source(n, source, heritage, &mut starts);
                    sources.push(VirtualSource { address, kind });
                }
                _ => sources.extend(heritage.virtual_sources.remove(&address)),
            }
        }
        let finished = !sources.is_empty()
            && sources.iter().all(|source| {
                heritage.ended.contains(&source.address)
                    || heritage.finished.contains(&source.address)
            });
        let part = VirtualPart {
            island,
            ledger: self.ledger.clone(),
            outlets,
            sources,
            speed: self.options.speed,
            start: self.options.clock.now(),
            clock: place.map(|(_, now)| now).filter(|now| *now > Timestamp::MIN),
            finished,
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
        let position = heritage.inlets.remove(&node.address).and_then(|inlet| inlet.position);
        match node.profile.pace {
            Some(Pace::Simulated(default) | Pace::Polled(default)) => VirtualKind::Simulated {
                asked: self.asked(n, source),
                every: node.every.unwrap_or(default),
                due: position.map(|position| position.time()),
                once: self.options.once && !node.profile.ends,
            },
            _ => {
                let (give, receive) = mpsc::channel::<Received>(SOURCE_BATCHES);
                let ended = heritage.ended.contains(&node.address);
                let anew = Arc::<std::sync::atomic::AtomicBool>::default();
                if !ended {
                    let mut start = self.source(n, source, Way::Ahead(give), true);
                    start.run.resume.clone_from(&position);
                    start.run.anew = anew.clone();
                    starts.push(start);
                }
                VirtualKind::Recorded(Recorded {
                    receive,
                    head: None,
                    ended,
                    before: position,
                    between: 0,
                    behind: None,
                    skip: heritage.taken.get(&node.address).copied().unwrap_or(0),
                    anew,
                })
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
            resume: None,
            anew: Arc::default(),
            promises: node.profile.promises,
            // In virtual time the part itself keeps the pace.
            play: (recorded && !virtual_time).then(|| self.options.speed.unwrap_or(1.0)),
            once: self.options.once && !node.profile.ends,
        };
        SourceStart { address: node.address.clone(), entrance: None, stop, blocks, run }
    }

    fn sink(
        &self,
        n: NodeIndex,
        mut sink: Box<dyn Sink>,
        left: Option<Remains>,
        confirmed: Option<u64>,
        virtual_time: bool,
        stream: &mut Stream,
    ) -> (SinkStart, Option<super::queue::Giver>) {
        let node = &self.graph.dag[n];
        let stats = self.stats[&node.address].clone();
        let (taker, spool, unwritten, giver) = match left {
            Some(Remains { taker, spool, unwritten }) => (taker, spool, unwritten, None),
            None => {
                let (giver, taker) = queue(node.queue, stats.clone());
                (taker, None, Vec::new(), Some(giver))
            }
        };
        let gauge = taker.gauge();
        let keep = self.options.keep.as_ref();
        let spool = spool.or_else(|| self.open_spool(n, stream));
        let journal = keep.map(|keep| keep.journal.clone());
        let delivery = node.profile.delivery;
        let mut known = stream.known;
        if giver.is_some() {
            known = known_offsets(&mut *sink, delivery, stream, confirmed, keep);
            if virtual_time && delivery == Delivery::Shown {
                known = [0; 3];
            }
            if let Some(last) = spool.as_ref().and_then(|spool| spool.last_end()) {
                known = known.map(|known| known.max(last));
            }
        } else if keep.is_some() {
            // Its predecessor's offsets hold; but one that keeps its position must hear of its stream.
            for kind in crate::batch::ItemKind::ALL {
                let _ = sink.position(stream.id, kind);
            }
        }
        stream.known = known;
        let (tell, commands) = mpsc::unbounded_channel();
        let (retire, retired) = watch::channel(false);
        let notes = delivery != Delivery::Shown && !sink.keeps_position();
        let ties = Ties {
            commands,
            passed: self.passed.clone(),
            journal: journal.filter(|_| notes),
            confirmed: confirmed.unwrap_or(0),
        };
        let clock = (!virtual_time).then(|| self.options.clock.clone());
        let remake = Box::new(rebuild(node, self.host, |made| match made {
            Node::Sink(sink) => Some(sink),
            _ => None,
        }));
        let blocks = sink.blocks() || spool.is_some();
        let caller = Caller::new(
            node.address.clone(),
            sink,
            remake,
            stats.clone(),
            node.retry,
            clock,
            self.options.dead.clone(),
            self.hurry.clone(),
            retired,
        );
        let flushed = Timestamp::MIN;
        let run = match spool {
            Some(mut spool) => {
                if let Some(confirmed) = confirmed {
                    spool.confirm(confirmed);
                }
                let tail_bytes = unwritten.iter().map(|batch| batch.items.bytes()).sum();
                let shelf = Shelf {
                    stats,
                    taker,
                    queue: node.queue,
                    spool,
                    tail: unwritten.into(),
                    tail_bytes,
                    flight: VecDeque::new(),
                    taken: confirmed.unwrap_or(0),
                    barriers: Vec::new(),
                    ended: false,
                    stuck: false,
                };
                SinkLoop::Spooled(Box::new(SpooledSink { caller, ties, shelf, flushed }))
            }
            None => SinkLoop::Direct(Box::new(DirectSink {
                caller,
                ties,
                taker,
                first: unwritten.into(),
                headlong: virtual_time && self.options.speed.is_none(),
                unflushed: 0,
                written: 0,
                flushed,
            })),
        };
        (
            SinkStart { address: node.address.clone(), commands: tell, retire, blocks, gauge, run },
            giver,
        )
    }

    /// The spool of a sink whose other side can be away; without one (nothing is kept, or the disk says no) it waits in memory.
    fn open_spool(&self, n: NodeIndex, stream: &mut Stream) -> Option<Box<dyn super::keep::Spool>> {
        let node = &self.graph.dag[n];
        let keep = self.options.keep.as_ref()?;
        if node.profile.delivery != Delivery::Sent {
            return None;
        }
        let cap = node.queue.spool_cap()?;
        // Named after the stream, so that a renamed sink keeps it and a later one of the old name does not get it.
        let name = stream.spool.get_or_insert_with(|| stream.id.simple().to_string()).clone();
        match keep.spools.open(&name, cap) {
            Ok(spool) => Some(spool),
            Err(error) => {
                tracing::error!(node = %node.address, "its spool cannot be opened, so it waits in memory: {error}");
                None
            }
        }
    }
}

/// Up to where a sink has what a replay repeats.
fn known_offsets(
    sink: &mut dyn Sink,
    delivery: Delivery,
    stream: &Stream,
    confirmed: Option<u64>,
    keep: Option<&super::topology::Keep>,
) -> [u64; 3] {
    let Some(keep) = keep else { return [0; 3] };
    let own = crate::batch::ItemKind::ALL.map(|kind| sink.position(stream.id, kind));
    if sink.keeps_position() {
        return own.map(|own| own.unwrap_or(0));
    }
    match delivery {
        // Who watched saw it; and nobody wants to see it twice.
        Delivery::Shown => [u64::MAX; 3],
        Delivery::Kept if keep.journal.power_was_cut() => [0; 3],
        Delivery::Kept | Delivery::Sent => [confirmed.unwrap_or(0); 3],
    }
}
