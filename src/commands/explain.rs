//! `explain`: one thing of the reference.

use std::process::ExitCode;

use smollama_engine::reference::{self, Entry};

use super::nodes::{bad_name, heading, node, setting, settings, width, wrapped};
use crate::cli::Global;
use crate::cli::commands::Explain;
use crate::terminal::{self, Failure};

pub(crate) fn explain(global: &Global, args: &Explain) -> Result<ExitCode, Failure> {
    let found = match reference::explain(&smollama_nodes::registry(), args.what.trim()) {
        Ok(found) => found,
        Err(message) => return bad_name(&message),
    };
    if global.json {
        return super::print_json(&found);
    }
    let texts: Vec<String> = found.iter().map(|entry| text(entry, width())).collect();
    terminal::print(&texts.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn text(entry: &Entry, width: usize) -> String {
    match entry {
        Entry::Node(page) => node(page, width),
        Entry::Topic { name, what, takes, text, settings: all } => {
            let mut out = format!("{}  {what}\n\n{}\n", heading(name), wrapped(text, 0, width));
            if all.is_empty() {
                out += &format!("\n{}\n", wrapped(&format!("Takes {takes}."), 0, width));
            } else {
                out += &format!("\n{}\n{}", heading("Settings"), settings(all, width));
            }
            out
        }
        Entry::Setting { owner, setting: one, below } => {
            let own = setting(one, &one.path, width);
            format!("{owner}\n{own}{}", settings(below, width))
        }
        Entry::Rule { page, .. } => page.clone(),
    }
}
