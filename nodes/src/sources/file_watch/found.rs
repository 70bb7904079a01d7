//! Which files there are.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use smollama_engine::context::Context;
use smollama_engine::glob::Glob;
use smollama_engine::registry::Problem;

use super::config::{FileWatchConfig, Format};
use crate::sources::replay::files::{base_of, list, masked};

/// How many files are watched at most.
pub(super) const FILES_MAX: usize = 1_000;

/// A file that is there.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// As the user would write it.
    pub(super) shown: String,
    /// What it is called in ids: its name without extension, below the folder that is watched.
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) metadata: Metadata,
}

/// Where files are looked for.
pub(super) struct Place {
    path: PathBuf,
    folder: PathBuf,
    shown: String,
    format: Option<Format>,
    /// Where the path is a pattern: the folder below which it matches, whether subfolders matter, and what it matches.
    pattern: Option<(PathBuf, bool, Vec<Glob>)>,
}

impl Place {
    pub(super) fn new(config: &FileWatchConfig, context: &Context) -> Result<Place, Problem> {
        let path = context.input_path(&config.path);
        let pattern = if config.is_pattern() && !path.exists() {
            let (base, deep) = base_of(&path);
            // `logs/**/a.csv` is any depth, none included, as everywhere else where files are named.
            let deep_or_not = [masked(&path), masked(&path).replace("**/", "")];
            let globs = deep_or_not.iter().map(|pattern| Glob::new(pattern));
            let globs = globs.collect::<Result<_, _>>();
            Some((base, deep, globs.map_err(|bad| Problem::at("path", bad.to_string()))?))
        } else {
            None
        };
        let shown = config.path.display().to_string();
        Ok(Place { path, folder: context.folder.clone(), shown, format: config.format, pattern })
    }

    /// The files that are there now, by name, and what is wrong where one cannot look.
    pub(super) fn look(&self) -> (Vec<Found>, Vec<String>) {
        let (mut paths, mut problems) = (Vec::new(), Vec::new());
        let below = self.below();
        let mut listed = Ok(());
        match (&self.pattern, below) {
            (Some((base, deep, globs)), _) => {
                let mut take = |file: PathBuf| {
                    if globs.iter().any(|glob| glob.matches(&masked(&file))) {
                        paths.push(file);
                    }
                };
                listed = list(base, &mut take, *deep);
            }
            (None, Some(folder)) => listed = list(folder, &mut |file| paths.push(file), false),
            (None, None) => paths.push(self.path.clone()),
        }
        if let Err((at, error)) = listed {
            problems.push(format!("`{}` cannot be listed: {error}", self.show(&at)));
        }
        paths.sort();
        let mut found = Vec::new();
        for path in paths {
            let by_name = Format::of_name(&path);
            let format = match (self.format.or(by_name), below) {
                (Some(format), _) => format,
                (None, None) => Format::Text,
                (None, Some(_)) => continue,
            };
            let shown = self.show(&path);
            match fs::metadata(&path) {
                // What is no file is read like one where it is named: a folder never is.
                Ok(metadata) if metadata.is_file() => {
                    let name = name_of(&path, below);
                    found.push(Found { path, shown, name, format, metadata });
                }
                Ok(_) if below.is_none() => problems.push(format!("`{shown}` is no file")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && below.is_some() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    problems.push(format!("`{shown}` is not there"));
                }
                Err(error) => problems.push(format!("`{shown}` cannot be read: {error}")),
            }
        }
        if found.len() > FILES_MAX {
            let (more, shown) = (found.len() - FILES_MAX, &self.shown);
            found.truncate(FILES_MAX);
            problems.push(format!("`{shown}` has {more} files more than the {FILES_MAX} that are watched: name fewer of them"));
        } else if found.is_empty() && problems.is_empty() {
            problems.push(format!("no file is there that `{}` means", self.shown));
        }
        (found, problems)
    }

    /// What a file is called in ids.
    pub(super) fn name(&self, path: &Path) -> String {
        name_of(path, self.below())
    }

    /// The folder that is watched; `None` where it is a single file.
    fn below(&self) -> Option<&Path> {
        match &self.pattern {
            Some((base, ..)) => Some(base),
            None => self.path.is_dir().then_some(&self.path),
        }
    }

    pub(super) fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string()
    }
}

fn name_of(path: &Path, below: Option<&Path>) -> String {
    let name = match below {
        Some(folder) => path.strip_prefix(folder).unwrap_or(path),
        None => Path::new(path.file_name().unwrap_or(path.as_os_str())),
    };
    name.with_extension("").display().to_string()
}

/// The files in the folder of a file but itself.
pub(super) fn siblings(path: &Path) -> Vec<(PathBuf, Metadata)> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    // What cannot be listed has none that could be read.
    let _ = list(folder, &mut |file| found.push(file), false);
    found.retain(|other| other != path);
    let with_metadata = |path: PathBuf| Some((path.clone(), fs::metadata(&path).ok()?));
    found.into_iter().filter_map(with_metadata).filter(|(_, found)| found.is_file()).collect()
}
