//! Starting and ending the loops of nodes.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::topology::{SourceState, Topology};

/// How long nodes may take to end after they were told to.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(10);
/// After that much more nothing is waited for: a node does not return.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

impl Topology {
    /// Tells the sources to stop, lets what is under way go through, and waits until all is written and closed; what takes longer than
    /// ten seconds gets no further try, and a node that does not return within three more is given up. Where states are kept a
    /// checkpoint is taken, and windows stay open for the next start; elsewhere nodes emit what they still hold. The errors are what
    /// nodes could not do.
    pub async fn stop(&mut self) -> Vec<String> {
        self.stopping.cancel();
        self.host.leases.stopping().cancel();
        let deadline = Instant::now() + STOP_WITHIN;
        let hurry = self.hurry.clone();
        let impatience = tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            hurry.cancel();
        });
        let sources = std::mem::take(&mut self.sources);
        sources.values().for_each(|handle| handle.stop.cancel());
        for (address, handle) in sources {
            if let SourceState::Running(task) = handle.state {
                self.join(&address, task, deadline).await;
            }
        }
        let keeps = self.options.keep.is_some();
        let give_up = deadline + GIVE_UP_AFTER;
        if keeps {
            let taken = timeout_at(give_up, self.checkpoint_by(deadline)).await;
            let why = match taken {
                Ok(Ok(())) => None,
                Ok(Err(blocked)) => Some(blocked.to_string()),
                Err(_) => Some("the disk does not answer".into()),
            };
            if let Some(why) = why {
                tracing::warn!("stopped without a checkpoint: {why}");
            }
        }
        for part in &self.parts {
            let finish = !keeps || part.ended.is_cancelled();
            let _ = part.commands.unbounded_send(Command::Close { finish });
        }
        let mut stuck = Vec::new();
        for mut part in std::mem::take(&mut self.parts) {
            match timeout_at(give_up, &mut part.task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.errors.push(format!("a task failed: {error}")),
                Err(_) => {
                    part.task.abort();
                    stuck.push(part.nodes);
                }
            }
        }
        for (address, sink) in std::mem::take(&mut self.sinks) {
            self.join(&address, sink.task, give_up).await;
        }
        if self.errors.is_empty()
            && let Some(node) = stuck.first().and_then(|nodes| nodes.first())
        {
            self.errors.push(format!("the part of `{node}` did not end in time"));
        }
        impatience.abort();
        // Threads that are asleep end before the runtime they sleep in does.
        self.gone.cancel();
        std::mem::take(&mut self.errors)
    }

    /// Waits for the end of a loop, and notes what went wrong in it.
    pub(super) async fn join(
        &mut self,
        address: &Arc<str>,
        task: JoinHandle<Result<(), String>>,
        deadline: Instant,
    ) {
        if !self.has_ended(task, deadline).await {
            self.errors.push(format!("`{address}` did not return in time and was given up"));
        }
    }

    /// The same. False when it did not end in time: it is aborted then, and nothing is noted.
    pub(super) async fn has_ended(
        &mut self,
        mut task: JoinHandle<Result<(), String>>,
        deadline: Instant,
    ) -> bool {
        let Ok(ended) = timeout_at(deadline, &mut task).await else {
            task.abort();
            return false;
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(why)) => self.errors.push(why),
            Err(error) => self.errors.push(format!("a task failed: {error}")),
        }
        true
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        self.gone.cancel();
        self.parts.iter().for_each(|part| part.task.abort());
        self.sinks.values().for_each(|sink| sink.task.abort());
        for handle in self.sources.values() {
            if let SourceState::Running(task) = &handle.state {
                task.abort();
            }
        }
    }
}

/// Starts a loop: on a thread of its own where it may block, as a task where it may not. Once it is `gone` it ends where it waits.
pub(super) fn spawn(
    blocks: bool,
    gone: &CancellationToken,
    run: impl Future<Output = Result<(), String>> + Send + 'static,
) -> JoinHandle<Result<(), String>> {
    if !blocks {
        return tokio::spawn(run);
    }
    // Not a thread of tokio's pool: that holds 512, and a loop that waits for one of them would stop all that feeds it.
    let (runtime, gone) = (tokio::runtime::Handle::current(), gone.clone());
    let (say, said) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().spawn(move || {
        let done = runtime.block_on(async {
            tokio::select! {
                biased;
                () = gone.cancelled() => Ok(()),
                done = run => done,
            }
        });
        let _ = say.send(done);
    });
    tokio::spawn(async move {
        started.map_err(|error| format!("a thread for a node cannot be started: {error}"))?;
        said.await.unwrap_or_else(|_| Err("a node's thread panicked".into()))
    })
}
