//! The shape of the source tree: what may depend on what, where nodes lie, how long files are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use smollama_engine::registry::Section;

use crate::project::{files, root, rust, shown, text};
use crate::reference::commands;

/// Lines of a file of Rust. What is longer is about more than one thing.
const LINES_MAX: usize = 600;

/// What each crate may depend on among ours.
const DIRECTION: [(&str, &[&str]); 6] = [
    ("engine", &[]),
    ("store", &["engine"]),
    ("nodes", &["engine", "store"]),
    ("dashboard", &["engine", "store"]),
    ("supervisor", &["engine", "store"]),
    (".", &["engine", "store", "nodes", "dashboard", "supervisor"]),
];

/// What the tests of a crate may depend on besides: those of the supervisor prove the whole on a simulated disk.
const TESTS_ONLY: [(&str, &str); 1] = [("supervisor", "nodes")];

/// The dependency lines of a Cargo.toml, all kinds of them, as name and the rest. What only tests may depend on is left out.
fn dependencies(folder: &str) -> Vec<(String, String)> {
    let manifest = text(format!("{folder}/Cargo.toml"));
    let (mut within, mut tests) = (false, false);
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_matches(['[', ']']);
            within = section.ends_with("dependencies") && section != "workspace.dependencies";
            tests = section == "dev-dependencies";
        } else if within && let Some((name, rest)) = line.split_once('=') {
            let name = name.trim().trim_end_matches(".workspace").to_owned();
            let ours = name.strip_prefix("smollama-").unwrap_or_default();
            if tests && TESTS_ONLY.contains(&(folder, ours)) {
                continue;
            }
            found.push((name, line.split_once('.').map_or(rest, |_| line).to_owned()));
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    for (folder, allowed) in DIRECTION {
        for (name, _) in dependencies(folder) {
            if let Some(ours) = name.strip_prefix("smollama-") {
                assert!(allowed.contains(&ours), "{folder} must not depend on {ours}");
            }
        }
    }
}

#[test]
fn all_versions_stand_in_the_root() {
    for (folder, _) in DIRECTION {
        for (name, line) in dependencies(folder) {
            let inherits = line.contains("workspace = true") || line.contains(".workspace=true");
            assert!(inherits, "{folder}: `{name}` needs `{name}.workspace = true`");
        }
    }
    let manifest = text("Cargo.toml");
    let table = manifest.split("[workspace.dependencies]").nth(1).expect("the table");
    let table = table.split("\n[").next().expect("its lines");
    let listed: BTreeSet<&str> =
        table.lines().filter_map(|line| Some(line.split_once('=')?.0.trim())).collect();
    let used: BTreeSet<String> = DIRECTION
        .iter()
        .flat_map(|(folder, _)| dependencies(folder))
        .map(|(name, _)| name)
        .collect();
    let unused: Vec<_> = listed.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "listed in the root and used nowhere: {unused:?}");
}

/// A plan is pure data, and so is what was written: neither waits for anything.
#[test]
fn plan_and_config_know_no_runtime() {
    for folder in
        ["engine/src/plan", "engine/src/config", "engine/src/schema", "engine/src/reference"]
    {
        for path in files(folder, ".rs") {
            let source = text(&path);
            for word in ["tokio", "async fn", "std::net", "std::thread"] {
                assert!(!source.contains(word), "{} knows `{word}`", shown(&path));
            }
        }
    }
}

/// The engine knows no protocol, no HTTP, no SQL, no Parquet, no scripts, and no command line.
#[test]
fn the_engine_knows_no_protocol() {
    let foreign = ["arrow", "parquet", "rusqlite", "reqwest", "axum", "rumqttc", "rhai", "clap"];
    for (name, _) in dependencies("engine") {
        assert!(!foreign.iter().any(|word| name.contains(word)), "engine depends on {name}");
    }
}

#[test]
fn a_node_is_a_folder_with_an_example_and_a_line_in_the_registry() {
    let registry = smollama_nodes::registry();
    for kind in Section::ALL {
        let folder = root().join("nodes/src").join(kind.key());
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        let folders: BTreeSet<String> = entries
            .map(|entry| entry.expect("an entry"))
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let listed: BTreeSet<String> = registry
            .iter()
            .filter(|one| one.section == kind)
            .map(|one| one.name.to_owned())
            .collect();
        assert_eq!(folders, listed, "folders of {} and the registry", kind.key());
        for name in &listed {
            for file in ["mod.rs", "example.yaml"] {
                assert!(folder.join(name).join(file).is_file(), "{name} has no {file}");
            }
            let node_type = registry.get(kind, name).expect("it is listed");
            let example = text(format!("nodes/src/{}/{name}/example.yaml", kind.key()));
            assert_eq!(node_type.example, example, "{name} does not embed its example");
            assert!(example.contains("\ntests:\n"), "the example of {name} has no tests");
        }
    }
}

