use insta::assert_snapshot;

use super::{good, load_text, report};
use crate::config::{Style, Value};

#[test]
fn not_yaml() {
    assert_snapshot!(report("pipeline: home\nsources:\n  board: { system: {}\n"), @r#"
error[SM0010]: `{` is never closed
 --> home.yaml:3:10
  |
3 |   board: { system: {}
  |          ^
  |
  = help: add `}` where it ends

1 error
"#);
    assert_snapshot!(report("pipeline: \"home\nsources: {}\n"), @r#"
error[SM0010]: a quote that was opened above is not closed
 --> home.yaml:2:1
  |
2 | sources: {}
  | ^
  |
  = help: add the closing quote, or indent the lines that the text goes on in

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { simulate: {} }\n  board: system: {}\n"), @r#"
error[SM0010]: a `:` is not allowed here
 --> home.yaml:4:16
  |
4 |   board: system: {}
  |                ^
  |
  = help: put text that holds `: ` in quotes, and each key on a line of its own

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { simulate: {} }\n    board: { system: {} }\n"), @r#"
error[SM0010]: this line does not fit the lines above it
 --> home.yaml:4:5
  |
4 |     board: { system: {} }
  |     ^
  |
  = help: give lines that belong together the same indentation; a list has `- ` before each element

1 error
"#);
    assert_snapshot!(report("pipeline: home\ndescription: @home\n"), @r#"
error[SM0010]: a value cannot begin with `@`
 --> home.yaml:2:14
  |
2 | description: @home
  |              ^
  |
  = help: put the text in quotes

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources: [a, b}\n"), @r#"
error[SM0010]: `[` is closed by `}`
 --> home.yaml:2:10
  |
2 | sources: [a, b}
  |          ^
  |
  = help: use the bracket that belongs to it

1 error
"#);
    assert_snapshot!(report("pipeline: home\njust words\n"), @r#"
error[SM0010]: expected `:` after a key
 --> home.yaml:2:1
  |
2 | just words
  | ^
  |
  = help: write `key: value`; text over several lines begins with `|` or stands in quotes

1 error
"#);
}

#[test]
fn variables_in_braces_need_quotes() {
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { path: ${ROOM} } }\n"), @r#"
error[SM0010]: `${ROOM}` has to stand in quotes inside `{ }` and `[ ]`
 --> home.yaml:3:26
  |
3 |   air: { replay: { path: ${ROOM} } }
  |                          ^^^^^^^
  |
  = help: write `"${ROOM}"`; a number stays a number

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { path: ${ROOM}, rest: 1 } }\n"), @r#"
error[SM0010]: `${ROOM}` has to stand in quotes inside `{ }` and `[ ]`
 --> home.yaml:3:26
  |
3 |   air: { replay: { path: ${ROOM}, rest: 1 } }
  |                          ^^^^^^^
  |
  = help: write `"${ROOM}"`; a number stays a number

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { paths: [${ROOM:-x}] } }\n"), @r#"
error[SM0010]: `${ROOM:-x}` has to stand in quotes inside `{ }` and `[ ]`
 --> home.yaml:3:28
  |
3 |   air: { replay: { paths: [${ROOM:-x}] } }
  |                            ^^^^^^^^^^
  |
  = help: write `"${ROOM:-x}"`; a number stays a number

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: [a, , b] }\n"), @r#"
error[SM0010]: nothing stands before this `,`
 --> home.yaml:3:22
  |
3 |   air: { replay: [a, , b] }
  |                      ^
  |
  = help: take the `,` out, or write a value before it

1 error
"#);
}

#[test]
fn tabs() {
    assert_snapshot!(report("pipeline: home\nsources:\n\tboard: { system: {} }\n"), @r#"
error[SM0011]: a tab stands where YAML takes only spaces
 --> home.yaml:3:2
  |
3 |     board: { system: {} }
  |     ^
  |
  = help: indent with spaces; most editors can convert the whole file

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  board:\n  \tsystem: {}\n"), @r#"
error[SM0011]: a tab stands where YAML takes only spaces
 --> home.yaml:4:4
  |
4 |       system: {}
  |       ^
  |
  = help: indent with spaces; most editors can convert the whole file

1 error
"#);
}

#[test]
fn duplicate_keys_show_both_places() {
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { simulate: {} }\n  air: { system: {} }\n"), @r#"
error[SM0012]: the key `air` stands here twice
 --> home.yaml:4:3
  |
3 |   air: { simulate: {} }
  |   --- first here
4 |   air: { system: {} }
  |   ^^^ again here
  |
  = help: take one of them out, or rename it

1 error
"#);
    let far = format!(
        "pipeline: home\nsources:\n  air: {{ simulate: {{}} }}\n{}pipeline: other\n",
        "# a comment\n".repeat(1000)
    );
    assert_snapshot!(report(&far), @r#"
error[SM0012]: the key `pipeline` stands here twice
    --> home.yaml:1004:1
     |
1004 | pipeline: other
     | ^^^^^^^^ again here
     |
    ::: home.yaml:1:1
     |
   1 | pipeline: home
     | -------- first here
     |
     = help: take one of them out, or rename it

1 error
"#);
}

#[test]
fn many_keys_are_compared_too() {
    let mut yaml = "pipeline: home\nsources:\n".to_owned();
    for i in 0..100 {
        yaml.push_str(&format!("  a{i}: {{ simulate: {{}} }}\n"));
    }
    assert_eq!(good(&yaml)[0].nodes.len(), 100);
    yaml.push_str("  a3: { system: {} }\n");
    assert_eq!(super::broken_rules(&yaml), ["SM0012"]);
}

#[test]
fn aliases_and_tags() {
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { path: *.csv } }\n"), @r#"
error[SM0016]: no `&.csv` stands before this alias
 --> home.yaml:3:26
  |
3 |   air: { replay: { path: *.csv } }
  |                          ^^^^^
  |
  = help: to write the text `*.csv`, put it in quotes

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: &a { replay: [*a] }\n"), @r#"
error[SM0016]: this alias stands inside the value it repeats
 --> home.yaml:3:22
  |
3 |   air: &a { replay: [*a] }
  |                      ^^

1 error
"#);
    assert_snapshot!(report("pipeline: home\ndescription: !secret wifi\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0017]: the tag `!secret` has no meaning here
 --> home.yaml:2:14
  |
2 | description: !secret wifi
  |              ^^^^^^^
  |
  = help: write a secret as `secret://env/NAME` or `secret://file/PATH`, a variable as `${NAME}`

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { simulate: { <<: 3 } }\n"), @r#"
error[SM0018]: `<<` takes a mapping, found the number `3`
 --> home.yaml:3:26
  |
3 |   air: { simulate: { <<: 3 } }
  |                          ^
  |
  = help: write `<<: *name` with the `&name` of a mapping

1 error
"#);
}

#[test]
fn keys_that_are_not_text() {
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { text: {{ value }} } }\n"), @r#"
error[SM0019]: found a mapping as a key
 --> home.yaml:3:27
  |
3 |   air: { replay: { text: {{ value }} } }
  |                           ^^^^^^^^^
  |
  = help: text with `{` or `[` has to stand in quotes

1 error
"#);
}

#[test]
fn a_syntax_error_does_not_hide_the_next_document() {
    assert_snapshot!(
        report("pipeline: a\nsources: [\n---\npipeline: b\nsources:\n  air: { simulat: {}, every: 1s, when: {} }\n"), @r#"
error[SM0010]: `[` is never closed
 --> home.yaml:2:10
  |
2 | sources: [
  |          ^
  |
  = help: add `]` where it ends

error[SM0056]: a source has no `when`
 --> home.yaml:6:34
  |
6 |   air: { simulat: {}, every: 1s, when: {} }
  |                                  ^^^^
  |
  = help: only transforms, agents and sinks have it

2 errors
"#
    );
}

#[test]
fn a_document_that_is_no_pipeline() {
    assert_snapshot!(report("- air\n- board\n"), @r#"
error[SM0050]: a pipeline is a mapping, found a list
 --> home.yaml:1:1
  |
1 | - air
  | ^^^^^
  |
  = help: begin with its name: `pipeline: home`

1 error
"#);
    assert_snapshot!(report("just words\n"), @r#"
error[SM0050]: a pipeline is a mapping, found the text `just words`
 --> home.yaml:1:1
  |
1 | just words
  | ^^^^^^^^^^
  |
  = help: begin with its name: `pipeline: home`

1 error
"#);
    assert_snapshot!(report("# to do\n"), @r#"
error[SM0005]: `home.yaml` holds no pipeline
 --> home.yaml:1:1
  |
1 | # to do
  | ^
  |
  = help: a pipeline has at least a name and a node: `pipeline: home`, then `sources:`

1 error
"#);
    assert_snapshot!(report("---\n---\n"), @r#"
error[SM0005]: `home.yaml` holds no pipeline
 --> home.yaml:1:1
  |
1 | ---
  | ^
  |
  = help: a pipeline has at least a name and a node: `pipeline: home`, then `sources:`

1 error
"#);
}

#[test]
fn aliases_share_and_merge() {
    let loaded = load_text(
        "base: &base { a: 1, b: 2 }\nmore: &more { b: 3, c: 4 }\nall: { b: 0, <<: [*base, *more] }\nsame: *base\n",
    );
    assert!(loaded.diagnostics.is_empty());
    let top = loaded.documents[0].root.as_mapping().unwrap();
    let all = top.get("all").unwrap().value.as_mapping().unwrap();
    let text: Vec<_> = all
        .entries()
        .iter()
        .map(|e| format!("{}={}", e.key.text, e.value.as_scalar().unwrap().text()))
        .collect();
    assert_eq!(text, ["b=0", "a=1", "c=4"]);
    let (base, same) = (&top.get("base").unwrap().value, &top.get("same").unwrap().value);
    let (base, same) = (base.as_mapping().unwrap(), same.as_mapping().unwrap());
    assert!(std::ptr::eq(base.entries(), same.entries()), "an alias copies nothing");
}

#[test]
fn scalars_follow_the_core_schema() {
    let loaded = load_text(
        "[~, null, '', yes, true, 0x1F, 0o17, 1_000, -12, +3, 1e3, .5, 1., .inf, -.INF, .nan, 12:30, infinity, !!str 21, '21', 1.2.3]",
    );
    assert!(loaded.diagnostics.is_empty());
    let described: Vec<_> = loaded.documents[0]
        .root
        .as_sequence()
        .unwrap()
        .iter()
        .map(|node| match &node.value {
            Value::Scalar(s) if s.style() == Style::Text => "text".to_owned(),
            Value::Scalar(s) if s.is_null() => "null".to_owned(),
            Value::Scalar(s) => match (s.as_bool(), s.as_integer(), s.as_float()) {
                (Some(b), ..) => b.to_string(),
                (_, Some(i), _) => i.to_string(),
                (.., Some(f)) => format!("{f:?}"),
                _ => "text".to_owned(),
            },
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(
        described.join(" "),
        "null null text text true 31 15 text -12 3 1000.0 0.5 1.0 inf -inf NaN text text text text text"
    );
}

#[test]
fn spans_cover_what_was_written() {
    let loaded = load_text("a: [1, 'zwei']\nb:\n  c: drei  # why\n\nd:\n");
    let file = loaded.documents[0].file;
    let top = loaded.documents[0].root.as_mapping().unwrap();
    let slice = |key: &str| loaded.files.slice(top.get(key).unwrap().value.span);
    assert_eq!(slice("a"), "[1, 'zwei']");
    assert_eq!(slice("b"), "c: drei");
    assert_eq!(slice("d"), "");
    assert_eq!(loaded.files.position(file, top.get("d").unwrap().key.span.start).line, 5);
}
