//! Takes readings from an MQTT broker.

mod config;
mod held;
mod source;
#[cfg(test)]
mod tests;

use smollama_engine::context::Context;
use smollama_engine::node::Node;
use smollama_engine::registry::{NodeConfig, Pace, Problem, Profile, Section};

pub use config::{MqttConfig, Retained, Topic};
use source::Mqtt;

use crate::io::mqtt::Qos;

impl NodeConfig for MqttConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "mqtt";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let subscriptions = self.subscriptions();
        let promises = subscriptions.iter().any(|one| one.qos > Qos::AtMostOnce);
        let mut profile = Profile::source(Pace::Live);
        if promises {
            profile = profile.promises();
        }
        if let Some(name) = &self.connection {
            profile = profile.connection("connection", name);
        }
        if let Some(ids) = self.ids() {
            profile = profile.ids(ids);
        }
        subscriptions.into_iter().fold(profile, |profile, one| profile.hears(one.filter))
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Source(Box::new(Mqtt::new(self, context)?)))
    }
}
