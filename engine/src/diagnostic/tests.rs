use insta::assert_snapshot;

use super::{Diagnostic, Diagnostics, Files, Span, nearest, one_of, rules, shortened};

fn span(file: super::FileId, text: &str, what: &str) -> Span {
    let start = u32::try_from(text.find(what).unwrap()).unwrap();
    Span { file, start, end: start + u32::try_from(what.len()).unwrap() }
}

#[test]
fn a_diagnostic_over_two_files() {
    let mut files = Files::default();
    let (one, two) = ("pipeline: home\r\nsources: 1\r\n", "# ünïcode\npipeline: home\n");
    let (a, b) = (files.add("a.yaml", one), files.add("b.yaml", two));
    let mut diagnostics = Diagnostics::new();
    let error = Diagnostic::error(
        &rules::DUPLICATE_PIPELINE,
        span(b, two, "home"),
        "two pipelines have the name `home`",
    )
    .label("again here")
    .also(span(a, one, "home"), "first here")
    .help("rename one of them");
    diagnostics.push(error);
    diagnostics.push(Diagnostic::warning(
        &rules::UNUSED_OUTPUT,
        span(a, one, "1"),
        "nobody reads from `1`",
    ));
    diagnostics.push(Diagnostic::error(&rules::MISSING_PATH, Span::NOWHERE, "nothing to read"));
    assert_snapshot!(diagnostics.render(&files, false), @r#"
warning[SM0082]: nobody reads from `1`
 --> a.yaml:2:10
  |
2 | sources: 1
  |          ^

error[SM0078]: two pipelines have the name `home`
 --> b.yaml:2:11
  |
2 | pipeline: home
  |           ^^^^ again here
  |
 ::: a.yaml:1:11
  |
1 | pipeline: home
  |           ---- first here
  |
  = help: rename one of them

error[SM0001]: nothing to read

2 errors and 1 warning
"#);
    assert_snapshot!(serde_json::to_string_pretty(&diagnostics.to_json(&files)).unwrap(), @r#"
[
  {
    "rule": "SM0082",
    "message": "nobody reads from `1`",
    "file": "a.yaml",
    "line": 2,
    "column": 10
  },
  {
    "rule": "SM0078",
    "message": "two pipelines have the name `home`",
    "file": "b.yaml",
    "line": 2,
    "column": 11,
    "help": "rename one of them"
  },
  {
    "rule": "SM0001",
    "message": "nothing to read",
    "line": 1,
    "column": 1
  }
]
"#);
    assert!(diagnostics.render(&files, true).contains("\u{1b}["), "colour on request");
}

#[test]
fn positions_count_characters_from_one() {
    let mut files = Files::default();
    let text = "äö: ü\r\n\nlast";
    let file = files.add("a.yaml", text);
    let at = |what: &str| {
        let position = files.position(file, span(file, text, what).start);
        (position.line, position.column)
    };
    assert_eq!((at("ä"), at("ü"), at("last")), ((1, 1), (1, 5), (3, 1)));
    assert_eq!(files.position(file, u32::MAX).line, 3);
    assert_eq!(files.position(Span::NOWHERE.file, 5).line, 1);
}

#[test]
fn too_many_are_counted() {
    let mut files = Files::default();
    let file = files.add("a.yaml", "a\n");
    let mut diagnostics = Diagnostics::new();
    let error = Diagnostic::error(&rules::NOT_YAML, Span::file(file), "x");
    diagnostics.extend(std::iter::repeat_n(error, 20_000));
    let text = diagnostics.render(&files, false);
    assert_eq!(text.matches("error[SM0010]").count(), 1_000);
    assert!(
        text.ends_with("20000 errors (19000 more not shown)\n"),
        "{}",
        &text[text.len() - 80..]
    );
}

#[test]
fn the_nearest_name() {
    let names = ["deadband", "heartbeat", "keep", "on_full"];
    assert_eq!(nearest("deadbnad", names), Some("deadband"));
    assert_eq!(nearest("Heart-Beat", names), Some("heartbeat"));
    assert_eq!(nearest("on-full", names), Some("on_full"));
    assert_eq!(nearest("kep", names), Some("keep"));
    assert_eq!(nearest("zzz", names), None);
    assert_eq!(nearest("x", ["y"]), None);
    assert_eq!(nearest(&"a".repeat(10_000), names), None);
}

#[test]
fn words_for_messages() {
    assert_eq!(one_of([]), "nothing");
    assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    assert_eq!(shortened(&"ä".repeat(100)).chars().count(), 61);
}

#[test]
fn rules_are_in_order_and_complete() {
    let all: Vec<_> = rules::all().collect();
    assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id), "ids ascend");
    let mut names: Vec<_> = all.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "names differ");
    for rule in all {
        assert!(rule.id.len() == 6 && rule.id.starts_with("SM"), "{}", rule.id);
        assert!(rule.meaning.ends_with('.'), "{}", rule.id);
        assert_eq!(rules::Rule::by_id(rule.id).map(|r| r.name), Some(rule.name));
    }
}

#[test]
fn a_rule_has_a_page() {
    assert_snapshot!(rules::page(&rules::DUPLICATE_KEY), @r#"
# SM0012: a key stands twice in one mapping

`duplicate-key`

Only one of the two values could be used, and nobody could see which. The message shows both places.

## Example

```yaml
pipeline: home
sources:
  air: { simulate: {} }
  air: { system: {} }
```

## Fix

```yaml
pipeline: home
sources:
  air: { simulate: {} }
  board: { system: {} }
```
"#);
    assert_snapshot!(rules::page(&rules::BAD_SIZE), @r#"
# SM0036: not a size

`bad-size`

A size is a number with a unit: `512B`, `64KiB`, `8MiB`, `2GiB` (powers of 1,024) or `10kB`, `5MB`, `1GB` (powers of 1,000).

## Fix

Write the unit: `64KiB`.
"#);
}
