//! Items in their JSON form as lines for people, as the console sink writes them.

use serde_json::Value;
use smollama_engine::time::Timestamp;

use crate::client::Call;
use crate::text::{Paint, count, plain, span};

/// One line for each item, and one below for each series of a window. What is no item stands as it is.
pub(in crate::commands) fn readable(lines: &[u8], call: &Call<'_>) -> String {
    let mut out = String::new();
    for line in String::from_utf8_lossy(lines).lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(item) if item.get("value").is_some() => reading(&item, call, &mut out),
            Ok(item) if item.get("summaries").is_some() => window(&item, call, &mut out),
            Ok(item) if item.get("text").is_some() => observation(&item, call, &mut out),
            _ => out += &format!("{}\n", plain(line)),
        }
    }
    out
}

fn reading(item: &Value, call: &Call<'_>, out: &mut String) {
    *out += &format!("{}  {}", when(item, "time", call), series(item, "value"));
    *out += &score(item, call.paint);
    match item["count"].as_u64() {
        Some(number @ 2..) => *out += &format!("  ×{number}\n"),
        _ => out.push('\n'),
    }
}

fn window(item: &Value, call: &Call<'_>, out: &mut String) {
    let no_summaries = Vec::new();
    let summaries = item["summaries"].as_array().unwrap_or(&no_summaries);
    let readings: u64 = summaries.iter().filter_map(|one| one["count"].as_u64()).sum();
    let length = match (time(item, "start"), time(item, "end")) {
        (Some(start), Some(end)) => span(end.since(start).as_secs_f64()),
        _ => "-".into(),
    };
    *out += &format!(
        "{}  window {}  {length}  {} series, {}\n",
        when(item, "end", call),
        text(&item["cause"]),
        summaries.len(),
        count(readings, "reading")
    );
    for one in summaries {
        *out += &format!("  {}", series(one, "last"));
        if let (Some(mean), Some(min), Some(max)) =
            (one["mean"].as_f64(), one["min"].as_f64(), one["max"].as_f64())
        {
            *out += &format!("  mean {}, {} to {}", short(mean), short(min), short(max));
        }
        let number = one["count"].as_u64().unwrap_or(0);
        *out += &format!("{}  ×{number}\n", score(one, call.paint));
    }
}

fn observation(item: &Value, call: &Call<'_>, out: &mut String) {
    *out += &format!(
        "{}  {}  {}  {}\n",
        when(item, "time", call),
        call.paint.strong(&text(&item["kind"])),
        text(&item["text"]),
        call.paint.faint(&format!("({})", text(&item["author"])))
    );
}

/// The source, a value and the unit.
fn series(item: &Value, value: &str) -> String {
    let mut out = format!("{}  {}", text(&item["source"]), text(&item[value]));
    if let Some(unit) = item["unit"].as_str() {
        out += &format!(" {}", plain(unit));
    }
    out
}

/// The mark of what is news.
fn score(item: &Value, paint: Paint) -> String {
    match item["score"].as_f64() {
        Some(score) if score >= 1.0 => format!("  {}", paint.strong(&format!("news {score:.1}"))),
        _ => String::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text).into_owned(),
        Value::Null => "-".into(),
        other => plain(&other.to_string()).into_owned(),
    }
}

fn time(item: &Value, key: &str) -> Option<Timestamp> {
    item[key].as_str()?.parse().ok()
}

/// The time to the millisecond, in the zone of the host.
fn when(item: &Value, key: &str, call: &Call<'_>) -> String {
    let Some(time) = time(item, key) else { return text(&item[key]) };
    let part = time.as_micros().rem_euclid(1_000_000) / 1000;
    call.paint.faint(&format!("{}.{part:03}", call.when(time)))
}

/// Four decimals at most: summaries are for the eye.
fn short(value: f64) -> f64 {
    if value.abs() >= 1e6 { value } else { (value * 1e4).round() / 1e4 }
}
