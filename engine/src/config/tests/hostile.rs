use proptest::prelude::{ProptestConfig, any, proptest};

use super::{broken_rules, load_text, parse_all};
use crate::config::{ALIAS_NODES_MAX, DEPTH_MAX, Value};

fn nested(levels: usize) -> String {
    format!("a: {}{}", "[".repeat(levels - 1), "]".repeat(levels - 1))
}

#[test]
fn depth_is_limited() {
    assert!(load_text(&nested(DEPTH_MAX)).diagnostics.is_empty());
    assert_eq!(broken_rules(&nested(DEPTH_MAX + 1)), ["SM0013"]);
    let block: String = (0..10_000).map(|i| format!("{}a:\n", " ".repeat(i % 2_000))).collect();
    for deep in [
        nested(10_000),
        "[".repeat(10_000),
        "{a: ".repeat(10_000),
        "- ".repeat(10_000),
        "? ".repeat(10_000),
        (0..3_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect(),
    ] {
        assert_eq!(broken_rules(&deep), ["SM0013"], "{}", &deep[..40]);
    }
    assert!(load_text(&block).diagnostics.has_errors());
}

#[test]
fn aliases_do_not_hide_depth() {
    let mut yaml = "a0: &a0 [x]\n".to_owned();
    for i in 1..DEPTH_MAX + 1 {
        yaml.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    assert_eq!(broken_rules(&yaml), ["SM0013"]);
}

#[test]
fn aliases_have_a_budget() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..20 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        yaml.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert_eq!(broken_rules(&yaml), ["SM0015"]);
    insta::assert_snapshot!(super::report(&yaml), @r#"
error[SM0015]: aliases add more than 100000 values
 --> home.yaml:5:45
  |
5 | a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
  |                                             ^^^ this one stands for 11111 values
  |
  = help: write the values out, or use fewer levels of aliases

1 error
"#);
    let honest = format!("a: &a [{}]\nb: [*a, *a]\n", "x, ".repeat(ALIAS_NODES_MAX / 2 - 1));
    assert!(load_text(&honest).diagnostics.is_empty());
}

#[test]
fn many_keys_and_as_many_duplicates() {
    let mut yaml: String = (0..50_000).map(|i| format!("k{i}: 1\n")).collect();
    yaml.push_str(&"k49999: 2\n".repeat(50_000));
    assert_eq!(load_text(&yaml).diagnostics.errors(), 50_000);
    assert!(broken_rules(&yaml).iter().all(|&rule| rule == "SM0012"));
}

#[test]
fn many_broken_documents_are_all_read() {
    let loaded = load_text(&"a: [\n---\n".repeat(20_000));
    assert!(loaded.diagnostics.errors() >= 20_000);
    assert!(loaded.documents.is_empty());
}

/// Ten megabytes with a thousand errors are reported in full; how long that takes is measured elsewhere.
#[test]
fn a_large_file_with_a_thousand_errors() {
    let mut yaml = "pipeline: big\nsources:\n".to_owned();
    let padding = "x".repeat(60);
    for i in 0..1_000 {
        yaml.push_str(&format!("  bad{i}: {{ evry: 1s, simulate: {{}} }}\n"));
        for j in 0..5 {
            yaml.push_str(&format!(
                "  n{i}-{j}: {{ simulate: {{ a: {padding}, b: [1, 2, 3] }} }}\n"
            ));
        }
    }
    let mut loaded = load_text(&yaml);
    let pipelines = parse_all(&mut loaded);
    assert_eq!(pipelines[0].nodes.len(), 6_000);
    assert_eq!(loaded.diagnostics.errors(), 1_000);
    let text = loaded.diagnostics.render(&loaded.files, false);
    assert_eq!(text.matches("error[SM0030]").count(), 1_000);
    assert_eq!(loaded.diagnostics.to_json(&loaded.files).len(), 1_000);
}

#[test]
fn a_line_of_a_megabyte_is_cut() {
    let yaml = format!("pipeline: [{}, }}]\n", "x, ".repeat(300_000));
    let text = super::report(&yaml);
    assert!(text.len() < 2_000, "{} bytes", text.len());
    assert!(text.contains("home.yaml:1:"), "{text}");
}

#[test]
fn places_in_a_cut_line_are_true() {
    let padding: String = (0..1_000).map(|i| format!("ä{i}: [x, x], ")).collect();
    let yaml = format!("pipeline: {{ key: 1, {padding}key: 2 }}\n");
    let column = 1 + yaml.chars().count() - "key: 2 }\n".chars().count();
    let text = super::report(&yaml);
    assert!(text.contains(&format!("--> home.yaml:1:{column}\n")), "{text}");
    assert!(text.contains("::: home.yaml:1:13\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 250), "{text}");
}

#[test]
fn what_is_broken_stays_silent() {
    let loaded = load_text("a: ${NONE}\n");
    let top = loaded.documents[0].root.as_mapping().unwrap();
    assert!(matches!(top.get("a").unwrap().value.value, Value::Broken));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_the_loader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut loaded = load_text(&String::from_utf8_lossy(&bytes));
        parse_all(&mut loaded);
        loaded.diagnostics.render(&loaded.files, true);
        loaded.diagnostics.to_json(&loaded.files);
    }

    /// Text that looks like a pipeline gets further into the parser than noise does.
    #[test]
    fn no_yaml_makes_the_loader_panic(parts in proptest::collection::vec(0usize..24, 0..60)) {
        const PARTS: [&str; 24] = [
            "pipeline: a\n", "sources:\n", "  air:\n", "    simulate: {}\n", "sinks:\n", "inputs: [a.b]", "&a ", "*a", "<<: ",
            "{", "}", "[", "]", ", ", "- ", "\n---\n", "${PORT}", "${", "secret://env/TOKEN", "ä\u{85}\u{2028}", "\t", "\"", "|\n", "!!str ",
        ];
        let yaml: String = parts.iter().map(|&i| PARTS[i]).collect();
        let mut loaded = load_text(&yaml);
        parse_all(&mut loaded);
        loaded.diagnostics.render(&loaded.files, false);
        loaded.diagnostics.to_json(&loaded.files);
    }
}
