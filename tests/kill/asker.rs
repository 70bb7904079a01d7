//! What is asked of the engine while senders talk to it: checkpoints, and applies of an edited pipeline.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::sender::Round;
use super::{Asks, Situation};
use crate::http::ask_engine;
use crate::place::Place;

/// Numbers that lie nearer to the last one that passed do not pass the transform `sparse`.
pub(super) const DEADBAND: u64 = 10;

/// Asks, and remembers what was answered.
#[derive(Debug)]
pub(super) struct Asker {
    situation: Situation,
    data: PathBuf,
    file: PathBuf,
    receiver: SocketAddr,
    /// How often the pipeline was edited.
    edits: usize,
    /// The newest revision of which the engine said that it runs.
    revision: u64,
    /// Checkpoints and applies that were answered.
    pub(super) answered: usize,
}

impl Asker {
    pub(super) fn new(situation: Situation, place: &Place, receiver: SocketAddr) -> Asker {
        let (data, file) = (place.path("data"), place.path("k.yaml"));
        Asker { situation, data, file, receiver, edits: 0, revision: 0, answered: 0 }
    }

    /// Writes the pipeline as it is after some edits: a node comes and goes, and settings of others change.
    pub(super) fn write(&self) {
        let Situation { out, finalize, away, .. } = self.situation;
        let (connections, spare) = (64 + self.edits % 900, self.edits % 3);
        let sync = if self.edits % 4 < 2 { "on_flush" } else { "on_checkpoint" };
        let mut text = format!(
            "pipeline: k\n\
             sources:\n  in: {{ as: s, socket: {{ unix: in.sock, connections: {connections} }} }}\n\
             transforms:\n  \
             scored: {{ inputs: [in], novelty: {{ warm_up: 5 }} }}\n  \
             sparse: {{ inputs: [in], dedup: {{ deadband: {DEADBAND}, heartbeat: never }} }}\n\
             sinks:\n  \
             out: {{ inputs: [scored], file: {{ path: out.jsonl, sync: {sync}{out} }} }}\n  \
             news: {{ inputs: [sparse], file: {{ path: news.jsonl }} }}\n  \
             kept: {{ inputs: [in], parquet: {{ finalize: {finalize} }} }}\n  \
             db: {{ inputs: [in], sqlite: {{ path: db.sqlite }} }}\n"
        );
        if spare > 0 {
            text += &format!("  spare_{spare}: {{ inputs: [scored], discard: {{}} }}\n");
        }
        if away {
            let url = format!("http://{}/", self.receiver);
            text += &format!(
                "  away:\n    inputs: [scored]\n    queue: {{ size: 64KiB }}\n    \
                 retry: {{ initial: 5ms, max: 50ms }}\n    \
                 http: {{ url: \"{url}\", batch: {{ items: 100 }} }}\n"
            );
        }
        std::fs::write(&self.file, text).expect("a file for the test");
    }

    /// Asks until the engine is no more.
    pub(super) fn ask(&mut self, round: &Round) {
        let asks = match self.situation.asks {
            Asks::Little => usize::from(round.rests),
            Asks::Checkpoints | Asks::Applies => usize::MAX,
        };
        let answered = || round.answers.load(Ordering::Relaxed);
        while answered() < asks && !round.over.load(Ordering::Relaxed) {
            // It does not listen yet, or it does not listen any more.
            let applies = self.situation.asks == Asks::Applies;
            let done = if applies { self.apply() } else { self.checkpoint() };
            round.answers.fetch_add(usize::from(done), Ordering::Relaxed);
            if !done {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        self.answered += answered();
    }

    fn checkpoint(&self) -> bool {
        let Ok(answer) = ask_engine(&self.data, "POST /api/checkpoint", "{}") else { return false };
        assert_eq!(answer.status, 200, "{}", answer.body);
        true
    }

    fn apply(&mut self) -> bool {
        if UnixStream::connect(self.data.join("control.sock")).is_err() {
            // It may be about to read the file.
            return false;
        }
        self.edits += 1;
        self.write();
        let body = json!({ "plan": { "paths": [self.file] } }).to_string();
        let Ok(answer) = ask_engine(&self.data, "POST /api/apply", &body) else { return false };
        assert_eq!(answer.status, 200, "{}", answer.body);
        let revision = answer.json()["revision"].as_u64().expect("a revision");
        assert!(revision > self.revision, "revision {revision} came after {}", self.revision);
        self.revision = revision;
        true
    }

    /// What was applied is applied, whatever happened then.
    pub(super) fn check_revision(&self, place: &Place) {
        if self.situation.asks == Asks::Applies {
            let history = place.json(&["history"]);
            let all = history.as_array().expect("a list");
            let current = all.iter().find(|row| row["current"] == true).expect("one runs");
            let current = current["number"].as_u64().expect("a number");
            assert!(current >= self.revision, "{current} runs, {} did", self.revision);
        }
    }
}
