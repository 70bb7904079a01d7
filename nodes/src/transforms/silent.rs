//! Every node drops what it keeps of series that give their slots back, and emits first what it owes for them.

use serde_json::json;
use smollama_engine::reading::Value;
use smollama_engine::registry::NodeConfig;
use smollama_engine::series::SeriesId;
use smollama_engine::testing::Rig;

use super::adaptive_rate::AdaptiveRateConfig;
use super::alarm::AlarmConfig;
use super::dedup::DedupConfig;
use super::latest::LatestConfig;
use super::novelty::NoveltyConfig;
use super::volatility::VolatilityConfig;
use super::window::WindowConfig;

const A: &str = "t:a";
const B: &str = "t:b";

/// Two series that go on in turns, from one second to another.
fn both<C: NodeConfig>(rig: &mut Rig<C>, seconds: std::ops::Range<i32>) {
    for second in seconds {
        let value = f64::from(second % 7);
        rig.send(f64::from(second), A, value);
        rig.send(f64::from(second), B, value);
    }
}

/// Of each window: its series, with the count of their readings.
fn windows<C: NodeConfig>(rig: &mut Rig<C>) -> Vec<Vec<(String, u64)>> {
    let windows = rig.windows("main");
    let of = |one: &smollama_engine::window::Summary| (one.series, one.count);
    let all = windows.iter().map(|window| window.summaries.iter().map(of).collect::<Vec<_>>());
    let named = |(id, count): (SeriesId, u64)| (rig.name(id), count);
    all.map(|window| window.into_iter().map(named).collect()).collect()
}

fn counted(count: u64, name: &str) -> (String, u64) {
    (name.to_owned(), count)
}

/// That a series is gone from the state, that its state can still be taken, and that another is still there.
fn assert_forgotten<C: NodeConfig>(rig: &mut Rig<C>) {
    assert_eq!(rig.remembered(), [B]);
    rig.restart();
    assert_eq!(rig.remembered(), [B]);
}

#[test]
fn alarm_tells_what_it_holds_back_and_reminds_no_more() {
    let settings = json!({ "above": 8, "quiet": "00:00-12:00", "remind": "1h" });
    let mut rig: Rig<AlarmConfig> = Rig::json(settings);
    rig.send(0.0, A, 9.0);
    rig.send(0.0, B, 5.0);
    let made: Vec<SeriesId> = rig.readings("main").iter().map(|one| one.series).collect();
    rig.restart();
    assert_eq!((rig.observations("news"), rig.forget(&[A])), (vec![], vec![made[0]]));
    assert_eq!(rig.observations("news").len(), 1);
    assert_forgotten(&mut rig);
    rig.wait_until(1e6);
    assert_eq!(rig.observations("news"), []);
}

#[test]
fn dedup_emits_what_it_holds() {
    for (keep, port) in [("last", "main"), ("first", "dropped")] {
        let mut rig: Rig<DedupConfig> = Rig::json(json!({ "keep": keep }));
        for second in 0..3 {
            rig.send(f64::from(second), A, 1.0);
            rig.send(f64::from(second), B, 1.0);
        }
        let before = [rig.readings("main"), rig.readings("dropped")].concat().len();
        assert_eq!(rig.forget(&[A]), []);
        let left: Vec<u32> = rig.readings(port).iter().map(|one| one.count).collect();
        // What `first` suppressed it has emitted there already.
        let held: &[u32] = if keep == "last" { &[2] } else { &[] };
        assert_eq!(
            (left.as_slice(), before + left.len()),
            (held, if keep == "last" { 5 } else { 6 })
        );
        assert_forgotten(&mut rig);
        rig.send(4.0, A, 1.0);
        rig.send(4.0, B, 1.0);
        let passed = rig.values("main");
        assert_eq!(passed, [(4.0, A.to_owned(), Value::Float(1.0))], "the first of its series");
    }
}

