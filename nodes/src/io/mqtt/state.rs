//! How it stands with a connection, for those who use it and for the person who looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Unit};
use smollama_engine::duration::Duration as Span;
use smollama_engine::time::Timestamp;
use smollama_engine::topic;
use smollama_engine::trouble::{Notice, Trouble};

use super::echoes::MOST;
use super::link::{Lost, Version, Why};
use super::message::Qos;
use super::takers::Request;
use crate::io::tls::Certificates;

/// After so many connections that ended in the same way, a message is known to come again and again.
const STUCK_FROM: u32 = 2;
/// Connections that are closed so soon one after the other have the same reason.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);
/// So long it is said that the broker had forgotten the session.
const SESSION_SAID_FOR: Span = Span::from_days(7);

/// A node that wants to know.
pub(super) struct Listener {
    /// The filters whose refusal concerns it.
    filters: BTreeSet<String>,
    trouble: Trouble,
}

#[derive(Default)]
struct Known {
    certificates: Certificates,
    /// Whether there is a connection.
    connected: bool,
    /// Why there is none.
    trouble: Option<String>,
    /// Filters that the broker does not grant, and why.
    refused: BTreeMap<String, String>,
    /// Filters by which nothing comes any more, and since when.
    silent: BTreeMap<String, String>,
    /// How many connections in a row ended by a message that cannot be read.
    too_large: u32,
    listeners: Vec<Weak<Listener>>,
    /// When the broker last closed a connection that it had taken.
    closed: Option<Instant>,
    /// When a connection that there was ended.
    away_since: Option<Timestamp>,
    /// How often the broker had forgotten the session, and what is to be said of the last time.
    sessions_lost: u64,
    session_lost: Option<Notice>,
    /// The broker will not hear whether this host is there.
    unheard: Option<Notice>,
}

impl Listener {
    /// Where it is said.
    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }
}

/// See the module.
pub(super) struct State {
    /// What the broker is called in messages.
    broker: String,
    client_id: String,
    host_id: Arc<str>,
    /// For how long the broker is asked to keep a session.
    session: Duration,
    own: AtomicU64,
    known: Mutex<Known>,
    /// How it stands with the other connection: whoever uses only that one is told of this one, too, what concerns the whole host.
    other: OnceLock<Arc<State>>,
}

impl State {
    pub(super) fn new(
        broker: String,
        client_id: String,
        host_id: Arc<str>,
        session: Duration,
        certificates: Certificates,
    ) -> Arc<State> {
        let known = Mutex::new(Known { certificates, ..Known::default() });
        let own = AtomicU64::new(0);
        let other = OnceLock::new();
        Arc::new(State { broker, client_id, host_id, session, own, known, other })
    }

