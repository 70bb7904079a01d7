//! `smollama test` as a person, a script and a CI system see it.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const GOOD: &str = "\
pipeline: attic
sources: { air: { as: air, simulate: {} } }
transforms: { news: { inputs: [air], dedup: { deadband: 0.5 } } }
sinks: { gone: { inputs: [news], discard: {} } }
tests:
  - name: a step is news
    given: [{ node: air, from: 0s, every: 1m, values: [20.0, 20.1, 22.0] }]
    expect: [{ node: news, at: 2m, reading: { value: 22, count: 2 } }, { node: gone, count: 2 }]
  - name: noise is not
    given: [{ node: air, from: 0s, every: 1m, count: 60, value: 20.0, noise: 0.2 }]
    expect: [{ node: news, by: 0s, count: 1 }]
";

const BAD: &str = "\
pipeline: cellar
sources: { air: { as: air, simulate: {} } }
transforms: { news: { inputs: [air], dedup: { deadband: 0.5 } } }
sinks: { gone: { inputs: [news], discard: {} } }
tests:
  - name: a <small> step & a \"large\" one
    given: [{ node: air, from: 0s, every: 1m, values: [20.0, 20.1, 22.0] }]
    expect:
      - { node: news, at: 1m }
      - { node: gone, count: 2 }
";

