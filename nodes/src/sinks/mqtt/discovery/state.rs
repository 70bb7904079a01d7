//! How Home Assistant gets a state out of what is published: found by making payloads of two values, and looking at what differs.

use std::sync::Arc;

use serde_json::Value as Json;
use smollama_engine::batch::Items;
use smollama_engine::diagnostic::shortened;
use smollama_engine::json;
use smollama_engine::observation::{Evidence, Observation, ObservationKind, Rung};
use smollama_engine::reading::{Reading, Value};
use smollama_engine::series::{Series, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use super::classes::Component;
use crate::io::template::{Template, fields};

/// Home Assistant takes no longer text for a state.
const STATE_CHARS_MAX: usize = 255;

/// Makes the payload of items.
pub(super) type Render<'a> = dyn FnMut(&Items) -> Result<Vec<u8>, String> + 'a;

/// Where a state lies in a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    component: Component,
    place: Place,
    /// The texts for on and off.
    on_off: Option<(String, String)>,
    /// The place of what tells whose message it is, where the payload says that.
    whose: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The payload is the state.
    All,
    /// There, as an expression of Home Assistant's.
    At(String),
    /// There, true or false.
    Truth(String),
    /// The user says where.
    Said(String),
}

impl State {
    /// What payloads the states of an item are in. `whose`: its source or author.
    ///
    /// # Errors
    /// No state is found; the text is what was made of a value.
    pub(super) fn find(
        items: &Items,
        whose: &str,
        render: &mut Render<'_>,
    ) -> Result<State, String> {
        let Some((component, one, other)) = probes(items) else {
            return Err("a value that is neither a number, a text nor on or off".to_owned());
        };
        let (first, second) = (render(&one)?, render(&other)?);
        let shown = || shortened(&String::from_utf8_lossy(&first));
        let (Ok(first), Ok(second)) = (std::str::from_utf8(&first), std::str::from_utf8(&second))
        else {
            return Err(shown());
        };
        let state = |place, on_off| {
            let whose = json_object(first).and_then(|object| leaf(&object, "value_json", whose));
            Ok(State { component, place, on_off, whose })
        };
        if let (Some(before), Some(after)) = (json_object(first), json_object(second)) {
            let Some(found) = differs(&before, &after, component) else { return Err(shown()) };
            let Differs { path, before, after } = found;
            return match (component, &before) {
                (Component::Binary, Json::Bool(on)) => {
                    let place = if *on { path } else { format!("not {path}") };
                    state(Place::Truth(place), Some(("ON".into(), "OFF".into())))
                }
                (Component::Binary, before) => {
                    state(Place::At(path), Some((plain(before), plain(&after))))
                }
                _ => state(Place::At(path), None),
            };
        }
        let number = |text: &str| text.trim().parse::<f64>().is_ok_and(f64::is_finite);
        match component {
            _ if first == second || first.is_empty() || second.is_empty() => Err(shown()),
            Component::Number if number(first) && number(second) => state(Place::All, None),
            Component::Number => Err(shown()),
            Component::Text => state(Place::All, None),
            Component::Binary => state(Place::All, Some((first.into(), second.into()))),
        }
    }

    /// Where the user says it is.
    pub(super) fn said(items: &Items, template: &str) -> Option<State> {
        let (component, ..) = probes(items)?;
        let on_off = (component == Component::Binary).then(|| ("ON".into(), "OFF".into()));
        Some(State { component, place: Place::Said(template.to_owned()), on_off, whose: None })
    }

    pub(super) fn component(&self) -> Component {
        self.component
    }

    /// The texts for on and off.
    pub(super) fn on_off(&self) -> Option<&(String, String)> {
        self.on_off.as_ref()
    }

    /// Whether a payload tells whose it is, so that several can share a topic.
    pub(super) fn can_share(&self) -> bool {
        self.whose.is_some()
    }

    /// Whether the payload is a JSON object.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.place, Place::At(_) | Place::Truth(_))
    }

    /// The template that Home Assistant gets the state by; `None` where the payload is the state. `shared`: whose messages they are among
    /// those of others on the same topic.
    pub(super) fn template(&self, shared: Option<&str>) -> Option<String> {
        let text = self.component == Component::Text;
        let state = match &self.place {
            Place::Said(template) => return Some(template.clone()),
            Place::All if text => format!("value[:{STATE_CHARS_MAX}]"),
            Place::All => return None,
            Place::At(path) if text => format!("{path}[:{STATE_CHARS_MAX}]"),
            Place::At(path) => path.clone(),
            Place::Truth(path) => format!("'ON' if {path} else 'OFF'"),
        };
        let (Some(whose), Some(place)) = (shared, &self.whose) else {
            return Some(format!("{{{{ {state} }}}}"));
        };
        // A number or a switch takes no notice of nothing; a text would become empty.
        let otherwise = if text { "this.state" } else { "''" };
        Some(format!("{{{{ ({state}) if {place} == {} else {otherwise} }}}}", literal(whose)))
    }
}

