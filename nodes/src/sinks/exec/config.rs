//! What can be said about a program that is a sink.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::config::Secret;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use crate::io::child::{CommandLine, Launch};
use crate::io::outbound::{BatchSpec, Body};

/// Starts a program, and writes readings, windows and observations to its standard input, a line for each.
///
/// `command` is the program and its arguments, as a list; no shell reads it, so nothing in it has to be quoted. Where a shell is wanted, for a pipe or
/// a variable, `shell` is what `/bin/sh` reads; `${NAME}` is put in when the file is read and `$$` is one dollar sign, so what the shell is to see of these is written
/// `$NAME` or `$${NAME}`, and `$$$$`. The program runs as the user that this program runs as, with all that user may do. What it writes on
/// standard error goes to the log, and so does its standard output where that is not asked for answers.
///
/// What the program does not take now waits in a spool and goes out in order when it does. `ack` says when it has taken an item:
///
/// - `read` (the default): when it has read the line. It is started with the first item, and expected to run on. When it ends, it is started again with the next
///   items, and what it had not read comes again; what it had read and not done with is lost.
/// - `line`: when it has said so, with a line on standard output for each line it was given, in their order: `ok`, or `reject` and why not. What
///   was rejected goes to the dead letters. When it ends, or says anything else, or says nothing for as long as `timeout`, what it has not answered comes again. Programs that buffer
///   what they write must not do so here.
/// - `exit`: when it has ended with exit code 0. It is started anew for each batch, which is the whole of its input. Exit code 65 (`EX_DATAERR` of
///   `sysexits.h`) rejects the batch: it is split, so that an item that is wrong does not take its neighbours along, and what is rejected alone goes to the dead
///   letters. After any other exit code, and after `timeout`, the same comes again. The variable `SMOLLAMA_BATCH` holds the stream's id and the numbers of its first and its last item:
///   `9f0c7f3e58f14f3c8d5e1f3f0a1b2c3d-501-1000`, so that a program that remembers the last number of a stream knows what it has already.
///   Without a data directory to count in (`run --once`) it is not set.
///
/// Under all of them an item can come twice: after a crash, and where it was being taken when the program was ended. A program that cannot be started, or fails, is tried again
/// as `retry` says; one that runs on is not started again at once, but after a pause that begins at 200 ms, doubles up to 30 s, and begins anew once it ran for ten
/// seconds.
///
/// The program leads a process group of its own, and is ended as one with all it started. At a stop or a change of its node its input is closed, so that it can finish; when that takes
/// longer than `stop_timeout` the group is told to end (SIGTERM), and after that time again it is killed. If this program itself is killed (`kill -9`), the
/// program sees the end of its input.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// The program and its arguments: `[./show.py, --bright]`. A name without a slash is looked for in `PATH`, a relative path begins at the folder of the
    /// pipeline file. Either this or `shell` is needed.
    #[serde(default)]
    pub command: Option<CommandLine>,
    /// What `/bin/sh -c` reads: `"while read -r line; do ...; done"`.
    #[serde(default)]
    pub shell: Option<String>,
    /// Variables of its environment, beside those of this program: `{ TOKEN: secret://env/TOKEN }`. Everybody on this machine can see arguments, so a secret
    /// belongs here.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// The folder it works in, relative to that of the pipeline file, which is the default.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// When it has taken an item: `read` (the default), `line` or `exit`.
    #[serde(default)]
    pub ack: Ack,
    /// `json_lines` (the default): each item in the form that `replay` reads, a line for each. `json`: an array of such, with `ack: exit`. Or `{ template: "..." }`:
    /// what it makes of each item, a line for each.
    #[serde(default)]
    pub body: Body,
    /// How much it is given at once.
    #[serde(default)]
    pub batch: BatchSpec,
    /// How long a run may take (`ack: exit`), or an answer (`ack: line`), before the program is ended. Default: `30s`.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How long it may take to end once its input is closed, and once more when it is told to, before it is killed, `4s` at most. Default: `2s`.
    #[serde(default = "stop_timeout")]
    pub stop_timeout: Duration,
}

/// When a program has taken an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// When it has read its line.
    #[default]
    Read,
    /// When it has answered it with a line.
    Line,
    /// When it has ended with exit code 0.
    Exit,
}

const fn stop_timeout() -> Duration {
    Duration::from_secs(2)
}

/// How long a run or an answer may take where the settings do not say it.
const TIMEOUT: Duration = Duration::from_secs(30);

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

    pub(super) fn timeout(&self) -> std::time::Duration {
        self.timeout.unwrap_or(TIMEOUT).to_std()
    }

    pub(super) fn all_problems(&self) -> Vec<Problem> {
        let mut problems = self.launch().problems();
        problems.extend(self.body.problems());
        problems.extend(self.batch.problems());
        if self.timeout.is_some_and(Duration::is_zero) {
            let problem = Problem::at("timeout", "no program answers in no time");
            problems.push(problem.help("leave it out for thirty seconds"));
        }
        if self.timeout.is_some() && self.ack == Ack::Read {
            let message = "a program that need not answer may read when it likes";
            problems.push(
                Problem::at("timeout", message)
                    .help("take it away, or write `ack: line` or `ack: exit`"),
            );
        }
        if self.body == Body::Json && self.ack != Ack::Exit {
            let message = "a program that runs on is given lines, and an array is one text";
            problems.push(
                Problem::at("body", message).help("write `body: json_lines`, or `ack: exit`"),
            );
        }
        problems
    }
}
