//! The history as its users see it: through [`Writer`](super::Writer) and [`Reader`](super::Reader).

mod figures;
