//! Brokers that do not let this host in, or not everywhere: each says why, once, in `status` and in the log, and whatever has nothing to
//! do with them goes on.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;

use super::client::Client;
use super::{broker, node};
use crate::mosquitto::{KEEPS, Mosquitto};
use crate::mqtt_command::password_file;
use crate::place::{Place, wait_until};

/// One half by the broker that is looked at, one by another.
pub(super) const PIPELINE: &str = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
  other: { as: o, mqtt: { connection: good, topic: \"in/+\", id: \"{2}\" } }
sinks:
  sent: { inputs: [in], mqtt: { topic: \"out/{{ source }}\" } }
  out: { inputs: [in], file: { path: out.jsonl } }
  others: { inputs: [other], file: { path: others.jsonl } }
";

/// A place with a broker that is looked at, by its settings, and one with which all is well.
pub(super) fn place_with(settings: &str, good: &Mosquitto) -> Place {
    let place = Place::new();
    let connections = format!("good: {{ broker: 127.0.0.1, port: {} }}", good.port);
    let config = format!("mqtt: {{ {settings}, connections: {{ {connections} }} }}\n");
    place.write("config.yaml", &config);
    place
}

/// Waits until a node says this in `status`, and looks for it in the log.
pub(super) fn wait_for(place: &Place, name: &str, why: &str) {
    let mut said = Value::Null;
    let limit = std::time::Instant::now() + Duration::from_secs(30);
    while !said.as_str().is_some_and(|said| said.contains(why)) {
        assert!(std::time::Instant::now() < limit, "`{name}` says {said}, not {why}");
        std::thread::sleep(Duration::from_millis(20));
        said = node(place, name)["error"].clone();
    }
    let logs = place.says(&["logs"]);
    assert!(logs.contains(why), "{logs}");
}

/// Fails unless readings come by the other broker.
pub(super) fn others_go_on(place: &Place, good: &Mosquitto) {
    let others = || place.read("data/others.jsonl").lines().count();
    let before = others();
    let mut client = Client::connect(good.port, "other").expect("it runs");
    wait_until("other nodes go on", || {
        client.say("in/1", b"1").expect("it takes it");
        others() > before
    });
    assert_eq!(node(place, "other")["error"], Value::Null);
}

/// Fails unless a message goes through both connections of the broker.
pub(super) fn goes_through(place: &Place, mut say: impl FnMut()) {
    wait_until("a message comes", || {
        say();
        !place.read("data/out.jsonl").is_empty()
    });
    wait_until("all is well", || place.is_idle());
    assert_eq!(node(place, "in")["error"], Value::Null);
    assert_eq!(node(place, "sent")["error"], Value::Null);
}

#[test]
fn a_wrong_password_is_named() {
    for version in ["5", "3.1.1"] {
        let (keys, good) = (Place::new(), broker(""));
        let passwords = password_file(keys.folder(), "pi", "raspberry");
        let config = format!("allow_anonymous false\npassword_file {}", passwords.display());
        let locked = Mosquitto::start(&config);
        let settings = |password: &str| {
            format!(
                "broker: 127.0.0.1, port: {}, version: {version:?}, username: pi, password: {password}",
                locked.port
            )
        };
        let place = place_with(&settings("strawberry"), &good);
        let mut engine = place.engine(PIPELINE);
        for name in ["in", "sent"] {
            wait_for(&place, name, "does not accept the user name and password");
        }
        others_go_on(&place, &good);
        assert!(!place.says(&["logs"]).contains("strawberry"), "a secret is in the log");
        engine.stop();
        place.write("config.yaml", &place.read("config.yaml").replace("strawberry", "raspberry"));
        let _engine = place.start(&["run", "--no-dashboard"]);
        let port = locked.port.to_string();
        goes_through(&place, || {
            let mut say = place.command(&["mqtt", "pub", "in/1", "2", "--host", "127.0.0.1"]);
            say.args(["--port", &port, "--username", "pi", "--password-env", "RIGHT"]);
            assert!(say.env("RIGHT", "raspberry").status().expect("it runs").success());
        });
    }
}

/// An authority, and what it signs.
struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Writes its certificate to `ca.pem`.
    fn new(folder: &Path) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("settings");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join("ca.pem"), root.pem()).expect("a file for the test");
        Authority(Issuer::new(params, key))
    }

    /// Writes a certificate for loopback that is good until a year, with its key, to `NAME.pem` and `NAME.key`.
    fn signs(&self, folder: &Path, name: &str, until: i32) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("settings");
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) =
            (date_time_ymd(2019, 1, 1), date_time_ymd(until, 1, 1));
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("a file");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("a file");
    }
}

