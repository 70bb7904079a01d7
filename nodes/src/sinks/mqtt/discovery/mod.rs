//! Entities of Home Assistant for what a sink publishes: each is announced before the first message that is its state.

mod classes;
mod config;
mod entity;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use smollama_engine::batch::{Batch, Items};
use smollama_engine::context::{Context, Host};
use smollama_engine::diagnostic::quoted;
use smollama_engine::log_limit::LogLimit;
use smollama_engine::node::NodeError;
use smollama_engine::observation::ObservationKind;
use smollama_engine::series::SeriesMap;
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::{Notice, Trouble};
use tokio::time::timeout;

use super::compose::Composer;
use super::config::MqttConfig;
use crate::io::mqtt::{Announcement, Announcer, Broker, Outbox};
pub use classes::StateClass;
pub use config::{DeviceConfig, Discovery, DiscoveryConfig, EntityOverride};
use entity::{Entity, Frame, Subject};
use state::State;

/// How often it is looked whether the broker is away, while its answers are waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a node leaves with Home Assistant, for people.
pub(super) const WHAT: &str = "entities in Home Assistant";

/// Announces entities. See the module.
pub(super) struct Announcing {
    who: Announcer,
    config: DiscoveryConfig,
    host: Arc<Host>,
    outbox: Arc<Outbox>,
    frame: Frame,
    /// Observations of one author are told apart by kind, as their topics are.
    by_kind: bool,
    /// What came before, and so was looked at.
    series: SeriesMap<()>,
    /// As of when these are live series.
    generation: u64,
    authors: BTreeSet<(Arc<str>, Option<String>)>,
    entities: Vec<Entity>,
    keys: BTreeSet<String>,
    by_topic: BTreeMap<String, Vec<usize>>,
    /// Announced, and not known to have arrived.
    waiting: Vec<Arc<str>>,
    began: bool,
    /// Since when there are too many, and what is to be said of it.
    full: Option<Full>,
    /// Which lines on single things the log gets.
    limit: LogLimit,
}

/// There are as many entities as there may be.
struct Full {
    since: Timestamp,
    /// What was the first to get none, and how many did.
    first: String,
    count: u64,
}

impl Announcing {
    /// `None` where nobody would take back what is announced: in a run that is no engine's.
    pub(super) fn new(
        config: &DiscoveryConfig,
        sink: &MqttConfig,
        broker: &Broker,
        context: &Context,
    ) -> Option<Announcing> {
        let host = context.host.clone();
        let outbox = Outbox::of(&host)?;
        let who = Announcer {
            node: context.address.clone(),
            broker: sink.broker().into(),
            prefix: config.prefix.as_str().into(),
        };
        Some(Announcing {
            who,
            config: config.clone(),
            frame: Frame::new(&host, broker.status_topic().map(ToOwned::to_owned)),
            host,
            outbox,
            by_kind: sink.has_topic_template() && config::speaks_of_kinds(&sink.topic),
            series: SeriesMap::new(),
            generation: 0,
            authors: BTreeSet::new(),
            entities: Vec::new(),
            keys: BTreeSet::new(),
            by_topic: BTreeMap::new(),
            waiting: Vec::new(),
            began: false,
            full: None,
            limit: LogLimit::default(),
        })
    }

    /// Takes back what these settings announce no more. Called by a sink that has begun.
    pub(super) fn begin(&mut self) {
        if !std::mem::replace(&mut self.began, true) {
            self.outbox.review(&self.who.node, |of| self.config.chooses(of));
        }
    }

    /// Announces what is new in a batch, and waits until the broker has it.
    ///
    /// # Errors
    /// The broker is away: to be called again.
    pub(super) async fn announce(
        &mut self,
        batch: &Batch,
        composer: &mut Composer,
        trouble: &Trouble,
    ) -> Result<(), NodeError> {
        self.begin();
        self.host.series.keep_live(&mut self.series, &mut self.generation);
        let items = &batch.items;
        let first = self.entities.len();
        let mut changed = BTreeSet::new();
        let turned_away = |full: &Option<Full>| full.as_ref().map(|full| full.count);
        let before = turned_away(&self.full);
        for index in 0..items.len() {
            if self.is_new(items, index) {
                let item = items.slice(index..index + 1);
                self.look(&item, batch.received, composer, &mut changed);
            }
        }
        if let Some(Full { since, first, count }) = &self.full
            && before != turned_away(&self.full)
        {
            let text = format!(
                "{} no entity in Home Assistant, the first of them is {first}: there are {} already; `discovery: {{ max_entities: ... }}` allows more",
                if *count == 1 { "1 thing has".to_owned() } else { format!("{count} things have") },
                self.config.max_entities
            );
            trouble.note("entities", vec![Notice::since(*since, text)]);
        }
        if self.entities.len() > first || !changed.is_empty() {
            self.put(&changed);
        }
        while !self.waiting.is_empty() {
            let settled = self.outbox.settled(&self.who.broker, &self.waiting);
            if timeout(LOOK_EVERY, settled).await.is_ok() {
                self.waiting.clear();
            } else if let Some(trouble) = trouble.get() {
                return Err(NodeError::Retry(trouble));
            }
        }
        Ok(())
    }

