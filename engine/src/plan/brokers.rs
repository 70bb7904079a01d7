//! Nodes and the brokers they speak with: whether there is such a one, and whether what a host says there comes back to it.

use super::graph::PlannedNode;
use super::resolve::span_of;
use crate::config::NodeSpec;
use crate::config::mqtt::DEFAULT_BROKER;
use crate::diagnostic::{Diagnostic, Diagnostics, Files, nearest, quoted, rules};
use crate::registry::{Profile, Registry};
use crate::topic;

/// Reports a broker that the host does not know.
pub(super) fn check_name(
    spec: &NodeSpec,
    profile: &Profile,
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) {
    let Some(connection) = &profile.connection else { return };
    let name = connection.name.as_str();
    if registry.brokers().any(|known| known == name) {
        return;
    }
    let span = span_of(&spec.settings, connection.field).unwrap_or(spec.type_name.span);
    let message = format!("there is no broker {} in config.yaml", quoted(name));
    let error = Diagnostic::error(&rules::UNKNOWN_BROKER, span, message);
    let named: Vec<&str> = registry.brokers().filter(|known| *known != DEFAULT_BROKER).collect();
    diagnostics.push(match nearest(name, registry.brokers()) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None if named.is_empty() => error.help(
            "name it there below `mqtt.connections`, or leave it out here to use the broker below `mqtt`",
        ),
        None => error.help(format!("the brokers below `mqtt.connections` are {}", named.join(", "))),
    });
}

/// Reports sinks whose messages a source of this host would hear, in whatever pipeline the two lie.
pub(super) fn loops(nodes: &[&PlannedNode], files: &Files, diagnostics: &mut Diagnostics) {
    let sources: Vec<_> = nodes.iter().filter(|node| !node.profile.hears.is_empty()).collect();
    for sink in nodes.iter().filter(|node| !node.profile.says.is_empty()) {
        let heard = sources.iter().find_map(|source| {
            let (says, hears) = heard(&sink.profile, &source.profile)?;
            Some((source, says, hears))
        });
        let Some((source, says, hears)) = heard else { continue };
        let message = format!(
            "what `{}` publishes to {} comes back by `{}`, which subscribes to {}",
            sink.address,
            quoted(says),
            source.address,
            quoted(hears)
        );
        let mut error = Diagnostic::error(&rules::MESSAGE_LOOP, sink.type_span, message)
            .label("publishes")
            .also(source.type_span, "subscribes");
        if source.type_span.file != sink.type_span.file && source.type_span.is_somewhere() {
            let line = files.position(source.type_span.file, source.type_span.start).line;
            let path = files.path(source.type_span.file).display();
            error = error.help(format!("`{}` is at {path}:{line}", source.address));
        }
        diagnostics.push(
            error
                .help("publish to a topic that no source of this host subscribes to")
                .help("or say `allow_loop: true` in the settings of the sink, if that is meant"),
        );
    }
}

/// What a sink says and a source hears of it.
fn heard<'a>(sink: &'a Profile, source: &'a Profile) -> Option<(&'a str, &'a str)> {
    if sink.broker() != source.broker() {
        return None;
    }
    let pairs =
        sink.says.iter().flat_map(|says| source.hears.iter().map(move |hears| (says, hears)));
    let mut heard = pairs.filter(|(says, hears)| topic::overlaps(says, hears));
    heard.next().map(|(says, hears)| (says.as_str(), hears.as_str()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Loader;
    use crate::config::mqtt::{MqttBroker, MqttConfig};
    use crate::plan::plan_loaded;
    use crate::plan::test_nodes::registry;

    /// The errors about brokers in two files, each by its rule, line and message.
    fn found(one: &str, other: &str, brokers: &[&str]) -> Vec<(String, u32, String, String)> {
        let mut loader = Loader::new(&|_| None);
        loader.text(Path::new("one.yaml"), &format!("pipeline: one\n{one}"));
        if !other.is_empty() {
            loader.text(Path::new("other.yaml"), &format!("pipeline: other\n{other}"));
        }
        let named = brokers.iter().map(|name| ((*name).to_owned(), MqttBroker::default()));
        let mqtt = MqttConfig { connections: named.collect(), ..MqttConfig::default() };
        let planned = plan_loaded(loader.finish(), &registry().with_brokers(&mqtt));
        let found = planned.diagnostics.to_json(&planned.files).into_iter();
        let found = found.filter(|one| one.rule == "SM0088" || one.rule == "SM0089");
        let found: Vec<_> = found
            .map(|one| (one.rule.into_owned(), one.line, one.message, one.help.unwrap_or_default()))
            .collect();
        assert!(found.is_empty() || planned.graph.is_none(), "it would run");
        found
    }

    #[test]
    fn a_broker_that_is_not_in_the_config_is_an_error_at_its_line() {
        let yaml = "sources:\n  air:\n    feed:\n      connection: gardne\n";
        let said = found(yaml, "", &["garden", "cellar"]);
        let [(rule, line, message, help)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((rule.as_str(), *line), ("SM0088", 5));
        assert!(message.contains("`gardne`") && help.contains("`garden`"), "{message} {help}");
        let said = found(&yaml.replace("gardne", "roof"), "", &["garden", "cellar"]);
        assert!(said[0].3.contains("cellar, garden"), "{said:?}");
        let said = found(&yaml.replace("gardne", "roof"), "", &[]);
        assert!(said[0].3.contains("mqtt.connections"), "{said:?}");
        assert_eq!(found(&yaml.replace("gardne", "garden"), "", &["garden"]), []);
        assert_eq!(found(&yaml.replace("gardne", "default"), "", &[]), []);
        assert_eq!(found("sources: { air: { feed: {} } }", "", &[]), []);
    }

    #[test]
    fn what_a_sink_says_must_not_come_back_by_a_source() {
        let hears = "sources:\n  air:\n    feed: { hears: [home/+/air, $share/g/cellar/#] }\n";
        let says = |topics: &str| {
            let sink = format!("  out:\n    inputs: [b]\n    post: {{ topics: [{topics}] }}\n");
            format!("sources:\n  b: {{ as: b, feed: {{}} }}\nsinks:\n{sink}")
        };
        // Not only where the sink gets what the source gives.
        let said = found(hears, &says("weather, home/kitchen/air"), &[]);
        let [(rule, line, message, help)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((rule.as_str(), *line), ("SM0089", 7));
        let names = ["`other/out`", "`home/kitchen/air`", "`one/air`", "`home/+/air`"];
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
        assert!(help.contains("one.yaml:4") && help.contains("allow_loop"), "{help}");
        // A pattern of what is known only by the item.
        assert_eq!(found(hears, &says("+/+/air"), &[]).len(), 1);
        assert_eq!(found(hears, &says("cellar"), &[]).len(), 1);
        assert_eq!(found(hears, &says("weather, home/air, home/+/soil"), &[]), []);
        // Another broker.
        let there = hears.replace("{ hears", "{ connection: garden, hears");
        assert_eq!(found(&there, &says("home/kitchen/air"), &["garden"]), []);
        let same = says("home/kitchen/air").replace("{ topics", "{ connection: garden, topics");
        assert_eq!(found(&there, &same, &["garden"]).len(), 1);
        // In one file.
        let one = format!("{hears}{}", says("home/kitchen/air").replace("sources:\n", ""));
        let said = found(&one, "", &[]);
        assert_eq!((said.len(), said[0].1), (1, 9), "{said:?}");
    }
}
