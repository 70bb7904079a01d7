//! The source with real programs: those that run on here, single runs in `each`, settings in `settings`.

mod each;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use serde_json::{Value as Json, json};
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::node::SourceBatch;
use smollama_engine::reading::Reading;
use smollama_engine::testing::START;
use tokio::time::timeout;

use super::*;

struct Bench {
    host: Arc<Host>,
    source: Exec,
}

fn config(settings: Json) -> ExecConfig {
    let config: ExecConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    config
}

impl Bench {
    fn new(settings: Json) -> Bench {
        Bench::within(Path::new("/"), None, settings)
    }

    fn within(folder: &Path, every: Option<Duration>, settings: Json) -> Bench {
        let host = Arc::new(Host::for_tests(Path::new("/nonexistent")));
        let mut context = Context::new(host.clone(), "p/in", "x");
        (context.folder, context.every) = (folder.to_owned(), every);
        let config = config(settings);
        assert_eq!(config.problems_with(every), []);
        Bench { host, source: Exec::new(&config, &context).unwrap() }
    }

    async fn try_read(&mut self) -> Result<Read, NodeError> {
        let read = self.source.read(START);
        timeout(StdDuration::from_secs(20), read).await.expect("it gives something")
    }

    async fn read(&mut self) -> SourceBatch {
        match self.try_read().await {
            Ok(Read::Batch(batch)) => batch,
            other => panic!("{other:?}"),
        }
    }