    /// Whether something of its kind did not come before. It counts as looked at from now on.
    fn is_new(&mut self, items: &Items, index: usize) -> bool {
        match items {
            Items::Readings(readings) => readings.get(index).is_some_and(|reading| {
                let known = self.series.get(reading.series).is_some();
                if !known {
                    self.series.insert(reading.series, ());
                }
                !known
            }),
            Items::Observations(observations) => observations.get(index).is_some_and(|one| {
                let kind = self.by_kind.then(|| kind(one.kind));
                self.authors.insert((one.author.clone(), kind))
            }),
            Items::Windows(_) => false,
        }
    }

    /// Makes an entity for an item of a kind that did not come before.
    fn look(
        &mut self,
        item: &Items,
        now: Timestamp,
        composer: &mut Composer,
        changed: &mut BTreeSet<usize>,
    ) {
        let Some(subject) = Subject::of(item, &self.host, self.by_kind) else { return };
        if !self.config.chooses(&subject.of) {
            return;
        }
        if self.keys.contains(&subject.key) {
            // The same source with other labels or another unit: it is what it was.
            return;
        }
        if self.entities.len() >= self.config.max_entities {
            let (node, most) = (&self.who.node, self.config.max_entities);
            let full = self.full.get_or_insert_with(|| {
                let first = quoted(&subject.of);
                tracing::warn!(%node, "no entity is made of {first} and what comes after it: there are {most} already; `discovery: {{ max_entities: ... }}` allows more");
                Full { since: now, first, count: 0 }
            });
            full.count += 1;
            return;
        }
        let of = quoted(&subject.of);
        match self.entity(subject, item, composer) {
            Ok(entity) => {
                let on_topic = self.by_topic.entry(entity.state_topic.clone()).or_default();
                if on_topic.len() == 1 {
                    changed.extend(on_topic.iter());
                }
                on_topic.push(self.entities.len());
                changed.insert(self.entities.len());
                self.keys.insert(entity.subject.key.clone());
                self.entities.push(entity);
            }
            Err(why) => self.warn(&format!("no entity is made of {of}: {why}")),
        }
    }

    fn entity(
        &self,
        subject: Subject,
        item: &Items,
        composer: &mut Composer,
    ) -> Result<Entity, String> {
        let state = match &self.config.value_template {
            Some(template) => State::said(item, template)
                .ok_or("a value that is neither a number, a text nor on or off")?,
            None => State::find(item, &subject.of, &mut |items| {
                composer.compose(items, 0..1).map(|publication| publication.payload.to_vec())
            })
            .map_err(|made| format!("its state is not found in {}", quoted(&made)))?,
        };
        let state_topic = composer.compose(item, 0..1)?.topic;
        let other = self.by_topic.get(&state_topic).and_then(|there| there.first());
        if let Some(other) = other.and_then(|other| self.entities.get(*other))
            && !(state.can_share() && other.state.can_share())
        {
            return Err(format!(
                "it is published on `{state_topic}` like {}, and the payloads do not tell them apart; put `{{{{ source }}}}` into `topic`, or publish JSON",
                quoted(&other.subject.of)
            ));
        }
        let said = self.config.override_for(&subject.of);
        let name = entity::name(said, item, &self.host)?;
        if let Some(class) = said.and_then(|said| said.device_class.as_deref())
            && class != "none"
            && !state.component().takes(class)
        {
            self.warn(&format!(
                "{} has no device class: Home Assistant has `{class}` for other kinds of values",
                quoted(&subject.of)
            ));
        }
        Ok(Entity { subject, state_topic, state, name })
    }

    /// Announces entities, by their numbers.
    fn put(&mut self, changed: &BTreeSet<usize>) {
        let mut announcements = Vec::with_capacity(changed.len());
        for entity in changed.iter().filter_map(|index| self.entities.get(*index)) {
            let shares =
                self.by_topic.get(&entity.state_topic).is_some_and(|there| there.len() > 1);
            let (component, subject) = (entity.state.component(), &entity.subject);
            let topic = |component| self.frame.topic(&self.config, component, subject).into();
            announcements.push(Announcement {
                topic: topic(component),
                instead_of: topic(component.other()),
                payload: self.frame.message(&self.config, entity, shares).into(),
                of: entity.subject.of.clone(),
            });
        }
        self.waiting.extend(announcements.iter().map(|one| one.topic.clone()));
        for taken in self.outbox.announce(&self.who, announcements) {
            self.warn(&format!(
                "`{}` is announced by `{}` already, and not once more",
                taken.topic, taken.by
            ));
        }
    }

    fn warn(&self, why: &str) {
        let node = &self.who.node;
        if self.limit.admits(Some(node), why) {
            tracing::warn!(%node, "{why}");
        }
    }
}

fn kind(kind: ObservationKind) -> String {
    kind.to_string()
}
