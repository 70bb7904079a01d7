//! The API of a running engine: [`Server`] serves a [`Control`](smollama_engine::control::Control) over a Unix socket in the data
//! directory and over TCP, and [`Client`] is the same trait on the other side of the socket.
//!
//! - `api/endpoints.rs` lists every endpoint with what it needs; router, guard, OpenAPI document and docs are held to that list.
//! - `access/` decides who may do what, before a handler or the engine hears of a request.
//! - `audit/` keeps every change and every refusal.
//! - `serve/` bounds what a connection can cost.

mod access;
mod api;
mod audit;
mod client;
mod serve;
#[cfg(test)]
mod tests;

pub use access::{ListenError, check_listen};
pub use client::Client;
pub use serve::{Options, SOCKET_NAME, Server, StartError};