#[test]
fn latest_passes_what_waits() {
    let mut rig: Rig<LatestConfig> = Rig::json(json!({ "every": "7d" }));
    both(&mut rig, 0..3);
    rig.forget(&[A]);
    assert_eq!(rig.values("main"), [(2.0, A.to_owned(), Value::Float(2.0))]);
    assert_forgotten(&mut rig);
    rig.forget(&[B]);
    assert_eq!(rig.values("main"), [(2.0, B.to_owned(), Value::Float(2.0))]);
    rig.wait_until(8.0 * 86_400.0);
    assert_eq!((rig.values("main"), rig.remembered()), (vec![], vec![]));
}

#[test]
fn novelty_learns_anew() {
    let rig = || -> Rig<NoveltyConfig> { Rig::json(json!({ "warm_up": 10 })) };
    let scores = |rig: &mut Rig<NoveltyConfig>, seconds: std::ops::Range<i32>, source| {
        for second in seconds {
            let value = if second % 61 == 60 { 1e3 } else { f64::from(second % 7) };
            rig.send(f64::from(second), A, value);
            rig.send(f64::from(second), B, value);
        }
        let mut passed = rig.readings("main");
        passed.retain(|one| rig.name(one.series) == source);
        passed.iter().map(|one| one.score).collect::<Vec<_>>()
    };
    let (mut forgetful, mut new) = (rig(), rig());
    scores(&mut forgetful, 0..300, A);
    forgetful.forget(&[A]);
    assert_forgotten(&mut forgetful);
    let anew = scores(&mut new, 300..600, A);
    assert!(anew.iter().any(|score| *score > 0.0));
    assert_eq!(scores(&mut forgetful, 300..600, A), anew);
    assert_ne!(scores(&mut forgetful, 600..900, B), scores(&mut new, 600..900, B));
}

#[test]
fn volatility_names_what_it_made_also_after_a_restart() {
    for restart in [false, true] {
        let mut rig: Rig<VolatilityConfig> = Rig::json(json!({}));
        both(&mut rig, 0..40);
        let mut made: Vec<SeriesId> = rig.readings("values").iter().map(|one| one.series).collect();
        made.extend(rig.readings("changes").iter().map(|one| one.series));
        made.retain(|id| rig.name(*id).ends_with("t/a"));
        made.sort_unstable();
        made.dedup();
        assert_eq!(made.len(), 2, "of values and of changes");
        if restart {
            rig.restart();
        }
        let mut silent = rig.forget(&[A]);
        silent.sort_unstable();
        assert_eq!(silent, made);
        assert_forgotten(&mut rig);
        both(&mut rig, 40..80);
        let again = rig.readings("values");
        assert!(again.iter().all(|one| !made.contains(&one.series)), "numbers are not used twice");
        assert!(again.iter().any(|one| rig.name(one.series).ends_with("t/a")));
    }
}

#[test]
fn adaptive_rate_gives_the_series_a_window_of_its_own() {
    let mut rig: Rig<AdaptiveRateConfig> = Rig::json(json!({}));
    both(&mut rig, 0..3);
    rig.forget(&[A]);
    assert_eq!(windows(&mut rig), [[counted(3, A)]]);
    assert_forgotten(&mut rig);
    rig.send(3.0, B, 1.0);
    rig.finish();
    assert_eq!(windows(&mut rig), [[counted(4, B)]]);
}

#[test]
fn window_gives_the_series_a_window_of_its_own() {
    let shapes = [
        json!({ "length": "7d" }),
        json!({ "length": "7d", "group": false }),
        json!({ "gap": "7d" }),
        json!({ "count": 100 }),
    ];
    for shape in shapes {
        let mut rig: Rig<WindowConfig> = Rig::json(shape.clone());
        both(&mut rig, 0..3);
        let made = rig.forget(&[A]);
        assert_eq!(windows(&mut rig), [[counted(3, A)]], "{shape}");
        let values: Vec<SeriesId> = rig.readings("values").iter().map(|one| one.series).collect();
        assert_eq!((made.len(), values), (1, made), "the series of its mean goes with it");
        assert_forgotten(&mut rig);
        rig.send(3.0, A, 1.0);
        rig.send(3.0, B, 1.0);
        rig.finish();
        let mut last = windows(&mut rig).concat();
        last.sort_unstable();
        assert_eq!(last, [counted(1, A), counted(4, B)], "{shape}");
    }
}
