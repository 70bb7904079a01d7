//! The settings of a Python Smollama as it reads them: one file, a sibling `*.local.yaml` over it, defaults below. They are read
//! and never written.

mod tree;

use std::path::{Path, PathBuf};

use smollama_engine::config::Loader;
use smollama_engine::config::host::ORIGINAL_SECTIONS;
use smollama_engine::diagnostic::Files;

pub(super) use self::tree::{Tree, value};
use crate::host;
use crate::terminal::{self, Failure};

/// What was found of a Python Smollama.
#[derive(Debug)]
pub(super) struct Old {
    /// The file of settings, and the one over it; none where it ran on its defaults.
    pub(super) configs: Vec<PathBuf>,
    /// Both in one: an empty mapping where there is none.
    pub(super) root: Tree,
    /// Its readings and observations, where they are.
    pub(super) memory: Option<PathBuf>,
    /// The last values of its edge nodes, where they are.
    pub(super) cache: Option<PathBuf>,
    files: Files,
}

/// Looks for one: at the path, or where the old program itself looked.
///
/// # Errors
/// There is none, or its settings cannot be read; what is wrong with them has been shown.
pub(super) fn find(path: Option<&Path>, home: Option<&Path>) -> Result<Old, Failure> {
    let own = home.map(|home| home.join(".smollama"));
    let base = match path {
        Some(path) => at(path)?,
        None => usual(own.as_deref()),
    };
    let configs: Vec<PathBuf> =
        base.iter().cloned().chain(base.as_deref().and_then(over)).collect();
    let mut files = Files::default();
    let mut root = Tree::default();
    for config in &configs {
        let tree;
        (tree, files) = read(config, files)?;
        root = root.under(tree);
    }
    let mut old = Old { configs, root, memory: None, cache: None, files };
    let beside = path.map(|path| match path.is_dir() {
        true => path.to_owned(),
        false => path.parent().unwrap_or(Path::new("")).to_owned(),
    });
    old.find_data(beside.as_deref(), own.as_deref(), home);
    if old.configs.is_empty() && old.memory.is_none() && old.cache.is_none() {
        return Err(nothing(path));
    }
    Ok(old)
}

/// The settings at a path that somebody named.
fn at(path: &Path) -> Result<Option<PathBuf>, Failure> {
    if path.is_dir() {
        let names = ["config.yaml", "config.yml"].map(|name| path.join(name));
        return Ok(names.into_iter().find(|path| path.is_file()));
    }
    if path.is_file() {
        return Ok(Some(path.to_owned()));
    }
    Err(Failure::Wrong(format!(
        "there is no `{}`\n  help: name the config.yaml of the Python Smollama, or the folder it lies in",
        path.display()
    )))
}

/// The settings where the old program looks for them, unless they are ours.
fn usual(own: Option<&Path>) -> Option<PathBuf> {
    let folders = [Some(Path::new("")), own];
    let names = ["config.yaml", "config.yml"];
    let all = folders.into_iter().flatten().flat_map(|folder| names.map(|name| folder.join(name)));
    all.filter(|path| path.is_file()).find(|path| is_original(path))
}

/// Whether a file has sections that only the old program knew, or none that it did not.
fn is_original(path: &Path) -> bool {
    let read = text_of(path).ok().and_then(|text| {
        let nothing = |_: &str| None;
        let mut loader = Loader::new(&nothing);
        loader.text(path, &text);
        loader.finish().documents.into_iter().next()
    });
    let tree = read.map(|document| Tree::new(&document.root)).unwrap_or_default();
    tree.keys().any(|key| ORIGINAL_SECTIONS.contains(&key))
        || (tree.get("node").is_some() && tree.keys().all(|key| ["node", "mqtt"].contains(&key)))
}

/// The file that the old program lays over another: `config.local.yaml` beside `config.yaml`, always with this suffix.
fn over(base: &Path) -> Option<PathBuf> {
    let name = base.file_name()?.to_str()?;
    let word = name.split('.').find(|word| !word.is_empty())?;
    let over = base.with_file_name(format!("{word}.local.yaml"));
    (over.is_file() && over != base).then_some(over)
}

