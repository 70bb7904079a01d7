//! Brokers: whether each lets this host in, what it does at most, and whether it keeps what it took.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, ToSocketAddrs};
use std::time::{Duration, Instant};

use smollama_engine::config::mqtt::{DEFAULT_BROKER, MqttBroker, MqttConfig, MqttVersion};
use smollama_nodes::io::mqtt::{Client, Greeting, NotGreeted, Qos, Reason, greet};
use tokio::time::timeout;

use super::data::Engine;
use super::finding::Finding;
use super::mosquitto::{self, Place};
use crate::text::{bytes, span};

/// How long a broker has to answer.
const WITHIN: Duration = Duration::from_secs(5);
/// How long it has to say what it is, where it does.
const SAYS_WITHIN: Duration = Duration::from_secs(1);
/// What a broker is asked of itself.
const VERSION: &str = "$SYS/broker/version";
const DROPPED: &str = "$SYS/broker/publish/messages/dropped";
/// How long a session is kept, and how large a message can be, where the settings do not say.
const SESSION_EXPIRY: Duration = Duration::from_secs(7 * 24 * 3600);
const MAX_PACKET: u64 = 1 << 20;
/// A broker that takes no more at once slows down who publishes much.
const FEW: u16 = 20;

/// The findings about each broker of config.yaml, by the name of its section.
pub(super) async fn findings(mqtt: &MqttConfig, engine: &Engine) -> Vec<(String, Vec<Finding>)> {
    let alone = MqttConfig { connections: BTreeMap::new(), ..mqtt.clone() };
    let is_set = alone != MqttConfig::default();
    let mut sections = Vec::new();
    for name in mqtt.names() {
        let Some(settings) = mqtt.named(name) else { continue };
        let section = match name {
            DEFAULT_BROKER if !is_set && !mqtt.connections.is_empty() => continue,
            DEFAULT_BROKER => "mqtt".to_owned(),
            name => format!("mqtt {name}"),
        };
        let key = match name {
            DEFAULT_BROKER => "mqtt".to_owned(),
            name => format!("mqtt.connections.{name}"),
        };
        let found = if settings.embedded && engine.status().is_none() {
            at_rest(&settings)
        } else {
            of(&settings, &key, is_set || name != DEFAULT_BROKER).await
        };
        sections.push((section, found));
    }
    sections
}

/// Where this program is to be the broker, and no engine runs: its port has to be free.
fn at_rest(settings: &MqttBroker) -> Vec<Finding> {
    const CHECK: &str = "mqtt.embedded";
    let (host, port) = place(settings);
    let host = if host == "localhost" { "127.0.0.1".to_owned() } else { host };
    vec![match TcpListener::bind((host.as_str(), port)) {
        Ok(_) => Finding::ok(
            CHECK,
            format!("this program is the broker at {host}:{port}, once an engine runs"),
        ),
        Err(error) => Finding::error(
            CHECK,
            format!("this program is to be the broker at {host}:{port}, and cannot: {error}"),
            "if another broker runs there, use that one: take `embedded` out; or choose another `port`",
        ),
    }]
}

async fn of(settings: &MqttBroker, key: &str, is_set: bool) -> Vec<Finding> {
    let began = Instant::now();
    match greet(settings, WITHIN).await {
        Ok((greeting, client)) => {
            // Two connections were made.
            let took = began.elapsed() / 2;
            let mut found = vec![reached(settings, &greeting, took)];
            limits(settings, key, &greeting, &mut found);
            let said = ask(client).await;
            keeps(settings, &said, &mut found);
            found
        }
        Err(why) if !is_set => {
            let (host, port) = place(settings);
            let text =
                format!("config.yaml names no broker, and at {host}:{port} there is none: {why}");
            let fix = "only for pipelines that speak MQTT: `mqtt: { broker: HOST }` or `mqtt: { embedded: true }`";
            vec![Finding::note("mqtt.reach", text).fix(fix)]
        }
        Err(why) => vec![unreached(settings, key, &why)],
    }
}

