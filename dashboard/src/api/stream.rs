//! Streams of lines.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use smollama_engine::control::{Chunk, ControlError, ErrorKind, Lines};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::Problem;
use super::{App, STREAMS_MAX};

/// How a line begins that says how many were left out. No item and no line of the log begins like this.
pub(crate) const MISSED: &str = "{\"missed\":";

impl App {
    /// The right to one more stream.
    pub(super) fn stream_seat(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.streams.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{STREAMS_MAX} taps and logs are being read already");
            let error = ControlError::new(ErrorKind::Refused, message).help("end one of them");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)
        })
    }

    /// Lines as they come, until there are no more, nobody reads them, or the server stops.
    pub(super) fn streamed(&self, lines: Lines, seat: OwnedSemaphorePermit) -> Response {
        let closing = self.closing.clone().cancelled_owned();
        let bytes = lines.take_until(Box::pin(closing)).map(move |chunk| {
            let _held = &seat;
            Ok::<_, Infallible>(bytes(chunk))
        });
        let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
        (headers, Body::from_stream(bytes)).into_response()
    }
}

fn bytes(chunk: Chunk) -> Bytes {
    let mut lines = chunk.lines;
    if chunk.missed > 0 {
        lines.extend_from_slice(format!("{MISSED}{}}}\n", chunk.missed).as_bytes());
    }
    Bytes::from(lines)
}
