//! What can be said about a program that is a source.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::bytes::ByteSize;
use smollama_engine::config::Secret;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use crate::io::child::{CommandLine, Launch, Restart};
use crate::io::message::{BodyFormat, Fields, Settings, ValueType};

/// Starts a program, and makes readings of what it writes.
///
/// Without `every` beside `exec` it is a program that runs on and writes a line whenever it has something; with `every`, one that is run once each time.
///
/// `command` is the program and its arguments, as a list; no shell reads it, so nothing in it has to be quoted. Where a shell is wanted, for a pipe or
/// a variable, `shell` is what `/bin/sh` reads; `${NAME}` is put in when the file is read and `$$` is one dollar sign, so what the shell is to see of these is written
/// `$NAME` or `$${NAME}`, and `$$$$`. The program runs as the user that this program runs as, with all that user may do.
///
/// Each line becomes readings by its content: of a JSON object each number, text, true and false is a reading, whose id is the field: `exec:temperature`, with dots
/// into nested objects and arrays: `exec:outside.wind`. `fields` says which ones, with their units; `value` says where the only one lies; `each` names an array
/// whose entries are objects of their own. An object with a `value` is one reading in the form that this program writes itself. A number, or any
/// other text, is one reading with the id `value`, unless `id` says another. What cannot be understood goes to the dead letters. What the program writes on
/// standard error goes to the log.
///
/// Without `every` the program is expected to run on. When it ends it is started again, as `restart` says, after a pause that begins at 200 ms, doubles up to 30 s,
/// and begins anew once it ran for ten seconds. Its output waits in its pipe while the host can keep nothing more: then the program waits, and nothing is dropped.
/// Half a line at its end counts only if it ended with exit code 0. Its standard input is a pipe that stays open and empty: a program that reads it
/// sees its end when it is to end, also when this program was killed.
///
/// With `every` the program is started anew each time, never a second time while it runs, and its output counts once it has ended. An exit code other than 0 is an error: the output is thrown away, `smollama status` shows the last lines of standard error, and the next
/// run comes at the next step of `every`, or after a pause that doubles up to 30 s where that is longer. Its standard input is empty.
///
/// A program leads a process group of its own, and is ended as one with all it started: at a stop or a change of its node, and after `timeout`. The group
/// is told to end (SIGTERM), and killed after `stop_timeout`. What a program leaves running when it ends is killed, too, a second later at the latest, unless it went into a
/// session of its own (`setsid`). If this program itself is killed (`kill -9`), nobody tells the
/// group: it ends when it writes to the closed pipe or sees the end of its standard input, or when systemd ends the service.
///
/// A pipe cannot be told that what came through it is kept: what was read and is not yet in the journal is lost with a crash.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// The program and its arguments: `[rtl_433, -F, json]`. A name without a slash is looked for in `PATH`, a relative path begins at the folder of the
    /// pipeline file. Either this or `shell` is needed.
    #[serde(default)]
    pub command: Option<CommandLine>,
    /// What `/bin/sh -c` reads: `"sensors -j | jq -c ."`.
    #[serde(default)]
    pub shell: Option<String>,
    /// Variables of its environment, beside those of this program: `{ TOKEN: secret://env/TOKEN }`. Everybody on this machine can see arguments, so a secret
    /// belongs here.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// The folder it works in, relative to that of the pipeline file, which is the default.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Whether a program without `every` is started again when it has ended: `always` (the default), `on_failure`: unless it ended with exit code 0, or `never`. When it is
    /// not, the source has come to its end: also after a restart of the host, until its settings change. One that failed under `never` has failed.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// How long a run with `every` may take. Default: `30s`.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How long it may take to end once it is told to, before it is killed, `4s` at most. Default: `2s`.
    #[serde(default = "stop_timeout")]
    pub stop_timeout: Duration,
    /// The longest line of a program that runs on, and the largest output of a run, `64MiB` at most. A longer one goes to the dead letters.
    /// Default: `1MiB`.
    #[serde(default = "max_size")]
    pub max_size: ByteSize,
    /// What a line, or the output of a run, is: `json`, `json_lines` (a JSON text a line), `cbor` (with `every`), `number`, `text`, or `auto`: by its first character; of
    /// a run, JSON texts one a line are told from one text. Default: `auto`.
    #[serde(default)]
    pub format: BodyFormat,
    /// The fields that become readings: `all`, a list such as `[temperature, humidity]`, or a map from field to unit, `skip`, or settings:
    /// `{ temperature: °C, humidity: { unit: "%", id: rh } }`. A dot leads into nested objects and arrays. Default: see above.
    #[serde(default)]
    pub fields: Option<Fields>,
    /// Takes the fields that `fields` does not name, too. Default: false.
    #[serde(default)]
    pub others: bool,
    /// The field with the only value. An object without it is refused.
    #[serde(default)]
    pub value: Option<String>,
    /// What a plain text or `value` is: `number`, `bool` (`ON`, `off`, `true`, `1` ...) or `text`. Default: as it stands there.
    #[serde(default, rename = "type")]
    pub kind: Option<ValueType>,
    /// The field with an array whose entries are objects of their own.
    #[serde(default)]
    pub each: Option<String>,
    /// The field with the time. Default: `time`, `Time`, `timestamp` or `ts`, if it tells an instant since 2015, otherwise the time at which it was read.
    #[serde(default)]
    pub time: Option<String>,
    /// How times are written: `s`, `ms`, `us` or `ns` since 1970, or a pattern such as `%d.%m.%Y %H:%M:%S`. Default: as
    /// RFC 3339 or `2026-11-21 01:02:03.5`, or a number since 1970, whose size tells its unit.
    #[serde(default)]
    pub time_format: Option<String>,
    /// The zone of times that do not say it, such as `Europe/Berlin`. Default: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// What stands in ids before the fields' names: a text, or fields in braces: `"{model}/{id}"`; `{program}` is the name of the program. Default: nothing.
    #[serde(default)]
    pub id: Option<String>,
    /// Takes a `source` with a type (`air:north/temperature`) as the whole name of what was measured, in place of an id below `as`. For programs
    /// that pass on what other hosts said. Default: false.
    #[serde(default)]
    pub whole_sources: bool,
}

