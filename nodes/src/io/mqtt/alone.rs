//! Publications of which one may be what ends connections, tried one by one on a connection that nothing else goes over.
//!
//! Some brokers end a connection in place of an answer to what they will not have: mosquitto does so with a packet beyond its
//! `max_packet_size`, and with whatever it refuses where it has `max_queued_messages 0`. Such a publication would be handed over again in
//! every life of the connection, for ever, and nothing behind it would go out. Which one it was nobody says, and a connection that all nodes
//! share cannot tell.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::link::{Answer, Happening, Link, Lost, Options, Version};
use super::message::Publication;

/// So often the same first publication without an answer was it when the broker ended a connection before it is tried alone,
/// with what was under way behind it.
pub(super) const UNLUCKY: u32 = 3;
/// So often the broker has to end a connection on which it was alone.
const TRIES: u32 = 2;
/// How long a row of them may take.
const WITHIN: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(500);
/// A filter that nobody subscribes to: a broker that answers to its end is at work.
const NOBODYS: &str = "smollama/alone";

/// The first publication without an answer, which may be what connections are ended for.
#[derive(Default)]
pub(super) struct Unlucky {
    /// Which one it is.
    number: u64,
    /// In how many lives in a row it was the first when the broker ended them.
    pub(super) times: u32,
    /// How many were under way then: an answer to one of them may have been lost, so the first one need not be it.
    pub(super) many: usize,
    /// The life that ended last with it under way, until it is known how that ended.
    life: Option<u64>,
    /// They are tried alone.
    pub(super) alone: Option<JoinHandle<Vec<Answer>>>,
}

impl Unlucky {
    /// It was the first of so many without an answer when a life ended.
    pub(super) fn is_left(&mut self, number: u64, many: usize, life: u64) {
        if self.number != number {
            *self = Unlucky { number, ..Unlucky::default() };
        }
        (self.many, self.life) = (many, Some(life));
    }

    /// The next life has begun: it is known how that one ended.
    pub(super) fn judge(&mut self, ended: &AtomicU64) {
        let Some(life) = self.life.take() else { return };
        let was_ended = ended.load(Ordering::Relaxed) == life;
        self.times = if was_ended { self.times + 1 } else { 0 };
    }
}

/// Publishes them in order, each once the one before it has its answer, up to one that is refused. Gives the answers; fewer where the
/// broker was not reached, or the connection was lost for another reason.
pub(super) async fn publish_alone(
    options: Options,
    version: Version,
    publications: Vec<Publication>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    // Which one is the next, and how often the broker ended the connection when it came.
    let mut ended = (0, 0);
    while let Some(rest) = publications.get(answers.len()..).filter(|rest| !rest.is_empty()) {
        let row = publish_row(&options, version, rest, &mut answers);
        let Ok(Err(Some(lost))) = timeout(WITHIN, row).await else { break };
        let next = answers.len();
        ended = if ended.0 == next { (next, ended.1 + 1) } else { (next, 1) };
        if ended.1 == TRIES {
            let (times, why) = (UNLUCKY + TRIES, lost.text);
            answers.push(Answer::Refused(format!(
                "the broker ended {times} connections when it came, on the last {TRIES} it was alone: {why}"
            )));
            break;
        }
        sleep(PAUSE).await;
    }
    answers
}

/// Publishes them over one connection, as far as that goes. The error says why the broker ended it, where it did so because of the
/// first one without an answer.
async fn publish_row(
    options: &Options,
    version: Version,
    publications: &[Publication],
    answers: &mut Vec<Answer>,
) -> Result<(), Option<Lost>> {
    let mut link = Link::new(version, options);
    let speaker = link.speaker();
    let (tell, taken) = oneshot::channel();
    let handed = AtomicBool::new(false);
    let talk = async {
        if taken.await.is_ok() && speaker.unsubscribe(NOBODYS).await {
            for publication in publications {
                handed.store(true, Ordering::Relaxed);
                let answer = speaker.publish(publication.clone()).await.await;
                let goes_on = answer == Answer::Taken;
                if answer == Answer::Unknown {
                    break;
                }
                // MQTT 3.1.1 has no word for a refusal: what is refused is answered as what is taken, and the connection ends behind it.
                let is_sure = !goes_on || version == Version::V5;
                if !is_sure && !speaker.unsubscribe(NOBODYS).await {
                    break;
                }
                answers.push(answer);
                handed.store(false, Ordering::Relaxed);
                if !goes_on {
                    return;
                }
            }
            if !handed.load(Ordering::Relaxed) {
                return;
            }
        }
        // Why the connection ended is known in a moment.
        std::future::pending().await
    };
    let mut tell = Some(tell);
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        biased;
        () = &mut talk => {}
        lost = live(&mut link, &mut tell) => {
            // An answer may have come together with the end.
            tokio::select! {
                biased;
                () = &mut talk => return Ok(()),
                () = std::future::ready(()) => {}
            }
            let is_it = handed.load(Ordering::Relaxed) && lost.is_of_the_broker();
            return Err(is_it.then_some(lost));
        }
    }
    speaker.leave();
    let _ = timeout(FAREWELL, live(&mut link, &mut tell)).await;
    Ok(())
}

/// Goes on until the connection ends; tells when the broker has taken the client.
async fn live(link: &mut Link, tell: &mut Option<oneshot::Sender<()>>) -> Lost {
    loop {
        match link.next().await {
            Ok(Happening::Connected(_)) => {
                if let Some(tell) = tell.take() {
                    let _ = tell.send(());
                }
            }
            Ok(_) => {}
            Err(lost) => return lost,
        }
    }
}
