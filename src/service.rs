//! The engine as a service, in the foreground: resumes what ran, applies what was asked for, answers, and stops when it is told to.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use smollama_dashboard::{Options as ServerOptions, Server, StartError};
use smollama_engine::clock::{Clock, SystemClock};
use smollama_engine::config::host::HostConfig;
use smollama_engine::config::http::ListenHost;
use smollama_engine::control::{ApplyReply, ApplyRequest, Control, PlanRequest, Variables};
use smollama_engine::run::Watch;
use smollama_nodes::io::mqtt::{Broker, Outbox};
use smollama_store::log::Durability;
use smollama_supervisor::{Handle, Kept, Settings, Start, Supervisor};
use tokio::sync::Notify;

use crate::cli::Global;
use crate::cli::commands::{Listen, Speed};
use crate::commands::change;
use crate::commands::watch::Watcher;
use crate::engine::Outcome;
use crate::live::View;
use crate::signals::{Signals, Told};
use crate::terminal::{self, Failure, Stdout};

/// What to run, and how.
#[derive(Debug)]
pub(crate) struct Service<'a> {
    /// What to apply before anything begins; nothing to go on with what ran.
    pub(crate) paths: &'a [PathBuf],
    /// The paths are the whole set.
    pub(crate) all: bool,
    pub(crate) speed: Option<Speed>,
    pub(crate) listen: &'a Listen,
    /// Show the plan, ask where something running would change, and draw a live view.
    pub(crate) attended: bool,
    /// Do not ask.
    pub(crate) yes: bool,
    /// Apply again whenever one of the paths is saved.
    pub(crate) watch: bool,
    /// What the history says about it.
    pub(crate) message: Option<&'a str>,
}

