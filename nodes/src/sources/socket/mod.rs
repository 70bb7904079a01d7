//! Takes readings over TCP or a Unix socket and tells the senders what is kept.
//!
//! Everything that comes in is read while the engine asks for it and at no other time, so that what cannot be kept stays with the
//! senders. What is kept is told by a task for each connection, which never holds up anything else.

mod config;
mod connection;
mod ledger;
mod lines;
mod listening;
mod stream;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use async_trait::async_trait;
use smollama_engine::context::Context;
use smollama_engine::log_limit::LogLimit;
use smollama_engine::node::{Node, NodeError, Read, Receipt, Source, SourceBatch};
use smollama_engine::registry::{Claim, NodeConfig, Pace, Problem, Profile, Section};
use smollama_engine::time::Timestamp;
use tokio::time::{Sleep, sleep};

use config::Address;
pub use config::{Mode, SocketConfig};
use connection::{Connection, Gathered};
use ledger::error_line;
use lines::LineReader;
use listening::{Held, Listening};

/// How many connections are accepted before lines are looked for again.
const ACCEPTED_MAX: usize = 16;
/// How long nothing is accepted after that failed: mostly there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What the log says of a connection that ends where none should.
const TORN: &str = "a connection ended in the middle of a line, which was discarded";

impl NodeConfig for SocketConfig {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "socket";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let profile = Profile::source(Pace::Live);
        let profile = if self.ack { profile.promises() } else { profile };
        match (&self.tcp, &self.unix) {
            (Some(tcp), _) => profile.claim(Claim::PORT, tcp),
            (None, Some(path)) => profile.claim(Claim::SOCKET, path.to_string_lossy()),
            (None, None) => profile,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        self.all_problems()
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        Ok(Node::Source(Box::new(Socket::new(self, context)?)))
    }
}

struct Socket {
    listening: Arc<Listening>,
    address: Address,
    reader: LineReader,
    ack: bool,
    most: usize,
    context: Context,
    began: bool,
    /// The connection whose turn is next.
    turn: usize,
    /// Nothing is accepted before it is over.
    pause: Option<Pin<Box<Sleep>>>,
    /// Which lines on connections the log gets.
    limit: LogLimit,
}

#[async_trait]
impl Source for Socket {
    /// Nothing is awaited between the reading of bytes and the return, so nothing is lost when the future is dropped.
    async fn read(&mut self, _: Timestamp) -> Result<Read, NodeError> {
        poll_fn(|task| self.poll_batch(task)).await
    }
}

impl Socket {
    fn new(config: &SocketConfig, context: &Context) -> Result<Socket, Problem> {
        let field = if config.tcp.is_some() { "tcp" } else { "unix" };
        let address = config
            .address(context)
            .ok_or_else(|| Problem::at(field, "this is no address to listen on"))?;
        let listening = Listening::lease(&address, &context.host.leases).map_err(|error| {
            Problem::at(field, error).help("end what uses it, or listen elsewhere")
        })?;
        Ok(Socket {
            reader: LineReader::new(config, context),
            listening,
            address,
            ack: config.ack,
            most: config.connections,
            context: context.clone(),
            began: false,
            turn: 0,
            pause: None,
            limit: LogLimit::default(),
        })
    }

    fn poll_batch(&mut self, task: &mut task::Context<'_>) -> Poll<Result<Read, NodeError>> {
        let listening = self.listening.clone();
        let mut held = listening.held();
        if !self.began {
            self.begin(&mut held);
        }
        self.accept(&mut held, task);
        let mut gathered = Gathered::default();
        let busy = self.gather(&mut held, task, &mut gathered);
        drop(held);
        self.say_torn(gathered.torn);
        if gathered.is_empty() {
            // Lines with nothing in them need no keeping.
            gathered.promises.into_iter().for_each(ledger::Promise::keep);
            if busy {
                task.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        Poll::Ready(Ok(Read::Batch(batch(gathered))))
    }

    /// Takes over what a predecessor with other settings left.
    fn begin(&mut self, held: &mut Held) {
        self.began = true;
        held.connections.retain(|connection| connection.is_acknowledged() == self.ack);
        if let Err(error) = held.permit(&self.address) {
            tracing::warn!(node = %self.context.address, "the socket keeps its permissions: {error}");
        }
    }

    fn accept(&mut self, held: &mut Held, task: &mut task::Context<'_>) {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(task).is_pending() {
                return;
            }
            self.pause = None;
        }
        for _ in 0..ACCEPTED_MAX {
            match held.poll_accept(task) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, peer))) => match held.admit(stream, self.most) {
                    Ok(stream) => {
                        tracing::debug!(node = %self.context.address, %peer, "connected");
                        held.connections.push(Connection::new(stream, peer, self.ack));
                    }
                    Err(stream) => {
                        let most = self.most;
                        let message = format!("`connections` allows no more than {most}");
                        let _ = stream.try_write(&error_line(&message));
                    }
                },
                // The other side was quicker to leave than this one to look.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Poll::Ready(Err(error)) => {
                    let node = &self.context.address;
                    let why = format!("cannot accept a connection: {error}");
                    if self.limit.admits(Some(node), &why) {
                        tracing::warn!(%node, "{why}");
                    }
                    let mut pause = Box::pin(sleep(ACCEPT_PAUSE));
                    let _ = pause.as_mut().poll(task);
                    self.pause = Some(pause);
                    return;
                }
            }
        }
        task.waker().wake_by_ref();
    }

    /// Goes round the connections once, from the one whose turn it is. True when some have more.
    fn gather(
        &mut self,
        held: &mut Held,
        task: &mut task::Context<'_>,
        gathered: &mut Gathered,
    ) -> bool {
        let mut busy = false;
        let connections = held.connections.len();
        let first = self.turn.checked_rem(connections).unwrap_or(0);
        for place in (first..connections).chain(0..first) {
            let Some(connection) = held.connections.get_mut(place) else { break };
            busy |= connection.poll_gather(task, &mut self.reader, gathered).is_ready();
            if gathered.is_full() {
                self.turn = place + 1;
                break;
            }
        }
        held.connections.retain(|connection| !connection.is_over());
        busy
    }

    /// Connections ended in the middle of so many lines.
    fn say_torn(&self, torn: u64) {
        let node = &self.context.address;
        if torn > 0 && self.limit.admits_of(Some(node), TORN, torn) {
            tracing::warn!(%node, "{TORN}");
        }
    }
}

fn batch(gathered: Gathered) -> SourceBatch {
    let Gathered { readings, rejects, promises, torn: _ } = gathered;
    let receipt = (!promises.is_empty())
        .then(|| Receipt::new(|| promises.into_iter().for_each(ledger::Promise::keep)));
    SourceBatch { rejects, receipt, ..SourceBatch::readings(readings) }
}
