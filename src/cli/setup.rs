//! The words of the commands that set a host up and say how it is set up.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to write the files
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write files anew that are there already
    #[arg(long)]
    pub(crate) force: bool,
    /// Where to look for an MQTT broker
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    pub(crate) broker: HostPort,
    /// Where to look for an Ollama
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:11434")]
    pub(crate) ollama: HostPort,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Its config.yaml, or the folder of that or of its memory.db [default: where it looks itself: here, then in ~/.smollama]
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// Where to write the files; not into the old program's folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) to: PathBuf,
    /// The zone of the machine it ran on, whose times do not say it, such as `Europe/Berlin` [default: this system's]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub(crate) timezone: Option<TimeZone>,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write files anew that are there already
    #[arg(long)]
    pub(crate) force: bool,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("there is no time zone `{name}`; write it like Europe/Berlin or UTC"))
}

/// A host and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPort, String> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok().filter(|port| *port > 0)?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            Some(HostPort { host: bare.unwrap_or(host).to_owned(), port })
        });
        let parts = parts.filter(|parts| !parts.host.is_empty());
        parts.ok_or_else(|| "write a host and a port, such as 127.0.0.1:1883".into())
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show the value of every setting and where it comes from, and what is wrong with them
    Check,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("127.0.0.1:1883", "127.0.0.1", 1883),
            ("llama.local:1", "llama.local", 1),
            ("[::1]:1883", "::1", 1883),
        ] {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port));
            assert_eq!(parsed.to_string(), text);
        }
        for bad in ["", "localhost", ":1883", "localhost:0", "localhost:65536"] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }
}
