//! What a part of the graph can be told, and how it hears it.

use std::sync::Arc;

use futures::channel::mpsc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::keep::PartCut;
use super::part::LivePart;
use super::virtual_time::VirtualPart;
use crate::batch::Items;
use crate::node::State;

/// What a part can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take a consistent cut, and put a barrier behind it.
    Barrier { number: u64, reply: oneshot::Sender<PartCut> },
    /// Say what state the transforms are in.
    States(oneshot::Sender<Vec<(Arc<str>, State)>>),
    /// Give items to a node once more. Answered with why not.
    Again(Box<Again>),
    /// Whoever looks wants to see other ports.
    Look,
    /// Take what entered up to a number, if nothing is in the way, and hand yourself over.
    Yield { until: u64, reply: oneshot::Sender<Yielded> },
    /// End; with `finish`, emit what is still held.
    Close { finish: bool },
}

impl Command {
    /// Whether whoever asked for a cut, or gave items again, waits no more: they were told that nothing came of it.
    fn is_given_up(&self) -> bool {
        match self {
            Command::Barrier { reply, .. } => reply.is_closed(),
            Command::Again(again) => again.reply.is_closed(),
            _ => false,
        }
    }
}

/// Items for a node that is to take them once more.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) address: Arc<str>,
    pub(crate) items: Items,
    pub(crate) reply: oneshot::Sender<Result<(), String>>,
}

/// A part that was handed over.
#[derive(Debug)]
pub(crate) enum Yielded {
    /// In real time.
    Live(Box<LivePart>),
    /// In virtual time.
    Virtual(Box<VirtualPart>),
}

impl Yielded {
    /// The state of everything in it, as far as it has come.
    pub(crate) fn cut(&self) -> PartCut {
        match self {
            Yielded::Live(part) => part.cut(),
            Yielded::Virtual(part) => part.cut(),
        }
    }
}

/// How a part hears of the rest of the host.
#[derive(Debug)]
pub(crate) struct Wires {
    /// A part hears them whatever it waits for, so few ever wait. Not a channel of tokio's: that reserves a KiB for them.
    commands: mpsc::UnboundedReceiver<Command>,
    /// What was heard and has to wait: a cut lies between two events.
    held: Option<Command>,
    /// Set when the part has come to its end by itself.
    pub(crate) ended: CancellationToken,
    /// Set when the host is about to stop.
    pub(crate) stopping: CancellationToken,
    /// Set when there is no more time.
    pub(crate) hurry: CancellationToken,
}

impl Wires {
    pub(crate) fn new(
        ended: &CancellationToken,
        stopping: &CancellationToken,
        hurry: &CancellationToken,
    ) -> (mpsc::UnboundedSender<Command>, Wires) {
        let (tell, commands) = mpsc::unbounded();
        let (ended, stopping, hurry) = (ended.clone(), stopping.clone(), hurry.clone());
        (tell, Wires { commands, held: None, ended, stopping, hurry })
    }

    /// What was said, if anything was.
    pub(crate) fn heard(&mut self) -> Option<Command> {
        let command = self.held.take().or_else(|| self.commands.try_recv().ok())?;
        (!command.is_given_up()).then_some(command)
    }

    /// Waits until something was said, for [`Wires::heard`]. False when nobody is left to say anything. Cancel-safe.
    pub(crate) async fn listen(&mut self) -> bool {
        if self.held.is_none() {
            self.held = self.commands.recv().await.ok();
        }
        self.held.is_some()
    }

    /// Waits for a command that can be obeyed in the middle of an event; `None` when nobody is left to give one. Cancel-safe.
    pub(crate) async fn interrupted(&mut self) -> Option<Command> {
        loop {
            match self.commands.recv().await.ok()? {
                command if command.is_given_up() => {}
                barrier @ Command::Barrier { .. } => self.held = Some(barrier),
                command => return Some(command),
            }
        }
    }
}
