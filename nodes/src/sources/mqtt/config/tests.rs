//! Settings that are right and wrong.

use serde_json::{Value as Json, json};

use super::*;

fn problems(settings: Json) -> Vec<String> {
    let config: MqttConfig = serde_json::from_value(settings).unwrap();
    let shown = config.all_problems().into_iter();
    shown
        .map(|problem| {
            let help = problem.help.map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{}: {}{help}", problem.field, problem.message)
        })
        .collect()
}

fn ids(settings: Json) -> Vec<String> {
    let config: MqttConfig = serde_json::from_value(settings).unwrap();
    config.ids().unwrap().iter().map(|glob| glob.as_str().to_owned()).collect()
}

#[test]
fn filters_are_checked() {
    let filter = |filter: &str| problems(json!({ "topic": filter })).concat();
    for good in ["a", "#", "+", "a/+/b", "a/#", "/", "a//b", "$SYS/#", "ü/+"] {
        assert_eq!(filter(good), "", "{good}");
    }
    for (bad, start) in [
        ("", "topic: it is empty (write"),
        ("a/#/b", "topic: `a/#/b` is no topic filter (`#` stands alone"),
        ("a#", "topic: `a#` is no topic filter (`#` stands alone"),
        ("a/b+", "topic: `a/b+` is no topic filter (`+` stands for a whole level"),
        ("a\0", "topic: it holds a NUL character"),
        ("$share/g/a", "topic: `$share/g/a` names a group (write the group's name in `share`)"),
        (&"x".repeat(65_536), "topic: it is longer than 65535 bytes"),
    ] {
        assert!(filter(bad).starts_with(start), "{}", filter(bad));
    }
}

#[test]
fn says_all_that_is_wrong() {
    assert_eq!(
        problems(json!({
            "topic": "a", "topics": ["b", { "topic": "c+", "qos": 2 }], "share": "a/b",
            "value": "v", "fields": [], "id": "{0}", "topic_labels": { "room": 0 }, "zone": "Mars", "time_format": "iso",
        })),
        [
            "topics: `topic` and `topics` are both set (put the filter of `topic` into `topics`)",
            "topics[1]: `c+` is no topic filter (`+` stands for a whole level: `a/+/b`)",
            "share: the name of a group must not be empty, nor hold `/`, `+` or `#` (write a name such as `share: hosts`)",
            "fields: `value` and `fields` are both set (`value` is for one reading a message, `fields` for several)",
            "fields: there is none (leave `fields` out to take all)",
            "id: there is no level 0 (write it like \"{topic}\" or \"{2}/{3}\")",
            "topic_labels.room: there is no level 0 (levels are counted from 1)",
            "zone: there is no zone `Mars` (write it as `Europe/Berlin` or `UTC`)",
            "time_format: `iso` is no time format (write `s`, `ms`, `us`, `ns`, or a pattern such as `%d.%m.%Y %H:%M:%S`)",
        ]
    );
    assert_eq!(
        problems(json!({})),
        [
            ": nothing says which topics to take (write `topic: greenhouse/+/air`, or several in `topics`)"
        ]
    );
    assert_eq!(
        problems(
            json!({ "topic": "a", "format": "number", "value": "v", "others": true, "id": "{x}" })
        ),
        [
            "others: it goes with a map in `fields` (leave it out: without `fields` all of them are taken)",
            "value: it means nothing with `format: number` (take it away, or write `format: json`)",
            "id: there are no fields with `format: number` (use `{topic}` or its levels, `{2}`)",
        ]
    );
}

#[test]
fn short_forms_mean_what_long_ones_mean() {
    let read = |fields: Json| {
        let settings = json!({ "topic": "a", "fields": fields });
        serde_json::from_value::<MqttConfig>(settings).map(|config| config.fields)
    };
    let long = json!({ "t": { "unit": "°C" }, "h": {}, "q": { "skip": true } });
    assert_eq!(read(json!({ "t": "°C", "h": null, "q": "skip" })).unwrap(), read(long).unwrap());
    assert_eq!(read(json!("all")).unwrap(), Some(Fields::All));
    assert_eq!(read(json!(["h"])).unwrap(), read(json!({ "h": {} })).unwrap());
    let error = read(json!("h")).unwrap_err().to_string();
    assert!(error.contains("write `[h]`"), "{error}");
    assert!(read(json!({ "t": { "unti": "x" } })).unwrap_err().to_string().contains("`unit`"));
}

#[test]
fn subscriptions_have_their_group_and_quality() {
    let config: MqttConfig = serde_json::from_value(
        json!({ "topics": ["a/#", { "topic": "b", "qos": 0 }], "qos": 2, "share": "g" }),
    )
    .unwrap();
    let subscription = |filter: &str, qos| Subscription { filter: filter.to_owned(), qos };
    assert_eq!(
        config.subscriptions(),
        [
            subscription("$share/g/a/#", Qos::ExactlyOnce),
            subscription("$share/g/b", Qos::AtMostOnce)
        ]
    );
}

#[test]
fn ids_follow_from_topics_and_fields() {
    assert_eq!(
        ids(
            json!({ "topic": "a/+/b", "format": "json", "fields": { "t": "°C", "q": "skip", "n.x": { "id": "y" } } })
        ),
        ["a/*/b/y", "a/*/b/*/y", "a/*/b/t", "a/*/b/*/t"]
    );
    assert_eq!(ids(json!({ "topic": "a/#", "format": "text" })), ["a/**", "a"]);
    assert_eq!(ids(json!({ "topic": "a" })), ["a", "a/**"]);
    assert_eq!(
        ids(json!({ "topic": "a/#", "format": "number", "id": "x/{2}/{3}" })),
        ["x/*/*", "x/?/?"]
    );
    assert_eq!(ids(json!({ "topic": "+/b", "format": "number", "id": "{1}" })), ["*"]);
    assert_eq!(
        ids(json!({ "topic": "+/b", "format": "json", "value": "v", "id": "{d}{e}" })),
        ["**", "**/**"]
    );
}
