//! The words of the command line.

pub(crate) mod look;
pub(crate) mod mqtt;
pub(crate) mod setup;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Turns YAML files into a running edge-sensing node.
#[derive(Debug, Parser)]
#[command(name = "smollama", version, about, arg_required_else_help = true)]
#[command(after_help = "Begin with: smollama init")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The host's settings [default: ./config.yaml, then ~/.smollama/config.yaml, if there is one]
    #[arg(short, long, global = true, value_name = "FILE", env = "SMOLLAMA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: ~/.local/share/smollama]
    #[arg(long, global = true, value_name = "DIR", env = "SMOLLAMA_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How much to log, such as `info` or `smollama_engine=debug,warn`
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "SMOLLAMA_LOG_LEVEL",
        default_value = "warn",
        value_parser = log_level
    )]
    pub(crate) log_level: Targets,
    /// The form of log lines
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
    /// Give results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to log. A word alone that is no level would be taken for the name of a module, and all else silenced.
fn log_level(text: &str) -> Result<Targets, String> {
    const LEVELS: &str = "`off`, `error`, `warn`, `info`, `debug` or `trace`";
    let is_word = |part: &&str| !part.is_empty() && !part.contains(['=', ':']);
    let parts = text.split(',').map(str::trim);
    for word in parts.filter(is_word).filter(|word| !word.starts_with("smollama")) {
        if word.parse::<LevelFilter>().is_err() {
            return Err(format!("there is no level `{word}`; write {LEVELS}"));
        }
    }
    text.parse().map_err(|error| {
        format!("{error}; write {LEVELS}, or a module with one: `smollama_engine=debug`")
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at this machine, and write settings and a first pipeline for it
    Init(setup::Init),
    /// Take over what a Python Smollama was told and what it kept, and change nothing of it
    Import(setup::Import),
    /// Check pipelines, show the plan, and make it so: in the engine that runs, or in one that starts here
    Apply(commands::Apply),
    /// Run pipelines in the foreground, as a service or over recordings
    Run(commands::Run),
    /// Show what an apply would change; exit code 2 if that is anything
    Plan(commands::Plan),
    /// List the revisions that were applied
    History,
    /// Go back to an earlier revision
    Rollback(commands::Rollback),
    /// Say how the running engine and its nodes are
    Status(look::Status),
    /// Watch the nodes of the running engine, full screen
    Top,
    /// Show what leaves a node, as it comes
    Tap(look::Tap),
    /// Show the log of the running engine
    Logs(look::Logs),
    /// Say more or less in the log of the running engine, for a while
    LogLevel(look::LogLevel),
    /// List, show, replay or drop what nodes refused
    Dlq(look::Dlq),
    /// Speak with an MQTT broker by hand: publish, or show what comes
    #[command(subcommand)]
    Mqtt(mqtt::Mqtt),
    /// Check this machine and what it works with; each finding with its fix
    Doctor,
    /// Look at the settings of this host
    #[command(subcommand)]
    Config(setup::Config),
    /// Check pipelines and say what is wrong with them
    Validate(commands::Paths),
    /// Run the pipelines' own tests in virtual time
    Test(commands::Test),
    /// Run changed pipelines over recorded history, beside what runs, and show what would differ
    Backtest(commands::Backtest),
    /// Draw pipelines
    Graph(commands::Graph),
    /// List the types of node, or show one
    Nodes(commands::Nodes),
    /// Print the JSON Schema of pipeline files, of config.yaml, of items, or of a backtest
    Schema(commands::Schema),
    /// Explain a type, a setting, an engine word or a rule: `explain dedup.deadband`, `explain SM0071`
    Explain(commands::Explain),
    /// Print the script that completes commands in a shell
    Completions(commands::Completions),
}

pub(crate) mod commands {
    use super::look::Moment;
    use super::{Args, PathBuf, ValueEnum};

    #[derive(Debug, Args)]
    pub(crate) struct Paths {
        /// Pipeline files, or folders of them
        #[arg(required = true, value_name = "PATH")]
        pub(crate) paths: Vec<PathBuf>,
    }

    /// Where the API and the dashboard are served.
    #[derive(Debug, Args)]
    pub(crate) struct Listen {
        /// The address to listen on; beyond this machine only with a token in config.yaml [default: 127.0.0.1]
        #[arg(long, value_name = "ADDRESS")]
        pub(crate) host: Option<std::net::IpAddr>,
        /// The port to listen on [default: 8080]
        #[arg(long, value_name = "PORT")]
        pub(crate) port: Option<u16>,
        /// Listen on no port; the command line works all the same
        #[arg(long)]
        pub(crate) no_dashboard: bool,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Apply {
        #[command(flatten)]
        pub(crate) paths: Paths,
        /// Show the plan and change nothing
        #[arg(long)]
        pub(crate) dry_run: bool,
        /// Do not ask
        #[arg(short = 'y', long)]
        pub(crate) yes: bool,
        /// Take the paths for the whole set: what runs and lies elsewhere is removed
        #[arg(long)]
        pub(crate) all: bool,
        #[command(flatten)]
        pub(crate) listen: Listen,
        /// Apply again, without asking, whenever one of the files is saved
        #[arg(long, conflicts_with = "dry_run")]
        pub(crate) watch: bool,
        /// What the history says about it
        #[arg(short, long, value_name = "TEXT")]
        pub(crate) message: Option<String>,
        /// How many seconds of a recording pass in one second, or `max`
        #[arg(long, value_name = "N", value_parser = speed)]
        pub(crate) speed: Option<Speed>,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Plan {
        #[command(flatten)]
        pub(crate) paths: Paths,
        /// Take the paths for the whole set: what runs and lies elsewhere is removed
        #[arg(long)]
        pub(crate) all: bool,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Rollback {
        /// The revision to go back to [default: the one before the present one]
        #[arg(value_name = "REVISION")]
        pub(crate) revision: Option<u64>,
        /// Show the plan and change nothing
        #[arg(long)]
        pub(crate) dry_run: bool,
        /// Do not ask
        #[arg(short = 'y', long)]
        pub(crate) yes: bool,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Completions {
        /// The shell
        #[arg(value_enum)]
        pub(crate) shell: clap_complete::Shell,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Run {
        /// Pipeline files, or folders of them: exactly these run. Without any, what was applied last goes on
        #[arg(value_name = "PATH", required_if_eq("once", "true"))]
        pub(crate) paths: Vec<PathBuf>,
        #[command(flatten)]
        pub(crate) listen: Listen,
        /// End when every source has ended; sources that never end are asked once
        #[arg(long)]
        pub(crate) once: bool,
        /// How many seconds of a recording pass in one second, or `max`
        #[arg(long, value_name = "N", value_parser = speed)]
        pub(crate) speed: Option<Speed>,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Test {
        #[command(flatten)]
        pub(crate) paths: Paths,
        /// Also write the results as JUnit XML
        #[arg(long, value_name = "FILE")]
        pub(crate) junit: Option<PathBuf>,
        /// Only tests whose name holds this text
        #[arg(long, value_name = "TEXT")]
        pub(crate) only: Option<String>,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Backtest {
        #[command(flatten)]
        pub(crate) paths: Paths,
        /// From when on: a time, or a span before now such as `12h` [default: 7d; with `--from` all there is]
        #[arg(long, value_name = "TIME")]
        pub(crate) since: Option<Moment>,
        /// Up to when [default: now; with `--from` all there is]
        #[arg(long, value_name = "TIME")]
        pub(crate) until: Option<Moment>,
        /// Recordings in place of what this host recorded: files as the source `replay` reads them, folders of a history, or `SOURCE=FILE`
        /// for a file that does not say what its readings are of
        #[arg(long, value_name = "FILE", num_args = 1..)]
        pub(crate) from: Vec<PathBuf>,
        /// Show the items that are missed (-) and gained (+), so many of each for every sink [default: 20]
        #[arg(
            long,
            value_name = "N",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "20",
            hide_default_value = true
        )]
        pub(crate) diff: Option<usize>,
        /// Take the paths for the whole set: what runs and lies elsewhere is removed
        #[arg(long)]
        pub(crate) all: bool,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Graph {
        #[command(flatten)]
        pub(crate) paths: Paths,
        /// The form of the drawing
        #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
        pub(crate) format: GraphFormat,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub(crate) enum GraphFormat {
        /// For GitHub and most wikis
        Mermaid,
        /// For Graphviz
        Dot,
        /// A picture for any browser
        Svg,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Nodes {
        /// The type to show; without it all are listed
        #[arg(value_name = "TYPE")]
        pub(crate) node_type: Option<String>,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Schema {
        /// Which one
        #[arg(value_enum)]
        pub(crate) of: SchemaOf,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub(crate) enum SchemaOf {
        /// Pipeline files
        Pipeline,
        /// config.yaml
        Config,
        /// Readings, windows and observations as JSON
        Items,
        /// What `backtest --json` prints
        Backtest,
    }

    #[derive(Debug, Args)]
    pub(crate) struct Explain {
        /// `TYPE`, `TYPE.FIELD`, an engine word, a key of a file, or a rule's id
        #[arg(value_name = "WHAT")]
        pub(crate) what: String,
    }

    /// How fast recordings are played.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(crate) enum Speed {
        Max,
        Times(f64),
    }

    fn speed(text: &str) -> Result<Speed, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
            _ => Err("write a number above 0, such as 60, or `max`".into()),
        }
    }
}