#[test]
fn trust_by_certificates_works_both_ways_and_what_lacks_it_is_named() {
    let (keys, good) = (Place::new(), broker(""));
    let authority = Authority::new(keys.folder());
    for (name, until) in [("server", 2090), ("client", 2090), ("expired", 2020)] {
        authority.signs(keys.folder(), name, until);
    }
    let shown = keys.folder().display();
    let listens = |name: &str| {
        Mosquitto::start(&format!(
            "cafile {shown}/ca.pem\ncertfile {shown}/{name}.pem\nkeyfile {shown}/{name}.key\nrequire_certificate true\n{KEEPS}"
        ))
    };
    let (valid, expired) = (listens("server"), listens("expired"));
    let settings = |broker: &Mosquitto, tls: &str| {
        format!("broker: 127.0.0.1, port: {}, tls: {{ {tls} }}", broker.port)
    };
    let full = format!("ca: {shown}/ca.pem, cert: {shown}/client.pem, key: {shown}/client.key");
    let plain = format!("ca: {shown}/ca.pem");
    for (broker, tls, why) in [
        (&expired, full.as_str(), "certificate expired"),
        (&valid, "{}", "UnknownIssuer"),
        (&valid, &plain, "ertificate"),
    ] {
        let place = place_with(&settings(broker, tls.trim_matches(['{', '}'])), &good);
        let _engine = place.engine(PIPELINE);
        wait_for(&place, "in", why);
        wait_for(&place, "sent", why);
        others_go_on(&place, &good);
    }
    let place = place_with(&settings(&valid, &full), &good);
    let _engine = place.engine(PIPELINE);
    goes_through(&place, || {
        let said = place.run(&["mqtt", "pub", "in/1", "2"]);
        assert!(said.status.success(), "{}", crate::place::text(&said.stderr));
    });
}

#[test]
fn a_second_client_with_the_same_id_is_named() {
    let (looked_at, good) = (broker(""), broker(""));
    let place = place_with(&format!("broker: 127.0.0.1, port: {}", looked_at.port), &good);
    let _engine = place.engine(PIPELINE);
    let mut id = None;
    wait_until("it has connected", || {
        let said = looked_at.said();
        let mut words = said.split_whitespace();
        id = words
            .find(|word| word.starts_with("smollama-") && word.ends_with("-sub"))
            .map(str::to_owned);
        id.is_some()
    });
    let (id, over) = (id.expect("its id"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // As a copy of the data directory would, it comes back whenever it is thrown out.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let Ok(mut copy) = Client::resume(looked_at.port, &id) else { continue };
                while copy.next().is_ok() {}
            }
        });
        let end = Ends(&over);
        wait_for(&place, "in", &format!("has another client the same id `{id}`"));
        others_go_on(&place, &good);
        drop(end);
    });
    let mut client = Client::connect(looked_at.port, "publisher").expect("it runs");
    goes_through(&place, || client.say("in/1", b"2").expect("it takes it"));
}

/// When it goes, it is over.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where the plugin lies by which mosquitto refuses subscriptions: its lists of permissions let everybody subscribe, and say nothing.
fn plugin() -> Option<String> {
    let folders = ["x86_64-linux-gnu", "aarch64-linux-gnu", "arm-linux-gnueabihf"];
    let paths = folders.map(|folder| format!("/usr/lib/{folder}/mosquitto_dynamic_security.so"));
    paths.into_iter().find(|path| Path::new(path).is_file())
}

/// A broker that lets everybody subscribe to `in/#` alone, and publish where it is said.
fn strict(plugin: &str, keys: &Place, publish: &[&str]) -> Mosquitto {
    let allow = |kind, topic| {
        format!("{{\"acltype\":\"{kind}\",\"topic\":\"{topic}\",\"priority\":0,\"allow\":true}}")
    };
    let mut acls = vec![
        allow("subscribePattern", "in/#"),
        allow("publishClientReceive", "#"),
        allow("unsubscribePattern", "#"),
    ];
    acls.extend(publish.iter().map(|topic| allow("publishClientSend", topic)));
    keys.write(
        "permissions.json",
        &format!(
            "{{\"defaultACLAccess\":{{\"publishClientSend\":false,\"publishClientReceive\":false,\"subscribe\":false,\"unsubscribe\":false}},\
             \"clients\":[],\"groups\":[{{\"groupname\":\"all\",\"roles\":[{{\"rolename\":\"some\"}}]}}],\
             \"roles\":[{{\"rolename\":\"some\",\"acls\":[{}]}}],\"anonymousGroup\":\"all\"}}",
            acls.join(",")
        ),
    );
    let config = keys.path("permissions.json");
    Mosquitto::start(&format!(
        "{KEEPS}log_type all\nplugin {plugin}\nplugin_opt_config_file {}\n",
        config.display()
    ))
}

