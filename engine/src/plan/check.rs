//! From resolved nodes to a graph: edges, ports, kinds, cycles and conflicts, all errors at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use petgraph::stable_graph::{NodeIndex, StableDiGraph};

use super::cycles::cycles;
use super::graph::{Graph, PlannedNode, PlannedPipeline, Wire};
use super::renames::renames;
use super::resolve::{Resolved, span_of};
use super::{brokers, conflicts, units};
use crate::batch::ItemKind;
use crate::config::{Address, InputSpec, PipelineSpec, Section, Spanned};
use crate::diagnostic::{Diagnostic, Diagnostics, Files, Span, nearest, quoted, rules};
use crate::registry::{Carries, Pace};

/// Checks nodes against each other and makes a graph of them; none comes out while an error was found.
pub fn check<'a>(
    specs: &'a [PipelineSpec],
    files: &Files,
    nodes: &'a [Resolved<'a>],
    diagnostics: &mut Diagnostics,
) -> Option<Graph> {
    let errors_before = diagnostics.errors();
    pipeline_names(specs, files, diagnostics);
    let mut checker = Checker::new(specs, nodes);
    for (position, node) in nodes.iter().enumerate() {
        checker.edges_of(NodeIndex::new(position), node, diagnostics);
    }
    checker.circles(diagnostics);
    checker.units(diagnostics);
    let order = checker.order();
    if let Some(order) = &order {
        checker.kinds(order, diagnostics);
        // While an input is wrong, a node may only seem to be unused.
        if !diagnostics.has_errors() {
            checker.unused(order, diagnostics);
        }
    }
    renames(nodes, diagnostics);
    let planned: Vec<&PlannedNode> = nodes.iter().filter_map(|node| node.plan.as_ref()).collect();
    conflicts::claims(&planned, diagnostics);
    conflicts::sources(&planned, diagnostics);
    brokers::loops(&planned, files, diagnostics);
    if diagnostics.errors() > errors_before || planned.len() < nodes.len() {
        return None;
    }
    let dag = checker.into_dag()?;
    let pipelines = specs.iter().map(|spec| PlannedPipeline {
        name: spec.name.value.clone(),
        description: spec.description.as_ref().map(|text| text.value.clone()),
        file: files.path(spec.file).to_owned(),
        tests: spec.tests.clone(),
    });
    Some(Graph { dag, order: order?, pipelines: pipelines.collect() })
}

fn pipeline_names(specs: &[PipelineSpec], files: &Files, diagnostics: &mut Diagnostics) {
    let mut first: HashMap<&str, &Spanned<Arc<str>>> = HashMap::new();
    for spec in specs {
        let Some(other) = first.get(&**spec.name) else {
            first.insert(&spec.name, &spec.name);
            continue;
        };
        let message = format!("two pipelines are named {}", quoted(&spec.name));
        let mut error = Diagnostic::error(&rules::DUPLICATE_PIPELINE, spec.name.span, message)
            .help("give one of them another name");
        if other.span.is_somewhere() && other.span.file == spec.name.span.file {
            error = error.also(other.span, "the first one");
        } else if other.span.is_somewhere() {
            error = error
                .help(format!("the first one is in {}", files.path(other.span.file).display()));
        }
        diagnostics.push(error);
    }
}

/// Nodes that could not be read, which was reported, by pipeline and name.
pub(crate) fn unread(specs: &[PipelineSpec]) -> BTreeSet<(&str, &str)> {
    specs.iter().flat_map(|spec| spec.unread.iter().map(|name| (&**spec.name, &**name))).collect()
}

/// An edge, and where it was written.
#[derive(Clone, Debug)]
struct Written {
    wire: Wire,
    span: Span,
}

struct Checker<'a> {
    nodes: &'a [Resolved<'a>],
    by_address: HashMap<(&'a str, &'a str), NodeIndex>,
    /// Nodes that could not be read, which was reported.
    unread: BTreeSet<(&'a str, &'a str)>,
    edges: StableDiGraph<usize, Written>,
    carries: Vec<Vec<Option<ItemKind>>>,
}