const UNTESTED: &str = "\
pipeline: shed
sources: { air: { as: shed, simulate: {} } }
sinks: { gone: { inputs: [air], discard: {} } }
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn smollama(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smollama"));
    command.current_dir(folder).args(arguments).env_remove("SMOLLAMA_CONFIG");
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn one_line_per_test_and_a_closing_line() {
    let folder = folder(&[("attic.yaml", GOOD), ("shed.yaml", UNTESTED)]);
    let output = smollama(folder.path(), &["test", "attic.yaml", "shed.yaml"]);
    assert_eq!(
        stdout(&output),
        "\
attic  attic.yaml
  ok      a step is news
  ok      noise is not
shed has no tests
2 passed, 0 failed
"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_failure_names_its_line_and_what_was_there_instead() {
    let folder = folder(&[("bad.yaml", BAD), ("attic.yaml", &GOOD.replace("as: air", "as: loft"))]);
    let output = smollama(folder.path(), &["test", "."]);
    assert_eq!(
        stdout(&output),
        "\
attic  ./attic.yaml
  ok      a step is news
  ok      noise is not
cellar  ./bad.yaml
  FAILED  a <small> step & a \"large\" one
    ./bad.yaml:9:9: `news` gives no item at 1m
      0s: air:value = 20  (not at 1m)
      2m: air:value = 22, count 2  (not at 1m)
2 passed, 1 failed
"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn only_runs_what_is_named() {
    let folder = folder(&[("attic.yaml", GOOD)]);
    let output = smollama(folder.path(), &["test", "attic.yaml", "--only", "noise"]);
    assert!(stdout(&output).ends_with("  ok      noise is not\n1 passed, 0 failed\n"));
    let output = smollama(folder.path(), &["test", "attic.yaml", "--only", "nosie"]);
    assert_eq!(stdout(&output), "");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn wrong_tests_are_wrong_input_for_test_and_for_validate() {
    let folder = folder(&[("bad.yaml", &BAD.replace("node: news, at", "node: nwes, at"))]);
    for command in ["test", "validate"] {
        let output = smollama(folder.path(), &[command, "bad.yaml"]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stdout(&output), "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("did you mean `news`?"), "{said}");
    }
}

#[test]
fn json_holds_all_of_it() {
    let folder = folder(&[("bad.yaml", BAD), ("shed.yaml", UNTESTED)]);
    let output = smollama(folder.path(), &["test", ".", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["passed"], &found["failed"]), (&0.into(), &1.into()));
    assert_eq!(found["without_tests"], serde_json::json!(["shed"]));
    let failure = &found["tests"][0]["failures"][0];
    assert_eq!(failure["line"], 9);
    assert_eq!(failure["seen"][0], "0s: air:value = 20  (not at 1m)");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn junit_is_xml_that_others_read() {
    let named = GOOD.replace("a step is news", "a 'step' is ü & <news>");
    let folder =
        folder(&[("attic.yaml", &named.replace("as: air", "as: loft")), ("bad.yaml", BAD)]);
    let output = smollama(folder.path(), &["test", ".", "--junit", "results.xml"]);
    assert_eq!(output.status.code(), Some(1));
    let text = std::fs::read_to_string(folder.path().join("results.xml")).unwrap();
    let xml = roxmltree::Document::parse(&text).unwrap();
    let all = xml.root_element();
    assert_eq!((all.attribute("tests"), all.attribute("failures")), (Some("3"), Some("1")));
    let names: Vec<_> = xml
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .filter_map(|node| node.attribute("name"))
        .collect();
    assert_eq!(
        names,
        ["a 'step' is ü & <news>", "noise is not", "a <small> step & a \"large\" one"]
    );
    let failure = xml.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    assert_eq!(failure.attribute("message"), Some("`news` gives no item at 1m"));
    assert!(failure.text().unwrap().starts_with("./bad.yaml:9: `news` gives no item at 1m\n"));
}

/// Real nodes on a host that is disturbed: what is promised of each sink holds, and a test that asks for more fails with what is missing.
const DISTURBED: &str = "\
pipeline: cave
sources:
  air: { as: air, replay: { path: tape.csv } }
  door: { as: door, simulate: {} }
transforms:
  news: { inputs: [air], dedup: { deadband: 0.5 } }
  hours: { inputs: [news, door], window: { length: 1h } }
sinks:
  history: { inputs: [news, hours], parquet: {} }
  file: { inputs: [air, hours], file: { path: air.jsonl } }
  alerts: { inputs: [news], http: { url: \"http://localhost:1/\" } }
tests:
  - name: a dark day
    given:
      - { node: air, from: 0s, every: 2m, count: 90, value: 20.0 }
      - { node: air, from: 1m, every: 2m, count: 90, value: 25.0 }
      - { node: door, from: 30s, every: 1m, count: 180, value: 1 }
    faults:
      - { sink: alerts, at: 10m10s, down: 40m }
      - { restart: kill, at: 20m15s }
      - { disk: full, at: 1h5m, for: 20s }
      - { node: hours, at: 1h30m30s, panic: 1 }
      - { restart: power_cut, at: 1h40m20s }
      - { restart: stop, at: 2h0m15s }
    expect:
      - { node: history, doubled: 0 }
      - { node: alerts, lost: 0 }
      - { node: hours, dead: 0 }
      - { node: news, count: 180 }
";

#[test]
fn a_pipeline_proves_what_it_promises_on_a_host_that_is_disturbed() {
    let folder = folder(&[("cave.yaml", DISTURBED)]);
    std::fs::write(folder.path().join("tape.csv"), "time,value\n").unwrap();
    let output = smollama(folder.path(), &["test", "cave.yaml"]);
    assert_eq!(stdout(&output), "cave  cave.yaml\n  ok      a dark day\n1 passed, 0 failed\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no panic and no log is shown");
    let asks = DISTURBED.replace("alerts, lost: 0", "alerts, lost: 3").replace("power_cut", "kill");
    std::fs::write(folder.path().join("cave.yaml"), asks).unwrap();
    let output = smollama(folder.path(), &["test", "cave.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(said.contains(": `alerts` lost 0 items, expected 3\n"), "{said}");
}

const TEMPLATE: &str = "\
templates:
  calm:
    params: { band: { type: number, default: 0.5 } }
    transforms:
      news: { inputs: [$(in)], dedup: { deadband: $(band) } }
    out: news
    tests:
      - name: a step is news
        with: { band: 1 }
        given: [{ node: in, source: \"any:a\", from: 0s, every: 1m, values: [20.0, 20.9, 22.0] }]
        expect: [{ node: news, at: 2m, reading: { value: 22, count: 2 } }, { node: news, count: 2 }]
      - name: a small step is news with a small band
        with: { band: 0.1 }
        given: [{ node: in, source: \"any:a\", from: 0s, every: 1m, values: [20.0, 20.9, 22.0] }]
        expect: [{ node: news, count: 2 }]
";

/// The tests of templates come after those of pipelines, under the name of the template, and fail at its lines.
#[test]
fn templates_have_tests_of_their_own() {
    let home = "\
pipeline: attic
sources: { air: { as: air, simulate: {} } }
transforms: { still: { inputs: [air], use: { calm: {} } } }
sinks: { gone: { inputs: [still], discard: {} } }
";
    let folder = folder(&[("home.yaml", home), ("templates.yaml", TEMPLATE)]);
    let output = smollama(folder.path(), &["test", "."]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stdout(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "template calm  ./templates.yaml", "{said}");
    assert_eq!(lines[1], "  ok      a step is news", "{said}");
    assert_eq!(lines[2], "  FAILED  a small step is news with a small band", "{said}");
    assert!(lines[3].starts_with("    ./templates.yaml:15:"), "{said}");
    assert!(said.ends_with("attic has no tests\n1 passed, 1 failed\n"), "{said}");
    let chosen = smollama(folder.path(), &["test", "--json", "--only", "a step", "templates.yaml"]);
    let json: serde_json::Value = serde_json::from_slice(&chosen.stdout).unwrap();
    assert_eq!(
        (&json["passed"], &json["tests"][0]["pipeline"]),
        (&1.into(), &"template calm".into())
    );
}