#[test]
fn a_host_that_may_not_say_that_it_is_there_says_so_and_works() {
    let Some(plugin) = plugin() else {
        eprintln!("not tested: mosquitto has no plugin here that refuses publications");
        return;
    };
    for version in ["5", "3.1.1"] {
        let (keys, good) = (Place::new(), broker(""));
        let strict = strict(&plugin, &keys, &["in/#", "out/#"]);
        let settings = format!("broker: 127.0.0.1, port: {}, version: {version:?}", strict.port);
        let place = place_with(&settings, &good);
        let config = place.read("config.yaml");
        place.write("config.yaml", &format!("name: shed\n{config}"));
        let _engine = place.engine(PIPELINE);
        // mosquitto ends the connection behind it, with `max_queued_messages 0`; over MQTT 3.1.1 without having refused it.
        wait_until("that is told, also where nothing is published", || {
            ["sent", "in"].into_iter().all(|name| {
                let warned = node(&place, name)["warnings"][0]["text"].to_string();
                warned.contains("does not take `smollama/shed/status`")
                    && warned.contains("announce")
            })
        });
        let mut client = Client::connect(strict.port, "publisher").expect("it runs");
        goes_through(&place, || client.say("in/1", b"2").expect("it takes it"));
        others_go_on(&place, &good);
    }
}

#[test]
fn a_topic_without_permission_is_named() {
    let Some(plugin) = plugin() else {
        eprintln!("not tested: mosquitto has no plugin here that refuses subscriptions");
        return;
    };
    let keys = Place::new();
    let strict = strict(&plugin, &keys, &["in/#", "smollama/#", "out/good"]);
    let yaml = "\
pipeline: p
sources:
  in: { as: s, mqtt: { topic: \"in/+\", id: \"{2}\" } }
  closed: { as: c, mqtt: { topic: \"closed/+\", id: \"{2}\" } }
sinks:
  out: { inputs: [in], file: { path: out.jsonl } }
  sent: { inputs: [in], mqtt: { topic: \"out/good\" } }
  refused: { inputs: [in], mqtt: { topic: \"out/closed\" } }
  closed_out: { inputs: [closed], discard: {} }
";
    let place = super::place(strict.port, "");
    let _engine = place.engine(yaml);
    wait_for(&place, "closed", "this user may not subscribe to it");
    let mut client = Client::connect(strict.port, "publisher").expect("it runs");
    wait_until("a message comes", || {
        client.say("in/1", b"2").expect("it takes it");
        !place.read("data/out.jsonl").is_empty()
    });
    // What the broker refuses can never go out: it lies in the dead letters, and the next one is tried.
    wait_until("it is refused", || node(&place, "refused")["rejected"].as_u64() > Some(0));
    let letters = place.says(&["dlq", "list"]);
    let why = "`out/closed` was not taken: this user may not publish to it";
    assert!(letters.contains(why), "{letters}");
    // mosquitto 2.0.11 also ends the connection after that; it comes back, and goes on.
    let sent = || node(&place, "sent");
    wait_until("the others go on", || {
        client.say("in/1", b"3").expect("it takes it");
        let (sent, received) = (sent(), node(&place, "in"));
        sent["received"].as_u64() > Some(1)
            && sent["error"].is_null()
            && received["error"].is_null()
    });
    assert_eq!(sent()["rejected"], 0);
}

/// A broker that knows only MQTT 3.1.1, and says so as such brokers do.
#[test]
fn a_broker_that_knows_only_the_older_version_is_spoken_to_in_that() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port for the test");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || super::older::serve(&stream));
        }
    });
    let good = broker("");
    let place = place_with(&format!("broker: 127.0.0.1, port: {port}"), &good);
    let _engine = place.engine(PIPELINE);
    wait_until("what it sends comes, and what comes is published", || {
        let sent = node(&place, "sent");
        !place.read("data/out.jsonl").is_empty()
            && place.is_idle()
            && sent["received"].as_u64() > Some(0)
    });
    for name in ["in", "sent", "other"] {
        assert_eq!(node(&place, name)["error"], Value::Null);
    }
    others_go_on(&place, &good);
}
