//! The history as its users see it: through [`Writer`](super::Writer) and [`Reader`](super::Reader).

mod failures;
mod figures;
mod foreign;
mod keeping;
mod reading;
mod streams;
mod system;
mod timeline;
