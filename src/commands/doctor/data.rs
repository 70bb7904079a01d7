//! The data directory: who may do what there, whether an engine works on it, and which releases wrote what lies there.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use smollama_dashboard::{Client, SOCKET_NAME, check_listen};
use smollama_engine::config::http::HttpConfig;
use smollama_engine::control::{Control, NodeState, Status};
use smollama_store::formats::{self, Formats};
use smollama_store::lock;

use super::finding::Finding;
use super::ownership::{may, me, mode, others_have, user};
use crate::text::count;

/// Folders within folders of the data directory that are looked into, and files at most.
const DEPTH_MAX: usize = 4;
const FILES_MAX: usize = 20_000;
/// What only the owner may read.
const PRIVATE: [&str; 3] = ["token", SOCKET_NAME, "revisions"];

/// Whether an engine works on a data directory.
#[derive(Debug)]
pub(super) enum Engine {
    /// None does.
    None,
    /// One does, and this is how it is.
    Runs(Box<Status>),
    /// A process holds the directory, and does not say how it is.
    Silent {
        /// Who holds it.
        holder: String,
        /// Why it does not.
        why: String,
    },
    /// It cannot be told.
    Unknown(String),
}

impl Engine {
    /// Looks for one.
    pub(super) async fn look(data_dir: &Path) -> Engine {
        let holder = match lock::holder(data_dir) {
            Ok(None) => return Engine::None,
            Ok(Some(holder)) => holder.to_string(),
            Err(error) => return Engine::Unknown(error.to_string()),
        };
        match Client::new(data_dir).status().await {
            Ok(status) => Engine::Runs(Box::new(status)),
            Err(error) => Engine::Silent { holder, why: error.message },
        }
    }

    /// How it is, where one runs and says so.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Engine::Runs(status) => Some(status),
            _ => None,
        }
    }
}

pub(super) fn findings(data_dir: &Path, engine: &Engine, http: &HttpConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    permissions(data_dir, &mut found);
    of_engine(engine, &mut found);
    api(engine, http, &mut found);
    match formats::look(data_dir) {
        Ok(all) => found.extend(written_by(&all)),
        Err(error) => found.push(unreadable(data_dir, &error)),
    }
    found
}

fn permissions(data_dir: &Path, found: &mut Vec<Finding>) {
    const CHECK: &str = "data.permissions";
    let shown = data_dir.display();
    let about = match fs::metadata(data_dir) {
        Ok(about) if about.is_dir() => about,
        Ok(_) => {
            let fix = "move the file away, or choose a folder with `--data-dir DIR`";
            found.push(Finding::error(CHECK, format!("{shown} is a file"), fix));
            return;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            found.push(to_be_made(data_dir));
            return;
        }
        Err(error) => {
            found.push(unreadable(data_dir, &error));
            return;
        }
    };
    let (mine, owner) = (user(me()), user(about.uid()));
    if !may(data_dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let text = format!("{mine} may not write to {shown}, which belongs to {owner}");
        let fix = format!("sudo chown -R {mine} {shown}; or run the engine as {owner}");
        found.push(Finding::error(CHECK, text, fix));
        return;
    }
    let before = found.len();
    if mode(&about) & 0o1002 == 0o002 {
        let text = format!("everyone may change what is in {shown} ({:04o})", mode(&about));
        found.push(Finding::error(CHECK, text, format!("chmod o-w {shown}")));
    }
    foreign(data_dir, about.uid(), found);
    exposed(data_dir, found);
    if found.len() == before {
        found.push(Finding::ok(
            CHECK,
            format!("{shown} belongs to {owner}, its secrets to nobody else"),
        ));
    }
}

/// A data directory that is not there yet.
fn to_be_made(data_dir: &Path) -> Finding {
    const CHECK: &str = "data.permissions";
    let shown = data_dir.display();
    let above = data_dir.ancestors().skip(1).find(|path| path.exists()).unwrap_or(Path::new("/"));
    if may(above, Access::WRITE_OK | Access::EXEC_OK) {
        return Finding::ok(CHECK, format!("{shown} is made at the first start"));
    }
    let text = format!("{shown} is not there, and {} may not make it", user(me()));
    let fix = format!(
        "sudo install -d -o {} {shown}; or choose another with `--data-dir DIR`",
        user(me())
    );
    Finding::error(CHECK, text, fix)
}

