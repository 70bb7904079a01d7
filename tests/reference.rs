//! What is generated from the code lies in `docs/` as the code has it. `UPDATE=1 cargo test --test all reference` writes it.

use std::fs;
use std::process::Command;

use smollama_engine::plan::{draw, plan};
use smollama_engine::reference::{self, Page};

use crate::project::{files, pipelines, root, shown};

/// The folders that hold nothing else.
const FOLDERS: [&str; 3] = ["docs/nodes", "docs/rules", "docs/schema"];

#[test]
fn the_generated_reference_is_fresh() {
    let mut pages = reference::pages(&smollama_nodes::registry());
    pages.push(Page { path: "cli.md".into(), text: command_line() });
    let update = std::env::var_os("UPDATE").is_some();
    let mut stale = Vec::new();
    for page in &pages {
        let path = root().join("docs").join(&page.path);
        if fs::read_to_string(&path).ok().as_ref() != Some(&page.text) {
            if update {
                fs::create_dir_all(path.parent().expect("it is in docs/")).expect("a folder");
                fs::write(&path, &page.text).expect("a page");
            } else {
                stale.push(shown(&path));
            }
        }
    }
    for path in FOLDERS.into_iter().flat_map(|folder| files(folder, "")) {
        let known = pages.iter().any(|page| root().join("docs").join(&page.path) == path);
        if !known && update {
            fs::remove_file(&path).expect("an old page can go");
        } else if !known {
            stale.push(format!("{} (nothing makes it any more)", shown(&path)));
        }
    }
    assert!(
        stale.is_empty(),
        "these are not what the code says; `UPDATE=1 cargo test --test all reference` writes them anew:\n{}",
        stale.join("\n")
    );
}

#[test]
fn every_link_between_pages_leads_to_a_page() {
    let pages = reference::pages(&smollama_nodes::registry());
    for page in pages.iter().filter(|page| page.path.ends_with("README.md")) {
        let folder = page.path.trim_end_matches("README.md");
        for link in page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let wanted = format!("{folder}{link}");
            assert!(pages.iter().any(|page| page.path == wanted), "{}: {link}", page.path);
        }
    }
}

#[test]
fn pictures_of_shipped_pipelines_are_xml() {
    for path in pipelines() {
        let planned = plan(&[&path], &|_| None, &smollama_nodes::registry());
        // Some read files beside them; what is wrong with them is another test's.
        let Some(graph) = planned.graph else { continue };
        let picture = draw::svg(&graph);
        let read = roxmltree::Document::parse(&picture).expect("it is XML");
        let titles = read
            .descendants()
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "g")));
        assert_eq!(titles.count(), graph.order.len(), "{}", shown(&path));
    }
}

/// The help of every command, as the program prints it.
fn command_line() -> String {
    let mut out = String::from(
        "<!-- Generated from the code; `UPDATE=1 cargo test --test all reference` writes it. -->\n# The command line\n",
    );
    out += &format!("\n```text\n{}\n```\n", help(&["--help"]));
    for command in commands() {
        out += &page("##", &[&command]);
        for below in listed(&help(&[&command, "-h"])) {
            out += &page("###", &[&command, &below]);
        }
    }
    out
}

/// The help of a command, without the options that all have.
fn page(level: &str, command: &[&str]) -> String {
    let arguments: Vec<&str> = command.iter().copied().chain(["-h"]).collect();
    let help = help(&arguments);
    let own = help.split("\n\nOptions of every command:").next().unwrap_or_default();
    format!("\n{level} smollama {}\n\n```text\n{own}\n```\n", command.join(" "))
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_smollama"))
        .args(arguments)
        .env_clear()
        .env("COLUMNS", "100")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{arguments:?}");
    let text = String::from_utf8(output.stdout).expect("help is text");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The names of all commands, as the program lists them.
pub(crate) fn commands() -> Vec<String> {
    listed(&help(&["--help"]))
}

/// The names of the commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let listed = listed.lines().take_while(|line| !line.trim().is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}
