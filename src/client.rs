//! Commands that talk to a running engine: whom they ask, and how they show what they hear.

use jiff::tz::TimeZone;
use smollama_dashboard::Client;
use smollama_engine::control::Control;
use smollama_engine::registry::Registry;
use smollama_engine::time::Timestamp;
use tokio::runtime::Runtime;

use crate::cli::Global;
use crate::host;
use crate::terminal::{self, Failure};
use crate::text::Paint;

/// What every such command is given.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The engine.
    pub(crate) engine: &'a dyn Control,
    /// Whether results are for programs.
    pub(crate) json: bool,
    pub(crate) paint: Paint,
    /// How wide the terminal is; `None` where there is none.
    pub(crate) width: Option<usize>,
    pub(crate) zone: TimeZone,
    /// For pipelines that are checked on this side.
    pub(crate) registry: Registry,
}

impl<'a> Call<'a> {
    /// Shows things as the user wants them.
    pub(crate) fn new(engine: &'a dyn Control, global: &Global, zone: TimeZone) -> Call<'a> {
        let paint = Paint(terminal::stdout_colour());
        let registry = host::registry(global);
        Call { engine, json: global.json, paint, width: terminal::width(), zone, registry }
    }

    /// `2026-11-21 06:24:30`, in the zone of the host.
    pub(crate) fn when(&self, time: Timestamp) -> String {
        time.to_jiff().to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}

/// Asks the engine that runs on the data directory. That none does is an error that says where it was looked for.
pub(crate) fn ask<T>(
    global: &Global,
    what: impl AsyncFnOnce(&Call<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let place = host::locate(global)?;
    let engine = Client::new(&place.data_dir);
    runtime()?.block_on(what(&Call::new(&engine, global, place.zone)))
}

/// Asks the engine that runs on the data directory, if one does.
pub(crate) fn ask_if_running<T>(
    global: &Global,
    what: impl AsyncFnOnce(&Call<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let place = host::locate(global)?;
    let engine = Client::new(&place.data_dir);
    runtime()?.block_on(async {
        if engine.running().await?.is_none() {
            return Ok(None);
        }
        what(&Call::new(&engine, global, place.zone)).await.map(Some)
    })
}

/// One thread is enough to wait for answers.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))
}
