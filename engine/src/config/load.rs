//! From paths to trees: which files there are, what they hold, and what is put into their scalars.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::{
    build::{self, Budget},
    interpolate::{INTERPOLATED_BYTES_MAX, Interpolator, Lookup},
    reads::ReadFile,
    tree::Node,
};
use crate::diagnostic::{Diagnostic, Diagnostics, FileId, Files, Span, rules};

/// Bytes of one file.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of all files of one load.
pub const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One YAML document: what will be one pipeline.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file it stands in.
    pub file: FileId,
    /// Which document of that file, from 0.
    pub index: usize,
    /// Its value; never null.
    pub root: Node,
}

/// Everything that could be read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Every file that was named or found, also those that could not be read.
    pub files: Files,
    /// The documents of all files, in the order of the paths.
    pub documents: Vec<Document>,
    /// The files that could be read, with all that was taken from elsewhere.
    pub reads: BTreeMap<FileId, ReadFile>,
    /// Those of them that were not read from the disk but again as they were.
    pub again: BTreeSet<FileId>,
    /// What is wrong so far.
    pub diagnostics: Diagnostics,
}

/// Reads files one after the other; a bad one does not hide the others.
pub struct Loader<'a> {
    lookup: &'a Lookup<'a>,
    files: Files,
    documents: Vec<Document>,
    reads: BTreeMap<FileId, ReadFile>,
    again: BTreeSet<FileId>,
    diagnostics: Diagnostics,
    budget: Budget,
    bytes_left: usize,
    interpolated_bytes_left: usize,
    /// Canonical paths, so that a file named twice is read once.
    seen: HashSet<PathBuf, RandomState>,
}

/// Loads files and folders; `lookup` gives the variables of the environment.
pub fn load<P: AsRef<Path>>(paths: &[P], lookup: &Lookup<'_>) -> Loaded {
    let mut loader = Loader::new(lookup);
    for path in paths {
        loader.path(path.as_ref());
    }
    loader.finish()
}

impl<'a> Loader<'a> {
    /// A loader that has read nothing.
    pub fn new(lookup: &'a Lookup<'a>) -> Self {
        Self {
            lookup,
            files: Files::default(),
            documents: Vec::new(),
            reads: BTreeMap::new(),
            again: BTreeSet::new(),
            diagnostics: Diagnostics::new(),
            budget: Budget::default(),
            bytes_left: TOTAL_BYTES_MAX,
            interpolated_bytes_left: INTERPOLATED_BYTES_MAX,
            seen: HashSet::default(),
        }
    }

    /// A loader whose files come behind others.
    pub fn behind(files: Files, lookup: &'a Lookup<'a>) -> Self {
        Self { files, ..Self::new(lookup) }
    }