/// Where a broker is.
fn place(settings: &MqttBroker) -> (String, u16) {
    let host = settings.broker.clone().unwrap_or_else(|| "localhost".into());
    (host, settings.port.unwrap_or(if settings.tls.is_some() { 8883 } else { 1883 }))
}

fn reached(settings: &MqttBroker, greeting: &Greeting, took: Duration) -> Finding {
    const CHECK: &str = "mqtt.reach";
    let (host, port) = place(settings);
    let version = if greeting.version == MqttVersion::V3 { "3.1.1" } else { "5" };
    let tls = if settings.tls.is_some() { ", encrypted" } else { "" };
    let user = settings.username.as_ref().map_or("", |_| ", with the user name of the settings");
    let took = took.as_secs_f64() * 1_000.0;
    let text =
        format!("{host}:{port} lets this host in by MQTT {version}{tls}{user}, in {took:.0} ms");
    let finding = if greeting.version == MqttVersion::V3 && settings.version == MqttVersion::Auto {
        let text = format!(
            "{text}; MQTT 5 it does not know: it then says nothing of its limits, and messages of this host's own are not recognised"
        );
        Finding::note(CHECK, text).fix("update the broker: mosquitto knows MQTT 5 from 1.6 on")
    } else {
        Finding::ok(CHECK, text)
    };
    finding.fact("version", version).fact("connect_ms", (took * 10.0).round() / 10.0)
}

fn unreached(settings: &MqttBroker, key: &str, why: &NotGreeted) -> Finding {
    let (host, port) = place(settings);
    let text = format!("{host}:{port}: {why}");
    let local = is_local(&host);
    let fix = match why.reason {
        Reason::Nobody if local => {
            let own = if key == "mqtt" { "; or be one: `mqtt: { embedded: true }`" } else { "" };
            format!(
                "start the broker: sudo systemctl start mosquitto; or correct `{key}.port`{own}"
            )
        }
        Reason::Nobody => format!(
            "start the broker there, or correct `{key}.broker` and `{key}.port`; mosquitto listens on its own machine alone \
             until it has a `listener 1883` line"
        ),
        Reason::Unreachable => format!(
            "correct `{key}.broker`; look whether a firewall is between: nc -vz {host} {port}"
        ),
        Reason::NoBroker if settings.tls.is_none() => format!(
            "is port {port} one for TLS? Then write `{key}.tls: {{}}`; otherwise correct `{key}.port`"
        ),
        Reason::NoBroker => format!("correct `{key}.port`, or `{key}.version`"),
        Reason::Refused if settings.username.is_none() => format!(
            "the broker wants to know who comes: write `{key}.username` and `{key}.password`"
        ),
        Reason::Refused => format!(
            "correct `{key}.username` and `{key}.password`; mosquitto knows those of its password_file: \
             sudo mosquitto_passwd FILE NAME"
        ),
        Reason::Untrusted => format!(
            "name the authority that signed the broker's certificate, `{key}.tls: {{ ca: FILE }}`; look whether the \
             certificate names {host} and has not expired: openssl s_client -connect {host}:{port}"
        ),
        Reason::Settings => format!("correct `{key}.tls`"),
    };
    Finding::error("mqtt.reach", text, fix)
}

