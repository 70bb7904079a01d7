//! `config check`: the value of every setting, where it comes from, and what is wrong.

mod settings;

use std::process::ExitCode;

use serde::Serialize;
use smollama_engine::diagnostic::{JsonDiagnostic, nearest};

use self::settings::{Origin, Row};
use crate::cli::Global;
use crate::cli::setup::Config;
use crate::host;
use crate::terminal::{self, Failure};
use crate::text::{Cell, Column, Paint, Table, Tone, cut, plain};

/// The variables of the environment that the program itself reads.
const VARIABLES: [&str; 8] = [
    "SMOLLAMA_CONFIG",
    "SMOLLAMA_DATA_DIR",
    "SMOLLAMA_LOG_LEVEL",
    "SMOLLAMA_MQTT_BROKER",
    "SMOLLAMA_MQTT_PASSWORD",
    "SMOLLAMA_MQTT_PORT",
    "SMOLLAMA_MQTT_USERNAME",
    "SMOLLAMA_NODE_NAME",
];

/// Columns that a value may take; `--json` has all of it.
const VALUE_MAX: usize = 44;

/// What `config check --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// The file; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    settings: Vec<Row>,
    /// What is wrong, as `validate --json` has it.
    problems: Vec<JsonDiagnostic>,
    /// Variables of the environment that look as if they were meant for this program, and are not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unused_variables: Vec<String>,
}

pub(crate) fn config(global: &Global, what: &Config) -> Result<ExitCode, Failure> {
    match what {
        Config::Check => check(global),
    }
}

fn check(global: &Global) -> Result<ExitCode, Failure> {
    let read = host::read(global);
    let wrong = read.config.is_none() || read.diagnostics.has_errors();
    let rows = settings::rows(global, &read);
    let unused = unused_variables(&read);
    if global.json {
        super::print_json(&Report {
            file: read.path.as_ref().map(|path| path.display().to_string()),
            settings: rows,
            problems: read.diagnostics.to_json(&read.files),
            unused_variables: unused,
        })?;
        return Ok(if wrong { ExitCode::from(2) } else { ExitCode::SUCCESS });
    }
    // Of a file that is wrong nothing holds, so that no table is shown of it.
    if !wrong {
        let paint = Paint(terminal::stdout_colour());
        terminal::print(&format!("{}\n\n{}", heading(global, &read, paint), table(&rows, paint)))?;
    }
    let shown = terminal::diagnostics(&read.diagnostics, &read.files);
    for name in &unused {
        let help = match nearest(name, VARIABLES) {
            Some(near) => format!("did you mean {near}?"),
            None => "`smollama explain config` lists what can be set in config.yaml".into(),
        };
        terminal::say(&format!("note: {} is set, and nothing reads it; {help}", plain(name)));
    }
    shown?;
    if !wrong {
        terminal::say(
            "`smollama explain config.SETTING` explains one, `smollama doctor` checks whether they work.",
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn heading(global: &Global, read: &host::Read, paint: Paint) -> String {
    let Some(path) = &read.path else {
        return "No config.yaml: everything is as it is by default. `smollama init` writes one."
            .into();
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let named = match (&global.config, host::variable("SMOLLAMA_CONFIG")) {
        (None, _) => "the first that was found",
        (Some(path), Some(named)) if path.as_os_str() == named.as_str() => {
            "named by SMOLLAMA_CONFIG"
        }
        (Some(_), _) => "named by --config",
    };
    format!("{}  {}", paint.strong(&plain(&absolute.display().to_string())), paint.faint(named))
}

/// Settings with what they are and where from; what somebody set stands out.
fn table(rows: &[Row], paint: Paint) -> String {
    let columns = [Column::text("SETTING"), Column::text("VALUE"), Column::text("FROM")];
    let mut table = Table::new(&columns);
    for row in rows {
        let tone = match row.from {
            Origin::Default | Origin::System { .. } => Tone::Faint,
            _ => Tone::Strong,
        };
        table.row(vec![
            Cell::toned(&row.setting, tone),
            Cell::toned(cut(&row.shown, VALUE_MAX), tone),
            Cell::toned(row.where_from(), if tone == Tone::Faint { tone } else { Tone::Plain }),
        ]);
    }
    table.render(terminal::width(), paint)
}

/// The settings that hold a secret as plain text, and not a reference to one. The name of a user opens nothing by itself.
pub(super) fn plain_secrets(global: &Global, read: &host::Read) -> Vec<String> {
    let rows = settings::rows(global, read).into_iter();
    let all = rows.filter(Row::is_plain_secret).map(|row| row.setting);
    all.filter(|setting| !setting.ends_with("username")).collect()
}

/// Variables named as ours are that neither the program nor the file of settings reads. A pipeline may still name one.
fn unused_variables(read: &host::Read) -> Vec<String> {
    let is_named = |name: &str| {
        read.variables
            .iter()
            .any(|one| &*one.name == name || one.name.strip_prefix("secret://env/") == Some(name))
    };
    let mut unused: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("SMOLLAMA_"))
        .filter(|name| !VARIABLES.contains(&name.as_str()) && !is_named(name))
        .collect();
    unused.sort();
    unused
}
