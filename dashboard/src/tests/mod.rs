//! A server on a real socket and a real port, asked by real requests. What stands behind it is a stand-in for the engine.

mod audit;
mod client;
mod limits;
mod pages;
mod permissions;
mod raw;
mod stand_in;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use smollama_engine::clock::SystemClock;
use smollama_engine::config::Secret;
use smollama_engine::config::http::HttpConfig;
use smollama_engine::disk::RealDisk;
use tempfile::TempDir;

use crate::{Client, Options, Server};
use raw::{Answer, ask};
use stand_in::StandIn;

const OPERATE: &str = "operate-operate-operate";
const READ: &str = "read-read-read-read";

/// A server, and all that belongs to it.
struct Served {
    folder: TempDir,
    engine: Arc<StandIn>,
    server: Server,
}

impl Served {
    async fn new() -> Served {
        Served::with(HttpConfig::default()).await
    }

    async fn with(config: HttpConfig) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(StandIn::default());
        let http = HttpConfig {
            port: 0,
            token: Some(Secret::literal(OPERATE)),
            read_token: Some(Secret::literal(READ)),
            ..config
        };
        let options = Options {
            data_dir: folder.path().to_owned(),
            disk: RealDisk::shared(),
            clock: Arc::new(SystemClock::default()),
            http,
        };
        let server = Server::start(engine.clone(), options).await.unwrap();
        Served { folder, engine, server }
    }

    fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    fn client(&self) -> Client {
        Client::new(self.data_dir())
    }

    /// Asks over TCP, with a `Host` that is ours.
    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let address = self.server.address().unwrap();
        let host = address.to_string();
        let mut all = vec![("host", host.as_str())];
        all.extend(headers);
        ask(address, line, &all, body).await
    }

    /// The rows of a file of the audit.
    fn rows(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.data_dir().join(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
