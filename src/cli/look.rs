//! The words of the commands that look inside a running engine.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use smollama_engine::control;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only one pipeline, `home`, or all about one node, `home/air`
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Tap {
    /// `home/air` for what a node emits, `home/news.dropped` for another port, `home/alerts` of a sink for what enters it
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
    /// Also write the lines to a file that tests and `replay` read
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// End after so many items
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// End after so long, such as `10s`
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) span: Option<Duration>,
    /// Show at most so many items in a second, and count the others
    #[arg(long, value_name = "N")]
    pub(crate) per_second: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only about one pipeline, `home`, or nodes, `home/air` or `home/*`
    #[arg(value_name = "ADDRESS", value_parser = nodes)]
    pub(crate) node: Option<Glob>,
    /// Only lines at least so important
    #[arg(long, value_enum)]
    pub(crate) level: Option<Level>,
    /// Go on with lines as they are written
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin with so many of the latest lines [default: all that are in memory]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) last: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct LogLevel {
    /// Everything at least so important
    #[arg(value_enum)]
    pub(crate) level: Level,
    /// Only about one node, `home/air` [default: the whole host]
    #[arg(value_name = "ADDRESS")]
    pub(crate) node: Option<String>,
    /// For how long, such as `10m` [default: until a restart]
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) span: Option<Duration>,
}

/// How important a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for control::Level {
    fn from(level: Level) -> control::Level {
        match level {
            Level::Error => control::Level::Error,
            Level::Warn => control::Level::Warn,
            Level::Info => control::Level::Info,
            Level::Debug => control::Level::Debug,
            Level::Trace => control::Level::Trace,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Dlq {
    #[command(subcommand)]
    pub(crate) action: DlqAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqAction {
    /// List dead letters, the newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show one with all that is kept of it
    Show {
        /// As `dlq list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Give dead letters to their nodes once more
    Replay(Selection),
    /// Remove dead letters
    Drop {
        #[command(flatten)]
        selection: Selection,
        /// Do not ask
        #[arg(short = 'y', long)]
        yes: bool,
    },
}

/// Which dead letters.
#[derive(Debug, Clone, Args)]
pub(crate) struct Filter {
    /// Only those of one pipeline, `home`, or of nodes, `home/air` or `home/*`
    #[arg(long, value_name = "ADDRESS", value_parser = nodes)]
    pub(crate) node: Option<Glob>,
    /// Only those refused since then: a time, or a span before now such as `1h`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
}

/// Which dead letters something is done with: some named, or all that a filter takes.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub(crate) struct Selection {
    /// As `dlq list` shows them
    #[arg(value_name = "ID", group = "which", conflicts_with_all = ["node", "since", "all"])]
    pub(crate) ids: Vec<String>,
    /// Only those of one pipeline, `home`, or of nodes, `home/air` or `home/*`
    #[arg(long, value_name = "ADDRESS", value_parser = nodes, group = "which")]
    pub(crate) node: Option<Glob>,
    /// Only those refused since then: a time, or a span before now such as `1h`
    #[arg(long, value_name = "TIME", group = "which")]
    pub(crate) since: Option<Moment>,
    /// All
    #[arg(long, group = "which", conflicts_with_all = ["node", "since"])]
    pub(crate) all: bool,
}

/// An instant, or how long ago it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    At(smollama_engine::time::Timestamp),
    Ago(Duration),
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        if let Ok(span) = text.parse() {
            return Ok(Moment::Ago(span));
        }
        text.parse().map(Moment::At).map_err(|_| {
            "write a time such as 2026-11-21T01:02:03Z, or how long ago it is, such as 1h".into()
        })
    }
}

/// Addresses of nodes. The name of a pipeline stands for all of its nodes.
fn nodes(text: &str) -> Result<Glob, String> {
    let whole = if text.contains(['/', '*']) { text.to_owned() } else { format!("{text}/**") };
    Glob::new(&whole).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_name_of_a_pipeline_stands_for_its_nodes() {
        let takes = |pattern: &str, address: &str| nodes(pattern).unwrap().matches(address);
        assert!(takes("home", "home/air"));
        assert!(!takes("home", "homes/air"));
        assert!(takes("home/air", "home/air"));
        assert!(!takes("home/a", "home/air"));
        assert!(takes("*/air", "home/air"));
    }

    #[test]
    fn a_moment_is_a_time_or_a_span() {
        assert_eq!("1h".parse(), Ok(Moment::Ago(Duration::from_hours(1))));
        assert_eq!(
            "1970-01-01T00:00:01Z".parse(),
            Ok(Moment::At("1970-01-01T00:00:01Z".parse().unwrap()))
        );
        assert!("yesterday".parse::<Moment>().is_err());
    }

    #[test]
    fn dead_letters_are_named_or_filtered_and_never_all_by_mistake() {
        for good in ["replay 1 2", "drop --all", "drop --node home --since 1h -y", "list"] {
            assert!(parsed(&format!("smollama dlq {good}")).is_ok(), "{good}");
        }
        for bad in
            ["replay", "drop -y", "drop 1 --all", "drop --all --node home", "drop 1 --since 1h"]
        {
            assert!(parsed(&format!("smollama dlq {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_words_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
