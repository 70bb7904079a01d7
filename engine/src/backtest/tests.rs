use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::Comparison;
use super::*;
use crate::batch::{Batch, ItemKind, Items};
use crate::config::Loader;
use crate::context::Context;
use crate::duration::Duration;
use crate::glob::Glob;
use crate::node::{MAIN, Node, NodeError, Outputs, Transform};
use crate::plan::plan_loaded;
use crate::registry::{NodeConfig, OutputPort, Pace, Problem, Profile, Registry};
use crate::series::{Series, SourceKey};
use crate::window::{Accumulator, Cause, Window};

/// A source that must never be made.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mouth {
    #[serde(default)]
    ids: Option<Vec<Glob>>,
    #[serde(default)]
    recorded: bool,
}

impl NodeConfig for Mouth {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "mouth";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let pace = if self.recorded { Pace::Recorded } else { Pace::Live };
        Profile { ids: self.ids.clone(), ..Profile::source(pace) }
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        panic!("a backtest made a source")
    }
}

/// A sink that must never be made.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ear {}

impl NodeConfig for Ear {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "ear";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::sink(&ItemKind::ALL)
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        panic!("a backtest made a sink")
    }
}

/// Lets through what is above something, with a score.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Over {
    value: f64,
    #[serde(default)]
    score: f64,
    #[serde(default)]
    broken: bool,
}

impl NodeConfig for Over {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "over";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::transform()
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        if self.broken {
            return Err(Problem::at("broken", "it is broken"));
        }
        Ok(Node::Transform(Box::new(self.clone())))
    }
}

impl Transform for Over {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            if reading.value.as_f64().is_some_and(|value| value > self.value)
                && let Some(passed) = out.pass(MAIN, reading)
            {
                passed.score = self.score;
            }
        }
        Ok(())
    }
}

/// A window a minute after its first reading.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Minutes {}

impl NodeConfig for Minutes {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "minutes";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile { outputs: vec![OutputPort::main(ItemKind::Windows)], ..Profile::transform() }
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Ok(Node::Transform(Box::new(MinutesNode { first: None, now: Timestamp::MIN })))
    }
}

struct MinutesNode {
    first: Option<Reading>,
    now: Timestamp,
}

impl MinutesNode {
    fn close(&mut self, end: Timestamp, cause: Cause, out: &mut Outputs) {
        if let Some(first) = self.first.take() {
            let summaries = vec![Accumulator::new(&first).summary(first.series)];
            out.window(MAIN, Window { start: first.time, end, cause, summaries });
        }
    }
}

impl Transform for MinutesNode {
    fn apply(
        &mut self,
        now: Timestamp,
        _: usize,
        batch: &Batch,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        for reading in batch.readings() {
            self.now = now.max(reading.time);
            self.first.get_or_insert_with(|| reading.clone());
        }
        Ok(())
    }
    fn next_tick(&self) -> Option<Timestamp> {
        self.first.as_ref().map(|first| first.time + Duration::from_mins(1))
    }
    fn tick_lead(&self) -> Option<Duration> {
        Some(Duration::from_mins(1))
    }
    fn tick(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.close(now, Cause::Time, out);
        Ok(())
    }
    fn finish(&mut self, now: Timestamp, out: &mut Outputs) -> Result<(), NodeError> {
        self.close(now, Cause::End, out);
        Ok(())
    }
}

/// An agent: only ever counted.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Think {}

impl NodeConfig for Think {
    const SECTION: Section = Section::Agents;
    const TYPE: &'static str = "think";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile {
            outputs: vec![OutputPort::main(ItemKind::Observations)],
            ..Profile::sink(&ItemKind::ALL)
        }
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        panic!("a backtest asked an agent")
    }
}

fn graph(yaml: &str) -> Graph {
    let nothing = |_: &str| None;
    let mut loader = Loader::new(&nothing);
    loader.text(Path::new("home.yaml"), yaml);
    let registry = Registry::new()
        .with::<Mouth>()
        .with::<Over>()
        .with::<Minutes>()
        .with::<Think>()
        .with::<Ear>();
    let planned = plan_loaded(loader.finish(), &registry);
    let found = planned.diagnostics.render(&planned.files, false);
    planned.graph.unwrap_or_else(|| panic!("{found}"))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_795_219_200_000_000 + seconds * 1_000_000)
}

