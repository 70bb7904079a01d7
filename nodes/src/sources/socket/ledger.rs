//! What a connection handed over, and telling its sender what of it is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smollama_engine::reading::write_json_text;
use tokio::sync::Notify;

use super::stream::Stream;

/// Answers to lines that were refused wait for a sender that does not read them up to so many bytes; of those beyond, only the
/// number is told.
const ANSWERS_MAX: usize = 64 << 10;
/// How long the last answers of a connection may take that sends nothing more.
const FAREWELL: Duration = Duration::from_secs(30);

/// The account of one connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    account: Mutex<Account>,
    /// There may be something to tell.
    news: Notify,
    /// Nothing more will be handed over.
    end: Notify,
}

#[derive(Debug, Default)]
struct Account {
    /// What was handed over and is not settled, oldest first.
    open: VecDeque<Handed>,
    /// The number of the oldest of them, and of the one that comes next.
    oldest: u64,
    next: u64,
    /// All lines up to this one are kept, and up to that one the sender was told so.
    kept: u64,
    told: u64,
    answers: Vec<u8>,
    /// Answers for which there was no room.
    omitted: u64,
    /// Something was not kept: nothing behind it may be acknowledged, since an acknowledgement speaks for all lines before it.
    lost: bool,
    /// Nothing more will be handed over.
    ended: bool,
    /// The sender was told the last there is to tell.
    finished: bool,
}

#[derive(Debug)]
struct Handed {
    lines: Lines,
    kept: bool,
}

/// Lines that are handed over together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The number of the last one.
    pub(super) last: u64,
    /// How many were refused, and the answers to them.
    pub(super) refused: u64,
    pub(super) answers: Vec<u8>,
}

impl Lines {
    /// Refuses a line.
    pub(super) fn refuse(&mut self, line: u64, reason: &str) {
        self.refused += 1;
        self.answers.extend_from_slice(b"{\"line\":");
        self.answers.extend_from_slice(itoa::Buffer::new().format(line).as_bytes());
        self.answers.push(b',');
        push_error(reason, &mut self.answers);
    }
}

/// What a sender is told that concerns no line.
pub(super) fn error_line(message: &str) -> Vec<u8> {
    let mut text = b"{".to_vec();
    push_error(message, &mut text);
    text
}

fn push_error(message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"error\":");
    write_json_text(message, out);
    out.extend_from_slice(b"}\n");
}

/// Kept or, when it is dropped, not kept: some lines of a connection.
#[derive(Debug)]
pub(super) struct Promise {
    ledger: Arc<Ledger>,
    number: u64,
    kept: bool,
}

impl Promise {
    /// The lines are kept.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.ledger.settle(self.number, self.kept);
    }
}

/// What is to be done for a sender.
enum Next {
    Write,
    Wait,
    End,
}

impl Ledger {
    fn account(&self) -> MutexGuard<'_, Account> {
        // Nothing in here panics half-way, so a poisoned account is still whole.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes lines that leave for the engine.
    pub(super) fn hand_over(self: &Arc<Self>, lines: Lines) -> Promise {
        let mut account = self.account();
        let number = account.next;
        account.next += 1;
        if !account.lost {
            account.open.push_back(Handed { lines, kept: false });
        }
        Promise { ledger: self.clone(), number, kept: false }
    }

    fn settle(&self, number: u64, kept: bool) {
        self.account().settle(number, kept);
        self.news.notify_one();
    }

    /// Whether something of this connection was not kept.
    pub(super) fn is_lost(&self) -> bool {
        self.account().lost
    }

    /// The connection hands over nothing more.
    pub(super) fn end(&self) {
        self.account().ended = true;
        self.news.notify_one();
        self.end.notify_one();
    }

    /// Tells the sender what is kept until there is nothing more to tell, and then closes this side.
    pub(super) async fn tell(self: Arc<Self>, stream: Arc<Stream>) {
        let mut text = Vec::new();
        loop {
            let next = self.account().next(&mut text);
            match next {
                Next::Wait => self.news.notified().await,
                Next::End => break,
                Next::Write => {
                    let written = tokio::select! {
                        written = stream.write_all(&text) => written.is_ok(),
                        () = self.farewell() => false,
                    };
                    // Whether it still sends is for the one who reads to find out.
                    if !written {
                        break;
                    }
                }
            }
        }
        stream.close(self.is_lost());
    }

    async fn farewell(&self) {
        let ended = self.account().ended;
        if !ended {
            self.end.notified().await;
        }
        tokio::time::sleep(FAREWELL).await;
    }
}

impl Account {
    fn settle(&mut self, number: u64, kept: bool) {
        let Some(place) = number.checked_sub(self.oldest).map(|place| place as usize) else {
            return;
        };
        if !kept && place < self.open.len() {
            self.lost = true;
            self.open.truncate(place);
        }
        if let Some(handed) = self.open.get_mut(place) {
            handed.kept = true;
        }
        while let Some(handed) = self.open.pop_front_if(|handed| handed.kept) {
            self.oldest += 1;
            self.kept = handed.lines.last;
            if self.answers.len() + handed.lines.answers.len() <= ANSWERS_MAX {
                self.answers.extend_from_slice(&handed.lines.answers);
            } else {
                self.omitted += handed.lines.refused;
            }
        }
    }

    fn next(&mut self, text: &mut Vec<u8>) -> Next {
        text.clear();
        text.append(&mut self.answers);
        if self.omitted > 0 {
            let omitted = std::mem::take(&mut self.omitted);
            let message =
                format!("{omitted} more lines were refused; they lie in the dead letters");
            text.extend_from_slice(&error_line(&message));
        }
        if self.kept > self.told {
            self.told = self.kept;
            text.extend_from_slice(b"{\"ack\":");
            text.extend_from_slice(itoa::Buffer::new().format(self.told).as_bytes());
            text.extend_from_slice(b"}\n");
        }
        let over = self.open.is_empty() && (self.lost || self.ended);
        if over && self.lost && !self.finished {
            let message = format!("lines after {} were not kept; send them again", self.kept);
            text.extend_from_slice(&error_line(&message));
        }
        self.finished |= over;
        match (text.is_empty(), over) {
            (false, _) => Next::Write,
            (true, true) => Next::End,
            (true, false) => Next::Wait,
        }
    }
}
