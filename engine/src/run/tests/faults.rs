//! What breaks, and what must go on all the same.

use super::run;

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
