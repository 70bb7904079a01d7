//! A program that runs on and reads a line for each item.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::ioctl_fionread;
use smollama_engine::context::Context;
use smollama_engine::trouble::Trouble;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::io::child::{Child, Input, Line, Lines, Output, Program, Restarts};
use crate::io::outbound::{Answer, Load, Receiver};

/// The longest answer.
const ANSWER_MAX: usize = 4 << 10;
/// How soon it is looked whether it has read all, and how seldom while it does not.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(50);
/// How long after a pipe of it was closed it may take to end.
const MOMENT: Duration = Duration::from_millis(200);
/// When it has read nothing for so long, that is worth telling.
const SILENT: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Feed {
    node: Arc<str>,
    program: Program,
    /// How long an answer may take; `None` where it gives none.
    answers: Option<Duration>,
    restarts: Restarts,
    running: Option<Running>,
    trouble: Trouble,
}

struct Running {
    child: Child,
    answers: Lines,
    /// Something went to it whose end was not awaited: what is in its pipe is not known.
    is_unsure: bool,
}

/// What became of a load, as far as it went.
#[derive(Default)]
struct Progress {
    /// So many bytes were written.
    written: usize,
    /// So many items are done with.
    done: usize,
    refused: Vec<(usize, String)>,
}

impl Feed {
    pub(super) fn new(program: Program, answers: Option<Duration>, context: &Context) -> Feed {
        Feed {
            node: context.address.clone(),
            program,
            answers,
            restarts: Restarts::new(&context.address),
            running: None,
            trouble: Trouble::default(),
        }
    }

    /// The program, started if need be. Or why it does not run.
    async fn running(&mut self) -> Result<Running, String> {
        if let Some(mut running) = self.running.take() {
            match running.is_fit().await {
                Ok(()) => return Ok(running),
                Err(Some(why)) => self.lost(&format!("`{}` {why}", self.program.name())),
                // Dropped, it is killed.
                Err(None) if running.child.exited().is_none() => {}
                Err(None) => {
                    let words = running.child.last_words().await;
                    self.lost(&format!("`{}` {words}", self.program.name()));
                }
            }
        }
        if self.restarts.due().is_some() {
            let why = || format!("`{}` ended a moment ago", self.program.name());
            return Err(self.trouble.get().unwrap_or_else(why));
        }
        let output = if self.answers.is_some() { Output::Pipe } else { Output::Logged };
        match self.program.start(Input::Pipe, output, &[]) {
            Ok(child) => {
                self.restarts.begins();
                self.trouble.set(None);
                Ok(Running { child, answers: Lines::new(ANSWER_MAX), is_unsure: false })
            }
            Err(why) => {
                self.restarts.ended();
                self.trouble.set(Some(why.clone()));
                Err(why)
            }
        }
    }

    /// It runs no more.
    fn lost(&mut self, why: &str) {
        tracing::warn!(node = %self.node, "{why}");
        self.restarts.ended();
        self.trouble.set(Some(why.to_owned()));
    }

    /// Ends it: it can be given nothing more. Why, in one text.
    async fn give_up(&mut self, mut running: Running, why: Option<String>) -> String {
        let name = self.program.name();
        self.restarts.ended();
        let why = match why {
            Some(why) => {
                running.child.stop(self.program.patience, false).await;
                format!("`{name}` {why}")
            }
            None => format!("`{name}` {}", running.child.last_words().await),
        };
        self.trouble.set(Some(why.clone()));
        why
    }
}

#[async_trait]
impl Receiver for Feed {
    fn name(&self) -> &str {
        self.program.name()
    }

    async fn send(&mut self, load: Load<'_>) -> Answer {
        let running = match self.running().await {
            Ok(running) => running,
            Err(why) => return Answer::later(why, None),
        };
        // Where this future is dropped, the next one finds it unsure.
        let running = self.running.insert(running);
        running.is_unsure = true;
        let mut progress = Progress::default();
        let ended = match self.answers {
            None => running.is_read(&load, &mut progress, &self.trouble).await,
            Some(patience) => running.is_answered(&load, &mut progress, patience).await,
        };
        let Some(why) = ended.err() else {
            running.is_unsure = false;
            return Answer::Taken(progress.refused);
        };
        if self.answers.is_none() {
            progress.done = running.read_of(&load, &progress);
        }
        let Some(running) = self.running.take() else { return Answer::later(String::new(), None) };
        let why = self.give_up(running, why).await;
        let Progress { done, refused, .. } = progress;
        Answer::Later { done, refused, why, pause: None }
    }

    async fn tend(&mut self) {
        let has_ended = self.running.as_ref().is_some_and(|one| one.child.exited().is_some());
        if has_ended && let Some(mut running) = self.running.take() {
            let words = running.child.last_words().await;
            self.lost(&format!(
                "`{}` {words}; it is started again with the next items",
                self.program.name()
            ));
        }
    }

    async fn close(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.stop(self.program.patience, true).await;
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        Some(self.trouble.clone())
    }
}

impl Running {
    /// Whether it can be given something. Or why not, where it does not tell itself.
    async fn is_fit(&mut self) -> Result<(), Option<String>> {
        if self.is_unsure || self.child.exited().is_some() {
            return Err(None);
        }
        let Some(output) = &self.child.output else { return Ok(()) };
        // So that what lies in the pipe is seen.
        match timeout(Duration::ZERO, self.answers.fill(output)).await {
            Err(_) if self.answers.is_empty() => Ok(()),
            Ok(Ok(0)) => Err(Some("closed its output, where it is to answer".into())),
            _ => Err(Some("answered more than it was asked".into())),
        }
    }

