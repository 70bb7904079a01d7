//! What a load read, so that it can be kept and read again as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Variable, pipeline::PipelineSpec};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, FileId, Rule, Span, rules},
    labels::LabelTable,
};

/// A pipeline file as it was read, with all that was taken from elsewhere. What runs is made from these, and a revision keeps them.
#[derive(Clone)]
pub struct ReadFile {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// What it holds.
    pub text: Arc<str>,
    /// Every variable and secret whose value was taken, by name.
    pub variables: Vec<Variable>,
    /// What was read for its sake beside it: tables of labels.
    pub beside: BTreeMap<PathBuf, Arc<[u8]>>,
}

impl ReadFile {
    /// The value a variable had; `None` if no value of this name was taken, or that of a secret.
    pub(super) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| *variable.name == *name && !variable.is_secret)
    }
}

/// The text may hold what somebody should have written as a secret.
impl fmt::Debug for ReadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path.display(), self.text.len())
    }
}

/// Tables of labels with their absolute paths, by the file that names them and how it does.
pub type Tables = BTreeMap<(FileId, Arc<str>), (PathBuf, Arc<LabelTable>)>;

/// Reads the tables that `labels_from` names: for a file that was read again as it was, those it had then.
pub fn tables<'a>(
    specs: impl IntoIterator<Item = &'a PipelineSpec>,
    reads: &mut BTreeMap<FileId, ReadFile>,
    diagnostics: &mut Diagnostics,
) -> Tables {
    let mut tables = Tables::new();
    let mut named: BTreeSet<(FileId, PathBuf)> = BTreeSet::new();
    for spec in specs {
        let Some(read) = reads.get_mut(&spec.file) else { continue };
        for node in &spec.nodes {
            let Some(written) = &node.labels_from else { continue };
            let key = (spec.file, written.value.clone());
            if tables.contains_key(&key) {
                continue;
            }
            let path = read.path.parent().unwrap_or(Path::new("")).join(&*written.value);
            named.insert((spec.file, path.clone()));
            match table(&path, &mut read.beside) {
                Ok(table) => drop(tables.insert(key, (path, Arc::new(table)))),
                Err(error) => diagnostics.push(error.at(&path, written.span)),
            }
        }
    }
    // What was kept for a file and is named by it no more would be kept for ever.
    for (file, read) in reads {
        read.beside.retain(|path, _| named.contains(&(*file, path.clone())));
    }
    tables
}

fn table(path: &Path, beside: &mut BTreeMap<PathBuf, Arc<[u8]>>) -> Result<LabelTable, Bad> {
    let bytes = match beside.get(path) {
        Some(bytes) => bytes.clone(),
        None => {
            let bytes = bytes(path)?;
            beside.entry(path.to_owned()).or_insert(bytes.into()).clone()
        }
    };
    LabelTable::parse(&bytes).map_err(Bad::Table)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Bad> {
    if !fs::metadata(path).map_err(Bad::Disk)?.is_file() {
        return Err(Bad::Disk(io::Error::other("it is not a plain file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Bad::Disk)?;
    file.take(LabelTable::BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Bad::Disk)?;
    if bytes.len() > LabelTable::BYTES_MAX { Err(Bad::Large) } else { Ok(bytes) }
}

enum Bad {
    Disk(io::Error),
    Large,
    Table(String),
}

impl Bad {
    fn at(self, path: &Path, span: Span) -> Diagnostic {
        let shown = path.display();
        let (rule, message, help): (&'static Rule, _, _) = match self {
            Bad::Disk(error) if error.kind() == io::ErrorKind::NotFound => {
                let help = "a relative path begins at the folder of the pipeline file";
                (&rules::MISSING_PATH, format!("`{shown}` does not exist"), help)
            }
            Bad::Disk(error) => {
                let help = "name a file that can be read";
                (&rules::UNREADABLE_PATH, format!("cannot read `{shown}`: {error}"), help)
            }
            Bad::Large => {
                let help = "patterns in its first column stand for many sources";
                (&rules::FILE_TOO_LARGE, format!("`{shown}` is larger than 1 MiB"), help)
            }
            Bad::Table(why) => {
                let help = "its first line names the columns, its first column the sources";
                (&rules::BAD_VALUE, format!("{shown}{why}"), help)
            }
        };
        Diagnostic::error(rule, span, message).help(help)
    }
}
