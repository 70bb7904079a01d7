//! The whole engine on a simulated disk: the real supervisor, store and nodes live through a fixed story, and the disk crashes, fails, tears
//! and fills up at each of its calls. What must be true afterwards is what `docs/guarantees.md` says.
//!
//! - `world`: the senders and receivers outside, which outlive the host. `inline`: real nodes on one thread.
//! - `site`: lives of a host that follow each other on one disk. `story`: what happens in them.
//! - `account`: what was given, what is there, and whether that is right.
//! - `day`: what an ordinary day costs a disk. `looks`: what `status` says of one that fails or fills.
//! - `crashes`, `errors`, `space`: the tests. With `SMOLLAMA_SOAK=1` they try everything, several times.

mod account;
mod crashes;
mod day;
mod errors;
mod inline;
mod looks;
mod site;
mod space;
mod story;
mod world;

use smollama_engine::time::Timestamp;

/// When the first life begins: 2025-11-21T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_763_683_200_000_000);

/// Calls of the disk, with seeds: all of them several times where `SMOLLAMA_SOAK` is set, which takes minutes; else one of so many.
fn calls(of: u64, one_in: u64) -> impl Iterator<Item = (u64, u64)> {
    let soak = std::env::var_os("SMOLLAMA_SOAK").is_some();
    let (step, rounds) = if soak { (1, 4) } else { (one_in, 1) };
    if soak {
        // `scripts/soak.sh` makes a table of it.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        println!("| {test} | {of} | {rounds} | {} |", of * rounds);
    }
    let calls = move |round: u64| (0..of).step_by(step as usize).map(move |call| (call, round));
    (0..rounds).flat_map(calls).map(move |(call, round)| (call, call + round * of))
}
