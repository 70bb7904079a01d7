//! One request: whether it may come in, and what it is answered.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::door::{Delivery, Desk};

/// What became of a request that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// How many readings are kept.
    pub(super) readings: usize,
    /// Why something of it gave none, and lies in the dead letters.
    pub(super) refused: Option<String>,
}

/// Answers a request. Where there is no desk, no node takes any.
pub(super) async fn serve(
    desk: Option<Arc<Desk>>,
    peer: SocketAddr,
    asked: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let Some(desk) = desk else { return unavailable("the host stops") };
    match take(&desk, peer, asked).await {
        Ok(answer) => judge(answer, &desk).await,
        Err(refusal) => refusal,
    }
}

type Told = oneshot::Receiver<Answer>;

/// Reads the request and gives it to the node.
async fn take(
    desk: &Desk,
    peer: SocketAddr,
    asked: Request<Incoming>,
) -> Result<Told, Response<Full<Bytes>>> {
    let Some(name) = name(&desk.path, asked.uri().path()) else {
        return Err(refuse(StatusCode::NOT_FOUND, "nothing is taken here"));
    };
    if !matches!(*asked.method(), Method::POST | Method::PUT) {
        let mut refusal = refuse(StatusCode::METHOD_NOT_ALLOWED, "send it with `POST`");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, PUT"));
        return Err(refusal);
    }
    let (head, body) = asked.into_parts();
    let header = |name: &str| head.headers.get(name).map(HeaderValue::as_bytes);
    if !desk.guard.admits(header) {
        return Err(unknown());
    }
    if head.headers.get(CONTENT_ENCODING).is_some_and(|packing| packing != "identity") {
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send it without compression"));
    }
    let too_large = || {
        let why = format!("more than `max_size` ({} bytes)", desk.largest);
        refuse(StatusCode::PAYLOAD_TOO_LARGE, &why)
    };
    if body.size_hint().lower() > desk.largest as u64 {
        return Err(too_large());
    }
    let body = match timeout(desk.timeout, Limited::new(body, desk.largest).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(_)) => return Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => return Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    };
    if !desk.guard.accepts(header, &body) {
        return Err(unknown());
    }
    let busy = || {
        let mut refusal = refuse(StatusCode::TOO_MANY_REQUESTS, "too much waits already");
        refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        refusal
    };
    let weight = desk.weigh(body.len()).ok_or_else(busy)?;
    let (answer, told) = oneshot::channel();
    let is_lines = head.headers.get(CONTENT_TYPE).is_some_and(is_lines);
    let delivery = Delivery { name, peer, body: body.into(), is_lines, answer, weight };
    desk.give.try_send(delivery).map_err(|error| match error {
        tokio::sync::mpsc::error::TrySendError::Full(_) => busy(),
        tokio::sync::mpsc::error::TrySendError::Closed(_) => unavailable("the host stops"),
    })?;
    Ok(told)
}

/// Waits until the request is kept.
async fn judge(told: Told, desk: &Desk) -> Response<Full<Bytes>> {
    match timeout(desk.timeout, told).await {
        Ok(Ok(Answer { readings: 0, refused: Some(why) })) => refuse(StatusCode::BAD_REQUEST, &why),
        Ok(Ok(Answer { readings, refused: Some(why) })) => {
            say(StatusCode::OK, &json!({ "readings": readings, "refused": why }))
        }
        Ok(Ok(Answer { readings, refused: None })) => {
            say(StatusCode::OK, &json!({ "readings": readings }))
        }
        Ok(Err(_)) => unavailable("it is not kept: send it again"),
        Err(_) => unavailable("it is not kept yet: send it again later"),
    }
}

/// What stands behind the path of the node; `None` where the path is another.
fn name(own: &str, path: &str) -> Option<String> {
    let rest = path.strip_prefix(own.trim_end_matches('/'))?;
    let is_below = rest.is_empty() || rest.starts_with('/');
    is_below.then(|| unescaped(rest.trim_matches('/')))
}

/// With what `%20` and the like stand for.
fn unescaped(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_lines(content: &HeaderValue) -> bool {
    let text = content.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = text.split(';').next().unwrap_or_default().trim().to_owned();
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines"]
        .contains(&&*kind)
}

fn unknown() -> Response<Full<Bytes>> {
    let mut refusal = refuse(StatusCode::UNAUTHORIZED, "the token or the signature is wrong");
    refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}

fn unavailable(why: &str) -> Response<Full<Bytes>> {
    let mut refusal = refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    refusal
}

/// A refusal. What of the request was not read is not read: the connection ends.
fn refuse(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    let mut refusal = say(status, &json!({ "error": why }));
    if status != StatusCode::BAD_REQUEST {
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    refusal
}

fn say(status: StatusCode, what: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(what.to_string() + "\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_begins_with_what_stands_behind_the_path() {
        for (own, path, found) in [
            ("/", "/", Some("")),
            ("/", "/a/b/", Some("a/b")),
            ("/in", "/in", Some("")),
            ("/in/", "/in/a%20b%2", Some("a b%2")),
            ("/in", "/inner", None),
            ("/in", "/", None),
        ] {
            assert_eq!(name(own, path).as_deref(), found, "{own} {path}");
        }
    }
}
