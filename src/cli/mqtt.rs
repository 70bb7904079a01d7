//! The words of the commands that speak with a broker.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Mqtt {
    /// Publish a message, or a message for each line of standard input
    Pub(Publish),
    /// Show the messages of topics as they come; Ctrl-C ends it
    Sub(Subscribe),
}

/// Which broker.
#[derive(Debug, Args)]
pub(crate) struct Broker {
    /// A broker below `mqtt.connections` in config.yaml [default: the one directly below `mqtt`]
    #[arg(long, value_name = "NAME", conflicts_with = "host")]
    pub(crate) connection: Option<String>,
    /// Another broker; nothing of config.yaml is used then
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Its port [default: as config.yaml says, or 1883]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The user name that the broker knows
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// The variable of the environment that holds the password
    #[arg(long, value_name = "VARIABLE", requires = "username")]
    pub(crate) password_env: Option<String>,
    /// How sure the delivery is: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_name = "QOS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Where to, such as `home/kitchen/light`
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,
    /// What [default: an empty message]
    #[arg(value_name = "MESSAGE", conflicts_with_all = ["lines", "file"])]
    pub(crate) message: Option<String>,
    /// A message for each line of standard input
    #[arg(short, long, conflicts_with = "file")]
    pub(crate) lines: bool,
    /// What stands in a file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The broker keeps it for those who subscribe later
    #[arg(short, long)]
    pub(crate) retain: bool,
    #[command(flatten)]
    pub(crate) broker: Broker,
}

#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    /// Filters of topics, such as `home/+/light` or `home/#`
    #[arg(required = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// End after so many messages
    #[arg(short = 'C', long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Show the topic before each message
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) broker: Broker,
}
