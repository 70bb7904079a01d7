use std::fmt::{Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// What goes to the log of this thread, a line each: node and message.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// Listens until the guard is dropped.
    pub(crate) fn listen() -> (Heard, DefaultGuard) {
        let heard = Heard::default();
        let guard = tracing::subscriber::set_default(heard.clone());
        (heard, guard)
    }

    /// What was said since this was last asked.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::WARN
    }
    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(format!("{}: {}", line.node, line.message));
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    node: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let into = match field.name() {
            "node" => &mut self.node,
            "message" => &mut self.message,
            _ => return,
        };
        write!(into, "{value:?}").unwrap();
    }
}

struct Bench {
    limit: LogLimit,
    node: Arc<str>,
    heard: Heard,
    _guard: DefaultGuard,
}

impl Bench {
    fn new(limit: LogLimit) -> Bench {
        let (heard, guard) = Heard::listen();
        Bench { limit, node: "p/in".into(), heard, _guard: guard }
    }

    /// Something comes; what the log has of it.
    fn come(&self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
        for line in lines {
            if self.limit.admits(Some(&self.node), line.as_ref()) {
                let node = &self.node;
                tracing::warn!(%node, "{}", line.as_ref());
            }
        }
        self.heard.take()
    }

    /// What the log gets while a time passes in which nothing comes.
    async fn passes(&self, millis: u64) -> Vec<String> {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.heard.take()
    }
}

const NOTHING: [String; 0] = [];

#[tokio::test(start_paused = true)]
async fn the_first_is_said_and_once_a_minute_how_many_more_there_were() {
    let bench = Bench::new(LogLimit::with_help("`look` shows them"));
    let many = |from: u32| (from..from + 50_000).map(|line| format!("line {line} is `x{line}`"));
    assert_eq!(bench.come(many(1)), ["p/in: line 1 is `x1`"]);
    assert_eq!(bench.passes(30_000).await, NOTHING);
    assert_eq!(bench.come(many(1)), NOTHING);
    assert_eq!(bench.passes(29_999).await, NOTHING);
    assert_eq!(
        bench.passes(2).await,
        ["p/in: and 99999 more like it in the last minute; `look` shows them"]
    );
    // A flood that goes on is told once a minute, whenever in it something comes.
    for minute in 2..100 {
        let mut said = bench.come(["line 7 is `y`"]);
        said.extend(bench.passes(20_000).await);
        said.extend(bench.come(["line 8 is `z`"]));
        said.extend(bench.passes(40_000).await);
        assert_eq!(
            said,
            ["p/in: and 2 more like it in the last minute; `look` shows them"],
            "{minute}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_less_than_once_a_minute_is_said_each_time() {
    let bench = Bench::new(LogLimit::default());
    for _ in 0..3 {
        assert_eq!(bench.come(["no number"]), ["p/in: no number"]);
        assert_eq!(bench.passes(60_000).await, NOTHING);
    }
    bench.come(["no number", "no number"]);
    assert_eq!(bench.passes(60_001).await, ["p/in: and 1 more like it in the last minute"]);
    assert_eq!(bench.come(["no number"]), NOTHING, "it still goes on");
    assert_eq!(bench.passes(60_001).await, ["p/in: and 1 more like it in the last minute"]);
    assert_eq!(bench.passes(60_000).await, NOTHING);
    assert_eq!(bench.come(["no number"]), ["p/in: no number"], "it had ended");
}

#[tokio::test(start_paused = true)]
async fn other_kinds_are_said_too_but_not_as_many_as_a_stranger_makes() {
    let bench = Bench::new(LogLimit::default());
    let first = ["too long: 9 bytes", "too long: 10 bytes", "no `a`", "no `b\"c`", "no \"`d\""];
    assert_eq!(
        bench.come(first),
        ["p/in: too long: 9 bytes", "p/in: no `a`", "p/in: no \"`d\""],
        "numbers and what is quoted make no other kind"
    );
    let kinds = (0..1_000).map(|kind| "x".repeat(kind));
    assert_eq!(bench.come(kinds), ["p/in: ", "p/in: x"]);
    let told = "p/in: and 1000 more like these in the last minute";
    assert_eq!(bench.passes(60_001).await, [told]);
    assert_eq!(bench.limit.0.lock().kinds.len(), KINDS_MAX);
    let kinds = (0..1_000).map(|kind| format!("{}ü", "ü".repeat(kind * 7)));
    assert_eq!(bench.come(kinds), NOTHING, "one line a minute while it goes on");
}

#[tokio::test(start_paused = true)]
async fn what_is_still_to_be_said_is_said_at_the_end_and_about_the_host_without_a_node() {
    let bench = Bench::new(LogLimit::default());
    assert!(bench.limit.admits(None, "no room"));
    assert!(!bench.limit.admits_of(None, "no room", 40));
    let clone = bench.limit.clone();
    assert!(!clone.admits(None, "no room"));
    drop(clone);
    assert_eq!(bench.heard.take(), NOTHING);
    let Bench { limit, heard, .. } = &bench;
    assert_eq!(format!("{limit:?}"), "LogLimit(41 more)");
    let heard = heard.clone();
    let Bench { limit, _guard: guard, .. } = bench;
    drop(limit);
    assert_eq!(heard.take(), [": and 41 more like it since then"]);
    drop(guard);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(heard.take(), NOTHING);
}

#[test]
fn where_no_runtime_waits_the_next_one_tells() {
    let bench = Bench::new(LogLimit::default());
    bench.come(["a", "a", "a"]);
    bench.limit.0.lock().since = Instant::now().checked_sub(SAY_EVERY);
    assert_eq!(bench.come(["a"]), ["p/in: and 2 more like it since then"]);
    bench.limit.0.lock().since = Instant::now().checked_sub(SAY_EVERY);
    assert_eq!(bench.come(["a"]), ["p/in: and 1 more like it since then"]);
}
