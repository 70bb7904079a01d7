//! What becomes of uses, and how much may.

mod refused;

use insta::assert_snapshot;

use crate::config::tests::{load_text, parse_all, report};
use crate::config::{NodeSpec, PipelineSpec};

const ROOM: &str = "
templates:
  room:
    params:
      room: { type: text }
      band: { type: number, default: 0.2 }
    transforms:
      scored: { inputs: [$(in)], novelty: {} }
      news: { inputs: [scored], dedup: { deadband: $(band), note: 'in the $(room)' } }
    out: news
";

fn shown(node: &NodeSpec) -> String {
    let inputs = node.inputs.iter().map(|input| format!("{}<-{}", &**input.port, *input.from));
    let inputs: Vec<String> = inputs.collect();
    let renamed = node.renamed_from.as_ref().map(|name| format!(" was {}", &***name));
    format!(
        "{} {} [{}] {}: {}{}\n",
        node.section.singular(),
        &**node.name,
        inputs.join(" "),
        &**node.type_name,
        node.settings,
        renamed.unwrap_or_default()
    )
}

/// The pipelines of a text that has nothing wrong with it.
fn good(yaml: &str) -> Vec<PipelineSpec> {
    let mut loaded = load_text(yaml);
    let pipelines = parse_all(&mut loaded);
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics.render(&loaded.files, false));
    pipelines
}

/// The nodes of all pipelines, a line each.
fn nodes(yaml: &str) -> String {
    good(yaml).iter().flat_map(|pipeline| &pipeline.nodes).map(shown).collect()
}