const fn stop_timeout() -> Duration {
    Duration::from_secs(2)
}

const fn max_size() -> ByteSize {
    ByteSize::mib(1)
}

/// How long a run may take where the settings do not say it.
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_SIZE_MAX: ByteSize = ByteSize::mib(64);

impl ExecConfig {
    pub(super) fn launch(&self) -> Launch<'_> {
        Launch {
            command: self.command.as_ref(),
            shell: self.shell.as_deref(),
            env: &self.env,
            cwd: self.cwd.as_deref(),
            stop_timeout: self.stop_timeout,
        }
    }

    /// How what it writes is read.
    pub(super) fn message(&self) -> Settings {
        Settings {
            format: self.format.of_message(),
            fields: self.fields.clone(),
            others: self.others,
            value: self.value.clone(),
            kind: self.kind,
            each: self.each.clone(),
            time: self.time.clone(),
            time_format: self.time_format.clone(),
            zone: self.zone.clone(),
            id: self.id.clone(),
            whole_sources: self.whole_sources,
            ..Settings::new("program", "")
        }
    }

    pub(super) fn restart(&self) -> Restart {
        self.restart.unwrap_or_default()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    pub(super) fn largest(&self) -> usize {
        usize::try_from(self.max_size.0.min(MAX_SIZE_MAX.0)).unwrap_or(usize::MAX)
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = self.launch().problems();
        if self.timeout.is_some_and(Duration::is_zero) {
            let problem = Problem::at("timeout", "no program ends in no time");
            problems.push(problem.help("leave it out for thirty seconds"));
        }
        if self.max_size.0 == 0 || self.max_size > MAX_SIZE_MAX {
            let message = format!("it must lie between 1B and {MAX_SIZE_MAX}");
            problems.push(Problem::at("max_size", message));
        }
        problems.extend(self.message().problems());
        problems
    }

    /// What goes with `every` only, or without it only.
    pub(super) fn problems_with(&self, every: Option<Duration>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if every.is_some() && self.restart.is_some() {
            let message = "with `every` the program is started at each step anyway";
            problems.push(
                Problem::at("restart", message)
                    .help("take `restart` away, or `every` for a program that runs on"),
            );
        }
        let how = "say beside `exec` how often it runs, such as `every: 1m`, or take this away";
        if every.is_none() && self.timeout.is_some() {
            let message = "a program without `every` is expected to run on";
            problems.push(Problem::at("timeout", message).help(how));
        }
        if every.is_none() && self.format == BodyFormat::Cbor {
            let message = "a program without `every` writes lines, and CBOR has none";
            problems.push(Problem::at("format", message).help(how));
        }
        problems
    }
}
