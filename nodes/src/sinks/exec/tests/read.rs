//! `ack: read`: a program that runs on and reads.

use super::*;

#[tokio::test]
async fn it_is_started_once_and_reads_a_line_for_each_item() {
    let mut bench = Bench::new(json!({ "shell": "echo $$ >> ids; exec cat > out" }));
    assert_eq!(bench.write([1, 2]).await, [""; 0]);
    assert_eq!(bench.write([3]).await, [""; 0]);
    bench.sink.flush(START).await.unwrap();
    bench.sink.close(START).await.unwrap();
    assert_eq!(bench.values("out"), [1, 2, 3]);
    assert!(bench.file("out").starts_with(r#"{"time":"#));
    assert_eq!(bench.file("ids").lines().count(), 1);
    assert!(!is_alive(bench.file("ids").trim()));
    assert_eq!(bench.trouble(), None);
}

#[tokio::test]
async fn what_it_did_not_read_comes_again_to_the_next_one() {
    // Each reads two lines, a byte at a time, and ends.
    let script = "read a; echo $a >> out; read b; echo $b >> out; exit 3";
    let mut bench = Bench::new(json!({ "shell": script, "body": value_only() }));
    let whys = bench.write(0..7).await;
    assert!(whys.contains(&"`sh` ended with exit code 3".to_owned()), "{whys:?}");
    bench.holds("out", &lines(0..7)).await;
    assert_eq!(bench.refused(), []);
}

#[tokio::test]
async fn a_line_that_was_read_in_part_comes_again_whole() {
    let script = "if test -e second; then exec cat > out; fi; touch second; head -c 3 > first";
    let mut bench = Bench::new(json!({ "shell": script, "body": value_only() }));
    bench.write([10, 20, 30]).await;
    bench.sink.close(START).await.unwrap();
    assert_eq!(
        (bench.file("first"), bench.file("out")),
        ("10\n".to_owned(), "20\n30\n".to_owned())
    );
}

#[tokio::test]
async fn nothing_counts_as_taken_before_it_was_read() {
    let script = "while ! test -e go; do sleep 0.01; done; exec cat > out";
    let mut bench = Bench::new(json!({ "shell": script, "body": value_only() }));
    let batch = bench.batch([1]);
    assert!(timeout(StdDuration::from_millis(100), bench.sink.write(&batch)).await.is_err());
    // The future was dropped: the one that has it is replaced, and the same comes again.
    std::fs::write(bench.folder.path().join("go"), "").unwrap();
    bench.try_write(&batch).await.unwrap();
    bench.sink.close(START).await.unwrap();
    assert!(bench.file("out").ends_with("1\n"));
}

#[tokio::test]
async fn more_than_a_pipe_holds_goes_through() {
    let mut bench = Bench::new(
        json!({ "shell": "exec cat > out", "batch": { "bytes": "1MiB", "items": 10_000 } }),
    );
    bench.write(0..9_000).await;
    bench.sink.close(START).await.unwrap();
    assert_eq!(bench.values("out"), (0..9_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_that_ended_meanwhile_is_noticed_and_told() {
    let mut bench = Bench::new(json!({ "shell": "read a; echo $$ > id; echo tired >&2; exit 9" }));
    bench.write([1]).await;
    while bench.trouble().is_none() {
        bench.sink.flush(START).await.unwrap();
        tokio::time::sleep(StdDuration::from_millis(5)).await;
    }
    assert_eq!(
        bench.trouble().unwrap(),
        "`sh` ended with exit code 9: tired; it is started again with the next items"
    );
    let first = bench.file("id");
    bench.write([2]).await;
    while bench.file("id") == first {
        tokio::time::sleep(StdDuration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_that_closes_its_input_is_replaced() {
    let script = "echo >> starts; exec <&-; sleep 1000";
    let mut bench = Bench::new(json!({ "shell": script, "stop_timeout": "50ms" }));
    let batch = bench.batch([1]);
    // It may have been written before it was closed; then it was not read.
    let why = loop {
        match bench.try_write(&batch).await {
            Err(why) if why.contains("ended a moment ago") => {}
            Err(why) => break why,
            Ok(()) => panic!("nobody read it"),
        }
    };
    assert_eq!(why, "`sh` reads its input no more");
}

#[tokio::test]
async fn one_that_cannot_be_started_says_why() {
    let mut bench = Bench::new(json!({ "command": ["/no/such"] }));
    let batch = bench.batch([1]);
    let why = bench.try_write(&batch).await.unwrap_err();
    assert!(why.starts_with("there is no program `/no/such`"), "{why}");
    assert_eq!(bench.trouble(), Some(why));
}

#[tokio::test]
async fn at_a_stop_it_may_finish_and_is_ended_where_it_does_not() {
    let script = "cat > out; sleep 0.1; echo done >> out";
    let mut bench = Bench::new(json!({ "shell": script, "body": value_only() }));
    bench.write([1]).await;
    bench.sink.close(START).await.unwrap();
    assert_eq!(bench.file("out"), "1\ndone\n");
    let script = "trap '' TERM; sleep 1000 & echo $! > id; cat > /dev/null; wait";
    let mut bench = Bench::new(json!({ "shell": script, "stop_timeout": "50ms" }));
    bench.write([1]).await;
    bench.sink.close(START).await.unwrap();
    is_gone(bench.file("id").trim()).await;
}

#[tokio::test]
async fn dropped_it_is_killed_with_all_it_started() {
    let script = "sleep 1000 & echo $! > id; cat > /dev/null; wait";
    let mut bench = Bench::new(json!({ "shell": script }));
    bench.write([1]).await;
    let id = bench.file("id");
    assert!(is_alive(id.trim()));
    drop(bench);
    is_gone(id.trim()).await;
}
