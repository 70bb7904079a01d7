//! `smollama import` of what a Python Smollama left on a machine, and what it wrote at work.

mod data;
mod old;
mod settings;
