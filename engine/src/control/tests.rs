//! Feeds, taps, rates, filters.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, executor::block_on};

use super::*;
use crate::batch::Items;
use crate::context::Host;
use crate::duration::Duration;
use crate::glob::Glob;
use crate::reading::Reading;
use crate::series::{Series, SourceKey};
use crate::time::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(seconds)
}

#[test]
fn a_feed_never_waits_and_counts_what_its_listener_missed() {
    let (feed, mut listener) = feed::<u8>(100);
    for number in 0..4 {
        assert!(feed.offer(40, 3, || number));
    }
    // After the first that was missed, none is kept until the listener has looked: 1 byte would have fitted.
    assert!(feed.offer(1, 1, || 4));
    let mut got = Vec::new();
    while let Some(Some(piece)) = listener.next().now_or_never() {
        got.push(piece);
    }
    assert_eq!(got, [Piece::Kept(0), Piece::Kept(1), Piece::Missed(7)]);
    assert!(feed.offer(1_000, 1, || 5), "what is larger than the room finds it empty");
    drop(feed);
    assert_eq!(block_on(listener.collect::<Vec<_>>()), [Piece::Kept(5)]);
}

#[test]
fn a_feed_knows_that_nobody_looks_any_more() {
    let (feed, listener) = feed::<u8>(100);
    assert!(feed.is_watched());
    drop(listener);
    assert!(!feed.offer(1, 1, || panic!("made for nobody")));
    assert!(!feed.is_watched());
}

#[test]
fn a_listener_wakes_when_something_comes_and_when_the_last_feed_goes() {
    let (feed, mut listener) = feed::<u8>(100);
    let other = feed.clone();
    drop(feed);
    let looking = std::thread::spawn(move || block_on(async { listener.next().await }));
    other.offer(1, 1, || 9);
    assert_eq!(looking.join().unwrap(), Some(Piece::Kept(9)));
    let (feed, mut listener) = super::feed::<u8>(100);
    let looking = std::thread::spawn(move || block_on(async { listener.next().await }));
    drop(feed);
    assert_eq!(looking.join().unwrap(), None);
}

fn readings(host: &Host, count: usize) -> Items {
    let series = host.series.intern(&Series::new(SourceKey::local("t", "a"))).unwrap();
    Items::Readings((0..count).map(|n| Reading::new(at(n as i64), series, n as f64)).collect())
}

#[tokio::test(start_paused = true)]
async fn a_tap_shows_the_one_json_form_up_to_its_rate_and_its_limit() {
    let host = Arc::new(Host::for_tests(std::path::Path::new("/nowhere")));
    let (feed, listener) = feed(TAP_BYTES_MAX);
    let request = TapRequest { limit: Some(5), per_second: Some(3), ..TapRequest::default() };
    let mut lines = tap_lines(listener, host.clone(), &request);
    let offer = |count| feed.offer(1, count as u64, || readings(&host, count));
    offer(4);
    let chunk = lines.next().await.unwrap();
    assert_eq!(chunk.missed, 1);
    let text = String::from_utf8(chunk.lines).unwrap();
    assert_eq!(text.lines().count(), 3);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["source"], "t:a");
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    offer(4);
    let chunk = lines.next().await.unwrap();
    assert_eq!(chunk.lines.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert!(lines.next().await.is_none(), "the limit is reached");
    drop(lines);
    assert!(!offer(1), "nobody looks");
}

#[test]
fn a_rate_is_that_of_the_last_ten_seconds() {
    let mut rates = Rates::default();
    assert_eq!(rates.per_second(at(0), 7), 0.0);
    for second in 0..100 {
        rates.sample(at(second), second as u64 * 5);
    }
    // Nothing since: the rate sinks and is gone after the span.
    assert!((rates.per_second(at(99), 495) - 5.0).abs() < 1e-9);
    for second in 100..112 {
        rates.sample(at(second), 495);
    }
    assert_eq!(rates.per_second(at(112), 495), 0.0);
    assert!(rates.samples_kept() < 10);
    assert_eq!(rates.per_second(at(113), 3), 0.0, "a counter that began anew");
}

#[test]
fn what_does_not_fill_is_never_full() {
    assert_eq!(hours_left(0, 3600, 1.0), Some(1.0));
    assert_eq!(hours_left(3600, 3600, 1.0), Some(0.0));
    assert_eq!(hours_left(0, 3600, 0.0), None);
    assert_eq!(hours_left(0, 3600, -1.0), None);
}

#[test]
fn filters_take_what_every_key_takes() {
    let filter = LetterFilter {
        address: Some(Glob::new("garden/*").unwrap()),
        since: Some(at(10)),
        before: Some(at(20)),
    };
    assert!(filter.takes("garden/air", at(10)));
    assert!(!filter.takes("garden/air", at(9)));
    assert!(!filter.takes("garden/air", at(20)));
    assert!(!filter.takes("house/air", at(15)));
    let request = LogRequest {
        node: Some(Glob::new("garden/**").unwrap()),
        level: Some(Level::Warn),
        ..LogRequest::default()
    };
    assert!(request.takes(Level::Error, Some("garden/air")));
    assert!(!request.takes(Level::Info, Some("garden/air")));
    assert!(!request.takes(Level::Error, None));
    assert!(LogRequest::default().takes(Level::Trace, None));
}

#[test]
fn no_output_shows_the_value_of_a_variable() {
    let variables = [("PASSWORD".to_owned(), "hunter2".to_owned())];
    let plan = PlanRequest { variables: Variables(variables.into()), ..PlanRequest::default() };
    let shown = format!("{:?}", ApplyRequest { plan, ..ApplyRequest::default() });
    assert!(shown.contains("PASSWORD") && !shown.contains("hunter2"), "{shown}");
}