/// What a user reads about a type and its settings comes from comments; one that is missing is an empty line in the docs.
#[test]
fn every_type_and_setting_is_explained() {
    for page in smollama_engine::reference::all(&smollama_nodes::registry()) {
        assert!(!page.text.is_empty(), "{} has no text", page.slug());
        assert!(
            !page.inputs.is_empty() || !page.outputs.is_empty(),
            "{} has no ports",
            page.slug()
        );
        for setting in &page.settings {
            assert!(!setting.text.is_empty(), "{}: `{}` has no text", page.slug(), setting.path);
        }
    }
}

#[test]
fn files_are_short() {
    for path in rust() {
        let lines = text(&path).lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}", shown(&path));
    }
}

#[test]
fn nothing_is_left_half_done() {
    // Written in two parts, so that this file does not hold them.
    let words = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X:"),
        ("dbg", "!("),
        ("todo", "!("),
        ("unimplemented", "!("),
    ];
    let allow = ("#[all", "ow(");
    for path in rust() {
        let source = text(&path);
        for (one, other) in words.into_iter().chain([allow]) {
            let word = format!("{one}{other}");
            assert!(!source.contains(&word), "{} holds `{word}`", shown(&path));
        }
    }
}

/// A file that no `mod` names is never compiled.
#[test]
fn no_file_is_dead() {
    let sources: BTreeMap<PathBuf, String> =
        rust().into_iter().map(|path| (path.clone(), text(&path))).collect();
    for path in sources.keys().filter(|path| !begins_a_crate(path)) {
        let folder = path.parent().expect("a folder");
        let name = path.file_stem().expect("a name").to_string_lossy();
        // `mod.rs` is named one folder up, by the folder's name.
        let (module, home) = match &*name {
            "mod" => (folder.file_name(), folder.parent().expect("a folder")),
            _ => (path.file_stem(), folder),
        };
        let line = format!("mod {};", module.expect("a name").to_string_lossy());
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| home.join(parent));
        let beside = home.with_extension("rs");
        let named = parents.iter().chain([&beside]).filter_map(|parent| sources.get(parent));
        assert!(
            named.into_iter().any(|source| source.contains(&line)),
            "nothing names {}",
            shown(path)
        );
    }
}

/// Whether cargo finds a file by itself.
fn begins_a_crate(path: &Path) -> bool {
    let folder = path.parent().expect("a folder");
    let root = path.ends_with("src/main.rs")
        || path.ends_with("src/lib.rs")
        || path.ends_with("tests/main.rs");
    // A program of several files has a folder of its own.
    let homes = ["benches", "src/bin"];
    let own = folder.parent().is_some_and(|up| homes.iter().any(|home| up.ends_with(home)));
    root || (own && path.ends_with("main.rs"))
        || folder.ends_with("benches")
        || folder.ends_with("examples")
        || folder.ends_with("src/bin")
}

/// The commands that the README and the guides tell people to type are there.
#[test]
fn commands_in_the_documentation_exist() {
    let known = commands();
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    pages.extend(files("docs", ".md"));
    for path in pages.into_iter().filter(|path| path.is_file()) {
        for word in text(&path).lines().flat_map(commands_in) {
            assert!(known.contains(&word), "{}: there is no command `{word}`", shown(&path));
        }
    }
}

/// The commands in a line: after a backtick, at its beginning, after a prompt, or after `cargo run --release --`.
fn commands_in(line: &str) -> Vec<String> {
    let inside = ["`smollama ", "cargo run --release -- "];
    let inside = inside.into_iter().flat_map(|before| line.split(before).skip(1));
    let line = line.trim_start().trim_start_matches("$ ");
    inside.chain(line.strip_prefix("smollama ")).filter_map(first_word).collect()
}

/// The word a text begins with, where it is the name of a command and not of an option or a placeholder.
fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(char::is_ascii_lowercase).collect();
    let ends = text[word.len()..].chars().next();
    (!word.is_empty() && matches!(ends, Some('`' | ' ') | None)).then_some(word)
}
