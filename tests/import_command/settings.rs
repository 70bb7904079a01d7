//! Old settings as ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::old::Old;
use crate::mosquitto::{FORGETS, Mosquitto};
use crate::place::{Engine, text, wait_until};

/// With everything that the old program knew.
const EVERYTHING: &str = r#"
node: { name: llama-master }
ollama: { host: localhost, model: "gemma4:e2b", keep_alive: "-1m" }
mqtt:
  broker: 10.0.0.5
  port: "1884"
  username: pi
  password: "pa$$w${ORD}"
  topics:
    subscribe: ["smollama/#", smollama/broadcast]
    publish_prefix: smollama/llama-master
gpio:
  pins: [{ pin: 17, name: motion_sensor, mode: input }]
agent:
  mode: full
  system_prompt: |
    You watch "things" for ${HOME}.
    Be brief: very # brief.
memory:
  db_path: ~/.smollama/memory.db
  embedding_model: "all-minilm:l6-v2"
  observation_interval_minutes: 5
  readings_max_age_days: 7
sync: { enabled: true, llama_url: "http://llama.local:8080" }
mem0: { enabled: true }
discovery: { enabled: false }
cluster: { enabled: true }
openclaw: { gateway_url: "ws://openclaw.local:3000/ws" }
plugins:
  paths: [~/plugins]
  builtin:
    gpio: { config: { pins: [] } }
    system: { enabled: yes }
    dht11: { config: { pin: 4 } }
    hcsr04: { config: { trig_pin: 23, echo_pin: 24 } }
    led: { enabled: no, config: { pin: 5 } }
    lcd1602: {}
    s5161as: {}
    sh5461as: {}
    macos_temp: {}
    jetson_inference: { config: { max_age_seconds: 20 } }
    i2c_temp: { config: { bus: 1, address: 0x76 } }
  custom:
    - { name: weather, config: { api_key: "12345", url: "http://weather" } }
mystery: { a: 1 }
"#;

fn left(report: &Value) -> Vec<&str> {
    let left = report["left"].as_array().expect("a list").iter();
    left.map(|one| one["key"].as_str().expect("a key")).collect()
}

fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    let files = report["files"].as_array().expect("files").iter();
    files
        .map(|one| {
            (one["path"].as_str().expect("a path"), one["outcome"].as_str().expect("an outcome"))
        })
        .collect()
}

/// That what was written is right, its tests pass, and nobody warns.
fn assert_good(old: &Old) {
    old.says(&["validate", "pipelines"]);
    assert!(old.says(&["test", "pipelines"]).contains("1 passed, 0 failed"));
    old.says(&["config", "check"]);
}

#[test]
fn all_settings_have_a_place_or_are_said_and_quoted() {
    let old = Old::new();
    old.config(EVERYTHING);
    fs::write(old.own("config.local.yaml"), "mqtt: { broker: llama.local }\n").unwrap();
    let before = old.looks();
    let report = old.import(&[]);
    assert_eq!(
        left(&report),
        [
            "mqtt.topics.subscribe",
            "ollama",
            "gpio",
            "agent",
            "memory",
            "sync",
            "mem0",
            "discovery",
            "cluster",
            "openclaw",
            "mystery",
            "plugins.paths",
            "plugins.builtin.gpio",
            "plugins.builtin.dht11",
            "plugins.builtin.hcsr04",
            "plugins.builtin.led",
            "plugins.builtin.lcd1602",
            "plugins.builtin.s5161as",
            "plugins.builtin.sh5461as",
            "plugins.builtin.macos_temp",
            "plugins.builtin.i2c_temp",
            "plugins.custom.weather",
        ]
    );
    let config = old.new_file("config.yaml");
    for line in [
        "name: \"llama-master\"  # node.name, config.yaml:2",
        "timezone: Europe/Berlin",
        "  broker: \"llama.local\"  # mqtt.broker, config.local.yaml:1",
        "  port: 1884  # mqtt.port, config.yaml:6",
        "  password: secret://file/./secrets/mqtt_password  # mqtt.password, config.yaml:8",
        "#     system_prompt: \"You watch \\\"things\\\" for ${HOME}.\\nBe brief: very # brief.\\n\"",
        "# plugins.builtin.dht11, config.yaml:34: no source here reads pins yet.",
        "#       trig_pin: 23",
        "#     embedding_model: \"all-minilm:l6-v2\"",
    ] {
        assert!(config.lines().any(|one| one == line), "{line} is missing in:\n{config}");
    }
    for hidden in ["pa$$w", "12345", "db_path", "role:"] {
        assert!(!config.contains(hidden), "{hidden} stands in:\n{config}");
    }
    let secret = old.place.path("new/secrets/mqtt_password");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "pa$$w${ORD}\n");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    let pipeline = old.new_file("pipelines/home.yaml");
    let camera = old.own("jetson_inference.json");
    for part in [
        "every: 30s\n    system: { metrics: [temperature, frequency, load, memory] }".to_owned(),
        format!("file_watch: {{ path: \"{}\", format: jetson, max_age: 20s }}", camera.display()),
        "mqtt: { topics: [\"smollama/+/readings\"], format: edge, qos: 0 }".to_owned(),
        "dedup: { deadband: 2%, heartbeat: 5m }".to_owned(),
        "config.yaml:33. The same sources".to_owned(),
    ] {
        assert!(pipeline.contains(&part), "{part} is missing in:\n{pipeline}");
    }
    assert_good(&old);
    assert_eq!(old.looks(), before, "nothing of the old one is changed");
}