/// What was recorded: source, second and value.
type Row = (&'static str, i64, f64);

fn run(running: Option<&str>, candidate: &str, goes_on: bool, rows: &[Row]) -> Report {
    let (running, candidate) = (running.map(graph), graph(candidate));
    let recorded = Arc::new(Host::for_tests(Path::new("")));
    let setup = Setup {
        running: running.as_ref(),
        candidate: &candidate,
        pipelines: ["home".into()].into(),
        host: &|| Host::for_tests(Path::new("")),
        writes_json: &|_| true,
        items_max: 100,
        goes_on,
    };
    let mut backtest = Backtest::new(&setup, &recorded).unwrap();
    for (source, time, value) in rows {
        let series = recorded.series.intern(&Series::new(SourceKey::parse(source))).unwrap();
        backtest.take(Reading::new(at(*time), series, *value));
    }
    backtest.finish(goes_on.then(|| at(100_000)))
}

const HOME: &str = "\
pipeline: home
sources: { air: { as: air, mouth: {} } }
transforms:
  news: { inputs: [air], over: { value: 10 } }
  minutes: { inputs: [news], minutes: {} }
sinks: { all: { inputs: [news, minutes], ear: {} } }
";

fn hour() -> Vec<Row> {
    (0..120).map(|step| ("air:hall", step * 30, (step % 20) as f64)).collect()
}

#[test]
fn the_same_pipeline_sends_the_same() {
    let report = run(Some(HOME), HOME, true, &hour());
    assert_eq!((report.readings, report.series, report.compared), (120, 1, true));
    let news = &report.transforms[0].done;
    assert_eq!(news.running, news.candidate);
    let done = news.candidate.clone().unwrap();
    assert_eq!((done.received, done.kept), (120, 54));
    let sink = &report.sinks[0];
    assert_eq!((sink.same, sink.changed, sink.missed, sink.gained), (84, 0, 0, 0));
    assert_eq!(sink.sent.running, sink.sent.candidate);
    assert!(sink.sent.candidate.unwrap().bytes.unwrap() > 54 * 60);
}

#[test]
fn what_only_one_of_them_sends_is_missed_or_gained() {
    let candidate = HOME.replace("value: 10", "value: 11");
    let report = run(Some(HOME), &candidate, true, &hour());
    let sink = &report.sinks[0];
    // There are six of 11; windows that begin with another reading are others.
    let missed: Vec<f64> =
        sink.missed_items.iter().filter_map(|item| item["value"].as_f64()).collect();
    assert_eq!(missed, [11.0; 6]);
    assert!(sink.gained_items.iter().all(|item| item["cause"] == "time"));
    assert_eq!(sink.missed as usize, sink.missed_items.len());
    assert_eq!(sink.gained as usize, sink.gained_items.len());
    assert!(sink.gained > 0);
    let scored = HOME.replace("value: 10", "value: 10, score: 1");
    let report = run(Some(HOME), &scored, true, &hour());
    let sink = &report.sinks[0];
    assert_eq!((sink.same, sink.missed, sink.gained), (0, 0, 0));
    assert_eq!(sink.changed, 84);
}

#[test]
fn without_a_running_graph_all_is_gained_and_nodes_that_go_are_shown() {
    let report = run(None, HOME, true, &hour());
    assert!(!report.compared);
    assert_eq!((report.sinks[0].gained, report.sinks[0].missed), (84, 0));
    assert_eq!(report.sinks[0].sent.running, None);
    let candidate = HOME.replace("all: {", "more: {");
    let report = run(Some(HOME), &candidate.replace("[news, minutes]", "[air]"), true, &hour());
    let rows: Vec<_> = report.sinks.iter().map(|row| (&*row.address, row.gained)).collect();
    assert_eq!(rows, [("home/more", 120), ("home/all", 0)]);
    assert_eq!(report.sinks[1].missed, 84);
}

/// On a host the input never ends; of a recording it does.
#[test]
fn what_is_open_stays_open_where_time_goes_on() {
    let rows: Vec<Row> = vec![("air:hall", 0, 20.0), ("air:hall", 90, 20.0)];
    let causes = |goes_on| run(None, HOME, goes_on, &rows).transforms[1].done.clone().candidate;
    let windows = |done: Option<Done>| done.unwrap().windows;
    assert_eq!(windows(causes(true)), [("time", 2)].into());
    assert_eq!(windows(causes(false)), [("end", 1), ("time", 1)].into());
}

#[test]
fn agents_are_counted_and_never_asked() {
    let yaml =
        HOME.replace("sinks:", "agents: { watcher: { inputs: [minutes], think: {} } }\nsinks:");
    let report = run(Some(HOME), &yaml, true, &hour());
    assert_eq!(&*report.agents[0].address, "home/watcher");
    assert_eq!(report.agents[0].calls, Both { running: None, candidate: Some(30) });
    assert_eq!(report.sinks.len(), 1);
}

#[test]
fn readings_go_to_the_source_that_can_have_given_them() {
    let yaml = "\
pipeline: home
sources:
  north: { as: air, mouth: { ids: [\"north/*\"] } }
  south: { as: air, mouth: { ids: [\"south/*\"] } }
  soil: { as: soil, mouth: {} }
  rain: { as: rain, mouth: {} }
transforms: { over: { inputs: [soil], as: damp, over: { value: 0 } } }
sinks: { all: { inputs: [north, south, over, rain], ear: {} } }
";
    let rows: Vec<Row> = vec![
        ("air:north/a", 0, 1.0),
        ("air:south/b", 1, 1.0),
        ("air:east/b", 2, 1.0),
        ("soil:x", 3, 1.0),
        ("damp:soil/x", 4, 1.0),
        ("home.old:soil/x", 4, 1.0),
        ("?:x", 5, 1.0),
    ];
    let report = run(None, yaml, false, &rows);
    let given: Vec<_> = report.sources.iter().map(|row| row.readings.candidate.unwrap()).collect();
    assert_eq!(given, [1, 1, 1, 0]);
    let unused: Vec<_> = report.unused.iter().map(|row| (&*row.source, row.derived)).collect();
    assert_eq!(
        unused,
        [("?:x", false), ("air:east/b", false), ("damp:soil/x", true), ("home.old:soil/x", true)]
    );
    // What nobody else gives may come from a recording, and what names nothing from the only source there is.
    let recorded = yaml.replace("{ as: rain, mouth: {} }", "{ mouth: { recorded: true } }");
    let report = run(None, &recorded, false, &rows);
    let given: Vec<_> = report.sources.iter().map(|row| row.readings.candidate.unwrap()).collect();
    assert_eq!(given, [1, 1, 1, 1]);
    let report = run(None, HOME, false, &[("?:x", 0, 11.0)]);
    assert_eq!(report.sinks[0].gained_items[0]["source"], "air:x");
}

#[test]
fn pipelines_that_are_connected_run_along_and_others_do_not() {
    let yaml = format!(
        "{HOME}---\npipeline: other\nsources: {{ air: {{ as: other, mouth: {{}} }} }}\nsinks: {{ end: {{ inputs: [air], ear: {{}} }} }}\n---\npipeline: third\nsinks: {{ end: {{ inputs: [home/news], ear: {{}} }} }}\n"
    );
    let report = run(None, &yaml, false, &hour());
    let sinks: Vec<_> = report.sinks.iter().map(|row| &*row.address).collect();
    assert_eq!(sinks, ["home/all", "third/end"]);
}

#[test]
fn a_node_that_cannot_be_made_is_an_error() {
    let candidate = graph(&HOME.replace("value: 10", "value: 10, broken: true"));
    let setup = Setup {
        running: None,
        candidate: &candidate,
        pipelines: ["home".into()].into(),
        host: &|| Host::for_tests(Path::new("")),
        writes_json: &|_| true,
        items_max: 0,
        goes_on: false,
    };
    let errors = Backtest::new(&setup, &Arc::new(Host::for_tests(Path::new("")))).unwrap_err();
    assert_eq!(&*errors[0].address, "home/news");
}

#[test]
fn what_lies_behind_a_node_is_named() {
    let found = behind(&graph(HOME), &|node| &*node.type_name == "ear");
    let all: Vec<_> = found.iter().map(|(node, sources)| (&**node, sources.len())).collect();
    assert_eq!(all, [("home/minutes", 1), ("home/news", 1)]);
    let direct = HOME.replace("[news, minutes]", "[news, air]");
    assert!(behind(&graph(&direct), &|node| &*node.type_name == "ear").is_empty());
}

/// What comes later on one side than on the other is not missed; what waits is bounded.
#[test]
fn items_wait_for_their_like_but_not_for_ever() {
    let table = crate::series::SeriesTable::default();
    let series = table.intern(&Series::new(SourceKey::local("air", "hall"))).unwrap();
    let items = |range: std::ops::Range<i64>| {
        let readings = range.map(|second| Reading::new(at(second), series, second));
        vec![Items::Readings(readings.collect())]
    };
    let row = |comparison: Comparison| comparison.row("a".into(), "b".into(), Both::default());
    let mut late = Comparison::new(5);
    late.step(items(0..1_000), Vec::new(), Some(&table), &table);
    late.step(items(1_000..2_000), items(500..2_000), Some(&table), &table);
    late.step(Vec::new(), items(0..500), Some(&table), &table);
    late.end(Some(&table), &table);
    let late = row(late);
    assert_eq!((late.same, late.missed, late.gained), (2_000, 0, 0));
    let mut never = Comparison::new(5);
    for step in 0..10 {
        never.step(items(step * 1_000..(step + 1) * 1_000), Vec::new(), Some(&table), &table);
    }
    never.step(Vec::new(), items(0..10_000), Some(&table), &table);
    never.end(Some(&table), &table);
    let never = row(never);
    assert_eq!((never.same, never.missed, never.gained), (4_096, 5_904, 5_904));
    assert_eq!(never.missed_items.len(), 5);
}