/// A file's text. The old program puts in no variables, so that a dollar sign is one.
fn text_of(path: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(path)?.replace('$', "$$"))
}

fn read(path: &Path, files: Files) -> Result<(Tree, Files), Failure> {
    let text = text_of(path)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
    let nothing = |_: &str| None;
    let mut loader = Loader::behind(files, &nothing);
    let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
    if !is_empty {
        loader.text(path, &text);
    }
    let loaded = loader.finish();
    terminal::diagnostics(&loaded.diagnostics, &loaded.files)?;
    let tree = loaded.documents.first().map(|document| Tree::new(&document.root));
    let tree = tree.unwrap_or_default();
    if tree.as_map().is_none() {
        return Err(Failure::Wrong(format!(
            "{} holds no settings\n  help: name the config.yaml of the Python Smollama",
            path.display()
        )));
    }
    Ok((tree, loaded.files))
}

fn nothing(path: Option<&Path>) -> Failure {
    let place = match path {
        Some(path) => format!("in {}", path.display()),
        None => "here and in ~/.smollama".to_owned(),
    };
    Failure::Wrong(format!(
        "neither settings nor data of a Python Smollama are {place}\n  help: name its config.yaml, or the folder of its memory.db: smollama import FOLDER"
    ))
}

impl Old {
    /// Data that lie beside what was named are meant; otherwise they are where the settings say, or in the user's folder.
    fn find_data(&mut self, beside: Option<&Path>, own: Option<&Path>, home: Option<&Path>) {
        let there = |folder: Option<&Path>, name: &str| {
            Some(folder?.join(name)).filter(|path| path.is_file())
        };
        let set = host::variable("SMOLLAMA_MEMORY_DB_PATH").filter(|path| !path.is_empty());
        let written = self.text("memory.db_path");
        let folder = self.configs.first().and_then(|config| config.parent());
        let named = set.or(written).map(|path| {
            let path = expanded(&path, home);
            folder.map_or(path.clone(), |folder| folder.join(path))
        });
        self.memory = there(beside, "memory.db")
            .or_else(|| named.filter(|path| path.is_file()))
            .or_else(|| there(own, "memory.db"));
        // A folder that was copied from another machine with its database has its cache in it, too, or none.
        let has_its_own = there(beside, "memory.db").is_some();
        self.cache =
            there(beside, CACHE).or_else(|| (!has_its_own).then(|| there(own, CACHE)).flatten());
    }

    /// What stands at a path of keys such as `mqtt.broker`.
    pub(super) fn get(&self, path: &str) -> Option<&Tree> {
        path.split('.')
            .try_fold(&self.root, |tree, key| tree.get(key))
            .filter(|tree| !tree.is_null())
    }

    /// A text or a number that stands there.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.get(path)?.as_text().map(ToOwned::to_owned)
    }

    /// The number that stands there, if it is one.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.get(path)?.as_text()?.trim().parse().ok()
    }

    /// Where something stands: `config.yaml:12`.
    pub(super) fn place(&self, tree: &Tree) -> String {
        if !tree.span.is_somewhere() {
            return String::new();
        }
        let path = self.files.path(tree.span.file);
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        format!("{name}:{}", self.files.position(tree.span.file, tree.span.start).line)
    }

    /// A comment that says where a setting came from: `mqtt.broker, config.yaml:12`.
    pub(super) fn origin(&self, path: &str) -> String {
        match self.get(path) {
            Some(tree) => format!("{path}, {}", self.place(tree)),
            None => format!("{path} was not set: this is what the old program did then"),
        }
    }
}

/// The name of the file with the last values of edge nodes.
const CACHE: &str = "mqtt_bridge_cache.json";

/// A path with `~` as the old program understands it.
pub(super) fn expanded(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