    /// Tells those who use another connection, too, what concerns the whole host.
    pub(super) fn tell_too(&self, other: Arc<State>) {
        // Only the first counts: there are two connections.
        let _ = self.other.set(other);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how it stands, now and whenever that changes, as long as what comes back is kept.
    pub(super) fn listen(&self, filters: BTreeSet<String>) -> Arc<Listener> {
        let listener = Arc::new(Listener { filters, trouble: Trouble::default() });
        let mut known = self.known();
        known.listeners.retain(|listener| listener.strong_count() > 0);
        known.listeners.push(Arc::downgrade(&listener));
        known.tell(&listener);
        listener
    }

    /// The broker took the client; `forgotten`: it should have had a session, and has none.
    pub(super) fn connected(&self, forgotten: bool) {
        let now = Timestamp::from_jiff(jiff::Timestamp::now());
        let mut known = self.known();
        known.connected = true;
        if known.too_large < STUCK_FROM {
            known.trouble = None;
        }
        known.refused.clear();
        known.silent.clear();
        let away_since = known.away_since.take();
        let mut warning = None;
        if forgotten {
            known.sessions_lost += 1;
            let text = self.of_lost_session(away_since, known.sessions_lost);
            let notice = Notice::since(now, text.as_str()).until(now + SESSION_SAID_FOR);
            (known.session_lost, warning) = (Some(notice), Some(text));
        }
        known.tell_all();
        let certificates = known.certificates.clone();
        drop(known);
        let client = &self.client_id;
        tracing::info!(%client, "connected to {}", self.broker);
        for Notice { text, .. } in certificates.take_unlogged(now) {
            tracing::warn!(%client, "{text}");
        }
        if let Some(text) = warning {
            tracing::warn!(%client, "{text}");
        }
    }

    /// What it means that the broker has no session where one was expected, and what helps.
    fn of_lost_session(&self, away_since: Option<Timestamp>, times: u64) -> String {
        let meanwhile = match away_since {
            Some(since) => {
                format!("since the connection ended at {}", since.floor_to(Span::from_secs(1)))
            }
            None => "while this program did not run".to_owned(),
        };
        let often = if times > 1 { format!(", {times} times in this run") } else { String::new() };
        format!(
            "{} had forgotten the session of this host{often}: what was published with QoS 1 or 2 {meanwhile} did not wait for it and is lost here; a broker keeps it with `persistence true` (mosquitto), and for `session_expiry` ({})",
            self.broker,
            Span::from_micros(self.session.as_micros().try_into().unwrap_or(i64::MAX))
        )
    }

    pub(super) fn lost(&self, lost: &Lost, version: Version) {
        let again = {
            let mut known = self.known();
            known.too_large = if lost.why == Why::TooLarge { known.too_large + 1 } else { 0 };
            known.too_large >= STUCK_FROM
        };
        let closed_again = lost.why == Why::Closed && self.known().was_closed();
        let text = match lost.why {
            Why::Asked => None,
            Why::TooLarge if again => Some(format!(
                "{}: {}, again and again, and it ends each connection: raise `max_packet` to its size to have it put aside with its topic, or take it out of the broker",
                self.broker, lost.text
            )),
            Why::TooLarge => Some(format!("{}: {}", self.broker, lost.text)),
            Why::TakenOver => Some(format!(
                "{} ended the connection: another client came with the same id `{}`; does a copy of this data directory run elsewhere?",
                self.broker, self.client_id
            )),
            // mosquitto 2.0.11 does not say that somebody took over.
            Why::Closed if closed_again => Some(format!(
                "{} closes the connection again and again; has another client the same id `{}`, such as a copy of this data directory?",
                self.broker, self.client_id
            )),
            Why::Version if version == Version::V4 => {
                Some(format!("{} speaks neither MQTT 5 nor 3.1.1", self.broker))
            }
            Why::Refused | Why::Untrusted | Why::NotAuthorized | Why::Ended => {
                Some(format!("{}: {}", self.broker, lost.text))
            }
            _ => Some(format!("{} cannot be reached: {}", self.broker, lost.text)),
        };
        let mut known = self.known();
        let now = Timestamp::from_jiff(jiff::Timestamp::now());
        let was_connected = std::mem::take(&mut known.connected);
        if was_connected {
            known.away_since = Some(now);
        }
        let Some(text) = text else { return };
        // The broker cannot always say that it is this.
        let expired = known.certificates.own_has_expired(now).filter(|_| !was_connected);
        let text = expired.into_iter().fold(text, |text, expired| format!("{text}; {expired}"));
        let new = known.trouble.as_deref() != Some(&text);
        known.trouble = Some(text.clone());
        known.tell_all();
        drop(known);
        let client = &self.client_id;
        if new {
            tracing::warn!(%client, "{text}; trying again until it can");
        } else {
            tracing::debug!(%client, "{text}");
        }
    }

    /// The broker will not have what says that this host is there.
    pub(super) fn is_unheard(&self, topic: &str, why: &str) {
        let text = format!(
            "{} does not take `{topic}`, so nobody is told whether this host is there: {why}; let this user publish to it, or set `announce: false`, and start this program anew",
            self.broker
        );
        tracing::warn!(client = %self.client_id, "{text}");
        let notice = Notice::since(Timestamp::from_jiff(jiff::Timestamp::now()), text);
        for state in std::iter::once(self).chain(self.other.get().map(|other| &**other)) {
            let mut known = state.known();
            known.unheard = Some(notice.clone());
            known.tell_all();
        }
    }

    /// Asks the broker for subscriptions, and notes what it says. Does not wait.
    pub(super) fn subscribe(self: &Arc<Self>, request: Option<Request>) {
        let Some(request) = request else { return };
        let state = self.clone();
        let mut known = self.known();
        for filter in &request.gone {
            known.refused.remove(filter);
        }
        known.tell_all();
        drop(known);
        tokio::spawn(request.ask(move |filter, granted| state.granted(filter, granted)));
    }

    /// Nothing has come by a filter for longer than ever.
    pub(super) fn silent(&self, filter: &str, pause: Duration, longest: Duration) {
        let rounded = |duration: Duration| {
            let exact = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
            exact.round(Unit::Second).map_or(format!("{exact:#}"), |round| format!("{round:#}"))
        };
        let (pause, longest) = (rounded(pause), rounded(longest));
        let text = format!(
            "connected, but nothing has come on `{filter}` for {pause}; before that, no pause was longer than {longest}"
        );
        tracing::warn!(client = %self.client_id, "{}: {text}; subscribing once more", self.broker);
        let mut known = self.known();
        known.silent.insert(filter.to_owned(), text);
        known.tell_all();
    }

    /// Something came by a filter that was silent.
    pub(super) fn speaks_again(&self, filter: &str) {
        let mut known = self.known();
        known.silent.remove(filter);
        known.tell_all();
        drop(known);
        tracing::info!(client = %self.client_id, "messages come on `{filter}` again");
    }

    /// A connection holds: whatever ended those before it is over.
    pub(super) fn holds(&self) {
        let mut known = self.known();
        if known.connected && std::mem::take(&mut known.too_large) >= STUCK_FROM {
            known.trouble = None;
            known.tell_all();
        }
    }

    fn granted(&self, filter: &str, granted: Result<Qos, String>) {
        let mut known = self.known();
        match granted {
            Ok(_) => known.refused.remove(filter),
            Err(why) => {
                tracing::warn!(client = %self.client_id, "{} does not grant `{filter}`: {why}", self.broker);
                known.refused.insert(filter.to_owned(), why)
            }
        };
        known.tell_all();
    }

    /// Whether a message with this mark was published by this host.
    pub(super) fn is_own(&self, host: &str) -> bool {
        *self.host_id == *host
    }

    /// A message of its own came back, or seems to have, and was dropped. Said once.
    pub(super) fn count_own(&self, topic: &str, marked: bool) {
        if self.own.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let client = &self.client_id;
        if marked {
            tracing::warn!(%client, "messages that this host published come back to it on `{topic}`; they are dropped");
        } else {
            tracing::warn!(%client, "more than {MOST} messages in a second came on `{topic}`, to which this host publishes, too: that looks like a loop; the rest is dropped");
        }
    }
}

impl Known {
    /// The broker closed the connection. Whether it did so a moment ago, too, to one that it had taken.
    fn was_closed(&mut self) -> bool {
        let before = self.closed;
        if self.connected {
            self.closed = Some(Instant::now());
        }
        before.is_some_and(|before| before.elapsed() < AGAIN_WITHIN)
    }

    fn tell_all(&self) {
        self.listeners.iter().filter_map(Weak::upgrade).for_each(|listener| self.tell(&listener));
    }

    fn tell(&self, listener: &Listener) {
        // Where filters were joined, the one refused is none of its own.
        let concerns = |filter: &str| {
            let own = listener.filters.contains(filter);
            own || listener.filters.iter().any(|one| topic::overlaps(one, filter))
        };
        let refused = self.refused.iter().find(|(filter, _)| concerns(filter));
        let refused = refused.map(|(filter, why)| format!("`{filter}` is not granted: {why}"));
        let silent = self.silent.iter().find(|(filter, _)| listener.filters.contains(*filter));
        let silent = silent.map(|(_, text)| text.clone());
        listener.trouble.set(self.trouble.clone().or(refused).or(silent));
        listener.trouble.note("presence", self.unheard.iter().cloned().collect());
        listener.trouble.note("certificates", self.certificates.notices());
        listener.trouble.note("session", self.session_lost.iter().cloned().collect());
    }
}