#[test]
fn a_use_becomes_the_nodes_of_its_template() {
    let yaml = format!(
        "
pipeline: home
sources:
  air: {{ simulate: {{}} }}
transforms:
  kitchen: {{ inputs: [air], use: {{ room: {{ room: kitchen, band: 1 }} }} }}
  hall: {{ inputs: [air, kitchen.dropped], use: {{ room: {{ room: '${{ROOM}}' }} }} }}
sinks:
  screen: {{ inputs: [kitchen, kitchen>scored, hall>scored.late], console: {{}} }}
{ROOM}"
    );
    assert_snapshot!(nodes(&yaml), @r#"
source air [] simulate: {}
transform kitchen>scored [main<-air] novelty: {}
transform kitchen [main<-kitchen>scored] dedup: { deadband: 1, note: in the kitchen }
transform hall>scored [main<-air main<-kitchen.dropped] novelty: {}
transform hall [main<-hall>scored] dedup: { deadband: 0.2, note: in the kitchen }
sink screen [main<-kitchen main<-kitchen>scored main<-hall>scored.late] console: {}
"#);
}

#[test]
fn templates_lie_in_each_other_under_the_names_of_both() {
    let yaml = format!(
        "
pipeline: home
sources:
  air: {{ simulate: {{}} }}
transforms:
  up: {{ inputs: {{ main: [air], gate: [air.late] }}, renamed_from: upstairs, use: {{ floor: {{ name: first }} }} }}
---
{ROOM}
  floor:
    params: {{ name: {{ type: text }} }}
    transforms:
      west: {{ inputs: [$(in)], use: {{ room: {{ room: '$(name) floor', band: 3 }} }} }}
      east: {{ inputs: [west, west>scored, other/node], when: {{ score: {{ min: 1 }} }}, use: {{ room: {{ room: $(name) }} }} }}
      seldom: {{ inputs: {{ main: [east], second: [$(in.gate), $(in)] }}, renamed_from: rare, window: {{}} }}
    sinks:
      shown: {{ inputs: [seldom, east, east>scored], console: {{}} }}
    out: east
"
    );
    assert_snapshot!(nodes(&yaml), @r#"
source air [] simulate: {}
transform up>west>scored [main<-air] novelty: {} was upstairs>west>scored
transform up>west [main<-up>west>scored] dedup: { deadband: 3, note: in the first floor } was upstairs>west
transform up>east>scored [main<-up>west main<-up>west>scored main<-other/node] novelty: {} was upstairs>east>scored
transform up [main<-up>east>scored] dedup: { deadband: 0.2, note: in the first } was upstairs
transform up>seldom [main<-up second<-air.late second<-air] window: {} was upstairs>rare
sink up>shown [main<-up>seldom main<-up main<-up>east>scored] console: {} was upstairs>shown
"#);
}

#[test]
fn words_beside_a_use_take_the_place_of_those_of_its_out_node() {
    let yaml = "
pipeline: home
sources:
  hall: { as: hall, labels: { floor: 1 }, every: 5s, use: { sensor: {} } }
templates:
  sensor:
    sources:
      air: { as: air, unit: °C, every: 1s, simulate: {} }
    out: air
";
    let pipelines = good(yaml);
    let hall = pipelines[0].node("hall").unwrap();
    assert_eq!(hall.as_type.as_deref().map(|text| &**text), Some("hall"));
    assert_eq!(hall.unit.as_deref().map(|text| &**text), Some("°C"));
    assert_eq!(hall.labels.len(), 1);
    assert_eq!(hall.every.as_ref().unwrap().to_string(), "5s");
}

#[test]
fn an_argument_keeps_its_type_and_text_is_spliced() {
    let yaml = "
pipeline: home
sources:
  air:
    use:
      all: { text: 5, number: \"${PORT}\", integer: 7, flag: true, time: 1h30m, size: 64KiB, list: [a, 2], word: low, secret: secret://env/TOKEN }
templates:
  all:
    params:
      text: { type: text, description: A text }
      number: { type: number }
      integer: { type: integer }
      flag: { type: bool }
      time: { type: duration }
      size: { type: size }
      list: { type: list }
      word: { type: enum, one_of: [low, high] }
      secret: { type: text }
      nothing: { type: text, default: '' }
    sources:
      air:
        simulate:
          all: [$(text), $(number), $(integer), $(flag), $(time), $(size), $(list), $(word), $(secret), $(nothing)]
          spliced: $(text)/${ROOM}/$(number)$(nothing)-$(time)
          quoted: \"$(number)\"
          meant: $$(text) and $${text} and $5
    out: air
";
    assert_snapshot!(nodes(yaml), @r#"
source air [] simulate: { all: ["5", 8080, 7, true, 1h30m, 64KiB, [a, 2], low, secret://env/TOKEN, ""], meant: "$(text) and ${text} and $5", quoted: 8080, spliced: 5/kitchen/8080-1h30m }
"#);
}

#[test]
fn the_value_of_a_variable_holds_no_parameters() {
    let lookup = |_: &str| Some("$(band)".to_owned());
    let mut loader = crate::config::Loader::new(&lookup);
    let yaml = ROOM.replace("in the $(room)", "${ANY} in the $(room)");
    let used = "{ inputs: [air], use: { room: { room: '$(band) ${ANY}' } } }";
    let yaml = format!("pipeline: home\ntransforms: {{ kitchen: {used} }}\n{yaml}");
    loader.text(std::path::Path::new("home.yaml"), &yaml);
    let pipelines = parse_all(&mut loader.finish());
    let settings = pipelines[0].node("kitchen").unwrap().settings.to_string();
    assert_eq!(settings, "{ deadband: 0.2, note: $(band) in the $(band) $(band) }");
}

/// Each level uses the next one twelve times: written in a few kilobytes, it would be more nodes than there is memory for.
#[test]
fn what_templates_add_is_bounded() {
    let level = |level: usize| {
        let uses = format!("use: {{ t{}: {{}} }}", level + 1);
        let inner = if level == 9 { "simulate: {}" } else { &uses };
        let nodes: Vec<String> = (0..12).map(|n| format!("x{n}: {{ {inner} }}")).collect();
        format!("  t{level}: {{ sources: {{ {} }}, out: x0 }}\n", nodes.join(", "))
    };
    let levels: String = (0..10).map(level).collect();
    let said = report(&format!(
        "pipeline: home\nsources:\n  air: {{ use: {{ t0: {{}} }} }}\ntemplates:\n{levels}"
    ));
    assert!(said.starts_with("error[SM0069]: templates add more than 500000 values"), "{said}");
    assert_eq!(said.matches("error[").count(), 1, "{said}");
    let text = "x".repeat(100_000);
    let spliced = "_$(t)".repeat(1000);
    let said = report(&format!(
        "pipeline: home\nsources:\n  air: {{ use: {{ t: {{ t: {text} }} }} }}\ntemplates:\n  t: {{ params: {{ t: {{ type: text }} }}, sources: {{ a: {{ simulate: {{ x: {spliced} }} }} }}, out: a }}\n"
    ));
    assert!(said.starts_with("error[SM0069]"), "{}", &said[..200]);
}