    /// Reads a file, or the `*.yaml` and `*.yml` directly in a folder.
    pub fn path(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => self.folder(path),
            Ok(found) if found.is_file() => self.file(path),
            Ok(_) => {
                let file = self.files.add(path, "");
                let message = format!("`{}` is not a plain file", path.display());
                let error = Diagnostic::error(&rules::NOT_A_FILE, Span::file(file), message)
                    .help("write the pipeline into a file and name that");
                self.diagnostics.push(error);
            }
            Err(error) => self.unreadable(path, &error),
        }
    }

    /// Reads a text as if it stood in the file `path`; `secret://file/./x` begins at that file's folder.
    pub fn text(&mut self, path: &Path, text: &str) {
        self.text_with(path, text, self.lookup, BTreeMap::new());
    }

    /// Reads a file as it was when it was read before: its text, its variables and what lay beside it. Only its secrets are looked up
    /// again, with `secrets` for those of the environment: they are kept nowhere.
    pub fn again(&mut self, file: &ReadFile, secrets: &Lookup<'_>) {
        let lookup = |name: &str| match file.variable(name) {
            Some(variable) => variable.value.as_ref().map(|value| value.expose().to_owned()),
            None => secrets(name),
        };
        let id = self.text_with(&file.path, &file.text, &lookup, file.beside.clone());
        self.again.insert(id);
    }

    fn text_with(
        &mut self,
        path: &Path,
        text: &str,
        lookup: &Lookup<'_>,
        beside: BTreeMap<PathBuf, Arc<[u8]>>,
    ) -> FileId {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = self.files.add(path, text);
        if text.len() > FILE_BYTES_MAX.min(self.bytes_left) {
            self.too_large(file, path);
            return file;
        }
        self.bytes_left -= text.len();
        let before = self.diagnostics.errors();
        let mut used = BTreeMap::new();
        let mut interpolator = Interpolator {
            lookup,
            folder: path.parent().unwrap_or(Path::new("")),
            used: &mut used,
            bytes_left: &mut self.interpolated_bytes_left,
        };
        let documents = build::documents(
            file,
            text,
            &mut self.budget,
            &mut |text, style, span, diagnostics| {
                interpolator.value(text, style, span, diagnostics)
            },
            &mut self.diagnostics,
        );
        if documents.is_empty() && self.diagnostics.errors() == before {
            let message = format!("`{}` holds no pipeline", path.display());
            let error = Diagnostic::error(&rules::EMPTY_FILE, Span::file(file), message).help(
                "a pipeline has at least a name and a node: `pipeline: home`, then `sources:`",
            );
            self.diagnostics.push(error);
        }
        let documents = documents.into_iter().enumerate();
        self.documents.extend(documents.map(|(index, root)| Document { file, index, root }));
        let read = ReadFile {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            text: text.into(),
            variables: used.into_values().collect(),
            beside,
        };
        self.reads.insert(file, read);
        file
    }

    /// What was read.
    pub fn finish(self) -> Loaded {
        Loaded {
            files: self.files,
            documents: self.documents,
            reads: self.reads,
            again: self.again,
            diagnostics: self.diagnostics,
        }
    }

    fn folder(&mut self, folder: &Path) {
        let paths = match pipelines_in(folder) {
            Ok(paths) => paths,
            Err(error) => return self.unreadable(folder, &error),
        };
        if paths.is_empty() {
            let file = self.files.add(folder, "");
            let message =
                format!("no `*.yaml` or `*.yml` lies in the folder `{}`", folder.display());
            let error = Diagnostic::error(&rules::NO_PIPELINES, Span::file(file), message)
                .help("files in its sub-folders do not count; name the folder they lie in");
            self.diagnostics.push(error);
        }
        for path in paths {
            self.path(&path);
        }
    }

    fn file(&mut self, path: &Path) {
        if path.canonicalize().is_ok_and(|canonical| !self.seen.insert(canonical)) {
            return;
        }
        let bytes = match read(path, FILE_BYTES_MAX.min(self.bytes_left)) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let file = self.files.add(path, "");
                return self.too_large(file, path);
            }
            Err(error) => return self.unreadable(path, &error),
        };
        match String::from_utf8(bytes) {
            Ok(text) => self.text(path, &text),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                self.not_utf8(path, text, valid);
            }
        }
    }

    fn not_utf8(&mut self, path: &Path, text: String, valid: usize) {
        let file = self.files.add(path, text);
        let start = u32::try_from(valid).unwrap_or(0);
        // The byte that is wrong is shown as U+FFFD, which takes three bytes.
        let span = Span { file, start, end: start + 3 };
        let message = format!("`{}` is not UTF-8 text", path.display());
        let error = Diagnostic::error(&rules::NOT_UTF8, span, message)
            .label("this byte belongs to no character")
            .help("save the file as UTF-8");
        self.diagnostics.push(error);
    }

    fn too_large(&mut self, file: FileId, path: &Path) {
        let message = if self.bytes_left < FILE_BYTES_MAX {
            format!("with `{}` the files together have more than 64 MiB", path.display())
        } else {
            format!("`{}` is larger than 16 MiB", path.display())
        };
        let error = Diagnostic::error(&rules::FILE_TOO_LARGE, Span::file(file), message)
            .help("keep tables of data in a file that a node reads");
        self.diagnostics.push(error);
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let span = Span::file(self.files.add(path, ""));
        let shown = path.display();
        self.diagnostics.push(match error.kind() {
            io::ErrorKind::NotFound => {
                let message = format!("`{shown}` does not exist");
                let error = Diagnostic::error(&rules::MISSING_PATH, span, message);
                match neighbour(path) {
                    Some(name) => error.help(format!("did you mean `{name}`?")),
                    None => error.help("paths begin at the folder the command was started in"),
                }
            }
            io::ErrorKind::PermissionDenied => Diagnostic::error(
                &rules::UNREADABLE_PATH,
                span,
                format!("no permission to read `{shown}`"),
            )
            .help(format!(
                "allow it with `chmod +r {shown}` (a folder: `chmod +rx`), or run as its owner"
            )),
            _ => Diagnostic::error(
                &rules::UNREADABLE_PATH,
                span,
                format!("cannot read `{shown}`: {error}"),
            ),
        });
    }
}

/// The pipeline files directly in a folder, by name.
pub fn pipelines_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_pipeline_file(&path) && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a file in a folder is taken for pipelines when the folder is named: by its name alone.
pub fn is_pipeline_file(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml")
}

/// The bytes of a file, or nothing if there are more than `bytes_max`.
fn read(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= bytes_max).then_some(bytes))
}

/// The nearest name beside a path that does not exist.
fn neighbour(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let folder = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let names: Vec<String> =
        fs::read_dir(folder).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    let name = crate::diagnostic::nearest(wanted, names.iter().map(String::as_str))?;
    Some(parent.join(name).display().to_string())
}
