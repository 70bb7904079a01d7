//! The command line of Smollama.
fn main() {}
