//! `smollama doctor` on hosts that are well, and on hosts that are not.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::mosquitto::{FORGETS, KEEPS, Mosquitto, free_port};
use crate::mqtt_command::password_file;
use crate::place::{Place, text, wait_until};

const HOME: &str = "pipeline: home\nsources: { air: { every: 50ms, simulate: {} } }\n\
    sinks: { out: { inputs: [air], file: { path: air.jsonl } } }\n";

/// A place with these settings, and an API that is in nobody's way.
fn place(config: &str) -> Place {
    let place = Place::new();
    place.write("config.yaml", &format!("http: {{ enabled: false }}\n{config}"));
    place
}

fn mode(place: &Place, name: &str, mode: u32) {
    fs::set_permissions(place.path(name), Permissions::from_mode(mode)).expect("it is ours");
}

/// What it says, and the checks that found errors. Where the tests lie in memory, as some machines have it, that is none of them.
fn doctor(place: &Place) -> (Value, Vec<String>) {
    let output = place.run(&["doctor", "--json"]);
    let report = serde_json::from_slice(&output.stdout);
    let report: Value = report.unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let sections = report["sections"].as_array().expect("sections").iter();
    let all = sections.flat_map(|section| section["findings"].as_array().expect("findings"));
    let wrong = all.filter(|finding| finding["level"] == "error");
    let mut wrong: Vec<String> =
        wrong.map(|finding| finding["check"].as_str().expect("text").to_owned()).collect();
    assert_eq!(report["errors"], wrong.len());
    let settings = wrong.iter().any(|check| check == "settings.file");
    let code = if settings { 2 } else { i32::from(!wrong.is_empty()) };
    assert_eq!(output.status.code(), Some(code), "{report:#}");
    wrong.retain(|check| check != "disk.kind");
    (report, wrong)
}

/// The findings of a check.
fn of<'a>(report: &'a Value, check: &str) -> Vec<&'a Value> {
    let sections = report["sections"].as_array().expect("sections").iter();
    let all = sections.flat_map(|section| section["findings"].as_array().expect("findings"));
    all.filter(|finding| finding["check"] == check).collect()
}

/// The only finding of a check.
fn only<'a>(report: &'a Value, check: &str) -> &'a Value {
    let found = of(report, check);
    let [one] = found[..] else { panic!("{check}: {found:?}") };
    one
}

/// Whether a finding has this level, and these parts in its text and its fix.
fn says(finding: &Value, level: &str, in_text: &str, in_fix: &str) {
    let has = |key: &str, part: &str| finding[key].as_str().unwrap_or_default().contains(part);
    let fits = finding["level"] == level && has("text", in_text) && has("fix", in_fix);
    assert!(fits, "wanted {level}, `{in_text}`, `{in_fix}`: {finding:#}");
}

#[test]
fn a_bare_machine_is_looked_at_and_nothing_is_made() {
    let place = Place::new();
    let (report, wrong) = doctor(&place);
    assert!(wrong.is_empty(), "{report:#}");
    says(only(&report, "settings.file"), "note", "no config.yaml", "smollama init");
    says(only(&report, "data.permissions"), "ok", "is made at the first start", "");
    says(only(&report, "data.engine"), "ok", "no engine runs", "");
    let sync = only(&report, "disk.sync");
    assert!(sync["facts"]["syncs_per_second"].as_f64() > Some(0.0), "{sync}");
    let space = only(&report, "disk.space");
    assert!(space["facts"]["free_bytes"].as_u64() > Some(0), "{space}");
    for check in ["clock.time", "clock.zone", "clock.synchronised", "disk.kind"] {
        only(&report, check);
    }
    let left: Vec<_> = fs::read_dir(place.folder()).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
    // Whatever is wrong has a fix.
    for finding in report["sections"].as_array().into_iter().flatten() {
        for finding in finding["findings"].as_array().expect("findings") {
            let wrong = finding["level"] == "warning" || finding["level"] == "error";
            assert!(!wrong || finding["fix"].is_string(), "{finding}");
        }
    }
}

#[test]
fn settings_that_are_wrong_are_said_and_the_rest_is_looked_at_all_the_same() {
    let place = place("mqtt: { prot: 1884 }\n");
    let (report, wrong) = doctor(&place);
    assert_eq!(wrong, ["settings.file"]);
    says(only(&report, "settings.file"), "error", "config.yaml:2:9", "did you mean `port`?");
    only(&report, "disk.sync");
}

