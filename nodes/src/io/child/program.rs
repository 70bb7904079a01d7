//! What can be said about a program, and its start.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use smollama_engine::config::Secret;
use smollama_engine::context::Context;
use smollama_engine::duration::Duration;
use smollama_engine::registry::Problem;

use super::Child;

/// The longest patience with a program that is told to end. The host itself stops within ten seconds.
const PATIENCE_MAX: Duration = Duration::from_secs(4);
/// What systemd tells this process, and nobody else.
const NOT_INHERITED: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];
const SHELL: &str = "/bin/sh";
const HOW: &str =
    "write `command: [program, argument, ...]`, or `shell: \"...\"` for a line that `sh` reads";

/// A program and its arguments, as a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(pub Vec<String>);

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CommandLine, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = CommandLine;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of the program and its arguments")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<CommandLine, E> {
                let list = text.split_whitespace().collect::<Vec<_>>().join(", ");
                Err(E::custom(format!(
                    "`{text}` is no list; write `[{list}]`, or `shell: \"{text}\"` where a shell is to read it"
                )))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<CommandLine, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(CommandLine)
            }
        }
        deserializer.deserialize_any(List)
    }
}

impl JsonSchema for CommandLine {
    fn schema_name() -> Cow<'static, str> {
        "CommandLine".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "description": "A program and its arguments.",
            "items": { "type": ["string", "number", "boolean"] },
            "minItems": 1,
            "examples": [["rtl_433", "-F", "json"]]
        })
    }
}

/// The settings of a program. Nodes have them under the same names among their own; what they mean stands there.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The program and its arguments.
    pub command: Option<&'a CommandLine>,
    /// What a shell reads, in place of it.
    pub shell: Option<&'a str>,
    /// Further variables of its environment.
    pub env: &'a BTreeMap<String, Secret>,
    /// Where it works.
    pub cwd: Option<&'a Path>,
    /// How long it may take to end once it is told to.
    pub stop_timeout: Duration,
}

impl Launch<'_> {
    /// All that is wrong with them.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (self.command, self.shell) {
            (None, None) => problems.push(Problem::at("", "nothing says what to start").help(HOW)),
            (Some(_), Some(_)) => problems.push(
                Problem::at("shell", "`command` and `shell` are both set")
                    .help("take one of them away: `command` starts a program, `shell` a shell that reads a line"),
            ),
            (Some(CommandLine(words)), None) if words.first().is_none_or(String::is_empty) => {
                problems.push(Problem::at("command", "it names no program").help(HOW));
            }
            (None, Some(line)) if line.trim().is_empty() => {
                problems.push(Problem::at("shell", "it is empty").help(HOW));
            }
            _ => {}
        }
        let words = self.command.map(|command| &command.0[..]).unwrap_or_default();
        if words.iter().any(|word| word.contains('\0')) {
            problems.push(Problem::at("command", "no argument can hold a zero byte"));
        }
        for (name, value) in self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
                let problem = Problem::at("env", format!("`{name}` cannot be a variable"));
                problems.push(
                    problem.help(
                        "a name holds no `=`, and neither a name nor a value holds a zero byte",
                    ),
                );
            }
        }
        if self.stop_timeout > PATIENCE_MAX {
            let message = format!(
                "it can be {PATIENCE_MAX} at most: the host itself stops within ten seconds"
            );
            problems.push(Problem::at("stop_timeout", message).help("write `4s`, or less"));
        }
        problems
    }

    /// What of it this machine has not.
    #[must_use]
    pub fn missing(&self, folder: &Path) -> Vec<Problem> {
        let mut missing = Vec::new();
        let place = self.cwd.map(|cwd| folder.join(cwd));
        if let Some(place) = place.filter(|place| !place.is_dir()) {
            missing.push(
                Problem::at("cwd", format!("there is no folder `{}`", place.display()))
                    .help("a relative path begins at the folder of the pipeline file"),
            );
        }
        if let Some(name) = self.command.and_then(|command| command.0.first())
            && let Err(problem) = found(name, folder, self.path().as_deref())
        {
            missing.push(Problem { field: "command".into(), ..problem });
        }
        missing
    }

    /// Where programs are looked for.
    fn path(&self) -> Option<OsString> {
        match self.env.get("PATH") {
            Some(path) => Some(path.expose().into()),
            None => std::env::var_os("PATH"),
        }
    }

    /// What they say, for the node of a context.
    ///
    /// # Errors
    /// They have a problem.
    pub fn program(&self, context: &Context) -> Result<Program, Problem> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let lost = |error| Problem::at("cwd", format!("nobody knows where this is: {error}"));
        let folder = std::path::absolute(context.input_path(Path::new("."))).map_err(lost)?;
        let (file, arguments) = match (self.command, self.shell) {
            (Some(CommandLine(words)), _) => (
                words.first().cloned().unwrap_or_default(),
                words.get(1..).unwrap_or_default().to_vec(),
            ),
            (None, line) => {
                (SHELL.to_owned(), vec!["-c".into(), line.unwrap_or_default().to_owned()])
            }
        };
        let name = Path::new(&file).file_name().unwrap_or_default().to_string_lossy();
        Ok(Program {
            address: context.address.clone(),
            name: name.into(),
            // A relative path would begin where the program is to work.
            file: if file.contains('/') { folder.join(&file) } else { file.into() },
            arguments,
            env: self.env.clone(),
            path: self.path(),
            cwd: folder.join(self.cwd.unwrap_or(Path::new(""))),
            patience: self.stop_timeout.to_std(),
            folder,
        })
    }
}

