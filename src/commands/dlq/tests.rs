//! Dead letters, with an engine and without one.

use std::sync::Arc;

use smollama_engine::context::Host;
use smollama_engine::control::LetterRow;
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::node::Reject;
use smollama_engine::run::{DeadContent, DeadLetter, DeadLetters};

use super::*;
use crate::commands::stand_in::StandIn;

fn at(seconds: i64) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(seconds)
}

fn row() -> LetterRow {
    LetterRow {
        id: "019a".into(),
        time: at(3_600),
        address: "home/soil".into(),
        reason: "no number in `wet\x1b[2J`".into(),
        kind: "bytes".into(),
        items: 1,
    }
}

#[test]
fn a_list_has_a_line_for_each() {
    let engine = StandIn::default();
    let page = LetterPage { letters: vec![row()], total: 1 };
    assert_eq!(
        text::list(&page, &engine.call()),
        "ID    WHEN                 NODE       KIND   ITEMS  WHY
019a  1970-01-01 01:00:00  home/soil  bytes      1  no number in `wet\\u{1b}[2J`
"
    );
}

#[test]
fn a_letter_is_shown_with_what_was_kept() {
    let engine = StandIn::default();
    let origin = Some("soil.csv:17".into());
    let raw = Letter { letter: row(), origin, bytes: Some("2026,wet\n\x07".into()), items: vec![] };
    assert_eq!(
        text::letter(&raw, &engine.call()),
        "019a  1970-01-01 01:00:00  home/soil
no number in `wet\\u{1b}[2J`
origin  soil.csv:17
bytes
  2026,wet
  \\u{7}
"
    );
    let row = LetterRow { kind: "readings".into(), reason: "refused".into(), ..row() };
    let items = vec![serde_json::json!({ "source": "air:a", "value": 1.5 })];
    let items = Letter { letter: row, origin: None, bytes: None, items };
    assert_eq!(
        text::letter(&items, &engine.call()),
        "019a  1970-01-01 01:00:00  home/soil
refused
readings
  {\"source\":\"air:a\",\"value\":1.5}
"
    );
}

#[test]
fn what_was_done_is_counted() {
    let done = |letters, items, refused| {
        text::done(&LettersDone { letters, items, refused }, "taken again")
    };
    assert_eq!(done(1, 1, 0), "1 letter taken again\n");
    assert_eq!(done(3, 40, 1), "3 letters with 40 items taken again; 1 refused again, and stays\n");
}

/// A file of letters of three nodes, an hour apart.
fn kept(folder: &std::path::Path) -> Letters<'static> {
    let file = DeadLetterFile::open(&Arc::new(Host::for_tests(folder))).unwrap();
    for (hour, address) in ["home/a", "home/b", "shed/a"].into_iter().enumerate() {
        let reject = Reject { reason: String::new(), origin: "x:1".into(), bytes: b"y".to_vec() };
        let (time, content) = (at(hour as i64 * 3_600), DeadContent::Raw(reject));
        let (address, reason) = (address.into(), "no".into());
        file.put(&DeadLetter { address, time, reason, content }).unwrap();
    }
    Letters::Kept(file)
}

#[tokio::test]
async fn letters_are_read_and_removed_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let letters = kept(folder.path());
    let page = letters.page(LetterFilter::default(), 2).await.unwrap();
    assert_eq!((page.letters.len(), page.total), (2, 3));
    assert_eq!(letters.letter(&page.letters[0].id).await.unwrap().letter.address, "shed/a");
    assert!(letters.letter("nothing").await.is_err());
    let ids = vec![page.letters[0].id.clone(), "nothing".into()];
    let refused = letters.drop(Selection::Ids(ids)).await.unwrap_err();
    assert!(refused.message.contains("`nothing`"));
    assert_eq!(letters.page(LetterFilter::default(), 9).await.unwrap().total, 3, "all or none");
    let filter = written(&Some(Glob::new("home/**").unwrap()), None, at(0));
    let done = letters.drop(Selection::Filter(filter)).await.unwrap();
    assert_eq!((done.letters, done.items), (2, 2));
    let left = letters.page(LetterFilter::default(), 9).await.unwrap();
    assert_eq!(left.letters[0].address, "shed/a");
    assert_eq!(left.total, 1);
}

#[test]
fn a_span_counts_back_from_now() {
    let since = |since| written(&None, Some(since), at(7_200)).since;
    assert_eq!(since(Moment::Ago(Duration::from_hours(1))), Some(at(3_600)));
    assert_eq!(since(Moment::At(at(5))), Some(at(5)));
}

#[tokio::test]
async fn an_engine_is_told_exactly_what_was_chosen() {
    let engine =
        StandIn { done: LettersDone { letters: 1, items: 1, refused: 0 }, ..StandIn::default() };
    let letters = Letters::Of(&engine);
    let all = look::Selection { ids: vec![], node: None, since: None, all: true };
    let some = look::Selection { ids: vec!["019a".into()], all: false, ..all.clone() };
    letters.drop(selected(&some, at(0))).await.unwrap();
    letters.drop(selected(&all, at(0))).await.unwrap();
    let [some, all] = &engine.asked()[..] else { panic!("two calls") };
    assert_eq!(some, "drop Ids([\"019a\"])");
    assert!(all.contains("address: None, since: None"), "{all}");
}
