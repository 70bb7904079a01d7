//! `smollama init` on machines with this and that, and what it wrote at work.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::{fs, thread};

use serde_json::{Value, json};

use crate::mosquitto::{FORGETS, Mosquitto, free_port};
use crate::mqtt_command::password_file;
use crate::place::{Place, text, wait_until};

/// A command for whom the home is the place, and no broker and no Ollama is where they would be by default.
fn init(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(&["init"]);
    command.env("HOME", place.folder()).args(args);
    for option in ["--broker", "--ollama"] {
        if !args.contains(&option) {
            command.arg(option).arg(format!("127.0.0.1:{}", free_port()));
        }
    }
    command
}

/// What it says as JSON.
fn report(place: &Place, args: &[&str]) -> Value {
    let output = init(place, args).arg("--json").output().expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    let files = report["files"].as_array().expect("files").iter();
    files
        .map(|file| {
            let word = |key: &str| file[key].as_str().expect("text");
            (word("path"), word("outcome"))
        })
        .collect()
}

/// All that lies in a folder, with its contents.
fn contents(place: &Place) -> Vec<(String, String)> {
    let paths = ["config.yaml", "pipelines/home.yaml", "schema/config.schema.json"];
    let mut all: Vec<_> = paths.iter().map(|path| (path.to_string(), place.read(path))).collect();
    all.push(("schema".into(), place.read("schema/pipeline.schema.json")));
    all
}

