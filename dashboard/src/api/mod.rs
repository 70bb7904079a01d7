//! What can be asked over HTTP, and how an answer looks.

mod answer;
mod change;
mod endpoints;
mod guard;
mod letters;
mod look;
mod metrics;
mod openapi;
mod stream;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn_with_state, map_response};
use smollama_engine::control::{Control, ControlError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Gate;
use crate::audit::Audit;
use answer::Problem;
use endpoints::ENDPOINTS;

pub(crate) use answer::ErrorBody;
pub(crate) use letters::LetterQuery;
pub(crate) use look::TapQuery;
pub(crate) use stream::MISSED;

/// How many streams are open at a time, over all connections.
const STREAMS_MAX: usize = 32;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) gate: Gate,
    pub(crate) audit: Arc<Audit>,
    /// Cancelled when the server is to stop: streams end.
    pub(crate) closing: CancellationToken,
    /// Changes under way: they go on when whoever asked for them hangs up.
    pub(crate) changes: TaskTracker,
    pub(crate) traffic: Traffic,
    streams: Arc<Semaphore>,
}

/// What the server counted.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Requests that were let in.
    pub(crate) requests: AtomicU64,
    /// Requests that were refused.
    pub(crate) refused: AtomicU64,
    /// Connections that found no seat.
    pub(crate) turned_away: AtomicU64,
}

impl App {
    pub(crate) fn new(control: Arc<dyn Control>, gate: Gate, audit: Arc<Audit>) -> Arc<App> {
        Arc::new(App {
            control,
            gate,
            audit,
            closing: CancellationToken::new(),
            changes: TaskTracker::new(),
            traffic: Traffic::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        })
    }
}

/// All endpoints, each behind the guard.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for endpoint in &ENDPOINTS {
        let guard = from_fn_with_state((app.clone(), Some(endpoint)), guard::guard);
        router =
            router.route(endpoint.path, (endpoint.handler)().fallback(other_method).layer(guard));
    }
    let guard = from_fn_with_state((app.clone(), None), guard::guard);
    let unknown = axum::routing::any(unknown).layer(guard);
    router
        .fallback_service(unknown.with_state(app.clone()))
        .layer(map_response(answer::with_headers))
        .with_state(app)
}

/// The list of all endpoints.
#[cfg(test)]
pub(crate) fn endpoints() -> impl Iterator<Item = &'static endpoints::Endpoint> {
    ENDPOINTS.iter()
}

/// The metrics of a status.
#[cfg(test)]
pub(crate) fn metrics_of(status: smollama_engine::control::Status) -> String {
    metrics::text(status, &Traffic::default()).unwrap()
}

async fn other_method() -> Problem {
    let error = ControlError::bad_input("this path takes another method");
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        error.help("the header `Allow` lists those it takes"),
    )
}

async fn unknown() -> Problem {
    let help = "`GET /api/openapi.json` lists what there is";
    ControlError::not_found("there is nothing under this path").help(help).into()
}