#[test]
fn secrets_that_everyone_can_read_are_errors_until_they_are_not() {
    let place = place("mqtt: { broker: 127.0.0.1, port: 1, username: pi, password: raspberry }\n");
    place.write("token", "sixteen characters\n");
    let secrets = |report: &Value| {
        let found: Vec<Value> = of(report, "settings.secrets").into_iter().cloned().collect();
        found
    };
    mode(&place, "config.yaml", 0o644);
    let (report, wrong) = doctor(&place);
    assert_eq!(wrong, ["settings.secrets", "mqtt.reach"]);
    let found = secrets(&report);
    says(&found[0], "error", "`mqtt.password` stands in config.yaml", "chmod 600 config.yaml");
    assert!(!report.to_string().contains("raspberry"), "a password is shown");
    mode(&place, "config.yaml", 0o600);
    says(&secrets(&doctor(&place).0)[0], "ok", "cannot be read by everyone", "");

    let config = "http: { enabled: false, token: secret://file/./token }\n";
    place.write("config.yaml", config);
    mode(&place, "token", 0o644);
    says(&secrets(&doctor(&place).0)[0], "error", "token holds a secret", "chmod 600");
    mode(&place, "token", 0o600);
    says(&secrets(&doctor(&place).0)[0], "ok", "", "");
}

#[test]
fn a_data_directory_says_who_works_there_and_what_is_open_to_others() {
    let place = place("");
    let mut engine = place.engine(HOME);
    let (report, _) = doctor(&place);
    let pid = format!("process {}", engine.process.id());
    says(only(&report, "data.engine"), "ok", &pid, "");
    says(only(&report, "data.nodes"), "ok", "all 2 nodes work", "");
    says(only(&report, "data.permissions"), "ok", "its secrets to nobody else", "");
    says(only(&report, "data.formats"), "ok", "revisions 1", "");
    let spools = only(&report, "disk.space")["text"].to_string();
    assert!(spools.contains("spools"), "{spools}");
    engine.stop();

    mode(&place, "data/revisions/1.rev", 0o644);
    mode(&place, "data", 0o777);
    fs::write(place.path("data/journal/00000000000000009999.log"), "nothing of ours")
        .expect("a file");
    fs::write(place.path("data/checkpoints/1.ckpt.damaged"), "").expect("a file");
    let (report, wrong) = doctor(&place);
    assert_eq!(wrong, ["data.permissions", "data.secrets"]);
    says(only(&report, "data.engine"), "ok", "no engine runs", "");
    says(only(&report, "data.secrets"), "error", "1.rev (0644)", "chmod go= ");
    says(only(&report, "data.permissions"), "error", "everyone may change", "chmod o-w ");
    let formats = of(&report, "data.formats");
    says(formats[0], "warning", "journal: 1 file cannot be read", "dmesg");
    says(formats[1], "warning", "checkpoints: 1 damaged file was put aside", "");
}

#[test]
fn a_file_of_another_user_is_found() {
    let place = place("");
    place.engine(HOME).stop();
    let host_id = place.path("data/host_id");
    if std::os::unix::fs::chown(&host_id, Some(12345), None).is_err() {
        // Only root can give files away; whoever else runs the tests cannot set this up.
        return;
    }
    let (report, wrong) = doctor(&place);
    assert_eq!(wrong, ["data.owner"]);
    says(only(&report, "data.owner"), "error", "host_id (12345)", "chown -R");
}

#[test]
fn brokers_are_tried_and_judged_by_what_they_keep() {
    let careless = Mosquitto::start(FORGETS);
    let usual = Mosquitto::start("allow_anonymous true\npersistence true\n");
    let careful = Mosquitto::start(KEEPS);
    let place = place(&format!(
        "mqtt:\n  broker: 127.0.0.1\n  port: {}\n  connections:\n    garden: {{ broker: 127.0.0.1, port: {} }}\n    \
         shed: {{ broker: localhost, port: {}, version: 3.1.1 }}\n    gone: {{ broker: 127.0.0.1, port: {} }}\n",
        careful.port,
        usual.port,
        careless.port,
        free_port()
    ));
    let (report, wrong) = doctor(&place);
    assert_eq!(wrong, ["mqtt.reach"], "one is gone");
    let section = |name: &str| {
        let sections = report["sections"].as_array().expect("sections").iter().cloned();
        let found: Vec<Value> = sections.filter(|section| section["name"] == name).collect();
        json!({ "sections": found })
    };
    let careful_one = section("mqtt");
    let reach = only(&careful_one, "mqtt.reach");
    says(reach, "ok", "lets this host in by MQTT 5", "");
    assert_eq!(reach["facts"]["version"], "5");
    says(only(&careful_one, "mqtt.keeps"), "ok", "mosquitto.conf", "");
    says(of(&careful_one, "mqtt.limits")[0], "note", "takes 20 messages", "max_inflight_messages");

    let usual_one = section("mqtt garden");
    let keeps = of(&usual_one, "mqtt.keeps");
    says(keeps[0], "note", "every 30m", "autosave_interval 60");
    says(keeps[1], "warning", "is 1000", "max_queued_messages 0");
    let careless_one = section("mqtt shed");
    says(only(&careless_one, "mqtt.reach"), "ok", "MQTT 3.1.1", "");
    says(only(&careless_one, "mqtt.keeps"), "warning", "`persistence` is off", "persistence true");
    let gone = section("mqtt gone");
    says(only(&gone, "mqtt.reach"), "error", "nothing listens", "`mqtt.connections.gone.port`");
}

