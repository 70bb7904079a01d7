//! What a revision is.

use std::fmt;
use std::path::PathBuf;

use smollama_engine::config::{ReadFile, Secret, Variable};
use smollama_engine::time::Timestamp;

use super::Error;

/// One applied set of pipelines: all that is needed to apply it again without the files it came from, but for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// When it was applied.
    pub time: Timestamp,
    /// Who applied it: `cli uid 1000`.
    pub actor: String,
    /// What it changed, in a line, or what whoever applied it said.
    pub message: String,
    /// The paths that were applied.
    pub paths: Vec<PathBuf>,
    /// Every pipeline file that was read.
    pub files: Vec<RevisionFile>,
    /// The pipelines that run.
    pub pipelines: Vec<RevisionPipeline>,
}

/// A pipeline file that was read, with all that was taken from elsewhere for its sake. Files are applied at different times, so each
/// has its own values of variables, and its own bytes of a table that others name too.
#[derive(Clone, PartialEq, Eq)]
pub struct RevisionFile {
    /// Its path, absolute.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// Every variable and secret that a value was taken from.
    pub variables: Vec<RevisionVariable>,
    /// Every file that was read for its sake.
    pub beside: Vec<RevisionBeside>,
}

impl RevisionFile {
    /// To be read again as it was. Secrets are not among the variables: they are looked up again.
    #[must_use]
    pub fn into_read(self) -> ReadFile {
        let variable = |RevisionVariable { name, value }: RevisionVariable| {
            let value = match value {
                VariableValue::Unset => None,
                VariableValue::Plain(value) => Some(Secret::literal(value)),
                VariableValue::Secret(_) => return None,
            };
            Some(Variable { name: name.into(), value, is_secret: false })
        };
        ReadFile {
            path: self.path,
            text: self.text.into(),
            variables: self.variables.into_iter().filter_map(variable).collect(),
            beside: self.beside.into_iter().map(|one| (one.path, one.bytes.into())).collect(),
        }
    }
}

impl fmt::Debug for RevisionFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, text, variables, beside } = self;
        write!(f, "{} ({} bytes) {variables:?} {beside:?}", path.display(), text.len())
    }
}

/// A file that was read for the sake of a pipeline file.
#[derive(Clone, PartialEq, Eq)]
pub struct RevisionBeside {
    /// Its path, absolute.
    pub path: PathBuf,
    /// What it was read as.
    pub role: Role,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for RevisionBeside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({} bytes)", self.role, self.path.display(), self.bytes.len())
    }
}

/// What a file was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A template that pipelines use.
    Template,
    /// A table that things are looked up in.
    Table,
    /// A script.
    Script,
}

/// A variable or secret that a value was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionVariable {
    /// `NAME`, or `secret://...`.
    pub name: String,
    /// What it was.
    pub value: VariableValue,
}

/// What a variable or a secret was. `Debug` shows no value: a variable may well hold a password.
#[derive(Clone, PartialEq, Eq)]
pub enum VariableValue {
    /// It was not set, and a default was taken.
    Unset,
    /// The value of a variable.
    Plain(String),
    /// A secret. It is not kept; the hash tells whether it is another one now.
    Secret(SecretHash),
}

impl fmt::Debug for VariableValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VariableValue::Unset => "Unset",
            VariableValue::Plain(_) => "Plain(..)",
            VariableValue::Secret(_) => "Secret(..)",
        })
    }
}

/// HMAC-SHA-256 of a secret's name and value, under the key of the data directory: without the key nobody can try passwords
/// against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

/// A pipeline that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionPipeline {
    /// Its name.
    pub name: String,
    /// The file it is in, absolute.
    pub file: PathBuf,
}

/// A revision that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number, from 1.
    pub number: u64,
    /// The number of the one that ran when it was applied; 0 for none.
    pub previous: u64,
    /// The revision.
    pub revision: Revision,
}

/// What a list says of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The number of the one that ran when it was applied; 0 for none.
    pub previous: u64,
    /// When it was applied.
    pub time: Timestamp,
    /// Who applied it.
    pub actor: String,
    /// What it changed.
    pub message: String,
    /// The paths that were applied.
    pub paths: Vec<PathBuf>,
    /// The pipelines that run.
    pub pipelines: Vec<RevisionPipeline>,
    /// How many pipeline files it holds.
    pub files: usize,
}

/// A line of a list.
#[derive(Debug)]
pub struct Listed {
    /// The number.
    pub number: u64,
    /// Whether it runs, or ever did.
    pub standing: Standing,
    /// What it is, or why it cannot be read.
    pub summary: Result<Summary, Error>,
}

/// Whether a revision ever ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is the one that runs.
    Current,
    /// It ran before.
    Applied,
    /// It was staged, and the apply failed before it was committed.
    NotApplied,
}
