//! `smollama config check`: every setting, what it is, and where from.

use serde_json::{Value, json};

use crate::place::{Place, text, wait_until};

const CONFIG: &str = "\
node: { name: kitchen-pi }
journal:
  flush: 1m
http: { port: \"${TEST_PORT:-8081}\", token: secret://env/TEST_TOKEN }
mqtt:
  broker: 10.0.0.2
  username: pi
  password: raspberry
  tls: {}
  connections:
    garden: { broker: 10.0.0.7 }
";

/// What `config check --json` prints with these variables, and how it ends.
fn checked(place: &Place, args: &[&str], variables: &[(&str, &str)]) -> (Value, Option<i32>) {
    let mut command = place.command(&[&["config", "check", "--json"], args].concat());
    let output = command.envs(variables.iter().copied()).output().expect("the binary runs");
    let report = serde_json::from_slice(&output.stdout).expect("JSON");
    (report, output.status.code())
}

/// The row of a setting.
fn row<'a>(report: &'a Value, setting: &str) -> &'a Value {
    let rows = report["settings"].as_array().expect("rows");
    rows.iter().find(|row| row["setting"] == setting).unwrap_or_else(|| panic!("no `{setting}`"))
}

#[test]
fn each_value_says_where_it_comes_from() {
    let place = Place::new();
    place.write("config.yaml", CONFIG);
    let variables = [("TEST_TOKEN", "sixteen characters"), ("SMOLLAMA_MQTT_BROKER", "llama.local")];
    let (report, code) = checked(&place, &[], &variables);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["file"], "config.yaml");
    let is = |setting: &str, value: Value, from: Value| {
        let row = row(&report, setting);
        assert_eq!(row["value"], value, "{setting}");
        for (key, wanted) in from.as_object().expect("an object") {
            assert_eq!(&row["from"][key], wanted, "{setting}: {row}");
        }
    };
    is("name", json!("kitchen-pi"), json!({ "kind": "file", "line": 1, "column": 15 }));
    is("journal.flush", json!("1m"), json!({ "kind": "file", "line": 3, "column": 10 }));
    is("journal.size", json!("64MiB"), json!({ "kind": "default" }));
    is("http.port", json!(8081), json!({ "line": 4, "written": "${TEST_PORT:-8081}" }));
    is("http.token", json!("secret://env/TEST_TOKEN"), json!({ "line": 4 }));
    let variable = "SMOLLAMA_MQTT_BROKER";
    is("mqtt.broker", json!("llama.local"), json!({ "kind": "environment", "variable": variable }));
    assert_eq!(row(&report, "mqtt.broker")["over"]["line"], 6, "what the variable wins over");
    is("mqtt.port", json!(8883), json!({ "kind": "default" }));
    is("mqtt.password", json!("(hidden)"), json!({ "line": 8 }));
    is("mqtt.connections.garden.broker", json!("10.0.0.7"), json!({ "line": 11 }));
    is("mqtt.connections.garden.port", json!(1883), json!({ "kind": "default" }));
    is("mqtt.connections.garden.tls.ca", Value::Null, json!({ "kind": "default" }));
    let data = place.path("data").display().to_string();
    is("data_dir", json!(data), json!({ "kind": "flag", "flag": "--data-dir" }));
    is("timezone", row(&report, "timezone")["value"].clone(), json!({ "kind": "system" }));

    let shown = place.command(&["config", "check"]).envs(variables).output().expect("it runs");
    let (shown, said) = (text(&shown.stdout), text(&shown.stderr));
    for line in [
        ["mqtt.broker", "llama.local", "SMOLLAMA_MQTT_BROKER, over config.yaml:6"],
        ["http.port", "8081", "config.yaml:4, ${TEST_PORT:-8081}"],
    ] {
        let is_it = |shown: &str| {
            let mut cells = shown.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            line.iter().all(|part| cells.next() == Some(part))
        };
        assert!(shown.lines().any(is_it), "{line:?} in {shown}");
    }
    assert!(!format!("{shown}{said}{report}").contains("raspberry"), "a password is shown");
}

#[test]
fn every_setting_of_the_schema_has_a_row() {
    let place = Place::new();
    let (report, code) = checked(&place, &[], &[]);
    assert_eq!((code, &report["file"]), (Some(0), &Value::Null));
    let schema: Value = serde_json::from_str(&place.says(&["schema", "config"])).expect("JSON");
    let known = schema["properties"].as_object().expect("properties").iter();
    let rows = report["settings"].as_array().expect("rows");
    for (name, _) in known.filter(|(name, about)| about["deprecated"] != true && *name != "node") {
        let is_below = |row: &&Value| {
            let setting = row["setting"].as_str().expect("text");
            setting == name || setting.starts_with(&format!("{name}."))
        };
        assert!(rows.iter().any(|row| is_below(&row)), "`{name}` has no row");
    }
    for row in rows {
        let (setting, kind) = (row["setting"].as_str().unwrap_or_default(), &row["from"]["kind"]);
        let wanted = match setting {
            "data_dir" => "flag",
            "name" | "timezone" => "system",
            _ => "default",
        };
        assert_eq!(kind, wanted, "{row}");
    }
}

#[test]
fn what_is_wrong_has_its_line_and_what_to_write_instead() {
    let place = Place::new();
    place.write("wrong.yaml", "mqtt:\n  broker: there\n  prot: 1884\nlimits: { series: many }\n");
    let (report, code) = checked(&place, &["-c", "wrong.yaml"], &[]);
    assert_eq!(code, Some(2));
    let problems = report["problems"].as_array().expect("problems");
    let [prot, many] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!((&prot["line"], &prot["file"]), (&json!(3), &json!("wrong.yaml")));
    assert_eq!(prot["help"], "did you mean `port`?");
    assert_eq!(many["line"], 4);
    let output = place.run(&["config", "check", "-c", "wrong.yaml"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
    assert!(text(&output.stderr).contains("wrong.yaml:3:3"), "{}", text(&output.stderr));
}

#[test]
fn a_variable_that_nothing_reads_is_named_with_the_nearest_that_is_read() {
    let place = Place::new();
    place.write("config.yaml", "http: { read_token: secret://env/SMOLLAMA_READER }\n");
    let variables = [("SMOLLAMA_MQTT_BROKR", "x"), ("SMOLLAMA_READER", "sixteen characters")];
    let (report, _) = checked(&place, &[], &variables);
    assert_eq!(report["unused_variables"], json!(["SMOLLAMA_MQTT_BROKR"]));
    let said = place.command(&["config", "check"]).envs(variables).output().expect("it runs");
    let said = text(&said.stderr);
    assert!(said.contains("did you mean SMOLLAMA_MQTT_BROKER?"), "{said}");
}

#[test]
fn a_variable_that_is_empty_counts_as_none_for_the_engine_too() {
    let place = Place::new();
    place.write("config.yaml", "name: kitchen-pi\nhttp: { enabled: false }\n");
    place.write("home.yaml", "pipeline: home\nsources: { air: { simulate: {} } }\n");
    let variables = [("SMOLLAMA_NODE_NAME", "")];
    assert_eq!(row(&checked(&place, &[], &variables).0, "name")["value"], "kitchen-pi");
    let mut engine = place.spawn_with(&["run", "home.yaml"], &variables);
    wait_until("the engine answers", || {
        engine.check_alive();
        place.run(&["status"]).status.success()
    });
    assert_eq!(place.json(&["status"])["host"]["name"], "kitchen-pi");
    engine.stop();
}