/// Files of another user than the folder's: an engine that was started by the wrong one left them.
fn foreign(data_dir: &Path, owner: u32, found: &mut Vec<Finding>) {
    let strangers: Vec<(PathBuf, u32)> = files(data_dir)
        .into_iter()
        .filter_map(|path| Some((fs::symlink_metadata(&path).ok()?.uid(), path)))
        .filter(|(uid, _)| *uid != owner)
        .map(|(uid, path)| (path, uid))
        .collect();
    let Some((first, uid)) = strangers.first() else { return };
    let text = format!(
        "{} of the data directory do not belong to {}, such as {} ({}): was an engine started as another user once?",
        count(strangers.len() as u64, "file"),
        user(owner),
        first.display(),
        user(*uid)
    );
    let fix = format!("sudo chown -R {} {}", user(owner), data_dir.display());
    found.push(Finding::error("data.owner", text, fix));
}

/// Secrets that others can read.
fn exposed(data_dir: &Path, found: &mut Vec<Finding>) {
    let mut private: Vec<PathBuf> = PRIVATE.iter().map(|name| data_dir.join(name)).collect();
    let below = private.iter().flat_map(|path| fs::read_dir(path).into_iter().flatten());
    let below: Vec<PathBuf> = below.flatten().map(|entry| entry.path()).collect();
    private.retain(|path| !path.is_dir());
    private.extend(below);
    for path in private {
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if others_have(&about) {
            let shown = path.display();
            let text = format!("others than its owner may open {shown} ({:04o})", mode(&about));
            found.push(Finding::error("data.secrets", text, format!("chmod go= {shown}")));
        }
    }
}

/// The files and folders below a folder, as far as anybody wants to know.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth < DEPTH_MAX {
                folders.push((entry.path(), depth + 1));
            }
            found.push(entry.path());
            if found.len() >= FILES_MAX {
                return found;
            }
        }
    }
    found
}

fn of_engine(engine: &Engine, found: &mut Vec<Finding>) {
    const CHECK: &str = "data.engine";
    let own = env!("CARGO_PKG_VERSION");
    match engine {
        Engine::None => found.push(Finding::ok(CHECK, "no engine runs on it now")),
        Engine::Unknown(why) => found.push(Finding::error(
            CHECK,
            format!("it cannot be told whether an engine runs: {why}"),
            "the directory must be on a file system that can lock files, and this user must be allowed to read there",
        )),
        Engine::Silent { holder, why } => found.push(Finding::error(
            CHECK,
            format!("{holder} holds it, and does not answer: {why}"),
            "ask as the user it runs as; if it hangs, end that process: the next start goes on from its journal",
        )),
        Engine::Runs(status) => {
            let host = &status.host;
            let text = format!("an engine runs on it (process {}, smollama {})", host.pid, host.version);
            found.push(if host.version == own {
                Finding::ok(CHECK, text)
            } else {
                let text = format!("{text}, and this is smollama {own}");
                Finding::warning(CHECK, text, "restart the engine: it goes on where it was")
            });
            nodes(status, found);
        }
    }
}