#[test]
fn a_password_is_wanted_wrong_or_right() {
    let keys = Place::new();
    let passwords = password_file(keys.folder(), "pi", "raspberry");
    let config = format!(
        "{}allow_anonymous false\npassword_file {}\n",
        KEEPS.replace("allow_anonymous true\n", ""),
        passwords.display()
    );
    let broker = Mosquitto::start(&config);
    for (user, level, in_text, in_fix) in [
        ("", "error", "does not accept", "write `mqtt.username`"),
        (", username: pi, password: wrong", "error", "does not accept", "correct `mqtt.username`"),
        (", username: pi, password: raspberry", "ok", "with the user name of the settings", ""),
    ] {
        let place = place(&format!("mqtt: {{ broker: 127.0.0.1, port: {}{user} }}\n", broker.port));
        mode(&place, "config.yaml", 0o600);
        says(only(&doctor(&place).0, "mqtt.reach"), level, in_text, in_fix);
    }
}

#[test]
fn the_embedded_broker_is_looked_at_with_and_without_an_engine() {
    // Held by somebody else.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let place = place(&format!("mqtt: {{ embedded: true, port: {port} }}\n"));
    let (report, wrong) = doctor(&place);
    assert_eq!(wrong, ["mqtt.embedded"]);
    says(only(&report, "mqtt.embedded"), "error", "cannot", "take `embedded` out");
    drop(taken);
    let (report, _) = doctor(&place);
    says(only(&report, "mqtt.embedded"), "ok", "once an engine runs", "");

    let mut engine = place.engine(HOME);
    let (report, wrong) = doctor(&place);
    assert!(wrong.is_empty(), "{report:#}");
    says(only(&report, "mqtt.reach"), "ok", "lets this host in", "");
    says(only(&report, "mqtt.keeps"), "ok", "this program is the broker", "");
    engine.stop();
}

#[test]
fn a_port_that_another_program_has_is_said_before_an_engine_misses_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let place = Place::new();
    place.write("config.yaml", &format!("http: {{ port: {port} }}\n"));
    let (report, wrong) = doctor(&place);
    assert!(wrong.is_empty(), "the engine runs all the same: {report:#}");
    says(only(&report, "data.api"), "warning", &port.to_string(), "another port");
    place.write("config.yaml", "http: { host: 0.0.0.0, port: 0 }\n");
    says(only(&doctor(&place).0, "data.api"), "error", "beyond this machine", "token");
}

#[test]
fn trust_that_lacks_is_said_with_what_to_name() {
    let keys = Place::new();
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("a certificate");
    keys.write("cert.pem", &own.cert.pem());
    keys.write("key.pem", &own.signing_key.serialize_pem());
    let file = |name: &str| keys.path(name).display().to_string();
    let broker = Mosquitto::start(&format!(
        "{KEEPS}certfile {}\nkeyfile {}\n",
        file("cert.pem"),
        file("key.pem")
    ));
    for (tls, level, in_text, in_fix) in [
        (String::new(), "error", "127.0.0.1", "is port"),
        (", tls: {}".to_owned(), "error", "no trust", "tls: { ca: FILE }"),
        (format!(", tls: {{ ca: {} }}", file("cert.pem")), "ok", "encrypted", ""),
        (
            format!(", tls: {{ ca: {} }}", file("none.pem")),
            "error",
            "none.pem",
            "correct `mqtt.tls`",
        ),
    ] {
        let place = place(&format!("mqtt: {{ broker: 127.0.0.1, port: {}{tls} }}\n", broker.port));
        says(only(&doctor(&place).0, "mqtt.reach"), level, in_text, in_fix);
    }
}

#[test]
fn messages_that_a_broker_dropped_are_counted() {
    let settings = KEEPS.replace("max_queued_messages 0", "max_queued_messages 1");
    let broker = Mosquitto::start(&format!("{settings}sys_interval 1\n"));
    let port = broker.port.to_string();
    let run = |program: &str, args: &[&str]| {
        let mut command = std::process::Command::new(program);
        let ended = command.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "t"]).args(args);
        assert!(ended.status().expect("it is installed").success(), "{program}");
    };
    // A client that was here once, for which more waits than may.
    run("mosquitto_sub", &["-i", "away", "-c", "-E"]);
    for _ in 0..40 {
        run("mosquitto_pub", &["-m", "news"]);
    }
    let place = place(&format!("mqtt: {{ broker: 127.0.0.1, port: {port} }}\n"));
    let mut found = Value::Null;
    wait_until("the broker says how many it dropped", || {
        let report = doctor(&place).0;
        found = of(&report, "mqtt.dropped").first().map_or(Value::Null, |one| (*one).clone());
        !found.is_null()
    });
    says(&found, "warning", "has dropped", "max_queued_messages 0");
    assert!(found["facts"]["dropped"].as_u64() > Some(0), "{found}");
}
