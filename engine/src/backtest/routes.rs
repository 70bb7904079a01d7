//! Which source node is given which recorded reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use petgraph::stable_graph::NodeIndex;

use crate::config::Section;
use crate::context::{Context, Host};
use crate::plan::{Graph, PlannedNode};
use crate::registry::Pace;
use crate::series::{Series, SeriesId, SourceKey};

/// The type part of recorded readings whose recording does not say what sort of source they are of. The only source node of a graph takes
/// them.
pub const UNNAMED: &str = "?";

/// Where the readings of a recorded series go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) part: usize,
    pub(super) entry: usize,
    /// Its number on this side; `None` where there are too many series.
    pub(super) series: Option<SeriesId>,
}

/// The source nodes of a graph.
#[derive(Debug)]
pub(super) struct Routes {
    sources: Vec<Entrance>,
    /// Type parts of series that are made on the way.
    derived: Vec<Arc<str>>,
    pipelines: Vec<Arc<str>>,
    /// By the number of the recorded series; not there before its first reading.
    ways: Vec<Option<Vec<Way>>>,
    host: Arc<Host>,
}

#[derive(Debug)]
struct Entrance {
    node: Arc<PlannedNode>,
    context: Context,
    /// Its part and its place there, if that part runs.
    place: Option<(usize, usize)>,
}

impl Routes {
    /// `places`: of the sources that run.
    pub(super) fn new(
        graph: &Graph,
        host: &Arc<Host>,
        places: &BTreeMap<NodeIndex, (usize, usize)>,
    ) -> Routes {
        let sources = graph.nodes().filter(|(_, node)| node.section == Section::Sources);
        let sources = sources.map(|(index, node)| Entrance {
            node: graph.dag[index].clone(),
            context: node.context(host),
            place: places.get(&index).copied(),
        });
        let inner = graph.nodes().filter(|(_, node)| node.section != Section::Sources);
        Routes {
            sources: sources.collect(),
            derived: inner.map(|(_, node)| node.type_part.clone()).collect(),
            pipelines: graph.pipelines.iter().map(|one| one.name.clone()).collect(),
            ways: Vec::new(),
            host: host.clone(),
        }
    }

    /// Where a recorded series goes.
    pub(super) fn ways(&mut self, id: SeriesId, recorded: impl FnOnce() -> Arc<Series>) -> &[Way] {
        let place = id.index();
        if place >= self.ways.len() {
            self.ways.resize_with(place + 1, || None);
        }
        if self.ways[place].is_none() {
            let series = recorded();
            let takers = self.takers(&series.source);
            let ways = takers.into_iter().filter_map(|source| self.way(source, &series));
            self.ways[place] = Some(ways.collect());
        }
        self.ways[place].as_deref().unwrap_or_default()
    }

    fn way(&self, source: usize, series: &Series) -> Option<Way> {
        let Entrance { context, place, .. } = &self.sources[source];
        let (part, entry) = (*place)?;
        let describe = |mut own: Series| {
            own.unit.clone_from(&series.unit);
            own.labels.clone_from(&series.labels);
            own.monotonic = series.monotonic;
            own
        };
        let number = match series.source.type_part() {
            UNNAMED => context.source_series(series.source.id(), describe),
            _ => context.recorded_series(series.source.clone(), describe),
        };
        Some(Way { part, entry, series: number.ok() })
    }

    /// The source nodes that take a recorded source, also those that do not run.
    pub(super) fn takers(&self, source: &SourceKey) -> Vec<usize> {
        if source.type_part() == UNNAMED {
            return if self.sources.len() == 1 { vec![0] } else { Vec::new() };
        }
        let source = match self.host.aliases.get(source.name()) {
            Some(now) => SourceKey::parse(now),
            None => source.clone(),
        };
        let gives = |entrance: &Entrance| {
            let ids = entrance.node.profile.ids.as_deref();
            *entrance.node.type_part == *source.type_part()
                && ids.is_none_or(|ids| ids.iter().any(|glob| glob.matches(source.id())))
        };
        let all = 0..self.sources.len();
        let found: Vec<usize> = all.clone().filter(|&one| gives(&self.sources[one])).collect();
        if !found.is_empty() || self.is_derived(&source) {
            return found;
        }
        // A recording can name sources of any type: what nobody else gives may have come from there.
        let names_any = |one: &usize| {
            let profile = &self.sources[*one].node.profile;
            profile.pace == Some(Pace::Recorded) && profile.ids.is_none()
        };
        all.filter(names_any).take(1).collect()
    }

    /// Whether a source is one that a transform makes.
    pub(super) fn is_derived(&self, source: &SourceKey) -> bool {
        let made = |part: &str| self.derived.iter().any(|one| **one == *part);
        let by_default = |part: &str| {
            let pipeline = part.split_once('.').map(|(pipeline, _)| pipeline);
            pipeline.is_some_and(|name| self.pipelines.iter().any(|one| **one == *name))
        };
        made(source.type_part()) || by_default(source.type_part())
    }
}