    /// Gives it the lines and waits until it has read them. The error says why it did not; nothing where it has ended.
    async fn is_read(
        &mut self,
        load: &Load<'_>,
        progress: &mut Progress,
        trouble: &Trouble,
    ) -> Result<(), Option<String>> {
        let exit = self.child.exit();
        tokio::pin!(exit);
        let Some(input) = &self.child.input else { return Err(None) };
        let (mut look, mut left, mut since) = (LOOK_FIRST, usize::MAX, Instant::now());
        loop {
            let rest = load.texts.get(progress.written..).unwrap_or_default();
            if rest.is_empty() {
                let unread = unread(input);
                if unread == 0 {
                    trouble.set(None);
                    return Ok(());
                }
                if unread < left {
                    (left, since, look) = (unread, Instant::now(), LOOK_FIRST);
                }
            }
            if since.elapsed() >= SILENT {
                trouble.set(Some(format!("it has read nothing for {SILENT:?}")));
            }
            tokio::select! {
                biased;
                wrote = give(input, rest), if !rest.is_empty() => match wrote {
                    Ok(wrote) => {
                        progress.written += wrote;
                        since = Instant::now();
                    }
                    Err(error) => return Err(self.cannot_write(&error).await),
                },
                _ = &mut exit => {
                    let is_read = rest.is_empty() && unread(input) == 0;
                    return is_read.then_some(()).ok_or(None);
                }
                // Nobody has the other end any more.
                _ = input.ready(Interest::ERROR) => {
                    if rest.is_empty() && unread(input) == 0 {
                        return Ok(());
                    }
                    return Err(self.reads_no_more().await);
                }
                () = sleep(look), if rest.is_empty() => look = (look * 2).min(LOOK_LAST),
                () = sleep(SILENT) => {}
            }
        }
    }

    /// How many items of a load it has read, now that it reads no more.
    fn read_of(&self, load: &Load<'_>, progress: &Progress) -> usize {
        self.child.kill();
        let unread = self.child.input.as_ref().map_or(0, unread);
        let read = progress.written.saturating_sub(unread);
        load.ends.partition_point(|end| *end <= read)
    }

    /// Gives it the lines and waits for as many answers. The error says why they did not come; nothing where it has ended.
    async fn is_answered(
        &mut self,
        load: &Load<'_>,
        progress: &mut Progress,
        patience: Duration,
    ) -> Result<(), Option<String>> {
        let (Some(input), Some(output)) = (&self.child.input, &self.child.output) else {
            return Err(None);
        };
        let mut until = Instant::now() + patience;
        loop {
            while let Some(line) = self.answers.next_line() {
                let (Line::Whole(line) | Line::TooLong(line)) = line;
                let answer = String::from_utf8_lossy(line);
                match answer.trim().split_once(' ').unwrap_or((answer.trim(), "")) {
                    _ if progress.done == load.ends.len() => {
                        return Err(Some("answered more than it was asked".into()));
                    }
                    ("ok", "") => {}
                    ("reject", "") => {
                        progress.refused.push((progress.done, "the program rejected it".into()));
                    }
                    ("reject", why) => progress.refused.push((progress.done, why.trim().into())),
                    _ => {
                        let shown: String = answer.trim().chars().take(60).collect();
                        return Err(Some(format!(
                            "answered `{}`, which is neither `ok` nor `reject` and why",
                            shown.escape_debug()
                        )));
                    }
                }
                progress.done += 1;
                until = Instant::now() + patience;
            }
            if progress.done == load.ends.len() {
                return Ok(());
            }
            let rest = load.texts.get(progress.written..).unwrap_or_default();
            tokio::select! {
                biased;
                read = self.answers.fill(output) => if !matches!(read, Ok(1..)) {
                    let closed = "closed its output, where it is to answer";
                    return Err((!self.ends().await).then(|| closed.into()));
                },
                wrote = give(input, rest), if !rest.is_empty() => match wrote {
                    Ok(wrote) => progress.written += wrote,
                    Err(error) => return Err(self.cannot_write(&error).await),
                },
                () = sleep_until(until) => {
                    return Err(Some(format!("has not answered for {patience:?} (`timeout`)")));
                }
            }
        }
    }

    /// Whether it ends, now that one of its pipes is closed.
    async fn ends(&self) -> bool {
        timeout(MOMENT, self.child.exit()).await.is_ok()
    }

    /// Why it cannot be given anything, now that its input is closed; nothing where it has ended.
    async fn reads_no_more(&self) -> Option<String> {
        (!self.ends().await).then(|| "reads its input no more".into())
    }

    /// Why it cannot be written to; nothing where it has ended.
    async fn cannot_write(&self, error: &io::Error) -> Option<String> {
        match error.kind() {
            io::ErrorKind::BrokenPipe => self.reads_no_more().await,
            _ => Some(format!("cannot be written to: {error}")),
        }
    }
}

/// Writes what finds room, and waits until something does. Cancel-safe.
async fn give(input: &pipe::Sender, rest: &[u8]) -> io::Result<usize> {
    loop {
        input.writable().await?;
        match input.try_write(rest) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            wrote => return wrote,
        }
    }
}

/// How many bytes lie in a pipe.
fn unread(input: &pipe::Sender) -> usize {
    ioctl_fionread(input).map_or(0, |unread| usize::try_from(unread).unwrap_or(usize::MAX))
}
