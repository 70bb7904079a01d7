//! One run each time.

use super::*;

fn each(settings: Json) -> Bench {
    Bench::within(Path::new("/"), Some(Duration::from_millis(20)), settings)
}

#[tokio::test]
async fn an_output_becomes_readings_by_what_it_is() {
    for (settings, text, said) in [
        (json!({}), "21.5\\n", vec!["x:value=21.5"]),
        (json!({ "id": "{program}" }), "21.5", vec!["x:sh=21.5"]),
        (json!({}), "{\\n\"a\": 1,\\n\"b\": 2\\n}\\n", vec!["x:a=1", "x:b=2"]),
        // Lines are told from one text.
        (json!({}), "{\"a\":1}\\n{\"a\":2}\\n", vec!["x:a=1", "x:a=2"]),
        (json!({ "format": "json_lines" }), "1\\n{\"a\":2}\\n", vec!["x:value=1", "x:a=2"]),
        (json!({ "format": "text" }), "one\\ntwo", vec!["x:value=one\ntwo"]),
        (
            json!({ "each": "l", "value": "v", "id": "{n}" }),
            "{\"l\":[{\"n\":\"i\",\"v\":1}]}",
            vec!["x:i=1"],
        ),
        (json!({}), "", vec![]),
    ] {
        let mut settings = settings;
        settings["shell"] = format!("printf '{text}'").into();
        assert_eq!(each(settings).shown_of_read().await, said, "{text}");
    }
}

#[tokio::test]
async fn each_time_is_a_run_of_its_own() {
    let mut bench = each(json!({ "shell": "echo $$" }));
    let (one, other) = (bench.said(1).await, bench.said(1).await);
    assert_ne!(one, other);
    assert!(!is_alive(value(&one[0])));
}

#[tokio::test]
async fn a_run_that_fails_is_an_error_and_the_next_comes_at_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo run >> runs; echo 1; echo one >&2; echo two >&2; exit 7";
    let settings = json!({ "shell": script });
    let every = Duration::from_hours(1);
    let mut bench = Bench::within(folder.path(), Some(every), settings);
    assert_eq!(bench.why().await, "`sh` ended with exit code 7: one / two");
    assert_eq!(
        bench.source.trouble.get().as_deref(),
        Some("`sh` ended with exit code 7: one / two")
    );
    // The engine asks again soon; it runs when it is due.
    assert!(timeout(StdDuration::from_millis(20), bench.source.read(START)).await.is_err());
    assert_eq!(std::fs::read_to_string(folder.path().join("runs")).unwrap(), "run\n");
}

#[tokio::test]
async fn what_was_wrong_is_forgotten_when_a_run_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo 1; test -e well || { touch well; exit 1; }";
    let mut bench =
        Bench::within(folder.path(), Some(Duration::from_millis(1)), json!({ "shell": script }));
    assert_eq!(bench.why().await, "`sh` ended with exit code 1");
    assert_eq!(bench.said(1).await, ["x:value=1"]);
    assert_eq!(bench.source.trouble.get(), None);
}

#[tokio::test]
async fn one_that_takes_too_long_is_ended_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 1000 & echo $! > id; echo slow >&2; wait";
    let settings = json!({ "shell": script, "timeout": "300ms" });
    let mut bench = Bench::within(folder.path(), Some(Duration::from_secs(1)), settings);
    let why = bench.why().await;
    assert_eq!(
        why,
        "`sh` still ran after 300ms (`timeout`), was told to end, and was ended by signal 15: slow"
    );
    let id = std::fs::read_to_string(folder.path().join("id")).unwrap();
    is_gone(id.trim()).await;
}

#[tokio::test]
async fn a_run_goes_on_where_the_engine_asks_anew() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo run >> runs; while ! test -e go; do sleep 0.01; done; echo 1";
    let mut bench =
        Bench::within(folder.path(), Some(Duration::from_secs(1)), json!({ "shell": script }));
    for _ in 0..3 {
        assert!(timeout(StdDuration::from_millis(20), bench.source.read(START)).await.is_err());
    }
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(bench.said(1).await, ["x:value=1"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("runs")).unwrap(), "run\n");
}

#[tokio::test]
async fn an_output_has_a_bound_and_the_program_ends_there() {
    let mut bench = each(json!({ "shell": "echo $$; exec cat /dev/zero", "max_size": "100KiB" }));
    let batch = bench.read().await;
    let [reject] = &batch.rejects[..] else { panic!("{batch:?}") };
    assert_eq!((&*reject.origin, &*reject.reason), ("sh", "more than `max_size` (102400 bytes)"));
    let id = String::from_utf8_lossy(&reject.bytes).lines().next().unwrap().to_owned();
    is_gone(&id).await;
}

#[tokio::test]
async fn its_input_is_empty_and_what_it_does_behind_its_output_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cat; echo 1; exec >&-; sleep 0.1; echo > done";
    let mut bench =
        Bench::within(folder.path(), Some(Duration::from_secs(1)), json!({ "shell": script }));
    assert_eq!(bench.said(1).await, ["x:value=1"]);
    assert!(folder.path().join("done").exists());
}

#[tokio::test]
async fn a_close_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let settings = json!({ "shell": "echo $$ > id.new; mv id.new id; exec sleep 1000" });
    let mut bench = Bench::within(folder.path(), Some(Duration::from_secs(1)), settings);
    let id = loop {
        let _ = timeout(StdDuration::from_millis(5), bench.source.read(START)).await;
        if let Ok(id) = std::fs::read_to_string(folder.path().join("id")) {
            break id;
        }
    };
    bench.source.close().await;
    is_gone(id.trim()).await;
}