/// What the broker does at most, beside what this host wants of it.
fn limits(settings: &MqttBroker, key: &str, greeting: &Greeting, found: &mut Vec<Finding>) {
    const CHECK: &str = "mqtt.limits";
    let before = found.len();
    let wanted = settings.session_expiry.map_or(SESSION_EXPIRY, |time| time.to_std());
    if let Some(kept) = greeting.session_expiry.filter(|kept| *kept < wanted) {
        let text = format!(
            "it keeps what it has for this host for {}, and not for {} as asked: a longer absence loses messages",
            span(kept.as_secs_f64()),
            span(wanted.as_secs_f64())
        );
        let fix = format!(
            "allow more at the broker (mosquitto: persistent_client_expiration), or know it: `{key}.session_expiry`"
        );
        found.push(Finding::warning(CHECK, text, fix).fact("session_expiry_s", kept.as_secs()));
    }
    if greeting.max_qos == Qos::AtMostOnce {
        let text =
            "it knows only QoS 0: it acknowledges nothing, and what it loses nobody hears of";
        found.push(Finding::error(CHECK, text, "mosquitto: `max_qos 2`; another broker otherwise"));
    } else if greeting.max_qos == Qos::AtLeastOnce {
        let text = "it knows no QoS 2: what it delivers again after a crash is taken again";
        found.push(Finding::note(CHECK, text).fix("mosquitto: `max_qos 2`"));
    }
    if !greeting.retain {
        let text = "it retains nothing: who subscribes later does not see whether this host is there, and Home Assistant loses its entities";
        found.push(Finding::warning(CHECK, text, "mosquitto: `retain_available true`"));
    }
    if !greeting.wildcards {
        let text = "it knows no `+` and `#`: sources have to name each topic";
        found.push(Finding::warning(CHECK, text, "name each in `topics`, or use another broker"));
    }
    let largest = settings.max_packet.map_or(MAX_PACKET, |size| size.0);
    if let Some(most) = greeting.max_packet.map(u64::from).filter(|most| *most < largest) {
        let text = format!(
            "it takes messages of {} at most, and this host of {}",
            bytes(most),
            bytes(largest)
        );
        let fix =
            "nothing has to be done for readings; for larger ones, mosquitto: `max_packet_size`";
        found.push(Finding::note(CHECK, text).fix(fix).fact("max_packet_bytes", most));
    }
    if let Some(few) = greeting.receive_maximum.filter(|few| *few <= FEW) {
        let text = format!(
            "it takes {few} messages before it has acknowledged the first of them, which slows down who publishes much"
        );
        let fix = "mosquitto: `max_inflight_messages 1000`";
        found.push(Finding::note(CHECK, text).fix(fix).fact("receive_maximum", few));
    }
    if found.len() == before {
        found.push(Finding::ok(CHECK, "it sets no limit that this host would meet"));
    }
}

/// What a broker says of itself below `$SYS`, where it does so and this user may hear it.
#[derive(Debug, Default)]
struct Said {
    version: Option<String>,
    dropped: Option<u64>,
}

async fn ask(mut client: Client) -> Said {
    let mut said = Said::default();
    let asked = async {
        for topic in [VERSION, DROPPED] {
            client.subscribe(topic, Qos::AtMostOnce).await?;
        }
        while said.version.is_none() || said.dropped.is_none() {
            let message = client.next().await?;
            let text = String::from_utf8_lossy(&message.payload).trim().to_owned();
            match message.topic.as_str() {
                VERSION => said.version = Some(text.replace(" version", "")),
                DROPPED => said.dropped = text.parse().ok(),
                _ => {}
            }
        }
        Ok::<(), String>(())
    };
    // A broker that says nothing of the kind is one all the same.
    let _ = timeout(SAYS_WITHIN, asked).await;
    client.close().await;
    said
}

