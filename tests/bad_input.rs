//! What a user is told about each kind of mistake, word for word: `tests/bad_input/NAME.yaml` (or a folder) and, beside it, the
//! message in `NAME.txt`. `UPDATE=1` writes the messages anew; read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use smollama_engine::plan::plan;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input")
}

/// What `validate` says of a path, with the path as it would be written from the folder of the cases.
fn message(path: &Path) -> String {
    let planned = plan(&[path], &|_| None, &smollama_nodes::registry());
    let text = planned.diagnostics.render(&planned.files, false);
    assert!(planned.graph.is_none(), "{} was accepted", path.display());
    text.replace(&format!("{}/", folder().display()), "")
}

fn check(name: &str, text: &str) {
    let golden = folder().join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        assert!(fs::write(&golden, text).is_ok(), "{} cannot be written", golden.display());
        return;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(text, expected, "the message for {name} has changed; UPDATE=1 writes it anew");
}

#[test]
fn every_mistake_gets_its_message() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".txt"))
        .collect();
    names.sort();
    assert!(names.len() > 15, "the cases are there");
    for name in names {
        let text = message(&folder().join(&name));
        check(name.trim_end_matches(".yaml"), &text);
    }
}

#[test]
fn a_missing_path_gets_its_message() {
    check("missing_path", &message(&folder().join("no_such_file.yaml")));
}

/// Every rule that a case shows has a page; every message names the rule, the place and, where there is one, the way to mend it.
#[test]
fn messages_name_rule_place_and_help() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("[SM00"), "{} names no rule", path.display());
        assert!(text.contains("help: "), "{} offers no help", path.display());
    }
}