/// The same item with two different values.
fn probes(items: &Items) -> Option<(Component, Items, Items)> {
    match items {
        Items::Readings(readings) => {
            let reading = readings.first()?;
            let (component, one, other) = match &reading.value {
                Value::Float(_) => (Component::Number, Value::Float(21.5), Value::Float(1234.5)),
                Value::Int(_) => (Component::Number, Value::Int(21), Value::Int(1234)),
                Value::Bool(_) => (Component::Binary, Value::Bool(true), Value::Bool(false)),
                Value::Text(_) => (Component::Text, Value::text("calm"), Value::text("windy")),
                Value::Json(_) => return None,
            };
            let with = |value| Items::Readings(vec![Reading { value, ..reading.clone() }]);
            Some((component, with(one), with(other)))
        }
        Items::Observations(observations) => {
            let observation = observations.first()?;
            let with = |text: &str| {
                Items::Observations(vec![Observation { text: text.into(), ..observation.clone() }])
            };
            Some((Component::Text, with("All is calm."), with("A window is open.")))
        }
        Items::Windows(_) => None,
    }
}

fn json_object(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok().filter(Json::is_object)
}

/// Something that differs between two payloads.
struct Differs {
    path: String,
    before: Json,
    after: Json,
}

/// What differs and can be a state: the only such thing, or the one that is called so.
fn differs(before: &Json, after: &Json, component: Component) -> Option<Differs> {
    let mut found = Vec::new();
    collect(before, after, "value_json", &mut found);
    let number = |one: &Json| match one {
        Json::Number(_) => true,
        Json::String(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    };
    found.retain(|Differs { before, after, .. }| match component {
        Component::Number => number(before) && number(after),
        Component::Text => before.is_string() && after.is_string(),
        Component::Binary => true,
    });
    let called = ["value", "state", "text"]
        .iter()
        .find_map(|name| found.iter().position(|one| one.path == format!("value_json.{name}")));
    match (called, found.len()) {
        (Some(index), _) => Some(found.swap_remove(index)),
        (None, 1) => found.pop(),
        _ => None,
    }
}

fn collect(before: &Json, after: &Json, path: &str, found: &mut Vec<Differs>) {
    match (before, after) {
        (Json::Object(one), Json::Object(other)) => {
            for (name, before) in one {
                if let Some(after) = other.get(name) {
                    collect(before, after, &below(path, name), found);
                }
            }
        }
        (Json::Array(one), Json::Array(other)) => {
            for (index, (before, after)) in one.iter().zip(other).enumerate() {
                collect(before, after, &format!("{path}[{index}]"), found);
            }
        }
        _ if before != after => found.push(Differs {
            path: path.to_owned(),
            before: before.clone(),
            after: after.clone(),
        }),
        _ => {}
    }
}

/// Where a text lies.
fn leaf(object: &Json, path: &str, wanted: &str) -> Option<String> {
    match object {
        Json::String(text) if text == wanted => Some(path.to_owned()),
        Json::Object(entries) => {
            entries.iter().find_map(|(name, entry)| leaf(entry, &below(path, name), wanted))
        }
        _ => None,
    }
}

/// A member, as an expression.
fn below(path: &str, name: &str) -> String {
    // Methods of mappings hide members of the same name.
    const METHODS: [&str; 7] = ["clear", "copy", "get", "items", "keys", "pop", "values"];
    let mut chars = name.chars();
    let word = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    match word && !METHODS.contains(&name) {
        true => format!("{path}.{name}"),
        false => format!("{path}[{}]", literal(name)),
    }
}

/// A text in a template.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// How Home Assistant writes a value.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Bool(true) => "True".into(),
        Json::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

/// Whether the state of anything is found in what a template makes. What fails without a real item is given the benefit of the doubt.
///
/// # Errors
/// What it made of something.
pub(super) fn found_in(template: &Template) -> Result<(), String> {
    let table = SeriesTable::default();
    let series = Series::new(SourceKey::local("air", "kitchen")).with_unit("°C");
    let Ok(series) = table.intern(&series) else { return Ok(()) };
    let time = Timestamp::from_micros(1_790_000_000_000_000);
    let reading = |value: Value| Items::Readings(vec![Reading::new(time, series, value)]);
    let observation = Observation {
        id: Uuid::nil(),
        time,
        author: Arc::from("home/watcher"),
        kind: ObservationKind::Status,
        text: "".into(),
        confidence: 1.0,
        sources: Vec::new(),
        evidence: Evidence::default(),
        model: None,
        rung: Rung::Rule,
    };
    let kinds = [
        reading(Value::Float(0.0)),
        reading(Value::Bool(true)),
        Items::Observations(vec![observation]),
    ];
    let mut failed = false;
    let mut render = |items: &Items| {
        let mut form = Vec::new();
        json::write_item(items, 0, &table, &mut form);
        let known = fields(items, 0, &form, "host");
        form.clear();
        template.render(&known, &mut form).map(|()| form).inspect_err(|_| failed = true)
    };
    // What differs for two numbers is meant for numbers, though on and off could be read out of it too.
    let numbers = probes(&kinds[0]).map(|(_, one, other)| (render(&one), render(&other)));
    let for_numbers = matches!(numbers, Some((Ok(one), Ok(other))) if one != other);
    let mut made = None;
    for kind in kinds.iter().take(if for_numbers { 1 } else { kinds.len() }) {
        match State::find(kind, "air:kitchen", &mut render) {
            Ok(_) => return Ok(()),
            Err(text) => made = made.or(Some(text)),
        }
    }
    if failed { Ok(()) } else { Err(made.unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::new("payload.template", text).unwrap()
    }

    /// What is found in what a template makes of a reading of `air:kitchen`.
    fn found(text: &str, value: Value) -> Result<State, String> {
        let table = SeriesTable::default();
        let series = Series::new(SourceKey::local("air", "kitchen")).with_unit("°C");
        let id = table.intern(&series).unwrap();
        let items = Items::Readings(vec![Reading::new(Timestamp::EPOCH, id, value)]);
        let template = template(text);
        State::find(&items, "air:kitchen", &mut |items| {
            let (mut form, mut out) = (Vec::new(), Vec::new());
            json::write_item(items, 0, &table, &mut form);
            template.render(&fields(items, 0, &form, "host"), &mut out).map(|()| out)
        })
    }

    fn shown(text: &str, value: Value) -> Option<String> {
        found(text, value).unwrap().template(None)
    }

    #[test]
    fn a_number_is_found_alone_or_in_json() {
        let number = || Value::Float(1.0);
        assert_eq!(shown("{{ value }}", number()), None);
        assert_eq!(shown(" {{ value|round }}\n", number()), None);
        assert_eq!(shown(r#"{"a":{"b":{{ value }}}}"#, number()).unwrap(), "{{ value_json.a.b }}");
        assert_eq!(
            shown(r#"{"it's":[7,"{{ value }}"]}"#, number()).unwrap(),
            r"{{ value_json['it\'s'][1] }}"
        );
        assert_eq!(
            shown(r#"{"value":{{ value }},"double":{{ value * 2 }}}"#, number()).unwrap(),
            "{{ value_json.value }}"
        );
        for not in
            ["{{ value }} {{ unit }}", "{{ source }}", r#"{"a":{{ value }},"b":{{ value }}}"#, ""]
        {
            assert!(found(not, number()).is_err(), "{not}");
        }
    }

    #[test]
    fn on_and_off_are_what_the_payload_says_for_them() {
        let on = || Value::Bool(true);
        let plain = found("{{ 'open' if value else 'closed' }}", on()).unwrap();
        assert_eq!(plain.template(None), None);
        assert_eq!(plain.on_off().unwrap(), &("open".to_owned(), "closed".to_owned()));
        let json = found(r#"{"contact":{{ (not value)|tojson }}}"#, on()).unwrap();
        assert_eq!(json.template(None).unwrap(), "{{ 'ON' if not value_json.contact else 'OFF' }}");
        assert_eq!(json.on_off().unwrap(), &("ON".to_owned(), "OFF".to_owned()));
        let text = found(r#"{"state":"{{ 'up' if value else 'down' }}"}"#, on()).unwrap();
        assert_eq!(text.template(None).unwrap(), "{{ value_json.state }}");
        assert_eq!(text.on_off().unwrap(), &("up".to_owned(), "down".to_owned()));
    }

    #[test]
    fn a_text_is_cut_to_what_a_state_holds() {
        let text = || Value::text("x");
        assert_eq!(shown("{{ value }}", text()).unwrap(), "{{ value[:255] }}");
        assert_eq!(shown(r#"{"v":"{{ value }}"}"#, text()).unwrap(), "{{ value_json.v[:255] }}");
    }

    #[test]
    fn who_shares_a_topic_is_told_apart_by_what_the_payload_says() {
        let whole = r#"{"source":"{{ source }}","value":{{ value|tojson }}}"#;
        let number = found(whole, Value::Int(1)).unwrap();
        assert!(number.can_share());
        assert_eq!(
            number.template(Some("air:kitchen")).unwrap(),
            "{{ (value_json.value) if value_json.source == 'air:kitchen' else '' }}"
        );
        let text = found(whole, Value::text("x")).unwrap();
        assert_eq!(
            text.template(Some("air:kitchen")).unwrap(),
            "{{ (value_json.value[:255]) if value_json.source == 'air:kitchen' else this.state }}"
        );
        assert!(!found("{{ value }}", Value::Int(1)).unwrap().can_share());
    }

    #[test]
    fn a_template_is_refused_before_anything_came_if_it_can_never_work() {
        for works in [
            "{{ value }}",
            "{{ 'on' if value else 'off' }}",
            "{{ text }}",
            r#"{"v":{{ value|tojson }}}"#,
            // Only a real reading can tell.
            "{{ labels.offset + value }}",
        ] {
            assert_eq!(found_in(&template(works)), Ok(()), "{works}");
        }
        for (not, made) in [("{{ value }} {{ unit }}", "21.5 °C"), ("{{ source }}", "air:kitchen")]
        {
            assert_eq!(found_in(&template(not)), Err(made.to_owned()), "{not}");
        }
    }
}
