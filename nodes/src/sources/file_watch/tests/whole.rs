//! Files that are rewritten as a whole.

use std::fs::File;
use std::time::{Duration as StdDuration, SystemTime};

use smollama_engine::reading::Value;

use super::*;

/// Writes a file as if it had been written so many seconds after the start.
fn write(bench: &Bench, name: &str, text: &str, second: u64) {
    fs::write(bench.path(name), text).unwrap();
    let start = StdDuration::from_micros(u64::try_from(START.as_micros()).unwrap());
    let at = SystemTime::UNIX_EPOCH + start + StdDuration::from_secs(second);
    File::options().append(true).open(bench.path(name)).unwrap().set_modified(at).unwrap();
}

fn seen(second: i64, readings: &Json) -> String {
    let ts = START.as_micros() as f64 / 1e6 + second as f64;
    json!({ "ts": ts, "model": "detect:ssd-mobilenet-v2,pose:resnet18-body", "fps": 21.3, "readings": readings }).to_string()
}

#[tokio::test(start_paused = true)]
async fn what_a_camera_sees_is_read_as_the_original_reads_it() {
    let settings = json!({ "path": "jetson_inference.json", "format": "jetson" });
    let mut bench = Bench::new(settings);
    let entries = json!([
        { "name": "person_count", "value": 2, "unit": "count" },
        { "name": "top_object", "value": "person", "metadata": { "objects": { "person": 2, "dog": 1 } } },
        { "name": "network_fps", "value": 21.3, "unit": "fps" },
        { "name": "activity", "value": null, "unit": null },
    ]);
    write(&bench, "jetson_inference.json", &seen(0, &entries), 0);
    let came = bench.came().await;
    assert_eq!(
        bench.say(&came),
        [
            "f:person_count=2",
            "f:top_object=person",
            r#"f:top_object/objects={"person":2,"dog":1}"#,
            "f:network_fps=21.3",
        ]
    );
    assert!(came.readings.iter().all(|one| one.time == START));
    assert_eq!(bench.host.series.get(came.readings[0].series).unit.as_deref(), Some("count"));
    assert_eq!(came.rejects, []);
    // The same is not read again, also not after a restart.
    assert_eq!(bench.said().await, [""; 0]);
    bench.restart().await;
    assert_eq!(bench.said().await, [""; 0]);
    write(
        &bench,
        "jetson_inference.json",
        &seen(1, &json!([{ "name": "person_count", "value": 3 }])),
        1,
    );
    assert_eq!(bench.said().await, ["f:person_count=3"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_camera_saw_long_ago_is_no_reading_and_its_silence_shows() {
    let mut bench = Bench::new(json!({ "path": "c.json", "format": "jetson" }));
    let entries = json!([{ "name": "n", "value": 1 }]);
    write(&bench, "c.json", &seen(-31, &entries), 0);
    let came = bench.came().await;
    assert_eq!((bench.say(&came), came.dropped), (vec![], 1));
    write(&bench, "c.json", &seen(-20, &entries), 1);
    assert_eq!(bench.said().await.len(), 1);
    assert_eq!(bench.trouble(), None);
    tokio::time::advance(StdDuration::from_secs(1)).await;
    // The source is asked at the start, and waits until the file is too old.
    let wait = StdDuration::from_secs(40);
    assert!(tokio::time::timeout(wait, bench.source.read(START)).await.is_err());
    let said = bench.trouble().unwrap();
    assert!(said.starts_with("`c.json` was last written 3"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_what_it_should_be_is_looked_at_twice_before_it_is_refused() {
    let mut bench = Bench::new(json!({ "path": "c.json", "format": "jetson" }));
    let whole = seen(0, &json!([{ "name": "n", "value": 1 }]));
    write(&bench, "c.json", whole.get(..20).unwrap(), 0);
    let half = tokio::time::timeout(StdDuration::from_millis(900), bench.source.read(START)).await;
    assert!(half.is_err(), "its writer may be at work");
    write(&bench, "c.json", &whole, 0);
    assert_eq!(bench.said().await, ["f:n=1"]);
    for (text, reason) in [
        ("{", "no JSON object"),
        ("[]", "no JSON object"),
        (r#"{"ts":"now","readings":[]}"#, "`ts` is no number of seconds since 1970"),
        (r#"{"ts":-5,"readings":[]}"#, "`ts` is no number of seconds since 1970"),
        (r#"{"ts":5}"#, "`readings` is no list"),
    ] {
        write(&bench, "c.json", text, 1);
        let came = bench.came().await;
        assert_eq!(came.rejects.len(), 1, "{text}: once");
        assert_eq!((&*came.rejects[0].reason, &*came.rejects[0].origin), (reason, "c.json"));
    }
    write(&bench, "c.json", "", 2);
    assert_eq!(bench.came().await.rejects, [], "it is being written");
}

#[tokio::test(start_paused = true)]
async fn a_json_file_is_read_whenever_it_was_written_and_has_the_time_of_the_file() {
    let settings =
        json!({ "path": "now.json", "fields": { "t": "°C" }, "max_age": "1h", "max_line": "1KiB" });
    let mut bench = Bench::new(settings);
    write(&bench, "now.json", "{\n  \"t\": 4.5\n}\n", 5);
    let came = bench.came().await;
    assert_eq!(bench.say(&came), ["f:now/t=4.5"]);
    let five = START + smollama_engine::duration::Duration::from_secs(5);
    assert_eq!(came.readings[0].time, five);
    // The same measured once more is another reading.
    write(&bench, "now.json", "{\n  \"t\": 4.5\n}\n", 6);
    assert_eq!(bench.came().await.readings[0].value, Value::Float(4.5));
    write(&bench, "now.json", &format!("{{\"t\":{}1}}", " ".repeat(2_000)), 7);
    let came = bench.came().await;
    assert_eq!(came.rejects[0].reason, "longer than `max_line` (1024 bytes)");
    assert_eq!(came.rejects.len(), 1);
}