#[test]
fn files_that_are_there_are_kept_and_written_anew_only_by_force() {
    let old = Old::new();
    old.config(EVERYTHING);
    old.import(&[]);
    let config = old.new_file("config.yaml");
    let secret = old.place.path("new/secrets/mqtt_password");
    let again = old.import(&[]);
    assert!(outcomes(&again).iter().all(|(_, outcome)| *outcome == "same"), "{again}");
    fs::write(old.place.path("new/config.yaml"), "name: mine\n").unwrap();
    fs::write(&secret, "mine").unwrap();
    let kept = old.import(&[]);
    assert_eq!(outcomes(&kept)[..2], [("config.yaml", "kept"), ("secrets/mqtt_password", "kept")]);
    assert_eq!(old.new_file("config.yaml"), "name: mine\n");
    let forced = old.import(&["--force"]);
    assert_eq!(
        outcomes(&forced)[..2],
        [("config.yaml", "replaced"), ("secrets/mqtt_password", "replaced")]
    );
    assert_eq!(
        (old.new_file("config.yaml"), old.new_file("secrets/mqtt_password")),
        (config, "pa$$w${ORD}\n".into())
    );
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_dry_run_shows_all_and_writes_nothing() {
    let old = Old::new();
    old.config(EVERYTHING);
    drop(old.database());
    let report = old.import(&["--dry-run"]);
    assert!(outcomes(&report).iter().all(|(_, outcome)| *outcome == "planned"), "{report}");
    assert_eq!(report["old"]["rows"], json!({ "readings": 0, "observations": 0, "memories": 0 }));
    assert!(!report.to_string().contains("pa$$w"), "a secret is not shown");
    let said = text(&old.run(&["--dry-run"]).stdout);
    assert!(said.contains("pipeline: home") && said.contains("name: \"llama-master\""), "{said}");
    assert!(!old.place.path("new").exists() && !old.place.path("data").exists());
}

#[test]
fn the_last_line_says_where_to_go_next() {
    let old = Old::new();
    old.config("mqtt: { broker: localhost }\nagent: { mode: full }\n");
    let said = text(&old.run(&[]).stdout);
    assert_eq!(said.lines().last().map(str::trim), Some("smollama apply pipelines/"), "{said}");
    // Its defaults hold here, too.
    assert!(
        old.new_file("config.yaml").contains("name: \"smollama-node\"  # node.name was not set")
    );
    assert_good(&old);
}

#[test]
fn nothing_to_import_and_places_that_are_the_old_ones_are_refused() {
    let old = Old::new();
    let refused = |old: &Old, args: &[&str], part: &str| {
        let output = old.run(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part) && said.contains("help: "), "{said}");
    };
    refused(&old, &[], "neither settings nor data");
    refused(&old, &["elsewhere"], "there is no `elsewhere`");
    old.config("node: { name: pi }\n");
    let own = old.place.path("home/.smollama").display().to_string();
    let mut command = old.place.command(&["import", "--to", &own, "--force"]);
    let output = old.at_home(&mut command).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("in which nothing is changed"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(fs::read_to_string(old.own("config.yaml")).unwrap(), "node: { name: pi }\n");
    fs::write(old.own("config.yaml"), "- a list\n").unwrap();
    refused(&old, &[&old.own("config.yaml").display().to_string()], "holds no settings");
    fs::write(old.own("config.yaml"), "mqtt: [\n").unwrap();
    let output = old.run(&[&old.own("config.yaml").display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("config.yaml:"), "{}", text(&output.stderr));
    assert!(!old.place.path("new").exists());
}

#[test]
fn an_old_edge_node_and_its_hub_go_on_as_before() {
    let broker = Mosquitto::start(FORGETS);
    let mqtt = |topics: &str| {
        format!("mqtt: {{ broker: 127.0.0.1, port: {}, topics: {topics} }}\n", broker.port)
    };
    let (attic, garden, hub) = (Old::new(), Old::new(), Old::new());
    let edge = "agent: { mode: edge, edge_publish_interval_seconds: 1 }\n";
    attic.config(&format!("node: {{ name: attic }}\n{edge}{}", mqtt("{}")));
    garden.config(&format!(
        "node: {{ name: garden }}\n{edge}{}",
        mqtt("{ publish_prefix: outside/garden }")
    ));
    let topics = "{ subscribe: [\"smollama/#\", \"outside/#\"], publish_prefix: smollama/hub }";
    hub.config(&format!("node: {{ name: hub }}\n{}", mqtt(topics)));
    let start = |old: &Old| {
        old.import(&[]);
        assert_good(old);
        let new = old.place.path("new");
        let (config, pipelines) = (new.join("config.yaml"), new.join("pipelines"));
        let [config, pipelines] = [config, pipelines].map(|path| path.display().to_string());
        old.place.start(&["run", &pipelines, "--no-dashboard", "--config", &config])
    };
    let mut engines = [start(&attic), start(&garden), start(&hub)];
    let config = hub.place.path("new/config.yaml").display().to_string();
    for (node, topic) in
        [("attic", "smollama/attic/readings"), ("garden", "outside/garden/readings")]
    {
        let message = hub.place.json(&["mqtt", "sub", topic, "-C", "1", "--config", &config]);
        let payload: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload["node"], node);
        let readings = payload["readings"].as_array().unwrap();
        assert!(readings.iter().any(|one| one["source"] == "system:mem_percent"), "{payload}");
    }
    let mut seen = String::new();
    wait_until("the hub has readings of both", || {
        engines.iter_mut().for_each(Engine::check_alive);
        seen += &text(&hub.place.run(&["tap", "home/edges", "--count", "12"]).stdout);
        let wanted = ["attic:system:mem_percent", "garden:system:mem_percent"];
        wanted.iter().all(|source| seen.contains(source))
    });
}