/// Nodes that cannot work.
fn nodes(status: &Status, found: &mut Vec<Finding>) {
    const CHECK: &str = "data.nodes";
    let before = found.len();
    for node in &status.nodes {
        let why = node.error.as_deref().map_or_else(String::new, |why| format!(": {why}"));
        let fix = format!("smollama status {0}; smollama logs {0}", node.address);
        match node.state {
            NodeState::Failed => {
                found.push(Finding::error(
                    CHECK,
                    format!("{} was given up{why}", node.address),
                    fix,
                ));
            }
            NodeState::Retrying => {
                let text = format!("{} tries again and again{why}", node.address);
                found.push(Finding::warning(CHECK, text, fix));
            }
            NodeState::Ended | NodeState::Running | NodeState::Lagging => {}
        }
    }
    if let Some(journal) = status.journal.as_ref().and_then(|journal| journal.failure.as_ref()) {
        let text = format!("the journal cannot be written: {}", journal.error);
        let fix = "make room on the disk, or replace it; it goes on by itself";
        found.push(Finding::error(CHECK, text, fix));
    }
    if found.len() == before && !status.nodes.is_empty() {
        let text = format!("all {} work", count(status.nodes.len() as u64, "node"));
        found.push(Finding::ok(CHECK, text));
    }
    if status.dead_letters.letters > 0 {
        let text = format!("{} wait", count(status.dead_letters.letters, "dead letter"));
        let fix = "`smollama dlq list` shows what was refused and why; `replay` or `drop` them";
        found.push(Finding::note("data.dead_letters", text).fix(fix));
    }
}

/// Where the API would be served.
fn api(engine: &Engine, http: &HttpConfig, found: &mut Vec<Finding>) {
    const CHECK: &str = "data.api";
    if !http.enabled {
        return;
    }
    let address = SocketAddr::new(http.host.0, http.port);
    if check_listen(http.host.0, http.token.is_some()).is_err() {
        let text = format!(
            "the API is to be served at {address}, beyond this machine, and has no token of yours"
        );
        let fix = "write `http: { token: secret://file/PATH }` into config.yaml, with 16 characters or more in that file";
        found.push(Finding::error(CHECK, text, fix));
        return;
    }
    if !matches!(engine, Engine::None) {
        return;
    }
    if let Err(error) = TcpListener::bind(address) {
        let text = format!("the API cannot be served at {address}: {error}");
        let fix = "choose another port, `http: { port: 8081 }`; without one the control socket alone is served";
        found.push(Finding::warning(CHECK, text, fix));
    }
}

fn written_by(all: &[Formats]) -> Vec<Finding> {
    const CHECK: &str = "data.formats";
    let mut found = Vec::new();
    for one in all {
        let kind = one.kind;
        if !one.newer.is_empty() {
            let writers: Vec<&str> = one.writers.iter().map(String::as_str).collect();
            let text = format!(
                "{kind}: a later release wrote here ({}): {}; this one reads formats up to {}",
                writers.join(", "),
                one.newer.join(", "),
                one.known
            );
            let fix =
                "update smollama, or choose another data directory; nothing of it was touched";
            found.push(Finding::error(CHECK, text, fix));
        }
        if let Some(first) = one.damaged.first() {
            let number = count(one.damaged.len() as u64, "file");
            let text = format!("{kind}: {number} cannot be read, such as {}", first.display());
            let fix = "nothing has to be done: an engine puts it aside at its start; look whether the disk fails (`dmesg`)";
            found.push(Finding::warning(CHECK, text, fix));
        }
        if let Some(first) = one.aside.first() {
            let number = count(one.aside.len() as u64, "damaged file");
            let text = format!("{kind}: {number} was put aside, such as {}", first.display());
            let fix =
                "look whether the disk fails (`dmesg`, `smartctl -a`); the files can be removed";
            found.push(Finding::warning(CHECK, text, fix));
        }
    }
    if found.is_empty() && !all.is_empty() {
        let kinds: Vec<String> = all
            .iter()
            .map(|one| {
                let formats: Vec<String> = one.formats.iter().map(u16::to_string).collect();
                format!("{} {}", one.kind, formats.join("+"))
            })
            .collect();
        let own = env!("CARGO_PKG_VERSION");
        let text =
            format!("smollama {own} reads all that lies there: formats {}", kinds.join(", "));
        found.push(Finding::ok(CHECK, text));
    }
    found
}

fn unreadable(data_dir: &Path, error: &io::Error) -> Finding {
    let text = format!("{} cannot be looked at: {error}", data_dir.display());
    Finding::error(
        "data.permissions",
        text,
        "run this as the user that the engine runs as: sudo -u USER smollama doctor",
    )
}
