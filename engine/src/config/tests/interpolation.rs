use std::{fs, path::Path};

use insta::assert_snapshot;

use super::{load_text, report, variable};
use crate::config::{Loader, Node, Value};

/// The value of `description` after interpolation.
fn described(value: &str) -> String {
    let loaded = load_text(&format!("description: {value}\n"));
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics.render(&loaded.files, false));
    description(&loaded.documents[0].root).as_scalar().unwrap().text().to_owned()
}

fn description(root: &Node) -> &Node {
    &root.as_mapping().unwrap().get("description").unwrap().value
}

#[test]
fn variables_are_replaced_in_scalars() {
    for (written, read) in [
        ("${PORT}", "8080"),
        ("'port ${PORT}, ${ROOM}'", "port 8080, kitchen"),
        ("${NONE:-1883}", "1883"),
        ("${EMPTY}", ""),
        ("${EMPTY:-dflt}", "dflt"),
        ("${EMPTY:-}", ""),
        ("${PORT:?needed}", "8080"),
        ("${NONE:-${ROOM}/${NONE:-x}}", "kitchen/x"),
        ("$$PORT costs $5, $$${PORT}", "$PORT costs $5, $8080"),
        ("^a$", "^a$"),
        ("$(room)", "$(room)"),
    ] {
        assert_eq!(described(written), read, "{written}");
    }
}

#[test]
fn a_value_is_never_read_as_yaml() {
    let loaded = load_text("description: ${NASTY}\n${PORT}: key\n");
    let top = loaded.documents[0].root.as_mapping().unwrap();
    assert_eq!(top.get("description").unwrap().value.as_scalar().unwrap().text(), "a: b\nc: [");
    assert_eq!(top.len(), 2);
    assert!(top.get("${PORT}").is_some(), "keys are not interpolated");
}

#[test]
fn variables_are_recorded() {
    let loaded = load_text("[\"${PORT}\", \"${NONE:-x}\", \"${PORT}\", secret://env/TOKEN]");
    let [read] = &loaded.reads.into_values().collect::<Vec<_>>()[..] else { panic!("one file") };
    let used: Vec<_> = read
        .variables
        .iter()
        .map(|v| (&*v.name, v.value.as_ref().map(|value| value.expose()), v.is_secret))
        .collect();
    assert_eq!(
        used,
        [
            ("NONE", None, false),
            ("PORT", Some("8080"), false),
            ("secret://env/TOKEN", Some("hunter2"), true)
        ]
    );
}

#[test]
fn unset_and_malformed() {
    assert_snapshot!(report("pipeline: home\ndescription: in the ${ROOMS}, ok\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0020]: the variable `ROOMS` is not set
 --> home.yaml:2:21
  |
2 | description: in the ${ROOMS}, ok
  |                     ^^^^^^^^
  |
  = help: set it, or give a default: `${ROOMS:-default}`

1 error
"#);
    assert_snapshot!(report("pipeline: home\ndescription: \"${ROOMS:?name the room}\"\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0020]: the variable `ROOMS` is not set: name the room
 --> home.yaml:2:14
  |
2 | description: "${ROOMS:?name the room}"
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^

1 error
"#);
    assert_snapshot!(report("pipeline: home\ndescription: costs ${5}\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0021]: `${5}` does not begin with the name of a variable
 --> home.yaml:2:20
  |
2 | description: costs ${5}
  |                    ^^^^
  |
  = help: write a dollar sign that is meant as such as `$$`

1 error
"#);
    assert_snapshot!(report("pipeline: home\ndescription: ${PORT\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0021]: `${` is not closed by `}`
 --> home.yaml:2:14
  |
2 | description: ${PORT
  |              ^^
  |
  = help: write a dollar sign that is meant as such as `$$`

1 error
"#);
    assert_snapshot!(report("pipeline: home\ndescription: ${PORT=3}\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0021]: `=3` follows the name `PORT`
 --> home.yaml:2:14
  |
2 | description: ${PORT=3}
  |              ^^^^^^^^^
  |
  = help: write `${PORT}`, `${PORT:-default}` or `${PORT:?message}`

1 error
"#);
}

#[test]
fn secrets_that_cannot_be_read() {
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { password: secret://env/NONE } }\n"), @r#"
error[SM0022]: the variable `NONE` of this secret is not set
 --> home.yaml:3:30
  |
3 |   air: { replay: { password: secret://env/NONE } }
  |                              ^^^^^^^^^^^^^^^^^
  |
  = help: set `NONE` in the environment of the engine

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { password: secret://file/no/such/file } }\n"), @r#"
error[SM0022]: cannot read the secret in `/no/such/file`: No such file or directory (os error 2)
 --> home.yaml:3:30
  |
3 |   air: { replay: { password: secret://file/no/such/file } }
  |                              ^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: `secret://file/run/x` is `/run/x`, `secret://file/./x` lies beside this file

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { password: secret://env/EMPTY } }\n"), @r#"
error[SM0022]: the secret `secret://env/EMPTY` is empty
 --> home.yaml:3:30
  |
3 |   air: { replay: { password: secret://env/EMPTY } }
  |                              ^^^^^^^^^^^^^^^^^^

1 error
"#);
    assert_snapshot!(report("pipeline: home\nsources:\n  air: { replay: { password: secret://vault/x } }\n"), @r#"
error[SM0023]: `secret://vault/x` is not a reference to a secret
 --> home.yaml:3:30
  |
3 |   air: { replay: { password: secret://vault/x } }
  |                              ^^^^^^^^^^^^^^^^
  |
  = help: write `secret://env/NAME` or `secret://file/PATH`

1 error
"#);
    assert_snapshot!(report("pipeline: home\ndescription: secret://env/TOKEN\nsources:\n  air: { simulate: {} }\n"), @r#"
error[SM0024]: `description` is shown in plans and logs and cannot hold a secret
 --> home.yaml:2:14
  |
2 | description: secret://env/TOKEN
  |              ^^^^^^^^^^^^^^^^^^
  |
  = help: use `${NAME}` if the value is no secret

1 error
"#);
}

#[test]
fn secrets_are_read_and_hidden() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "hunter3\n").unwrap();
    let absolute = folder.path().join("token").display().to_string();
    let yaml = format!("[secret://env/TOKEN, secret://file/./token, secret://file{absolute}]");
    let mut loader = Loader::new(&variable);
    loader.text(&folder.path().join("home.yaml"), &yaml);
    let loaded = loader.finish();
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.diagnostics.render(&loaded.files, false));
    let values: Vec<_> = loaded.documents[0]
        .root
        .as_sequence()
        .unwrap()
        .iter()
        .map(|node| node.as_scalar().unwrap().secret().unwrap().expose())
        .collect();
    assert_eq!(values, ["hunter2", "hunter3", "hunter3"]);
    assert!(!format!("{loaded:?}").contains("hunter"), "no secret is printed");
}

#[test]
fn hostile_interpolation_is_bounded() {
    let deep = format!("description: \"{}x{}\"\n", "${NONE:-".repeat(100_000), "}".repeat(100_000));
    let loaded = load_text(&deep);
    assert_eq!(loaded.diagnostics.errors(), 1);
    assert!(matches!(description(&loaded.documents[0].root).value, Value::Broken));

    let large = |_: &str| Some("x".repeat(100_000));
    let mut loader = Loader::new(&large);
    loader.text(Path::new("a.yaml"), &format!("[{}]", "\"${A}\", ".repeat(10_000)));
    let loaded = loader.finish();
    assert!(loaded.diagnostics.errors() > 9_000);
}
