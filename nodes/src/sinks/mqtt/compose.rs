//! Messages from items.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::json;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::registry::Problem;
use smollama_engine::series::SeriesMap;
use smollama_engine::topic;

use super::config::{MqttConfig, Payload};
use super::edge;
use crate::io::mqtt::{Publication, Qos};
use crate::io::template::{Template, fields};

/// So many readings make one message at most: about 100 KiB.
const TOGETHER_MAX: usize = 1_000;
/// What does not change from one reading of a series to the next.
const FIELDS_OF_SERIES: [&str; 5] = ["source", "unit", "labels", "monotonic", "host"];

/// See the module.
pub(super) struct Composer {
    host: Arc<Host>,
    topic: Topic,
    payload: Form,
    qos: Qos,
    retain: bool,
    properties: Vec<(String, String)>,
    expiry: Option<u32>,
    form: Vec<u8>,
}

enum Topic {
    One(String),
    /// One for each series, made once; and as of when these are live series.
    OfSeries(Box<Template>, SeriesMap<Arc<str>>, u64),
    OfItem(Box<Template>),
}

enum Form {
    Json,
    Value,
    Edge,
    Template(Box<Template>),
}

impl Composer {
    pub(super) fn new(config: &MqttConfig, host: Arc<Host>) -> Result<Composer, Problem> {
        let topic = if config.has_topic_template() {
            let template = Box::new(Template::new("topic", &config.topic)?);
            if template.speaks_only_of(&FIELDS_OF_SERIES) {
                Topic::OfSeries(template, SeriesMap::new(), 0)
            } else {
                Topic::OfItem(template)
            }
        } else {
            Topic::One(config.topic.clone())
        };
        let payload = match &config.payload {
            Payload::Json => Form::Json,
            Payload::Value => Form::Value,
            Payload::Edge => Form::Edge,
            Payload::Template(text) => {
                Form::Template(Box::new(Template::new("payload.template", text)?))
            }
        };
        let expiry = config.expiry.map(|expiry| expiry.to_std().as_secs());
        Ok(Composer {
            host,
            topic,
            payload,
            qos: config.qos,
            retain: config.retain,
            properties: config.properties.clone().into_iter().collect(),
            expiry: expiry.map(|seconds| seconds.try_into().unwrap_or(u32::MAX)),
            form: Vec::new(),
        })
    }

    /// The items from this one on that make a message together.
    pub(super) fn together(&self, items: &Items, first: usize) -> Range<usize> {
        let most = if matches!(self.payload, Form::Edge) { TOGETHER_MAX } else { 1 };
        first..items.len().min(first + most)
    }

    /// The message that these items make, as [`Composer::together`] says.
    ///
    /// # Errors
    /// Why they make none.
    pub(super) fn compose(
        &mut self,
        items: &Items,
        some: Range<usize>,
    ) -> Result<Publication, String> {
        let index = some.start;
        let payload = self.payload(items, some)?;
        Ok(Publication {
            topic: self.topic(items, index)?,
            payload,
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.clone(),
            expiry: self.expiry,
        })
    }

    fn topic(&mut self, items: &Items, index: usize) -> Result<String, String> {
        let Composer { host, topic, form, .. } = self;
        let template = match topic {
            Topic::One(topic) => return Ok(topic.clone()),
            Topic::OfItem(template) => template,
            Topic::OfSeries(template, known, generation) => {
                host.series.keep_live(known, generation);
                let Items::Readings(readings) = items else {
                    return made(template, items, index, host, form);
                };
                let Some(reading) = readings.get(index) else { return Err("it is gone".into()) };
                if let Some(topic) = known.get(reading.series) {
                    return Ok(topic.to_string());
                }
                let topic = made(template, items, index, host, form)?;
                known.insert(reading.series, topic.as_str().into());
                return Ok(topic);
            }
        };
        made(template, items, index, host, form)
    }

    fn payload(&mut self, items: &Items, some: Range<usize>) -> Result<Bytes, String> {
        let Composer { host, payload, form, .. } = self;
        form.clear();
        let index = some.start;
        match payload {
            Form::Json => json::write_item(items, index, &host.series, form),
            Form::Value => write_value(items, index, form)?,
            Form::Edge => {
                let Items::Readings(readings) = items else {
                    return Err("only readings have a place in it".into());
                };
                edge::write(readings.get(some).unwrap_or_default(), host, form)?;
            }
            Form::Template(template) => {
                json::write_item(items, index, &host.series, form);
                let known = fields(items, index, form, &host.name);
                form.clear();
                template.render(&known, form)?;
            }
        }
        Ok(Bytes::copy_from_slice(form))
    }
}

/// The topic that a template makes of an item.
fn made(
    template: &Template,
    items: &Items,
    index: usize,
    host: &Host,
    form: &mut Vec<u8>,
) -> Result<String, String> {
    form.clear();
    json::write_item(items, index, &host.series, form);
    let known = fields(items, index, form, &host.name);
    form.clear();
    template.render(&known, form)?;
    let made = String::from_utf8_lossy(form).replace(['+', '#', '\0'], "_");
    topic::check_topic(&made).map_err(|why| format!("`{made}` is no topic: {why}"))?;
    Ok(made)
}

/// The value alone, without quotes where it is a text.
fn write_value(items: &Items, index: usize, out: &mut Vec<u8>) -> Result<(), String> {
    match items {
        Items::Readings(readings) => match readings.get(index) {
            Some(Reading { value: Value::Text(text), .. }) => {
                out.extend_from_slice(text.as_bytes())
            }
            Some(reading) => reading.value.write_json(out),
            None => {}
        },
        Items::Observations(observations) => {
            let text = observations.get(index).map(|observation| observation.text.as_bytes());
            out.extend_from_slice(text.unwrap_or_default());
        }
        Items::Windows(_) => return Err("a window has no single value; use `payload: json`".into()),
    }
    Ok(())
}
