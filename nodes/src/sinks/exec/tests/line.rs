//! `ack: line`: a program that answers each line.

use super::*;

fn bench(script: &str, mut settings: Json) -> Bench {
    settings["shell"] = script.into();
    settings["ack"] = "line".into();
    settings["body"] = value_only();
    Bench::new(settings)
}

#[tokio::test]
async fn each_line_is_taken_or_rejected_as_it_says() {
    let script = "while read -r n; do
        case $n in 3) echo 'reject too warm' ;; 5) echo reject ;; *) echo $n >> out; echo ok ;; esac
    done";
    let mut bench = bench(script, json!({}));
    assert_eq!(bench.write(0..7).await, [""; 0]);
    assert_eq!(bench.file("out"), lines([0, 1, 2, 4, 6]));
    let told = [(vec![3], "too warm".to_owned()), (vec![5], "the program rejected it".to_owned())];
    assert_eq!(bench.refused(), told);
    assert_eq!(bench.write([8]).await, [""; 0]);
    assert_eq!(bench.file("out"), lines([0, 1, 2, 4, 6, 8]));
}

#[tokio::test]
async fn what_it_has_not_answered_comes_again_and_nothing_else() {
    // Each takes two, is given a third, and dies of it.
    let script =
        "n=0; while read -r v; do n=$((n+1)); test $n = 3 && exit 1; echo $v >> out; echo ok; done";
    let mut bench = bench(script, json!({}));
    let whys = bench.write(0..9).await;
    assert!(whys.contains(&"`sh` ended with exit code 1".to_owned()), "{whys:?}");
    assert_eq!(bench.file("out"), lines(0..9));
    assert_eq!(bench.refused(), []);
}

#[tokio::test]
async fn what_was_rejected_before_it_died_is_not_given_again() {
    let script = "read a; echo reject; read b; exit 1";
    let mut bench = bench(script, json!({}));
    let batch = bench.batch([1, 2]);
    assert_eq!(bench.try_write(&batch).await.unwrap_err(), "`sh` ended with exit code 1");
    assert_eq!(bench.refused(), [(vec![1], "the program rejected it".to_owned())]);
}

#[tokio::test]
async fn anything_else_is_no_answer() {
    for (script, why) in [
        (
            "echo listening; cat > /dev/null",
            "`sh` answered `listening`, which is neither `ok` nor `reject` and why",
        ),
        ("read a; printf 'ok\\nok\\n'; cat > /dev/null", "`sh` answered more than it was asked"),
        ("read a; exec >&-; cat > /dev/null", "`sh` closed its output, where it is to answer"),
        ("cat > /dev/null", "`sh` has not answered for 100ms (`timeout`)"),
    ] {
        let settings = json!({ "stop_timeout": "50ms", "timeout": if why.contains("timeout") { "100ms" } else { "20s" } });
        let mut bench = bench(script, settings);
        let batch = bench.batch([1]);
        assert_eq!(bench.try_write(&batch).await.unwrap_err(), why, "{script}");
    }
}

#[tokio::test]
async fn more_than_pipes_hold_goes_through_both_ways() {
    let script = "while read -r n; do echo $n >> out; echo ok; done";
    let mut bench = bench(script, json!({ "batch": { "bytes": "1MiB", "items": 10_000 } }));
    // In both pipes there is room for less.
    bench.write(100_000..105_000).await;
    assert_eq!(bench.file("out"), lines(100_000..105_000));
}
