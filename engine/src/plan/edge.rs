//! What an edge host publishes besides what its pipelines say: the state of all their sources, every so often, as the Python original
//! does (`role: edge` in config.yaml). It is two nodes in each pipeline, written here as a user would write them.

use std::path::Path;

use crate::config::host::{HostConfig, Role};
use crate::config::{self, Loader, PipelineSpec, Section, Templates};
use crate::diagnostic::{Diagnostics, Files};
use crate::duration::Duration;
use crate::registry::Registry;

/// The names of the two nodes. A node of that name in a pipeline takes their place.
const STATE: &str = "edge_state";
const SINK: &str = "edge";
/// The Python original's interval.
const EVERY: Duration = Duration::from_secs(30);

/// How often an edge host publishes; `None` on a host that is none.
#[must_use]
pub fn interval(config: &HostConfig) -> Option<Duration> {
    let seconds = config.edge_publish_interval_seconds.map(|seconds| seconds.get().into());
    (config.role == Some(Role::Edge)).then(|| seconds.map_or(EVERY, Duration::from_secs))
}

/// Adds to each pipeline with sources what publishes their state.
pub(super) fn add(
    specs: &mut [PipelineSpec],
    files: &mut Files,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) {
    let Some(every) = registry.edge() else { return };
    let types = |section| registry.names(section);
    for spec in specs {
        let sources: Vec<&str> =
            spec.section(Section::Sources).map(|source| &*source.name.value).collect();
        if sources.is_empty() || [STATE, SINK].iter().any(|name| spec.node(name).is_some()) {
            continue;
        }
        let text = text(&sources, every);
        let mut loader = Loader::behind(std::mem::take(files), &|_| None);
        loader.text(Path::new("role: edge"), &text);
        let loaded = loader.finish();
        *files = loaded.files;
        let written = loaded.documents.first();
        let written = written.and_then(|one| {
            config::parse(one, files, &types, &mut Templates::default(), diagnostics)
        });
        spec.nodes.extend(written.into_iter().flat_map(|written| written.nodes));
    }
}

fn text(sources: &[&str], every: Duration) -> String {
    format!(
        "pipeline: edge
transforms:
  {STATE}: {{ inputs: [{}], latest: {{ every: {every} }} }}
sinks:
  {SINK}: {{ inputs: [{STATE}], mqtt: {{ topic: \"smollama/{{{{ host }}}}/readings\", payload: edge }} }}
",
        sources.join(", ")
    )
}
