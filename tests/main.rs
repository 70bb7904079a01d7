//! Tests of the whole.

mod bad_input;
#[cfg(test)]
mod cli;
mod pipelines;
// Says to the lints that its small functions are tests, too.
#[cfg(test)]
mod test_command;
