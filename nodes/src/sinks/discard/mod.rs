//! Takes anything and keeps nothing.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::context::Context;
use smollama_engine::node::{Node, NodeError, Sink};
use smollama_engine::registry::{NodeConfig, Problem, Profile, Section};

/// Takes readings, windows and observations and forgets them.
///
/// For trying out what lies before it: rates and the latest values show in `status` and `tap` as for any other sink, and
/// nothing is kept. It has no settings.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiscardConfig {}

impl NodeConfig for DiscardConfig {
    const SECTION: Section = Section::Sinks;
    const TYPE: &'static str = "discard";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        Profile::sink(&ItemKind::ALL)
    }

    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Ok(Node::Sink(Box::new(Discard)))
    }
}

struct Discard;

#[async_trait]
impl Sink for Discard {
    async fn write(&mut self, _: &Batch) -> Result<(), NodeError> {
        Ok(())
    }

    fn tends(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smollama_engine::batch::Items;
    use smollama_engine::context::Host;
    use smollama_engine::time::Timestamp;

    use super::*;

    #[tokio::test]
    async fn takes_every_kind() {
        let config: DiscardConfig = serde_json::from_str("{}").unwrap();
        let host = Arc::new(Host::for_tests(std::path::Path::new(".")));
        let Ok(Node::Sink(mut sink)) = config.build(&Context::new(host, "p/none", "none")) else {
            panic!("not a sink")
        };
        assert_eq!(config.profile().inputs[0].accepts, ItemKind::ALL);
        for kind in ItemKind::ALL {
            let batch = Batch::new(Items::none(kind), Timestamp::EPOCH);
            assert_eq!(sink.write(&batch).await, Ok(()));
        }
        assert_eq!(sink.close(Timestamp::EPOCH).await, Ok(()));
    }
}
