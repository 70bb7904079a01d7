//! What there is to say about a type of node.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::fields::{Schemas, Setting};
use super::first_sentence;
use crate::batch::ItemKind;
use crate::config::{self, Loader, Templates};
use crate::diagnostic::Diagnostics;
use crate::registry::{Carries, NodeType, Pace, Profile, Registry};

/// The page of a type of node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePage {
    /// `source`, `transform`, `agent` or `sink`.
    pub kind: String,
    /// The word in YAML.
    pub name: String,
    /// What it does: the comment of its settings.
    pub text: String,
    /// When a source speaks, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<String>,
    /// Where edges enter.
    pub inputs: Vec<Port>,
    /// Where edges leave.
    pub outputs: Vec<Port>,
    /// Its settings.
    pub settings: Vec<Setting>,
    /// The smallest whole pipeline that uses it.
    pub example: String,
}

/// A port of a type of node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The kinds of item: what an input takes, what an output carries.
    pub kinds: Vec<String>,
}

impl NodePage {
    /// What the code says about a type.
    #[must_use]
    pub fn of(node_type: &NodeType) -> NodePage {
        let mut generator = crate::schema::generator();
        let schema = node_type.schema(&mut generator).to_value();
        let defs = crate::schema::definitions(&mut generator);
        let schemas = Schemas(&defs);
        let profile = example_profile(node_type);
        NodePage {
            kind: node_type.section.singular().to_owned(),
            name: node_type.name.to_owned(),
            text: schemas.text(&schema),
            pace: profile.as_ref().and_then(pace),
            inputs: profile.as_ref().map(inputs).unwrap_or_default(),
            outputs: profile.as_ref().map(outputs).unwrap_or_default(),
            settings: schemas.settings(&schema),
            example: node_type.example.to_owned(),
        }
    }

    /// The first sentence of its text.
    #[must_use]
    pub fn summary(&self) -> &str {
        first_sentence(&self.text)
    }

    /// `transform-dedup`: no two types share it.
    #[must_use]
    pub fn slug(&self) -> String {
        format!("{}-{}", self.kind, self.name)
    }
}

/// The pages of all types: by kind, then by name.
#[must_use]
pub fn all(registry: &Registry) -> Vec<NodePage> {
    let mut types: Vec<&Arc<NodeType>> = registry.iter().collect();
    types.sort_by_key(|one| (one.section, one.name));
    types.into_iter().map(|one| NodePage::of(one)).collect()
}

/// What the checker knows of the node in the type's example: ports can depend on settings.
fn example_profile(node_type: &NodeType) -> Option<Profile> {
    let lookup = |_: &str| None;
    let mut loader = Loader::new(&lookup);
    loader.text(Path::new("example.yaml"), node_type.example);
    let mut loaded = loader.finish();
    let mut diagnostics = Diagnostics::new();
    let mut templates = Templates::default();
    let types = |section| {
        if section == node_type.section { vec![node_type.name] } else { Vec::new() }
    };
    for document in &loaded.documents {
        let Some(spec) =
            config::parse(document, &mut loaded.files, &types, &mut templates, &mut diagnostics)
        else {
            continue;
        };
        let uses = |node: &&config::NodeSpec| {
            &**node.type_name == node_type.name && node.section == node_type.section
        };
        if let Some(node) = spec.nodes.iter().find(uses) {
            let key = node.type_name.span;
            return node_type
                .read(&node.settings, key, "the settings", &mut diagnostics)
                .map(|(settings, _)| settings.profile());
        }
    }
    None
}

fn words(kinds: &[ItemKind]) -> Vec<String> {
    kinds.iter().map(ToString::to_string).collect()
}

fn inputs(profile: &Profile) -> Vec<Port> {
    let ports = profile.inputs.iter();
    ports.map(|port| Port { name: port.name.to_owned(), kinds: words(&port.accepts) }).collect()
}

fn outputs(profile: &Profile) -> Vec<Port> {
    let port = |port: &crate::registry::OutputPort| {
        let kinds = match port.carries {
            Carries::Kind(kind) => vec![kind.to_string()],
            Carries::AsInput => vec!["what comes in".to_owned()],
        };
        Port { name: port.name.to_string(), kinds }
    };
    profile.outputs.iter().map(port).collect()
}

fn pace(profile: &Profile) -> Option<String> {
    Some(match profile.pace? {
        Pace::Polled(every) | Pace::Simulated(every) => {
            format!("asked every {every}, unless `every` says otherwise")
        }
        Pace::Live if profile.takes_every => {
            "speaks when something happens, or is asked as often as `every` says".into()
        }
        Pace::Live => "speaks when something happens".into(),
        Pace::Recorded => "a recording: as fast as it is read".into(),
    })
}
