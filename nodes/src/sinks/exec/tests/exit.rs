//! `ack: exit`: a run a batch.

use super::*;

fn bench(script: &str, mut settings: Json) -> Bench {
    settings["shell"] = script.into();
    settings["ack"] = "exit".into();
    Bench::new(settings)
}

#[tokio::test]
async fn each_batch_is_the_whole_input_of_a_run() {
    let script = "echo run $SMOLLAMA_BATCH >> runs; cat >> out";
    let mut bench = bench(script, json!({ "batch": { "items": 2 }, "body": value_only() }));
    assert_eq!(bench.write([1, 2, 3]).await, [""; 0]);
    assert_eq!(bench.file("out"), "1\n2\n3\n");
    let key = "000000000000000000000000000000ab";
    assert_eq!(bench.file("runs"), format!("run {key}-1-2\nrun {key}-3-3\n"));
}

#[tokio::test]
async fn an_array_is_one_text() {
    let mut bench = bench("cat > out", json!({ "body": "json" }));
    bench.write([1, 2]).await;
    let array: Json = serde_json::from_str(&bench.file("out")).unwrap();
    assert_eq!((array[0]["value"].as_i64(), array[1]["value"].as_i64()), (Some(1), Some(2)));
}

#[tokio::test]
async fn a_run_that_fails_comes_again() {
    let script =
        "cat > in; test -e well || { touch well; echo not yet >&2; exit 75; }; cat in >> out";
    let mut bench = bench(script, json!({}));
    assert_eq!(bench.write([1, 2]).await, ["`sh` ended with exit code 75: not yet"]);
    assert_eq!(bench.values("out"), [1, 2]);
}

#[tokio::test]
async fn what_it_rejects_goes_to_the_dead_letters_and_its_neighbours_do_not() {
    let script = "cat > in; if grep -q '^4$' in; then echo four >&2; exit 65; fi; cat in >> out";
    let mut bench = bench(script, json!({ "body": value_only() }));
    assert_eq!(bench.write(1..8).await, [""; 0]);
    assert_eq!(bench.file("out"), lines([1, 2, 3, 5, 6, 7]));
    assert_eq!(bench.refused(), [(vec![4], "`sh` ended with exit code 65: four".to_owned())]);
}

#[tokio::test]
async fn one_that_takes_too_long_is_ended_with_all_it_started() {
    let script = "sleep 1000 & echo $! > id; cat > /dev/null; wait";
    let mut bench = bench(script, json!({ "timeout": "300ms" }));
    let batch = bench.batch([1]);
    let why = bench.try_write(&batch).await.unwrap_err();
    assert_eq!(
        why,
        "`sh` still ran after 300ms (`timeout`), was told to end, and was ended by signal 15"
    );
    is_gone(bench.file("id").trim()).await;
}

#[tokio::test]
async fn a_run_need_not_read_its_input() {
    let mut bench = bench("exit 0", json!({ "batch": { "bytes": "1MiB", "items": 10_000 } }));
    assert_eq!(bench.write(0..9_000).await, [""; 0]);
}

#[tokio::test]
async fn a_run_that_is_cut_off_is_killed_and_comes_again() {
    let script = "echo $$ > id.new; mv id.new id; test -e go || exec sleep 1000; cat > out";
    let mut bench = bench(script, json!({}));
    let batch = bench.batch([1]);
    let id = loop {
        let _ = timeout(StdDuration::from_millis(100), bench.sink.write(&batch)).await;
        let id = bench.file("id");
        if !id.is_empty() {
            break id;
        }
    };
    is_gone(id.trim()).await;
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    bench.sink.close(START).await.unwrap();
    assert!(bench.values("out").contains(&1));
}
