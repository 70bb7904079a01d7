//! What is wrong with brokers whose settings are each readable, and what the Python original wrote there.

use core::net::IpAddr;

use super::{DEFAULT_BROKER, MqttBroker, MqttConfig};
use crate::bytes::ByteSize;
use crate::config::tree::{Mapping, Node, Value};
use crate::diagnostic::{Diagnostic, Diagnostics, Span, quoted, rules};
use crate::duration::Duration;

/// Shorter, and the traffic is mostly pings.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
/// MQTT sends it as seconds in 16 bits.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(65_535);
/// MQTT sends it as seconds in 32 bits; the largest of them means for ever.
const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(4_294_967_295);
/// A message smaller than this holds no batch of readings.
const PACKET_MIN: ByteSize = ByteSize::kib(1);
/// What MQTT can send at all.
const PACKET_MAX: ByteSize = ByteSize::mib(256);

/// Reports what is wrong with the brokers; `tree` is what was written below `mqtt`.
pub(in crate::config) fn check(config: &MqttConfig, tree: &Node, diagnostics: &mut Diagnostics) {
    if let Some(broker) = config.named(DEFAULT_BROKER) {
        check_broker(&broker, tree, diagnostics);
    }
    let Some(connections) = entry(tree, "connections").and_then(|(_, tree)| tree.as_mapping())
    else {
        return;
    };
    for entry in connections.entries() {
        let name = &*entry.key.text;
        if let Some(help) = bad_name(name) {
            let message = format!("{} is no name for a broker", quoted(name));
            let error = Diagnostic::error(&rules::BAD_VALUE, entry.key.span, message);
            diagnostics.push(error.help(help));
        }
        if let Some(broker) = config.connections.get(name) {
            check_broker(broker, &entry.value, diagnostics);
        }
    }
}

/// How to name it instead, where a name cannot be taken.
fn bad_name(name: &str) -> Option<&'static str> {
    if name == DEFAULT_BROKER {
        return Some("`default` is the broker whose settings stand directly below `mqtt`");
    }
    let word = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(word);
    (!fits).then_some(
        "begin with a small letter, and use small letters, digits, `_` and `-` only, as in `garden-2`",
    )
}

fn check_broker(broker: &MqttBroker, tree: &Node, diagnostics: &mut Diagnostics) {
    let mut error = |key: &str, message: String, help: &str| {
        let span = entry(tree, key).map_or(tree.span, |(_, value)| value.span);
        diagnostics.push(Diagnostic::error(&rules::BAD_VALUE, span, message).help(help));
    };
    if broker.broker.as_ref().is_some_and(|name| name.trim().is_empty()) {
        error(
            "broker",
            "`broker` is empty".into(),
            "write a host name or an address, or leave it out for `localhost`",
        );
    }
    check_embedded(broker, &mut error);
    if broker.port == Some(0) {
        error("port", "there is no port 0".into(), "brokers listen on 1883, with TLS on 8883");
    }
    if let Some(time) = broker.keep_alive
        && !(KEEP_ALIVE_MIN..=KEEP_ALIVE_MAX).contains(&time)
    {
        let message =
            format!("`keep_alive` is {time}, but can be {KEEP_ALIVE_MIN} to {KEEP_ALIVE_MAX} only");
        error("keep_alive", message, "`30s` suits most networks");
    }
    if let Some(time) = broker.session_expiry
        && time > SESSION_EXPIRY_MAX
    {
        let message =
            format!("`session_expiry` is {time}, but can be {SESSION_EXPIRY_MAX} at most");
        error("session_expiry", message, "`7d` outlives a holiday");
    }
    if broker.receive_maximum == Some(0) {
        error(
            "receive_maximum",
            "with a `receive_maximum` of 0 nothing could be received".into(),
            "write 1 or more",
        );
    }
    if let Some(size) = broker.max_packet
        && !(PACKET_MIN..=PACKET_MAX).contains(&size)
    {
        let message =
            format!("`max_packet` is {size}, but can be {PACKET_MIN} to {PACKET_MAX} only");
        error("max_packet", message, "`1MiB` suits readings and pictures of a small camera");
    }
    if let Some(tls) = &broker.tls
        && tls.cert.is_some() != tls.key.is_some()
    {
        let (here, missing) = if tls.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
        let at = entry(tree, "tls").and_then(|(_, tls)| entry(tls, here));
        let span = at.map_or(tree.span, |(key, _)| key);
        let message = format!("`{here}` means nothing without `{missing}`");
        let error = Diagnostic::error(&rules::BAD_VALUE, span, message);
        diagnostics.push(error.help(format!("name the file of the `{missing}`, too")));
    }
    if let Some((key, _)) = entry(tree, "password").filter(|_| broker.username.is_none()) {
        let message = "a `password` without a `username` is not used".to_owned();
        let warning = Diagnostic::warning(&rules::BAD_VALUE, key, message);
        diagnostics.push(warning.help("write `username`, too"));
    }
}

