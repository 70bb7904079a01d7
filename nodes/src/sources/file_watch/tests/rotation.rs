//! What writers do to files that grow: nothing of it loses a line or brings one twice.

use super::*;

/// Steps of a rotation, between which the source looks and the host may die.
async fn look(bench: &mut Bench, dies: bool, all: &mut Vec<String>) {
    if dies {
        bench.restart().await;
    } else {
        all.extend(bench.said().await);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_a_file_is_renamed_and_begun_anew() {
    // Every choice of the looks that a crash takes the place of.
    for deaths in 0..16_u32 {
        let dies = |at: u32| deaths & (1 << at) != 0;
        let mut bench = Bench::with(&[("a.jsonl", &lines(0..10))], json!({ "path": "a.jsonl" }));
        let mut all = bench.said().await;
        bench.append("a.jsonl", &lines(10..12));
        look(&mut bench, dies(0), &mut all).await;
        bench.append("a.jsonl", &lines(12..14));
        fs::rename(bench.path("a.jsonl"), bench.path("a.jsonl.1")).unwrap();
        look(&mut bench, dies(1), &mut all).await;
        // The writer has not noticed yet.
        bench.append("a.jsonl.1", &lines(14..16));
        look(&mut bench, dies(2), &mut all).await;
        bench.append("a.jsonl", &lines(16..18));
        look(&mut bench, dies(3), &mut all).await;
        all.extend(bench.said().await);
        assert_eq!(all, ids("a", 0..18), "deaths {deaths:04b}");
        bench.append("a.jsonl", &lines(18..20));
        all.extend(bench.said().await);
        assert_eq!(all, ids("a", 0..20), "deaths {deaths:04b}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_a_file_is_copied_and_emptied() {
    for deaths in 0..8_u32 {
        let dies = |at: u32| deaths & (1 << at) != 0;
        let mut bench = Bench::with(&[("a.jsonl", &lines(0..10))], json!({ "path": "a.jsonl" }));
        let mut all = bench.said().await;
        bench.append("a.jsonl", &lines(10..12));
        look(&mut bench, dies(0), &mut all).await;
        bench.append("a.jsonl", &lines(12..14));
        fs::copy(bench.path("a.jsonl"), bench.path("a.jsonl.1")).unwrap();
        fs::write(bench.path("a.jsonl"), "").unwrap();
        look(&mut bench, dies(1), &mut all).await;
        bench.append("a.jsonl", &lines(14..16));
        look(&mut bench, dies(2), &mut all).await;
        all.extend(bench.said().await);
        assert_eq!(all, ids("a", 0..16), "deaths {deaths:03b}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_emptied_and_has_grown_beyond_its_place_is_known_by_what_it_begins_with() {
    let mut bench = Bench::with(&[("a.jsonl", &lines(0..3))], json!({ "path": "a.jsonl" }));
    assert_eq!(bench.said().await, ids("a", 0..3));
    fs::write(bench.path("a.jsonl"), lines(3..50)).unwrap();
    assert_eq!(bench.said().await, ids("a", 3..50));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_watched_under_both_names_is_read_once() {
    for (rotated, copies) in [("b.jsonl", false), ("b.jsonl", true)] {
        let mut bench = Bench::with(&[("a.jsonl", &lines(0..5))], json!({ "path": "*.jsonl" }));
        let mut all = bench.said().await;
        bench.append("a.jsonl", &lines(5..7));
        if copies {
            fs::copy(bench.path("a.jsonl"), bench.path(rotated)).unwrap();
            fs::write(bench.path("a.jsonl"), "").unwrap();
        } else {
            fs::rename(bench.path("a.jsonl"), bench.path(rotated)).unwrap();
        }
        all.extend(bench.said().await);
        bench.append("a.jsonl", &lines(7..9));
        all.extend(bench.said().await);
        let numbers: Vec<&str> = all.iter().filter_map(|one| one.split('=').nth(1)).collect();
        assert_eq!(numbers, (0..9).map(|one| one.to_string()).collect::<Vec<_>>(), "{copies}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_removed_is_read_to_its_end_and_waited_for() {
    let mut bench = Bench::with(&[("a.jsonl", &lines(0..2))], json!({ "path": "a.jsonl" }));
    assert_eq!(bench.said().await, ids("a", 0..2));
    bench.append("a.jsonl", &lines(2..4));
    bench.append("a.jsonl", "{\"v\":4}");
    fs::remove_file(bench.path("a.jsonl")).unwrap();
    assert_eq!(bench.said().await, ids("a", 2..4));
    assert_eq!(bench.trouble().as_deref(), Some("`a.jsonl` is not there"));
    // A last line without a line break counts once nobody can end it any more.
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(bench.said().await, ids("a", 4..5));
    bench.append("a.jsonl", &lines(0..1));
    assert_eq!(bench.said().await, ids("a", 0..1));
    assert_eq!(bench.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_grow_is_closed_and_read_on_when_it_does() {
    let mut bench = Bench::with(&[("a.jsonl", &lines(0..2))], json!({ "path": "a.jsonl" }));
    assert_eq!(bench.said().await, ids("a", 0..2));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(bench.said().await, [""; 0]);
    let open = || {
        fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .filter_map(|one| fs::read_link(one.path()).ok())
    };
    let path = bench.path("a.jsonl");
    assert!(!open().any(|file| file == path));
    bench.append("a.jsonl", &lines(2..3));
    assert_eq!(bench.said().await, ids("a", 2..3));
    assert!(open().any(|file| file == path));
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_after_a_restart_is_left_and_the_rest_goes_on() {
    let mut bench = Bench::with(
        &[("a.jsonl", &lines(0..2)), ("b.jsonl", &lines(0..1))],
        json!({ "path": "." }),
    );
    assert_eq!(bench.said().await.len(), 3);
    fs::remove_file(bench.path("a.jsonl")).unwrap();
    bench.append("b.jsonl", &lines(1..2));
    bench.restart().await;
    assert_eq!(bench.said().await, ids("b", 1..2));
    // The place of another source is none of its own.
    let other = Position { part: "data/a.csv@00".into(), offset: 1, line: 1 };
    assert!(bench.source.resume(&other).await.is_err());
}