/// That what was written is right, and its tests pass.
fn assert_good(place: &Place, tests: usize) {
    place.says(&["validate", "pipelines"]);
    let said = place.says(&["test", "pipelines"]);
    assert!(said.contains(&format!("{tests} passed, 0 failed")), "{said}");
    let checked = place.run(&["config", "check"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(!text(&checked.stderr).contains("warning"), "{}", text(&checked.stderr));
}

#[test]
fn a_bare_machine_gets_files_that_work_and_they_are_left_alone_afterwards() {
    let place = Place::new();
    let dry = report(&place, &["--dry-run"]);
    assert!(outcomes(&dry).iter().all(|(_, outcome)| *outcome == "planned"), "{dry}");
    assert!(!place.path("config.yaml").exists() && !place.path("schema").exists());
    assert!(dry["files"][0]["text"].as_str().expect("its text").contains("embedded: true"));

    let first = report(&place, &[]);
    assert!(outcomes(&first).iter().all(|(_, outcome)| *outcome == "written"), "{first}");
    assert_eq!(first["found"]["broker"]["state"], "nothing");
    assert_eq!(first["found"]["original"], json!([]));
    assert_eq!(first["found"].get("ollama"), None);
    let sensors = first["found"]["sensors"].as_array().expect("sensors");
    assert!(sensors.contains(&json!("system:mem_percent")), "{sensors:?}");
    assert_good(&place, 2);
    assert!(place.read("config.yaml").contains("\n  embedded: true\n"));
    for (name, line) in [
        ("config.yaml", "# yaml-language-server: $schema=schema/config.schema.json"),
        ("pipelines/home.yaml", "# yaml-language-server: $schema=../schema/pipeline.schema.json"),
    ] {
        assert_eq!(place.read(name).lines().next(), Some(line));
    }
    for of in ["config", "pipeline"] {
        let schema = place.read(&format!("schema/{of}.schema.json"));
        assert_eq!(schema, place.says(&["schema", of]), "{of}");
    }

    place.write("config.yaml", "name: mine\n");
    let before = contents(&place);
    let again = report(&place, &[]);
    let wanted = ["kept", "same", "same", "same"];
    assert!(outcomes(&again).iter().map(|(_, outcome)| *outcome).eq(wanted), "{again}");
    assert_eq!(contents(&place), before);
    let forced = report(&place, &["--force"]);
    assert_eq!(outcomes(&forced)[0], ("config.yaml", "replaced"));
    assert!(place.read("config.yaml").contains("embedded: true"));
}

#[test]
fn what_it_says_ends_with_what_to_type_next() {
    let place = Place::new();
    let output = init(&place, &["house"]).output().expect("the binary runs");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("written   pipelines/home.yaml"), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.trim_start().starts_with("smollama apply pipelines/"), "{said}");
    assert!(said.contains(&format!("  cd {}", place.path("house").display())), "{said}");
    // A file where a folder has to be.
    place.write("plain", "");
    let output = init(&place, &["plain"]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("help: choose a folder"), "{}", text(&output.stderr));
}

#[test]
fn with_a_broker_what_is_published_comes_in_at_once() {
    let broker = Mosquitto::start(FORGETS);
    let place = Place::new();
    let report = report(&place, &["--broker", &format!("127.0.0.1:{}", broker.port)]);
    let found = &report["found"]["broker"];
    assert_eq!((&found["state"], &found["mqtt"]), (&json!("open"), &json!("5")));
    assert!(found["name"].as_str().is_some_and(|name| name.starts_with("mosquitto 2")), "{found}");
    assert!(place.read("config.yaml").contains(&format!("\n  port: {}\n", broker.port)));
    assert_good(&place, 2);
    let mut engine = place.start(&["run", "pipelines", "--no-dashboard"]);
    wait_until("a message has come in", || {
        engine.check_alive();
        place.says(&["mqtt", "pub", "sensors/kitchen", r#"{"temperature": 21.5}"#, "--qos", "1"]);
        let status = place.json(&["status"]);
        let nodes = status["nodes"].as_array().expect("nodes").iter();
        let devices = nodes.clone().find(|node| node["address"] == "home/devices");
        devices.is_some_and(|node| node["emitted"]["main"].as_u64() > Some(0))
    });
    engine.stop();
}

#[test]
fn a_broker_that_wants_a_password_waits_for_it() {
    let keys = Place::new();
    let passwords = password_file(keys.folder(), "pi", "raspberry");
    let config = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::start(&config);
    let place = Place::new();
    let at = format!("127.0.0.1:{}", broker.port);
    let first = report(&place, &["--broker", &at]);
    assert_eq!(first["found"]["broker"]["state"], "locked");
    assert!(first["next"].to_string().contains("$EDITOR config.yaml"), "{first}");
    // Nothing waits for a broker that does not let it in.
    assert!(place.read("pipelines/home.yaml").contains("\n  # devices:\n"));
    assert_good(&place, 1);

    // The settings that are there say who comes.
    let settings = format!(
        "mqtt: {{ broker: 127.0.0.1, port: {}, username: pi, password: raspberry }}\n",
        broker.port
    );
    place.write("config.yaml", &settings);
    fs::remove_file(place.path("pipelines/home.yaml")).expect("it is there");
    let again = report(&place, &[]);
    assert_eq!(again["found"]["broker"]["state"], "open");
    assert_eq!(outcomes(&again)[0], ("config.yaml", "kept"));
    assert_eq!(place.read("config.yaml"), settings);
    assert_good(&place, 2);
}

#[test]
fn pipelines_that_are_there_are_enough() {
    let place = Place::new();
    fs::create_dir(place.path("pipelines")).expect("a folder");
    let mine = "pipeline: mine\nsources: { air: { simulate: {} } }\nsinks: { out: { inputs: [air], console: {} } }\n";
    place.write("pipelines/mine.yaml", mine);
    let report = report(&place, &[]);
    assert_eq!(outcomes(&report)[1], ("pipelines/home.yaml", "not_needed"));
    assert!(!place.path("pipelines/home.yaml").exists());
}

#[test]
fn an_ollama_says_what_it_has() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut request = [0; 4096];
            let length = connection.read(&mut request).unwrap_or_default();
            let request = text(&request[..length]);
            let body = match request.split(' ').nth(1) {
                Some("/api/version") => r#"{"version":"0.13.1"}"#,
                Some("/api/tags") => r#"{"models":[{"name":"llama3.2:1b"},{"name":"all-minilm"}]}"#,
                _ => "{}",
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            // Whether it is still listened to does not matter.
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    let place = Place::new();
    let report = report(&place, &["--ollama", &at, "--dry-run"]);
    let ollama = &report["found"]["ollama"];
    assert_eq!(ollama["version"], "0.13.1");
    assert_eq!(ollama["models"], json!(["llama3.2:1b", "all-minilm"]));
}

#[test]
fn a_python_smollama_is_named_and_left_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.path(".smollama")).expect("a folder");
    place.write(".smollama/config.yaml", "ollama: { model: gemma4 }\nmqtt: { broker: llama }\n");
    place.write(".smollama/memory.db", "SQLite format 3");
    let report = report(&place, &["house"]);
    let original = report["found"]["original"].as_array().expect("paths");
    let names = [".smollama/config.yaml", ".smollama/memory.db"];
    let wanted = names.map(|name| json!(place.path(name)));
    assert_eq!(original, &wanted);
    assert_eq!(place.read(".smollama/memory.db"), "SQLite format 3");
    assert!(place.read("house/config.yaml").contains("embedded: true"));
}
