//! From topic and fields to the number of a series, without composing its name where it is known.

use std::sync::Arc;

use smollama_engine::context::Context;
use smollama_engine::series::{Series, SeriesId};

use super::fields::Field;
use super::settings::Settings;
use super::template::{Part, Template};
use crate::io::rows::form::Refused;
use crate::io::rows::path::Fields;
use crate::io::rows::series::{KnownSeries, field_text, write_key};
use crate::io::rows::{Cell, Row};

/// A message, or an entry of an array in one.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) row: Row<'a>,
    /// What the message around an entry says for its name, by field of the template.
    pub(super) around: &'a [Option<String>],
    /// The place in an array, where nothing else tells the entry apart.
    pub(super) place: Option<usize>,
}

impl<'a> Message<'a> {
    /// One that has no fields.
    pub(super) fn plain(topic: &'a str) -> Message<'a> {
        Message { topic, row: Row::of_cells(&[], &[]), around: &[], place: None }
    }
}

/// Labels that levels of the topic say.
#[derive(Clone)]
pub(super) struct TopicLabels(Vec<(Arc<str>, usize)>);

impl TopicLabels {
    pub(super) fn new(config: &Settings) -> TopicLabels {
        let labels = config.topic_labels.iter();
        TopicLabels(labels.map(|(name, level)| (name.as_str().into(), *level)).collect())
    }

    /// Lays them upon a series.
    pub(super) fn apply(&self, topic: &str, mut series: Series) -> Series {
        for (label, level) in &self.0 {
            let text = topic.split('/').nth(level.saturating_sub(1));
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                series.labels.insert(label.clone(), text.into());
            }
        }
        series
    }
}

/// How series are named, and those that are known. It holds no more than there may be series: what is refused is not remembered.
pub(super) struct SeriesBook {
    context: Context,
    template: Template,
    /// The fields of the template.
    slots: Vec<usize>,
    labels: TopicLabels,
    known: KnownSeries,
    key: Vec<u8>,
    /// How much of the key is of the message; the rest is of its field.
    length: usize,
}

/// Ends a part of a key; no byte of a text.
const END: u8 = 0xFF;

impl SeriesBook {
    /// The template must be one that can be read: it was checked with the settings.
    pub(super) fn new(
        config: &Settings,
        template: Template,
        fields: &mut Fields,
        context: &Context,
    ) -> SeriesBook {
        SeriesBook {
            context: context.clone(),
            slots: template.fields().map(|field| fields.slot(field)).collect(),
            template,
            labels: TopicLabels::new(config),
            known: KnownSeries::default(),
            key: Vec::new(),
            length: 0,
        }
    }

    /// Forgets the series that gave their slots back.
    #[inline]
    pub(super) fn refresh(&mut self) {
        self.known.refresh(&self.context.host.series);
    }

    /// The fields of the template.
    pub(super) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// Whether fields of the message tell series apart.
    pub(super) fn has_fields(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Turns to a message; comes before [`SeriesBook::id`] and [`SeriesBook::key`].
    #[inline]
    pub(super) fn turn_to(&mut self, message: Message<'_>) {
        write_key(message.row, &self.slots, &mut self.key);
        for (text, slot) in message.around.iter().zip(&self.slots) {
            if matches!(message.row.cell(*slot), Cell::Missing | Cell::Null) {
                self.key.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
                self.key.push(END);
            }
        }
        self.key.extend_from_slice(message.topic.as_bytes());
        self.key.push(END);
        if let Some(place) = message.place {
            self.key.extend_from_slice(itoa::Buffer::new().format(place).as_bytes());
            self.key.push(END);
        }
        self.length = self.key.len();
    }

    /// What tells the message that was turned to apart from others.
    pub(super) fn key(&self) -> &[u8] {
        self.key.get(..self.length).unwrap_or_default()
    }

    /// The series of a field of the message that was turned to; of the message itself where the field has no name.
    ///
    /// # Errors
    /// The message lacks a part of the name, or there are too many series.
    #[inline]
    pub(super) fn id(
        &mut self,
        message: Message<'_>,
        name: &[u8],
        field: Option<&Field>,
    ) -> Result<SeriesId, Refused> {
        self.key.truncate(self.length);
        self.key.extend_from_slice(name);
        match self.known.find(&self.key) {
            Some(id) => Ok(id),
            None => self.remember(message, name, field),
        }
    }

    #[cold]
    fn remember(
        &mut self,
        message: Message<'_>,
        name: &[u8],
        field: Option<&Field>,
    ) -> Result<SeriesId, Refused> {
        let mut id = if name.is_empty() { self.own_name(message)? } else { self.name(message)? };
        if !name.is_empty() {
            if !id.is_empty() {
                id.push('/');
            }
            id.push_str(&String::from_utf8_lossy(name));
        }
        let series = self.context.source_series(&id, |series| {
            let mut series = self.describe(message.topic, series);
            let Some(field) = field else { return series };
            if let Some(unit) = &field.unit {
                series = series.with_unit(unit);
            }
            for (name, value) in &field.labels {
                series = series.with_label(name, value);
            }
            if field.counter { series.counter() } else { series }
        })?;
        self.known.insert(&self.key, series);
        Ok(series)
    }

    /// The id of the only value of a message.
    ///
    /// # Errors
    /// It lacks a part.
    pub(super) fn own_name(&self, message: Message<'_>) -> Result<String, Refused> {
        let id = self.name(message)?;
        // Nothing need name it: neither what brought it nor a field.
        Ok(if id.is_empty() { "value".into() } else { id })
    }

    /// What stands ahead of the fields of a message in their ids.
    ///
    /// # Errors
    /// It lacks a part.
    fn name(&self, message: Message<'_>) -> Result<String, Refused> {
        let mut id = String::new();
        let mut fields = 0;
        for part in self.template.parts() {
            match part {
                Part::Text(text) => id.push_str(text),
                Part::Topic => id.push_str(message.topic),
                Part::Level(level) => {
                    let found = message.topic.split('/').nth(level.saturating_sub(1));
                    id.push_str(found.ok_or_else(|| format!("the topic has no level {level}"))?);
                }
                Part::Field(field) => {
                    let slot = self.slots.get(fields).copied().unwrap_or(usize::MAX);
                    let own = field_text(message.row, slot);
                    let text = own.or_else(|| message.around.get(fields).cloned().flatten());
                    let text = text.filter(|text| !text.is_empty());
                    id.push_str(&text.ok_or_else(|| format!("no `{field}` to name the source"))?);
                    fields += 1;
                }
            }
        }
        if let Some(place) = message.place {
            if !id.is_empty() {
                id.push('/');
            }
            id.push_str(itoa::Buffer::new().format(place));
        }
        Ok(id)
    }

    /// Lays the labels from the topic upon a series.
    pub(super) fn describe(&self, topic: &str, series: Series) -> Series {
        self.labels.apply(topic, series)
    }
}