impl Service<'_> {
    /// Runs until all sources have ended, a signal comes, or nobody reads standard output any more.
    pub(crate) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .enable_io()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        let code = runtime.block_on(self.run_async(global));
        // A node that never returns must not keep the process.
        runtime.shutdown_timeout(Duration::from_secs(2));
        code
    }

    async fn run_async(self, global: &Global) -> Result<ExitCode, Failure> {
        // Before anything else, so that a signal during the start is not lost.
        let mut signals = Signals::new()?;
        let console = Stdout::default();
        let closed = console.closed();
        let config = crate::host::settings(global)?;
        let host = Arc::new(crate::host::open(global, Arc::new(console))?);
        let clock = SystemClock::default();
        let kept = Kept::open(&host, keeping(&config), clock.now())
            .map_err(|error| Failure::Failed(error.to_string()))?;
        // Held until the end: it takes back what nodes left elsewhere that are gone.
        let _outbox = Outbox::open(&host).inspect_err(|error| {
            tracing::error!("nothing can be announced or taken back by MQTT: {error}");
        });
        // Held until the end, too: others may use it though no node here does.
        let broker = Broker::serve(&host).map_err(Failure::Failed)?;
        let resumed = kept.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.revision > 0);
        if self.paths.is_empty() && !resumed {
            return Err(Failure::Failed(format!(
                "nothing was applied yet on {}\n  help: apply pipelines first: smollama apply PATH",
                host.data_dir.display()
            )));
        }
        let view = Arc::new(View::for_terminal(self.attended));
        view.knows(&host);
        let watch = view.watches().then(|| view.clone() as Arc<dyn Watch>);
        let supervisor = Supervisor::start(Start {
            kept,
            registry: crate::host::registry(global),
            clock: Arc::new(clock),
            speed: match self.speed {
                Some(Speed::Times(times)) => Some(times),
                Some(Speed::Max) | None => None,
            },
            view: watch,
            logs: terminal::logs(),
        })
        .map_err(|error| terminal::control_error(&error))?;
        let handle = supervisor.handle().clone();
        if !self.paths.is_empty() {
            match self.apply_first(&handle, global, resumed).await {
                Ok(true) => {}
                Ok(false) => {
                    supervisor.stop().await;
                    return Ok(ExitCode::SUCCESS);
                }
                Err(failure) => {
                    supervisor.stop().await;
                    return Err(failure);
                }
            }
        }
        let server = match self.serve(&handle, &host, &config).await {
            Ok(server) => server,
            Err(failure) => {
                supervisor.stop().await;
                return Err(failure);
            }
        };
        handle.release().await;
        self.say_where(&server, &host.data_dir);
        crate::systemd::ready();
        let stopped = self.until_the_end(&handle, &mut signals, &closed, &view).await;
        view.close();
        crate::systemd::stopping();
        if stopped {
            terminal::say(
                "Stopping: letting everything under way go through. Once more to stop at once.",
            );
        }
        let gauges = handle.gauges();
        let errors = tokio::select! {
            errors = end(server, supervisor, broker) => errors,
            () = signals.stop() => vec!["stopped at once: what was not acknowledged may be lost".into()],
        };
        let nodes: Vec<_> = gauges.into_iter().map(|gauge| (gauge.node, gauge.stats)).collect();
        // What `apply` prints as JSON is its plan.
        let json = global.json && !self.attended;
        crate::commands::finish(&Outcome::of(&nodes, errors, &host), json)
    }

    /// Shows and makes what was asked for. False when the user said no.
    async fn apply_first(
        &self,
        handle: &Handle,
        global: &Global,
        resumed: bool,
    ) -> Result<bool, Failure> {
        let plan = request(self.paths, self.all)?;
        let reply =
            handle.plan(plan.clone()).await.map_err(|error| terminal::control_error(&error))?;
        if self.attended {
            change::show(&reply, global.json)?;
            let asks = resumed && reply.pending && !self.yes;
            if asks && !change::agreed(&reply, global.json, "Apply this?") {
                return Ok(false);
            }
        }
        let message = self.message.map(ToOwned::to_owned);
        let request = ApplyRequest { plan, expect: reply.revision, message };
        let actor = format!("uid {}", rustix::process::geteuid().as_raw());
        handle.apply(request, &actor).await.map_err(|error| terminal::control_error(&error))?;
        Ok(true)
    }

    async fn serve(
        &self,
        handle: &Handle,
        host: &smollama_engine::context::Host,
        config: &HostConfig,
    ) -> Result<Server, Failure> {
        let mut http = config.http.clone();
        let named = self.listen.port.is_some() || self.listen.host.is_some();
        if let Some(port) = self.listen.port {
            http.port = port;
        }
        if let Some(host) = self.listen.host {
            http.host = ListenHost(host);
        }
        http.enabled &= !self.listen.no_dashboard;
        let control: Arc<dyn Control> = Arc::new(handle.clone());
        let started = Server::start(control.clone(), ServerOptions::new(host, http.clone())).await;
        match started {
            Ok(server) => Ok(server),
            // The default port is a convenience: that another program has it, or the disk no room for its token, must not keep sensors
            // from being read.
            Err(error @ (StartError::Port { .. } | StartError::Token(_))) if !named => {
                tracing::warn!("the API is reached by the control socket alone: {error}");
                http.enabled = false;
                Server::start(control, ServerOptions::new(host, http))
                    .await
                    .map_err(|error| Failure::Failed(error.to_string()))
            }
            Err(error) => Err(Failure::Failed(error.to_string())),
        }
    }

    fn say_where(&self, server: &Server, data_dir: &std::path::Path) {
        let api = server.address().map_or_else(String::new, |at| format!(" API on http://{at}."));
        terminal::say(&format!(
            "Running on {}.{api} Look inside with `smollama status`. Ctrl-C stops.",
            data_dir.display()
        ));
    }

    /// True when it was told to stop.
    async fn until_the_end(
        &self,
        handle: &Handle,
        signals: &mut Signals,
        closed: &Notify,
        view: &View,
    ) -> bool {
        let mut redraw = tokio::time::interval(Duration::from_secs(1));
        redraw.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let ended = handle.ended();
        tokio::pin!(ended);
        let mut watcher = Watcher::new(self.paths);
        loop {
            tokio::select! {
                () = &mut ended => return false,
                _ = redraw.tick(), if view.watches() => {
                    let gauges = handle.gauges().into_iter();
                    view.draw(&gauges.map(|gauge| (gauge.node, gauge.stats)).collect::<Vec<_>>());
                }
                () = crate::systemd::watchdog() => {
                    // Only an engine that still answers is alive.
                    if handle.status().await.is_ok() {
                        crate::systemd::alive();
                    }
                }
                () = watcher.changed(), if self.watch => self.reload(handle).await,
                told = signals.next() => match told {
                    Told::Reload => self.reload(handle).await,
                    Told::Stop => return true,
                },
                () = closed.notified() => return true,
            }
        }
    }

    /// SIGHUP, or a file was saved: the files as they are now. What is wrong is said, and the old graph goes on.
    async fn reload(&self, handle: &Handle) {
        crate::systemd::reloading();
        let plan = PlanRequest { paths: handle.paths(), ..PlanRequest::default() };
        let request = ApplyRequest { plan, ..ApplyRequest::default() };
        let done = handle.apply(request, "SIGHUP").await;
        match done {
            Ok(ApplyReply { revision, .. }) => {
                terminal::say(&format!("Reloaded: revision {revision} runs."));
            }
            Err(error) => terminal::error(&terminal::control_error(&error)),
        }
        crate::systemd::ready();
    }
}

/// Ends an engine, and then the broker that it may be. The errors are what nodes could not do.
async fn end(server: Server, supervisor: Supervisor, broker: Option<Arc<Broker>>) -> Vec<String> {
    server.stop().await;
    let errors = supervisor.stop().await;
    if let Some(broker) = broker {
        broker.end().await;
    }
    errors
}

/// What the configuration says of how things are kept.
pub(crate) fn keeping(config: &HostConfig) -> Settings {
    use smollama_engine::config::host::DurabilityWord;
    let journal = &config.journal;
    Settings {
        durability: match journal.durability {
            DurabilityWord::Power => Durability::Power,
            DurabilityWord::Process => Durability::Process,
        },
        flush: journal.flush,
        journal: journal.size,
    }
}

/// A request for these paths, with the variables of this process.
pub(crate) fn request(paths: &[PathBuf], all: bool) -> Result<PlanRequest, Failure> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path)
            .map_err(|error| Failure::Failed(format!("cannot find {}: {error}", path.display())))
    };
    let paths = paths.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
    // In its own process it sees the same environment.
    Ok(PlanRequest { paths, all, variables: Variables::default() })
}