impl<'a> Checker<'a> {
    fn new(specs: &'a [PipelineSpec], nodes: &'a [Resolved<'a>]) -> Checker<'a> {
        let mut edges = StableDiGraph::new();
        let mut by_address = HashMap::new();
        for (position, node) in nodes.iter().enumerate() {
            let index = edges.add_node(position);
            // Of two pipelines of one name (an error of its own) the first one is meant.
            by_address.entry((&**node.pipeline.name, &**node.spec.name)).or_insert(index);
        }
        let carries = nodes.iter().map(|node| {
            let outputs = node.plan.as_ref().map_or(0, |plan| plan.profile.outputs.len());
            vec![None; outputs]
        });
        Checker { nodes, by_address, unread: unread(specs), edges, carries: carries.collect() }
    }

    fn node(&self, index: NodeIndex) -> &'a Resolved<'a> {
        &self.nodes[self.edges[index]]
    }

    /// The edges that enter a node: by its own number, as its name is also another's where two pipelines have one name.
    fn edges_of(&mut self, index: NodeIndex, node: &Resolved<'a>, diagnostics: &mut Diagnostics) {
        let spec = node.spec;
        if spec.inputs.is_empty() && spec.section != Section::Sources && !spec.inputs_broken {
            let message =
                format!("the {} `{}` has no inputs", spec.section.singular(), &**spec.name);
            let error = Diagnostic::error(&rules::NO_INPUTS, spec.inputs_span, message);
            diagnostics.push(error.help("name the nodes it reads from: `inputs: [...]`"));
        } else if !spec.inputs_broken {
            ports_without_inputs(node, diagnostics);
        }
        let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
        for input in &spec.inputs {
            let written = (input.port.to_string(), input.from.to_string());
            if !seen.insert(written) {
                let message = format!("{} is an input twice", quoted(&input.from.to_string()));
                let error = Diagnostic::error(&rules::DUPLICATE_INPUT, input.from.span, message);
                diagnostics.push(error.help("remove one of the two"));
                continue;
            }
            self.edge(node, index, input, diagnostics);
        }
    }

    fn edge(
        &mut self,
        node: &Resolved<'a>,
        index: NodeIndex,
        input: &InputSpec,
        diagnostics: &mut Diagnostics,
    ) {
        let address: &Address = &input.from;
        let pipeline = address.pipeline.as_deref().unwrap_or(&node.pipeline.name);
        let Some(&from) = self.by_address.get(&(pipeline, &*address.node)) else {
            if !self.unread.contains(&(pipeline, address.head())) {
                diagnostics.push(self.dangling(node, input, pipeline));
            }
            return;
        };
        if from == index {
            let message = format!("`{}` reads from itself", &**node.spec.name);
            let error = Diagnostic::error(&rules::SELF_LOOP, input.from.span, message);
            diagnostics.push(error.help("name the node before it"));
            return;
        }
        if self.node(from).spec.section == Section::Sinks {
            let message = format!("`{}` is a sink: nothing comes out of it", address.node);
            let error = Diagnostic::error(&rules::UNKNOWN_PORT, input.from.span, message);
            diagnostics.push(error.help("read from the node before it"));
            return;
        }
        let (Some(giver), Some(taker)) = (&self.node(from).plan, &node.plan) else { return };
        let outputs: Vec<&str> = giver.profile.outputs.iter().map(|port| &*port.name).collect();
        let inputs: Vec<&str> = taker.profile.inputs.iter().map(|port| port.name).collect();
        let wanted = address.port_or_main();
        let out = outputs.iter().position(|name| *name == wanted);
        if out.is_none() {
            diagnostics.push(no_port(&giver.name, "output", wanted, &outputs, input.from.span));
        }
        let into = inputs.iter().position(|name| **name == **input.port);
        if into.is_none() {
            diagnostics.push(no_port(&taker.name, "input", &input.port, &inputs, input.port.span));
        }
        if let (Some(out), Some(into)) = (out, into) {
            let wire = Wire { from: out, to: into };
            self.edges.add_edge(from, index, Written { wire, span: input.from.span });
        }
    }

    fn dangling(&self, node: &Resolved<'_>, input: &InputSpec, pipeline: &str) -> Diagnostic {
        let address: &Address = &input.from;
        let named = &*address.node;
        let here = address.pipeline.is_none();
        let place =
            if here { "in this pipeline".to_owned() } else { format!("in pipeline `{pipeline}`") };
        let pipelines: BTreeSet<&str> =
            self.by_address.keys().map(|(pipeline, _)| *pipeline).collect();
        if !here && !pipelines.contains(pipeline) {
            let message = format!("there is no pipeline {}", quoted(pipeline));
            let error = Diagnostic::error(&rules::DANGLING_INPUT, input.from.span, message);
            return match nearest(pipeline, pipelines) {
                Some(near) => error.help(format!("did you mean `{near}/{named}`?")),
                None => error.help("apply the file that holds it together with this one"),
            };
        }
        let message = format!("there is no node {} {place}", quoted(named));
        let error = Diagnostic::error(&rules::DANGLING_INPUT, input.from.span, message);
        let mut names: Vec<&str> = self
            .by_address
            .keys()
            .filter(|(of, name)| *of == pipeline && *name != &**node.spec.name)
            .map(|(_, name)| *name)
            .collect();
        names.sort_unstable();
        if let Some(near) = nearest(named, names.iter().copied()) {
            return error.help(format!("did you mean `{near}`?"));
        }
        let mut elsewhere =
            self.by_address.keys().filter(|(of, name)| *of != pipeline && *name == named);
        match elsewhere.next() {
            Some((other, _)) => {
                error.help(format!("`{other}/{named}` is in another pipeline: write that"))
            }
            None => error.help(format!("the nodes {place} are {}", names.join(", "))),
        }
    }

    fn circles(&self, diagnostics: &mut Diagnostics) {
        for circle in cycles(&self.edges) {
            let names: Vec<&str> =
                circle.iter().map(|&node| &**self.node(node).spec.name).collect();
            let path = format!("{} -> {}", names.join(" -> "), names[0]);
            let message = format!("these nodes read from each other in a circle: {path}");
            let back = circle.last().and_then(|&last| self.edges.find_edge(last, circle[0]));
            let span =
                back.map_or(self.node(circle[0]).spec.name.span, |edge| self.edges[edge].span);
            let mut error = Diagnostic::error(&rules::CYCLE, span, message)
                .label(format!("closes the circle at `{}`", names[0]));
            for pair in circle.windows(2) {
                if let Some(edge) = self.edges.find_edge(pair[0], pair[1])
                    && self.edges[edge].span.file == span.file
                {
                    error = error.also(self.edges[edge].span, "");
                }
            }
            diagnostics.push(error.help("remove one of these inputs"));
        }
    }

    /// Each node after all it reads from, and otherwise as written (Kahn's algorithm with the least number first); `None` where there
    /// is a circle.
    fn order(&self) -> Option<Vec<NodeIndex>> {
        let mut missing: Vec<usize> = self
            .edges
            .node_indices()
            .map(|node| self.edges.edges_directed(node, petgraph::Direction::Incoming).count())
            .collect();
        let mut ready: BTreeSet<NodeIndex> =
            self.edges.node_indices().filter(|node| missing[node.index()] == 0).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(node) = ready.pop_first() {
            order.push(node);
            for next in self.edges.neighbors(node) {
                missing[next.index()] -= 1;
                if missing[next.index()] == 0 {
                    ready.insert(next);
                }
            }
        }
        (order.len() == missing.len()).then_some(order)
    }

    /// Finds out what each port carries, and reports edges whose ends do not fit.
    fn kinds(&mut self, order: &[NodeIndex], diagnostics: &mut Diagnostics) {
        for &index in order {
            let Some(plan) = &self.node(index).plan else { continue };
            let mut main: Option<(ItemKind, Span)> = None;
            let mut incoming: Vec<_> = self
                .edges
                .edges_directed(index, petgraph::Direction::Incoming)
                .map(|edge| {
                    (
                        petgraph::visit::EdgeRef::id(&edge),
                        petgraph::visit::EdgeRef::source(&edge),
                        edge.weight().clone(),
                    )
                })
                .collect();
            incoming.sort_by_key(|(id, ..)| *id);
            for (_, from, Written { wire, span }) in incoming {
                let Some(kind) = self.carries[from.index()].get(wire.from).copied().flatten()
                else {
                    continue;
                };
                let port = &plan.profile.inputs[wire.to];
                let giver = self.node(from).spec;
                if !port.accepts.contains(&kind) {
                    diagnostics.push(misfit(
                        plan,
                        port.name,
                        &port.accepts,
                        &giver.name,
                        kind,
                        span,
                    ));
                    continue;
                }
                if let Some((field, tree)) = plan
                    .when
                    .as_ref()
                    .and_then(|when| when.foreign(kind))
                    .zip(self.node(index).spec.when.as_ref())
                {
                    let message =
                        format!("`when` asks for `{field}`, but `{}` gives {kind}", &**giver.name);
                    let at = span_of(tree, field).unwrap_or(tree.span);
                    let error = Diagnostic::error(&rules::KIND_MISMATCH, at, message)
                        .also(span, format!("{kind}"))
                        .help(format!("{kind} have no `{field}`: ask for something else, or read from another node"));
                    diagnostics.push(error);
                }
                let passes = plan.profile.outputs.iter().any(|out| out.carries == Carries::AsInput);
                if wire.to != 0 || !passes {
                    continue;
                }
                match main {
                    None => main = Some((kind, span)),
                    Some((first, first_span)) if first != kind => {
                        let message = format!(
                            "`{}` gets {first} and {kind}, but passes on one kind",
                            plan.name
                        );
                        let error = Diagnostic::error(&rules::KIND_MISMATCH, span, message)
                            .also(first_span, format!("{first} come from here"))
                            .help("use one such node for each kind");
                        diagnostics.push(error);
                    }
                    Some(_) => {}
                }
            }
            let carries = plan.profile.outputs.iter().map(|out| match out.carries {
                Carries::Kind(kind) => Some(kind),
                Carries::AsInput => main.map(|(kind, _)| kind),
            });
            self.carries[index.index()] = carries.collect();
        }
    }

    fn units(&self, diagnostics: &mut Diagnostics) {
        for index in self.edges.node_indices() {
            let plan = self.node(index).plan.as_ref().filter(|plan| plan.profile.one_unit);
            let Some(plan) = plan else { continue };
            let inputs = self.edges.edges_directed(index, petgraph::Direction::Incoming);
            let inputs = inputs.filter(|edge| edge.weight().wire.to == 0).filter_map(|edge| {
                let giver = self.node(petgraph::visit::EdgeRef::source(&edge)).plan.as_ref()?;
                Some((giver, edge.weight().span))
            });
            diagnostics.extend(units::misfit(plan, inputs.collect()));
        }
    }

    fn unused(&self, order: &[NodeIndex], diagnostics: &mut Diagnostics) {
        for &index in order {
            let spec = self.node(index).spec;
            if spec.section == Section::Sinks || self.edges.neighbors(index).next().is_some() {
                continue;
            }
            let message =
                format!("nothing reads from the {} `{}`", spec.section.singular(), &**spec.name);
            let warning = Diagnostic::warning(&rules::UNUSED_OUTPUT, spec.name.span, message);
            diagnostics
                .push(warning.help("name it in the `inputs:` of another node, or remove it"));
        }
    }

    fn into_dag(self) -> Option<StableDiGraph<Arc<PlannedNode>, Wire>> {
        let Checker { nodes, edges, carries, .. } = self;
        let mut dag = StableDiGraph::new();
        for (node, carries) in nodes.iter().zip(carries) {
            let mut plan = node.plan.clone()?;
            plan.carries =
                carries.into_iter().map(|kind| kind.unwrap_or(ItemKind::Readings)).collect();
            dag.add_node(Arc::new(plan));
        }
        for edge in edges.edge_indices() {
            let (from, to) = edges.edge_endpoints(edge)?;
            dag.add_edge(from, to, edges[edge].wire);
        }
        Some(dag)
    }
}

/// Reports input ports that nothing enters: a node with several needs each of them.
fn ports_without_inputs(node: &Resolved<'_>, diagnostics: &mut Diagnostics) {
    let spec = node.spec;
    let Some(plan) = &node.plan else { return };
    let ports = &plan.profile.inputs;
    let known = |name: &str| ports.iter().any(|port| port.name == name);
    if spec.inputs.iter().any(|input| !known(&input.port)) {
        // It is another mistake that an input is at a port there is not.
        return;
    }
    for port in ports {
        if spec.inputs.iter().any(|input| **input.port == *port.name) {
            continue;
        }
        let message = format!("nothing enters the port `{}` of `{}`", port.name, &**spec.name);
        let all: Vec<String> = ports.iter().map(|port| format!("{}: [...]", port.name)).collect();
        let error = Diagnostic::error(&rules::NO_INPUTS, spec.inputs_span, message);
        diagnostics
            .push(error.help(format!("name its inputs: `inputs: {{ {} }}`", all.join(", "))));
    }
}

fn no_port(node: &str, direction: &str, wanted: &str, known: &[&str], span: Span) -> Diagnostic {
    let message = format!("`{node}` has no {direction} port {}", quoted(wanted));
    let error = Diagnostic::error(&rules::UNKNOWN_PORT, span, message);
    match nearest(wanted, known.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help(format!("its {direction} ports are {}", known.join(", "))),
    }
}

fn misfit(
    plan: &PlannedNode,
    port: &str,
    accepts: &[ItemKind],
    giver: &str,
    kind: ItemKind,
    span: Span,
) -> Diagnostic {
    let accepts: Vec<&str> = accepts.iter().map(|kind| kind.as_str()).collect();
    let accepts = accepts.join(" or ");
    let message =
        format!("`{giver}` gives {kind}, but `{}` takes {accepts} on `{port}`", plan.name);
    let error = Diagnostic::error(&rules::KIND_MISMATCH, span, message)
        .label(format!("{kind}"))
        .also(plan.type_span, format!("takes {accepts}"));
    match kind {
        ItemKind::Windows => {
            error.help("the port `values` of a node that makes windows gives readings")
        }
        _ => error.help(format!("name a port that gives {accepts}")),
    }
}

/// Reports parts of a graph in which recordings and live sources meet, unless recordings are played at the speed of life.
pub fn mixed_time(graph: &Graph, speed_is_one: bool, diagnostics: &mut Diagnostics) {
    if speed_is_one {
        return;
    }
    for part in graph.parts() {
        let of = |wanted: fn(Pace) -> bool| {
            part.iter()
                .map(|&node| &graph.dag[node])
                .find(|node| node.profile.pace.is_some_and(wanted))
        };
        let recorded = of(|pace| pace == Pace::Recorded);
        let live = of(|pace| matches!(pace, Pace::Live | Pace::Polled(_)));
        if let (Some(recorded), Some(live)) = (recorded, live) {
            let message = format!(
                "`{}` replays a recording and `{}` is live, but both lead to one place",
                recorded.address, live.address
            );
            let error = Diagnostic::error(&rules::MIXED_TIME, recorded.type_span, message).help(
                "separate the two, or play the recording at the speed of life with `--speed 1`",
            );
            let same_file = live.type_span.file == recorded.type_span.file;
            diagnostics.push(if same_file { error.also(live.type_span, "live") } else { error });
        }
    }
}
