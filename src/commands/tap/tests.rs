//! What a tap shows and keeps.

use smollama_engine::duration::Duration;
use smollama_engine::json::parse_reading;

use super::*;
use crate::commands::stand_in::StandIn;

const READINGS: &str = "\
{\"time\":\"2026-11-21T06:24:30.5Z\",\"source\":\"air:a\",\"value\":21.5,\"unit\":\"°C\",\"score\":0.2,\"count\":1}
{\"time\":\"2026-11-21T06:24:31Z\",\"source\":\"air:a\",\"value\":\"a\\u001b[2Jb\",\"score\":3.65,\"count\":12}
";

#[test]
fn readings_windows_and_observations_are_read_by_people() {
    let engine = StandIn::default();
    let shown = |lines: &str| line::readable(lines.as_bytes(), &engine.call());
    assert_eq!(
        shown(READINGS),
        "2026-11-21 06:24:30.500  air:a  21.5 °C
2026-11-21 06:24:31.000  air:a  a\\u{1b}[2Jb  news 3.6  ×12
"
    );
    let window = r#"{"start":"2026-11-21T06:00:00Z","end":"2026-11-21T06:05:00Z","cause":"urgent","summaries":[{"source":"air:a","unit":"°C","count":5,"min":20.5,"max":35.0,"mean":23.123456,"first":20.5,"last":35.0,"score":4.1}]}"#;
    assert_eq!(
        shown(window),
        "2026-11-21 06:05:00.000  window urgent  5m  1 series, 5 readings
  air:a  35.0 °C  mean 23.1235, 20.5 to 35  news 4.1  ×5
"
    );
    let observation = r#"{"id":"x","time":"2026-11-21T06:05:00Z","author":"home/frost","kind":"anomaly","text":"it freezes","rung":"rule"}"#;
    assert_eq!(shown(observation), "2026-11-21 06:05:00.000  anomaly  it freezes  (home/frost)\n");
    assert_eq!(shown("{\"torn\n"), "{\"torn\n");
}

fn args(engine_has: u64) -> look::Tap {
    let address = "home/air".into();
    look::Tap { address, save: None, count: Some(engine_has), span: None, per_second: None }
}

fn engine() -> StandIn {
    let chunk = |missed| Chunk { lines: READINGS.into(), missed };
    StandIn { lines: vec![chunk(0), chunk(7)], ..StandIn::default() }
}

/// Follows a tap to its end, and gives what was shown.
async fn followed(engine: &StandIn, args: &look::Tap) -> (Seen, Option<String>, String) {
    let mut shown = Vec::new();
    let show = |lines: &[u8]| {
        shown.extend_from_slice(lines);
        Ok(())
    };
    let (seen, saved) = follow(&engine.call(), args, show).await.unwrap();
    (seen, saved, String::from_utf8(shown).unwrap())
}

#[tokio::test]
async fn what_is_saved_is_a_fixture() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("air.jsonl");
    let args = look::Tap { save: Some(file.clone()), ..args(4) };
    let (_, said, shown) = followed(&engine(), &args).await;
    assert!(said.is_some_and(|said| said.contains("air.jsonl")));
    let saved = std::fs::read_to_string(file).unwrap();
    assert_eq!((saved.as_str(), shown), (READINGS.repeat(2).as_str(), READINGS.repeat(2)));
    for line in saved.lines() {
        parse_reading(line.as_bytes()).expect("what `replay` reads");
    }
}

#[tokio::test]
async fn a_file_stays_as_it_is_where_the_address_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("air.jsonl");
    std::fs::write(&file, "kept").unwrap();
    let args = look::Tap { address: "nowhere".into(), save: Some(file.clone()), ..args(4) };
    assert!(tap(&engine().call(), &args).await.is_err());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept");
}

#[tokio::test]
async fn a_tap_that_ends_before_it_is_enough_has_failed() {
    assert!(followed(&engine(), &args(4)).await.0.as_wanted);
    assert!(!followed(&engine(), &args(5)).await.0.as_wanted);
}

#[tokio::test(start_paused = true)]
async fn a_tap_ends_when_its_time_is_over() {
    let engine = StandIn { goes_on: true, ..engine() };
    let args = look::Tap { span: Some(Duration::from_secs(10)), count: None, ..args(0) };
    let began = tokio::time::Instant::now();
    let (seen, ..) = followed(&engine, &args).await;
    assert!(seen.as_wanted);
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[test]
fn what_was_missed_is_said() {
    let mut seen = Seen::default();
    engine().lines.iter().for_each(|chunk| seen.add(chunk));
    assert_eq!(seen.text(), "4 items, 7 missed: there were too many to show.");
    assert_eq!(Seen { items: 1, ..Seen::default() }.text(), "1 item, none missed.");
}
