//! `nodes`: the types of node there are, and the page of one.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use smollama_engine::diagnostic::nearest;
use smollama_engine::reference::{self, NodePage, Port, Setting};
use smollama_engine::registry::Section;

use crate::cli::Global;
use crate::cli::commands::Nodes;
use crate::terminal::{self, Failure};

pub(crate) fn nodes(global: &Global, args: &Nodes) -> Result<ExitCode, Failure> {
    let pages = reference::all(&smollama_nodes::registry());
    let Some(name) = &args.node_type else {
        if global.json {
            return super::print_json(&pages);
        }
        terminal::print(&table(&pages, width()))?;
        terminal::say(
            "\n`smollama nodes TYPE` shows one, `smollama explain TYPE.SETTING` a setting.",
        );
        return Ok(ExitCode::SUCCESS);
    };
    let of_name = |page: &&NodePage| page.name == *name || page.slug() == *name;
    let found: Vec<&NodePage> = pages.iter().filter(of_name).collect();
    if found.is_empty() {
        let near = nearest(name, pages.iter().map(|page| page.name.as_str()));
        let help = near
            .map_or("`smollama nodes` lists all".into(), |near| format!("did you mean `{near}`?"));
        return bad_name(&format!("there is no type of node `{name}`\nhelp: {help}"));
    }
    if global.json {
        return super::print_json(&found);
    }
    let text: Vec<String> = found.into_iter().map(|page| node(page, width())).collect();
    terminal::print(&text.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Says that there is nothing of a name: the input is wrong.
pub(super) fn bad_name(message: &str) -> Result<ExitCode, Failure> {
    let (on, off) = if terminal::stderr_colour() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    terminal::say(&format!("{on}error{off}: {message}"));
    Err(Failure::BadInput)
}

/// The columns that text may take: those of the terminal, and few enough to be read.
pub(super) fn width() -> usize {
    const READABLE: usize = 100;
    if !std::io::stdout().is_terminal() {
        return READABLE;
    }
    let size = crossterm::terminal::size();
    size.map_or(READABLE, |(columns, _)| usize::from(columns).clamp(40, READABLE))
}

fn table(pages: &[NodePage], width: usize) -> String {
    let longest = pages.iter().map(|page| page.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for kind in Section::ALL {
        let of_kind: Vec<_> = pages.iter().filter(|page| page.kind == kind.singular()).collect();
        if of_kind.is_empty() {
            continue;
        }
        out += &format!("{}{}\n", if out.is_empty() { "" } else { "\n" }, heading(kind.key()));
        for page in of_kind {
            let text = wrapped(page.summary(), longest + 4, width);
            out += &format!("  {:longest$}  {}\n", page.name, text.trim_start());
        }
    }
    out
}

/// The page of a type, for a terminal.
pub(super) fn node(page: &NodePage, width: usize) -> String {
    let mut out =
        format!("{}  {}\n\n{}\n", heading(&page.name), page.kind, wrapped(&page.text, 0, width));
    if let Some(pace) = &page.pace {
        out += &format!("\nThis source: {pace}.\n");
    }
    for (title, ports) in [("Input ports", &page.inputs), ("Output ports", &page.outputs)] {
        if !ports.is_empty() {
            out += &format!("\n{}\n{}", heading(title), rows(ports));
        }
    }
    out += &format!("\n{}\n", heading("Settings"));
    if page.settings.is_empty() {
        out += "  none\n";
    }
    out += &settings(&page.settings, width);
    out + &format!("\n{}\n{}", heading("Example"), indented(&page.example))
}

fn rows(ports: &[Port]) -> String {
    let longest = ports.iter().map(|port| port.name.chars().count()).max().unwrap_or(0);
    ports
        .iter()
        .map(|port| format!("  {:longest$}  {}\n", port.name, port.kinds.join(", ")))
        .collect()
}

/// Settings, each with what it takes, its default and what it is for.
pub(super) fn settings(settings: &[Setting], width: usize) -> String {
    settings.iter().map(|one| setting(one, &one.path, width)).collect()
}

/// One setting under a name.
pub(super) fn setting(setting: &Setting, name: &str, width: usize) -> String {
    let default = match &setting.default {
        Some(default) => format!(", default {default}"),
        None if setting.required => ", needed".into(),
        None => String::new(),
    };
    let mut out = format!("  {}  {}{default}\n", bold(name), setting.takes);
    if !setting.text.is_empty() {
        out += &format!("{}\n", wrapped(&setting.text, 6, width));
    }
    for choice in &setting.choices {
        out += &format!("{}\n", wrapped(&format!("`{}`: {}", choice.word, choice.text), 8, width));
    }
    out
}

pub(super) fn heading(text: &str) -> String {
    bold(text)
}

fn bold(text: &str) -> String {
    if terminal::stdout_colour() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

pub(super) fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect()
}

/// Text in lines of at most `width` columns, all indented.
pub(super) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    let indented = lines.into_iter().map(|line| match line.is_empty() {
        true => line,
        false => format!("{:indent$}{line}", ""),
    });
    indented.collect::<Vec<_>>().join("\n")
}