/// `error` takes the key, what is wrong, and what to do.
fn check_embedded(broker: &MqttBroker, error: &mut impl FnMut(&str, String, &str)) {
    if !broker.embedded {
        return;
    }
    let listens = broker.broker.as_deref().unwrap_or("localhost");
    let address = if listens == "localhost" { "127.0.0.1" } else { listens };
    let has_password = broker.username.is_some() && broker.password.is_some();
    match address.parse::<IpAddr>() {
        Err(_) => error(
            "broker",
            format!("an embedded broker cannot listen on {}", quoted(listens)),
            "write 127.0.0.1 for this machine alone, or 0.0.0.0 for all its networks",
        ),
        Ok(address) if !address.is_loopback() && !has_password => error(
            "broker",
            format!(
                "an embedded broker on {address} would be open to whoever reaches this machine"
            ),
            "write a `username` and a `password`, which everybody has to give then, or leave `broker` out for this machine alone",
        ),
        Ok(_) => {}
    }
    if broker.tls.is_some() {
        let message = "an embedded broker speaks no TLS".to_owned();
        error("tls", message, "leave `tls` out, or run mosquitto for it");
    }
}

/// A key of a mapping, and what stands there.
fn entry<'a>(tree: &'a Node, key: &str) -> Option<(Span, &'a Node)> {
    let entry = tree.as_mapping()?.get(key)?;
    Some((entry.key.span, &entry.value))
}