/// Whether the broker keeps what it took for this host while it is away.
fn keeps(settings: &MqttBroker, said: &Said, found: &mut Vec<Finding>) {
    const CHECK: &str = "mqtt.keeps";
    if settings.embedded {
        let text = "this program is the broker: what it acknowledged is in the journal";
        found.push(Finding::ok(CHECK, text));
        return;
    }
    let name = said.version.as_deref().unwrap_or("the broker");
    if let Some(dropped) = said.dropped.filter(|dropped| *dropped > 0) {
        let text =
            format!("{name} has dropped {dropped} messages since it began: its queues were full");
        let fix =
            "mosquitto: `max_queued_messages 0`; it does not say whose they were, its log does";
        found.push(Finding::warning("mqtt.dropped", text, fix).fact("dropped", dropped));
    }
    let is_mosquitto = said.version.as_deref().is_none_or(|name| name.starts_with("mosquitto"));
    let (host, port) = place(settings);
    let local = is_local(&host);
    match mosquitto::of_port(port).filter(|_| local && is_mosquitto) {
        Some(Place::Read(file)) => {
            let wanted = settings.session_expiry.map_or(SESSION_EXPIRY, |time| time.to_std());
            found.extend(file.findings(wanted));
        }
        Some(Place::Unreadable(path)) => {
            let text = format!(
                "whether {name} keeps what waits for this host cannot be seen: {} cannot be read",
                path.display()
            );
            found.push(
                Finding::note(CHECK, text)
                    .fix(format!("sudo smollama doctor reads it; it needs {}", mosquitto::NEEDED)),
            );
        }
        None => {
            let text = format!(
                "whether {name} keeps what waits for this host, and all of it, cannot be seen from here"
            );
            let fix = match is_mosquitto {
                true => format!("its configuration needs {}", mosquitto::NEEDED),
                false => "let it keep sessions on disk, and queues without a bound or with one that fits an absence of this host".into(),
            };
            found.push(Finding::note(CHECK, text).fix(fix));
        }
    }
}

/// Whether a name is one of this machine's.
fn is_local(host: &str) -> bool {
    if host == "localhost" {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => (host, 0)
            .to_socket_addrs()
            .is_ok_and(|mut found| found.all(|address| address.ip().is_loopback())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn greeting() -> Greeting {
        Greeting {
            version: MqttVersion::V5,
            session_expiry: None,
            receive_maximum: Some(u16::MAX),
            max_packet: None,
            max_qos: Qos::ExactlyOnce,
            retain: true,
            wildcards: true,
            shared: true,
            keep_alive: None,
        }
    }

    fn judged(greeting: &Greeting) -> Vec<(Level, String)> {
        let mut found = Vec::new();
        limits(&MqttBroker::default(), "mqtt", greeting, &mut found);
        for finding in &found {
            assert_eq!(finding.fix.is_none(), finding.level == Level::Ok, "{finding:?}");
        }
        found.into_iter().map(|finding| (finding.level, finding.text)).collect()
    }

    #[test]
    fn limits_are_held_against_what_this_host_wants() {
        assert_eq!(judged(&greeting())[0].0, Level::Ok);
        let hour = Some(Duration::from_secs(3600));
        let short = judged(&Greeting { session_expiry: hour, ..greeting() });
        assert!(
            short[0].0 == Level::Warning && short[0].1.contains("for 1h, and not for 7d"),
            "{short:?}"
        );
        let longer = Some(SESSION_EXPIRY * 2);
        assert_eq!(judged(&Greeting { session_expiry: longer, ..greeting() })[0].0, Level::Ok);
        let none = judged(&Greeting { max_qos: Qos::AtMostOnce, ..greeting() });
        assert_eq!(none[0].0, Level::Error);
        let meagre = Greeting {
            max_qos: Qos::AtLeastOnce,
            receive_maximum: Some(20),
            max_packet: Some(2048),
            ..greeting()
        };
        let levels: Vec<Level> = judged(&meagre).into_iter().map(|(level, _)| level).collect();
        assert_eq!(levels, [Level::Note; 3]);
        let bare = judged(&Greeting { retain: false, wildcards: false, ..greeting() });
        assert!(bare.len() == 2 && bare.iter().all(|(level, _)| *level == Level::Warning));
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for local in ["localhost", "127.0.0.1", "::1", "0.0.0.0"] {
            assert!(is_local(local), "{local}");
        }
        for far in ["10.0.0.7", "192.0.2.1", "2001:db8::1"] {
            assert!(!is_local(far), "{far}");
        }
    }
}
