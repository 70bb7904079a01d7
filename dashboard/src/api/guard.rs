//! Stands before every handler.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::answer::Problem;
use super::endpoints::Endpoint;
use crate::access::{Need, Peer, Refused};

/// Lets a request in, with who sent it, or keeps that it was refused.
pub(super) async fn guard(
    State((app, endpoint)): State<(Arc<App>, Option<&'static Endpoint>)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // A connection that forgot to say whose it is is nobody's.
    let peer = parts.extensions.get().copied().unwrap_or(Peer::Unix { uid: u32::MAX });
    let need = endpoint.map_or(Need::Nothing, |endpoint| endpoint.need);
    match app.gate.admit(&parts, peer, need).await {
        Ok(caller) => {
            app.traffic.requests.fetch_add(1, Ordering::Relaxed);
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refused) => {
            app.traffic.refused.fetch_add(1, Ordering::Relaxed);
            let path = endpoint.map_or("an unknown path", |endpoint| endpoint.path);
            keep(&app, peer, &format!("{} {path}", parts.method), &refused).await;
            Problem::from(refused).into_response()
        }
    }
}

async fn keep(app: &App, peer: Peer, action: &str, refused: &Refused) {
    let mut row = app.audit.row(&refused.actor, peer, action);
    row.outcome = format!("refused: {}", refused.reason);
    if refused.message != refused.reason {
        row.target.clone_from(&refused.message);
    }
    let source = match peer {
        Peer::Unix { uid } => format!("uid {uid}"),
        Peer::Tcp { remote, .. } => remote.ip().to_string(),
    };
    app.audit.refused(source, row).await;
}
