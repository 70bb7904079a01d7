//! Types of node for tests of plans: nothing of them ever runs.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Graph, plan_loaded};
use crate::batch::ItemKind;
use crate::bytes::ByteSize;
use crate::config::{Loader, Secret};
use crate::context::Context;
use crate::duration::Duration;
use crate::glob::Glob;
use crate::node::Node;
use crate::registry::{
    Carries, Claim, Delivery, NodeConfig, OutputPort, Pace, Problem, Profile, Registry, Section,
};

/// A source.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Feed {
    topic: String,
    path: Option<PathBuf>,
    promises: bool,
    polled: Option<Duration>,
    simulated: bool,
    ids: Vec<Glob>,
    connection: Option<String>,
    hears: Vec<String>,
}

impl NodeConfig for Feed {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "feed";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let pace = match (self.polled, &self.path) {
            (Some(every), _) if self.simulated => Pace::Simulated(every),
            (Some(every), _) => Pace::Polled(every),
            (None, Some(_)) => Pace::Recorded,
            (None, None) => Pace::Live,
        };
        let mut profile = Profile::source(pace).ids(self.ids.clone());
        profile.promises = self.promises;
        profile.hears.clone_from(&self.hears);
        if let Some(name) = &self.connection {
            profile = profile.connection("connection", name);
        }
        profile.reads.extend(self.path.clone());
        profile
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Err(Problem::at("", "only planned"))
    }
}

/// A transform that remembers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Smooth {
    pub(super) band: f64,
    pub(super) memory: u32,
    over: Duration,
    overrides: Vec<Override>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Override {
    of: String,
    band: f64,
}

impl Default for Smooth {
    fn default() -> Self {
        Smooth { band: 0.2, memory: 8, over: Duration::from_mins(1), overrides: Vec::new() }
    }
}

impl NodeConfig for Smooth {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "smooth";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        Profile::stateful()
            .output("late", Carries::Kind(ItemKind::Readings))
            .output("windows", Carries::Kind(ItemKind::Windows))
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Err(Problem::at("", "only planned"))
    }
}

/// A transform that remembers nothing and lets everything through.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pass {
    label: String,
}

impl NodeConfig for Pass {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "pass";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let mut profile = Profile::sink(&ItemKind::ALL);
        profile.outputs = vec![OutputPort { name: "main".into(), carries: Carries::AsInput }];
        profile
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Err(Problem::at("", "only planned"))
    }
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Post {
    to: String,
    password: Option<Secret>,
    topics: Vec<String>,
    connection: Option<String>,
    delivery: Owes,
    port: Option<u16>,
    leaves: Option<String>,
    max_size: Option<ByteSize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Owes {
    #[default]
    Sent,
    Kept,
    Shown,
}

impl NodeConfig for Post {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "post";
    const EXAMPLE: &'static str = "";
    fn profile(&self) -> Profile {
        let profile = Profile::sink(&ItemKind::ALL).delivery(match self.delivery {
            Owes::Sent => Delivery::Sent,
            Owes::Kept => Delivery::Kept,
            Owes::Shown => Delivery::Shown,
        });
        let mut profile = profile.disk(self.max_size);
        profile.says.clone_from(&self.topics);
        if let Some(name) = &self.connection {
            profile = profile.connection("connection", name);
        }
        if let Some(place) = &self.leaves {
            profile = profile.leaves("entities in Home Assistant", place);
        }
        match self.port {
            Some(port) => profile.claim(Claim::PORT, port.to_string()),
            None => profile,
        }
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Err(Problem::at("", "only planned"))
    }
}

pub(super) fn registry() -> Registry {
    Registry::new().with::<Feed>().with::<Smooth>().with::<Pass>().with::<Post>()
}

/// The graph of a file, or what is wrong with it.
pub(super) fn try_graph(
    path: &str,
    yaml: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Graph, String> {
    let mut loader = Loader::new(lookup);
    loader.text(Path::new(path), yaml);
    let planned = plan_loaded(loader.finish(), &registry());
    planned.graph.ok_or_else(|| planned.diagnostics.render(&planned.files, false))
}

/// The graph of a file without mistakes.
pub(super) fn graph(yaml: &str) -> Graph {
    try_graph("/etc/home.yaml", yaml, &|_| None).unwrap_or_else(|said| panic!("{said}"))
}
