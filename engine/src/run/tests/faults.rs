//! What breaks, and what must go on all the same.

use std::fmt::Write as _;

use super::run;

#[test]
fn a_recording_that_breaks_is_not_read_from_its_beginning_again() {
    let ran = run("
pipeline: p
sources:
  a: { as: a, numbers: { count: 9, panic_at: 3 } }
  b: { as: b, numbers: { count: 5 } }
sinks:
  out: { inputs: [a], lines: {} }
  other: { inputs: [b], lines: {} }
");
    let of_a: Vec<_> = ran.lines.lines().filter(|line| line.contains(" a:")).collect();
    assert_eq!(of_a, ["0 a:n 0", "1 a:n 1", "2 a:n 2"]);
    assert_eq!(ran.lines.lines().count(), 3 + 5, "the other recording goes on");
    assert_eq!(ran.failed, ["a"]);
    assert_eq!(ran.errors, ["`p/a` failed: it panicked: the source is broken"]);
}

#[test]
fn once_asks_a_made_up_source_that_never_ends_once() {
    let ran = run("
pipeline: p
sources:
  a: { numbers: { count: 100, simulated: true } }
sinks:
  out: { inputs: [a], lines: {} }
");
    assert_eq!(ran.lines.lines().count(), 1);
}

/// Each of them needs a thread for as long as it runs, and one queue that nobody empties stops the island.
#[test]
fn more_sinks_that_block_than_a_pool_of_threads_has_all_run() {
    let mut yaml = String::from(
        "pipeline: p\nsources:\n  a: { numbers: { count: 4000, batch: 1000 } }\nsinks:\n",
    );
    for n in 0..600 {
        let _ = writeln!(
            yaml,
            "  s{n}: {{ inputs: [a], queue: {{ size: 64KiB }}, lines: {{ blocks: true, quiet: true }} }}"
        );
    }
    let ran = run(&yaml);
    assert_eq!(ran.errors, Vec::<String>::new());
}
