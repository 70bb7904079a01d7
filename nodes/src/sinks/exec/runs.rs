//! A program that is run once for each batch.

use std::borrow::Cow;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::io::child::{Child, Input, Output, Program};
use crate::io::outbound::{Answer, Body, Load, Receiver};

/// The exit code that rejects a batch: the input data was incorrect in some way (`EX_DATAERR`).
const REJECTED: i32 = 65;

/// See the module.
pub(super) struct Runs {
    program: Program,
    timeout: Duration,
    /// Its input is one text, and not lines.
    is_one_text: bool,
}

impl Runs {
    /// `timeout`: how long a run may take.
    pub(super) fn new(program: Program, timeout: Duration, body: &Body) -> Runs {
        Runs { program, timeout, is_one_text: *body == Body::Json }
    }
}

#[async_trait]
impl Receiver for Runs {
    fn name(&self) -> &str {
        self.program.name()
    }

    async fn send(&mut self, load: Load<'_>) -> Answer {
        let env: Vec<_> = load.key.iter().map(|key| ("SMOLLAMA_BATCH", key.clone())).collect();
        // Dropped, it is killed with all it started.
        let mut child = match self.program.start(Input::Pipe, Output::Logged, &env) {
            Ok(child) => child,
            Err(why) => return Answer::later(why, None),
        };
        let name = self.program.name();
        let text = if self.is_one_text { load.body().into() } else { Cow::Borrowed(load.texts) };
        let late = match timeout(self.timeout, run(&mut child, &text)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                return Answer::later(format!("`{name}` cannot be written to: {error}"), None);
            }
            Err(_) => {
                child.stop(self.program.patience, false).await;
                let timeout = self.timeout;
                Some(format!("still ran after {timeout:?} (`timeout`), was told to end, and "))
            }
        };
        let words = child.last_words().await;
        let why = format!("`{name}` {}{words}", late.as_deref().unwrap_or_default());
        match child.exited().and_then(|status| status.code()) {
            Some(0) if late.is_none() => Answer::Taken(Vec::new()),
            Some(REJECTED) if late.is_none() => Answer::Refused { why, parts: true },
            _ => Answer::later(why, None),
        }
    }
}

/// Gives a program its input and waits for its end.
async fn run(child: &mut Child, body: &[u8]) -> io::Result<ExitStatus> {
    if let Some(mut input) = child.input.take() {
        match input.write_all(body).await {
            // It need not read all of it: its exit code tells.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    Ok(child.exit().await)
}
