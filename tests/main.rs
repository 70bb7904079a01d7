//! Tests of the whole.

mod bad_input;
