//! What breaks, and what must go on all the same.

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