    async fn why(&mut self) -> String {
        match self.try_read().await {
            Err(NodeError::Retry(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    fn shown(&self, batch: SourceBatch) -> Vec<String> {
        assert_eq!(batch.rejects, []);
        let Items::Readings(readings) = batch.items else { panic!("readings") };
        let shown =
            |one: &Reading| format!("{}={}", self.host.series.get(one.series).source, one.value);
        readings.iter().map(shown).collect()
    }

    /// The next so many readings, as `source=value`.
    async fn said(&mut self, many: usize) -> Vec<String> {
        let mut said = Vec::new();
        while said.len() < many {
            let batch = self.read().await;
            said.extend(self.shown(batch));
        }
        said
    }
}

/// Whether a process runs; one that has ended and that nobody has asked after does not.
pub(crate) fn is_alive(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, behind)| behind.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Waits until a process is gone.
pub(crate) async fn is_gone(id: &str) {
    let gone = async {
        while is_alive(id) {
            tokio::time::sleep(StdDuration::from_millis(5)).await;
        }
    };
    timeout(StdDuration::from_secs(20), gone).await.expect("it is gone");
}

/// What stands behind the `=`.
fn value(said: &str) -> &str {
    said.split_once('=').unwrap().1.trim_matches('"')
}

#[tokio::test]
async fn lines_come_as_they_are_written_and_the_program_runs_on() {
    let script =
        r#"echo '{"temperature":21.5,"n":1}'; echo; echo 7; printf 'half'; read wait; echo never"#;
    let mut bench = Bench::new(json!({ "shell": script, "env": { "A": "b" } }));
    assert_eq!(bench.said(3).await, ["x:temperature=21.5", "x:n=1", "x:value=7"]);
    assert_eq!(bench.source.trouble.get(), None);
    // Half a line waits for its rest, and a future that is dropped takes nothing along.
    for _ in 0..3 {
        let read = bench.source.read(START);
        assert!(timeout(StdDuration::from_millis(5), read).await.is_err());
    }
    bench.source.close().await;
}

#[tokio::test]
async fn no_shell_reads_a_command_and_variables_and_folders_are_its_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(
        folder.path().join("say"),
        "#!/bin/sh\necho \"$1 $SECRET $(basename \"$PWD\")\"\n",
    )
    .unwrap();
    let mut permissions = std::fs::metadata(folder.path().join("say")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(folder.path().join("say"), permissions).unwrap();
    // The program lies beside the pipeline file, wherever it works.
    let settings =
        json!({ "command": ["./say", "$HOME; *"], "env": { "SECRET": "s" }, "cwd": "in" });
    assert_eq!(
        Bench::within(folder.path(), None, settings).said(1).await,
        ["x:value=$HOME; * s in"]
    );
}

#[tokio::test]
async fn one_that_ended_is_started_again_after_pauses_that_grow() {
    let mut bench = Bench::new(json!({ "shell": "echo $$; echo broken >&2; exit 3" }));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(bench.said(1).await);
        assert_eq!(bench.why().await, "`sh` ended with exit code 3: broken");
        let trouble = bench.source.trouble.get().unwrap();
        assert!(
            trouble.starts_with("`sh` ended with exit code 3: broken; it is started again in "),
            "{trouble}"
        );
    }
    seen.dedup();
    assert_eq!(seen.len(), 3, "each is another process");
}

#[tokio::test]
async fn one_that_ended_well_is_started_again_too_and_says_what_might_be_meant() {
    let mut bench = Bench::new(json!({ "command": ["echo", "5"] }));
    assert_eq!(bench.said(2).await, ["x:value=5", "x:value=5"]);
    let trouble = loop {
        let read = timeout(StdDuration::from_millis(1), bench.source.read(START)).await;
        match bench.source.trouble.get() {
            Some(trouble) => break trouble,
            None => drop(read),
        }
    };
    assert!(trouble.contains("ended with exit code 0") && trouble.contains("`every`"), "{trouble}");
}

#[tokio::test]
async fn it_ends_where_it_is_not_to_be_started_again() {
    for restart in ["never", "on_failure"] {
        let mut bench = Bench::new(json!({ "shell": "echo 1; printf 2", "restart": restart }));
        // A last line needs no end where the program was through.
        assert_eq!(bench.said(2).await, ["x:value=1", "x:value=2"]);
        assert!(matches!(bench.try_read().await, Ok(Read::Finished)));
    }
}

#[tokio::test]
async fn under_never_a_failure_is_the_end_and_half_a_line_of_it_is_discarded() {
    let mut bench = Bench::new(json!({ "shell": "echo 1; printf 2; exit 4", "restart": "never" }));
    assert_eq!(bench.said(1).await, ["x:value=1"]);
    let fatal = NodeError::Fatal("`sh` ended with exit code 4".into());
    assert_eq!(bench.try_read().await.unwrap_err(), fatal);
    // One that gave nothing gives an empty batch first: it would be made anew otherwise.
    for command in [json!(["false"]), json!(["/nowhere/at-all"])] {
        let mut bench = Bench::new(json!({ "command": command, "restart": "never" }));
        assert_eq!(bench.shown_of_read().await, [""; 0]);
        assert!(matches!(bench.try_read().await, Err(NodeError::Fatal(_))));
    }
}

impl Bench {
    async fn shown_of_read(&mut self) -> Vec<String> {
        let batch = self.read().await;
        self.shown(batch)
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, permissions).unwrap();
    };
    file("plain", "echo 1\n", 0o644);
    file("lost", "#!/no/such/shell\n", 0o755);
    file("bare", "echo 1\n", 0o755);
    let here = folder.path().display();
    for (settings, why) in [
        (json!({ "command": ["no-such-program"], "env": { "PATH": "/a:/b" } }), "there is no program `no-such-program` (install it, or write its whole path; it was looked for in /a:/b)".to_owned()),
        (json!({ "command": ["./plain"] }), format!("`{here}/./plain` is not executable (`chmod +x {here}/./plain`)")),
        (json!({ "command": ["./lost"] }), "`lost` cannot be started: No such file or directory (os error 2): what its first line (`#!`) names is not there".into()),
        (json!({ "command": ["./bare"] }), "`bare` cannot be started: Exec format error (os error 8) (a script begins with a line such as `#!/bin/sh`)".into()),
        (json!({ "command": ["true"], "cwd": "gone" }), format!("`true` cannot be started: there is no folder `{here}/gone`")),
    ] {
        let mut bench = Bench::within(folder.path(), None, settings);
        for _ in 0..2 {
            assert_eq!(bench.why().await, why);
        }
        assert!(bench.source.trouble.get().unwrap().starts_with(&why));
    }
}

#[tokio::test]
async fn what_cannot_be_understood_goes_to_the_dead_letters_with_its_line() {
    let script =
        r#"echo 1; echo '{"a":'; head -c 200000 /dev/zero | tr '\0' x; echo; echo 2; read wait"#;
    let mut bench = Bench::new(json!({ "shell": script, "max_size": "100KiB" }));
    let (mut values, mut rejects) = (Vec::new(), Vec::new());
    while values.len() < 2 {
        let batch = bench.read().await;
        rejects.extend(batch.rejects);
        let Items::Readings(readings) = batch.items else { panic!("readings") };
        values.extend(readings.iter().map(|one| one.value.to_string()));
    }
    assert_eq!(values, ["1", "2"]);
    let told: Vec<_> = rejects.iter().map(|one| (&*one.origin, &*one.reason)).collect();
    assert_eq!(told[1], ("sh line 3", "longer than `max_size`"));
    assert_eq!((told.len(), told[0].0), (2, "sh line 2"));
    assert!(rejects[1].bytes.len() < 10_000 && rejects[1].bytes.starts_with(b"xxx"));
}

#[tokio::test]
async fn a_flood_waits_in_its_pipe() {
    let mut bench = Bench::new(json!({ "shell": "echo $$; while :; do echo 1; done" }));
    let first = bench.said(1).await;
    // Nothing is read unless it is asked for: the program is held up, and memory is bounded.
    let lines = |bench: &Bench| match &bench.source.runs {
        Runs::On(program) => program.waiting(),
        Runs::Each(_) => panic!("it runs on"),
    };
    for _ in 0..200 {
        assert!(bench.read().await.items.len() <= 1_024);
        assert!(lines(&bench) <= 256 << 10, "{}", lines(&bench));
    }
    assert!(is_alive(value(&first[0])));
    bench.source.close().await;
    assert!(!is_alive(value(&first[0])));
}

#[tokio::test]
async fn all_it_started_ends_with_it_also_what_does_not_want_to() {
    // A shell that ignores SIGTERM, and so does what it started.
    let script = "trap '' TERM; sleep 1000 & echo $$; echo $!; wait";
    let mut bench = Bench::new(json!({ "shell": script, "stop_timeout": "50ms" }));
    let ids = bench.said(2).await;
    bench.source.close().await;
    for id in &ids {
        is_gone(value(id)).await;
    }
    // Without a close, too: the engine gave the node up.
    let mut bench = Bench::new(json!({ "shell": script }));
    let ids = bench.said(2).await;
    assert!(ids.iter().all(|id| is_alive(value(id))));
    drop(bench);
    for id in &ids {
        is_gone(value(id)).await;
    }
}

#[tokio::test]
async fn it_is_told_to_end_and_may_tidy_up() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo tidy > done; exit 0' TERM; echo 1; while :; do sleep 0.01; done";
    let mut bench = Bench::within(folder.path(), None, json!({ "shell": script }));
    bench.said(1).await;
    bench.source.close().await;
    assert_eq!(std::fs::read_to_string(folder.path().join("done")).unwrap(), "tidy\n");
}

#[tokio::test]
async fn it_sees_the_end_of_its_input_when_it_is_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo 1; read line; echo end > done";
    let mut bench = Bench::within(folder.path(), None, json!({ "shell": script }));
    bench.said(1).await;
    bench.source.close().await;
    assert_eq!(std::fs::read_to_string(folder.path().join("done")).unwrap(), "end\n");
}

#[tokio::test]
async fn what_it_leaves_running_does_not_keep_it_alive() {
    let script = "sleep 1000 & echo $!; exit 5";
    let mut bench = Bench::new(json!({ "shell": script }));
    let id = bench.said(1).await;
    assert_eq!(bench.why().await, "`sh` ended with exit code 5");
    is_gone(value(&id[0])).await;
}

#[tokio::test]
async fn one_that_closes_its_output_and_runs_on_is_ended() {
    let mut bench = Bench::new(json!({ "shell": "echo 1; exec >&-; sleep 1000" }));
    assert_eq!(bench.said(1).await, ["x:value=1"]);
    assert_eq!(bench.why().await, "`sh` was ended by signal 9");
}
