//! What an apply speaks for: the files it names, beside which everything else runs on as it was read.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Planned, plan_loaded};
use crate::config::{
    Loader, Lookup, PipelineSpec, ReadFile, Spanned, is_pipeline_file, pipelines_in,
};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Files, quoted, rules};
use crate::registry::Registry;

/// What an apply is told.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Files and folders. A folder means the pipeline files directly in it.
    pub paths: &'a [PathBuf],
    /// Whether the paths are the whole set: what lies elsewhere goes.
    pub all: bool,
}

impl Scope<'_> {
    /// Whether it speaks for a file, also for one that is gone.
    #[must_use]
    pub fn owns(&self, file: &Path) -> bool {
        let at = place(file);
        let owns = |path: &PathBuf| {
            let same = path.canonicalize().ok().zip(file.canonicalize().ok());
            place(path) == at
                || same.is_some_and(|(path, file)| path == file)
                || (at.parent() == Some(&folder(path)) && is_pipeline_file(&at))
        };
        self.all || self.paths.iter().any(owns)
    }
}

/// Loads and checks what would run after an apply: what the files in its scope hold now, and everything that runs from other files
/// as it was read when it was applied. A file in the scope that is gone takes its pipelines along.
///
/// `lookup` gives the variables of those who apply, `secrets` those of the environment of what runs already.
#[must_use]
pub fn candidate(
    running: &[ReadFile],
    scope: Scope<'_>,
    lookup: &Lookup<'_>,
    secrets: &Lookup<'_>,
    registry: &Registry,
) -> Planned {
    // By path, so that the order of the graph does not depend on the order of applies.
    let mut sources: BTreeMap<PathBuf, Option<&ReadFile>> = BTreeMap::new();
    for file in running.iter().filter(|file| !scope.owns(&file.path)) {
        sources.insert(file.path.clone(), Some(file));
    }
    let ran = |is: &dyn Fn(&Path) -> bool| {
        !scope.all && running.iter().any(|file| is(&place(&file.path)))
    };
    for path in scope.paths {
        match pipelines_in(path) {
            Ok(files) if !files.is_empty() => {
                sources.extend(files.into_iter().map(|file| (file, None)));
            }
            // Nothing is left of what ran from this folder.
            Ok(_) if ran(&|file| file.parent() == Some(&folder(path))) => {}
            Err(error)
                if error.kind() == ErrorKind::NotFound && ran(&|file| file == place(path)) => {}
            // A file, or something that the loader has words for.
            _ => drop(sources.insert(path.clone(), None)),
        }
    }
    let mut loader = Loader::new(lookup);
    for (path, file) in sources {
        match file {
            Some(file) => loader.again(file, secrets),
            None => loader.path(&path),
        }
    }
    plan_loaded(loader.finish(), registry)
}

/// A file by its name in its folder, whatever links lead to that folder. Neither need be there. What the name itself links to does
/// not matter: a file that is linked into a folder belongs to that folder.
fn place(file: &Path) -> PathBuf {
    let file = absolute(file);
    match file.parent().zip(file.file_name()) {
        Some((parent, name)) => folder(parent).join(name),
        None => file,
    }
}

fn folder(path: &Path) -> PathBuf {
    let path = absolute(path);
    path.canonicalize().unwrap_or(path)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Takes out pipelines that were read again as they were while a file that is applied has one of their name: that name belongs to the
/// file it runs from, and only an apply that speaks for both can move it.
pub(super) fn names_of_others(
    specs: &mut Vec<PipelineSpec>,
    again: &BTreeSet<FileId>,
    files: &Files,
    diagnostics: &mut Diagnostics,
) {
    let (running, applied): (Vec<_>, Vec<_>) =
        specs.iter().partition(|spec| again.contains(&spec.file));
    let mut taken = BTreeSet::new();
    for spec in applied {
        let Some(other) = running.iter().find(|other| *other.name == *spec.name) else { continue };
        let (here, there) = (files.path(spec.file), files.path(other.file));
        let Spanned { value: name, span } = &spec.name;
        let message = format!("the pipeline {} runs from `{}`", quoted(name), there.display());
        let error = Diagnostic::error(&rules::PIPELINE_OF_ANOTHER_FILE, *span, message);
        diagnostics.push(error.help("give one of them another name").help(format!(
            "or, if it has moved, apply both files: `{} {}`",
            there.display(),
            here.display()
        )));
        taken.insert(name.clone());
    }
    specs.retain(|spec| !(again.contains(&spec.file) && taken.contains(&spec.name.value)));
}