/// What stands below `mqtt` without `topics`, which the Python original had there: nodes name their topics now. Each key is a
/// warning that says where.
pub(in crate::config) fn without_topics(tree: &Node, diagnostics: &mut Diagnostics) -> Node {
    let Value::Mapping(mapping) = &tree.value else { return tree.clone() };
    let kept = mapping.entries().iter().filter(|entry| {
        if &*entry.key.text != "topics" {
            return true;
        }
        let keys = entry.value.as_mapping().map_or(&[][..], |topics| topics.entries());
        let mut warn = |span, name: &str, help: &str| {
            let message = format!("{} means nothing to this version", quoted(name));
            let warning = Diagnostic::warning(&rules::UNKNOWN_KEY, span, message);
            diagnostics.push(warning.help(help));
        };
        for topic in keys {
            let (span, name) = (topic.key.span, format!("mqtt.topics.{}", topic.key.text));
            match &*topic.key.text {
                "subscribe" => warn(
                    span,
                    &name,
                    "say in a pipeline what is read: `sources: { rooms: { mqtt: { topic: home/# } } }`",
                ),
                "publish_prefix" => warn(
                    span,
                    &name,
                    "say in a pipeline where it goes: `sinks: { out: { inputs: [...], mqtt: { topic: ... } } }`",
                ),
                _ => warn(span, &name, "remove it"),
            }
        }
        if keys.is_empty() {
            warn(entry.key.span, "mqtt.topics", "remove it: nodes name their topics");
        }
        false
    });
    Node { span: tree.span, value: Value::Mapping(Mapping::new(kept.cloned().collect())) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Loader;
    use crate::config::host::{HostConfig, read_host};
    use crate::diagnostic::{Diagnostics, Severity};

    /// What was read of a file, and what was said of it: line, whether it is an error, and the message.
    fn read(yaml: &str) -> (Option<HostConfig>, Vec<(usize, bool, String)>) {
        let nothing = |_: &str| None;
        let mut loader = Loader::new(&nothing);
        loader.text(Path::new("/etc/smollama/config.yaml"), yaml);
        let mut loaded = loader.finish();
        let mut found: Diagnostics = std::mem::take(&mut loaded.diagnostics);
        let config = read_host(&loaded, &mut found);
        let said = found.to_json(&loaded.files).into_iter().zip(found.sorted());
        let said = said.map(|(shown, one)| {
            assert!(shown.help.is_some(), "{}", shown.message);
            (shown.line as usize, one.severity == Severity::Error, shown.message)
        });
        (config, said.collect())
    }

    #[test]
    fn brokers_that_nothing_is_wrong_with_are_read() {
        let (config, said) = read(
            "mqtt:
  broker: 10.0.0.2
  port: 1884
  username: pi
  password: raspberry
  keep_alive: 18h12m15s
  session_expiry: 0s
  receive_maximum: 1
  max_packet: 1KiB
  tls: { ca: certs/ca.pem }
  connections:
    garden-2:
      broker: garden
      keep_alive: 5s
      max_packet: 256MiB
      tls: { cert: /etc/ssl/pi.pem, key: pi.key }
",
        );
        assert_eq!(said, []);
        let mqtt = config.unwrap().mqtt;
        assert_eq!(mqtt.names().collect::<Vec<_>>(), ["default", "garden-2"]);
        // Relative to the file, wherever the process stands.
        let ca = mqtt.tls.unwrap().ca.unwrap();
        assert_eq!(ca, Path::new("/etc/smollama/certs/ca.pem"));
        let garden = mqtt.connections["garden-2"].tls.clone().unwrap();
        assert_eq!(garden.cert.unwrap(), Path::new("/etc/ssl/pi.pem"));
        assert_eq!(garden.key.unwrap(), Path::new("/etc/smollama/pi.key"));
    }

    #[test]
    fn each_mistake_is_said_at_its_line() {
        for (yaml, line, part) in [
            ("  broker: ''", 2, "`broker` is empty"),
            ("  port: 0", 2, "no port 0"),
            ("  embedded: true\n  broker: pi.local", 3, "cannot listen on `pi.local`"),
            ("  embedded: true\n  broker: 0.0.0.0", 3, "open to whoever reaches"),
            ("  embedded: true\n  tls: {}", 3, "speaks no TLS"),
            ("  keep_alive: 4s", 2, "`keep_alive` is 4s"),
            ("  keep_alive: 18h12m16s", 2, "`keep_alive` is 18h12m16s"),
            ("  session_expiry: 60000d", 2, "`session_expiry` is"),
            ("  receive_maximum: 0", 2, "`receive_maximum` of 0"),
            ("  max_packet: 1023B", 2, "`max_packet` is"),
            ("  max_packet: 257MiB", 2, "`max_packet` is"),
            ("  tls:\n    cert: a.pem", 3, "`cert` means nothing without `key`"),
            ("  tls:\n    key: a.pem", 3, "`key` means nothing without `cert`"),
            ("  connections:\n    Garden: {}", 3, "`Garden` is no name"),
            ("  connections:\n    2nd: {}", 3, "`2nd` is no name"),
            ("  connections:\n    default: {}", 3, "`default` is no name"),
            ("  connections:\n    garden:\n      port: 0", 4, "no port 0"),
        ] {
            let (_, said) = read(&format!("mqtt:\n{yaml}\n"));
            let [(at, true, message)] = &said[..] else { panic!("{yaml}: {said:?}") };
            assert_eq!(*at, line, "{yaml}");
            assert!(message.contains(part), "{yaml}: {message}");
        }
    }

    #[test]
    fn what_the_original_wrote_is_taken_with_a_word_on_what_to_write_now() {
        let (config, said) = read(
            "mqtt:
  broker: llama.local
  password: secret
  topics:
    subscribe: [smollama/#]
    publish_prefix: smollama/pi
",
        );
        let lines: Vec<_> = said.iter().map(|(line, error, _)| (*line, *error)).collect();
        assert_eq!(lines, [(3, false), (5, false), (6, false)], "{said:?}");
        assert!(said[0].2.contains("without a `username`"), "{said:?}");
        assert!(said[1].2.contains("mqtt.topics.subscribe"), "{said:?}");
        assert_eq!(config.unwrap().mqtt.broker.as_deref(), Some("llama.local"));
    }
}