/// What the standard input of a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Empty.
    Empty,
    /// A pipe, for as long as it is not closed.
    Pipe,
}

/// What becomes of the standard output of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// It goes to the log, with standard error.
    Logged,
    /// It is read.
    Pipe,
}

/// A program that can be started.
#[derive(Debug, Clone)]
pub struct Program {
    /// The node's address.
    pub(super) address: Arc<str>,
    /// How it is called in messages: the name of its file.
    pub(super) name: Arc<str>,
    file: PathBuf,
    arguments: Vec<String>,
    env: BTreeMap<String, Secret>,
    path: Option<OsString>,
    cwd: PathBuf,
    folder: PathBuf,
    /// How long it may take to end once it is told to.
    pub patience: StdDuration,
}

impl Program {
    /// How it is called in messages: the name of its file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it, as the leader of a group of its own. Needs a runtime.
    ///
    /// # Errors
    /// Why it cannot be started, and what helps.
    pub fn start(
        &self,
        input: Input,
        output: Output,
        env: &[(&str, String)],
    ) -> Result<Child, String> {
        let mut command = Command::new(&self.file);
        command.args(&self.arguments).current_dir(&self.cwd).process_group(0);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value.expose())));
        command.envs(env.iter().map(|(name, value)| (*name, value)));
        command.stdin(match input {
            Input::Empty => Stdio::null(),
            Input::Pipe => Stdio::piped(),
        });
        // Both ways that are logged are one pipe, so that their lines stay in order.
        let started = match output {
            Output::Pipe => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().and_then(|child| Child::new(child, None, self))
            }
            Output::Logged => io::pipe().and_then(|(log, end)| {
                command.stdout(end.try_clone()?).stderr(end);
                let child = command.spawn()?;
                // It holds the other end, and the log ends when nobody does.
                drop(command);
                Child::new(child, Some(log.into()), self)
            }),
        };
        started.map_err(|error| self.why_not(&error))
    }

    fn why_not(&self, error: &io::Error) -> String {
        let name = &self.name;
        if !self.cwd.is_dir() {
            return format!(
                "`{name}` cannot be started: there is no folder `{}`",
                self.cwd.display()
            );
        }
        if let Err(problem) =
            found(&self.file.to_string_lossy(), &self.folder, self.path.as_deref())
        {
            let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
            return format!("{}{help}", problem.message);
        }
        let hint = match error.kind() {
            io::ErrorKind::NotFound => ": what its first line (`#!`) names is not there",
            _ if error.raw_os_error() == Some(8) => {
                " (a script begins with a line such as `#!/bin/sh`)"
            }
            _ => "",
        };
        format!("`{name}` cannot be started: {error}{hint}")
    }
}

/// Looks for a program as it would be started.
fn found(name: &str, folder: &Path, path: Option<&std::ffi::OsStr>) -> Result<(), Problem> {
    let problem = |message| Problem::at("", message);
    let candidates: Vec<PathBuf> = match name.contains('/') {
        true => vec![folder.join(name)],
        false => std::env::split_paths(path.unwrap_or_default()).map(|at| at.join(name)).collect(),
    };
    let files = candidates.iter().filter_map(|file| Some((file, file.metadata().ok()?)));
    let mut files = files.filter(|(_, metadata)| metadata.is_file()).peekable();
    let Some((first, _)) = files.peek().cloned() else {
        let message = format!("there is no program `{name}`");
        return Err(problem(message).help(match name.contains('/') {
            true => "a relative path begins at the folder of the pipeline file".to_owned(),
            false => {
                let shown = path.unwrap_or_default().to_string_lossy().into_owned();
                format!("install it, or write its whole path; it was looked for in {shown}")
            }
        }));
    };
    if files.any(|(_, metadata)| metadata.permissions().mode() & 0o111 != 0) {
        return Ok(());
    }
    let first = first.display();
    Err(problem(format!("`{first}` is not executable")).help(format!("`chmod +x {first}`")))
}
