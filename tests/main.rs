//! Tests of the whole.

mod bad_input;
mod pipelines;
mod test_command;
