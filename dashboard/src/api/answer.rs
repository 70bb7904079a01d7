//! The form of answers: JSON, and one form for every no.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{self, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use smollama_engine::control::{ControlError, ErrorKind};

use crate::access::Refused;

/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// A result, as JSON.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
            }
            Err(error) => {
                Problem::from(ControlError::failed(format!("cannot write the answer: {error}")))
                    .into_response()
            }
        }
    }
}

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: Box<ControlError>,
    retry_after: Option<u64>,
}

/// The body of every answer that is a no.
#[derive(Debug, Serialize, serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct ErrorBody {
    /// Why.
    pub(crate) error: ControlError,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error: ControlError) -> Problem {
        Problem { status, error: Box::new(error), retry_after: None }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        let status = match error.kind {
            ErrorKind::BadInput => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Refused => StatusCode::CONFLICT,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem::new(status, error)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let error = ControlError::new(ErrorKind::Denied, refused.message).help(refused.help);
        Problem { retry_after: refused.retry_after, ..Problem::new(refused.status, error) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Json(ErrorBody { error: *self.error }).into_response();
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The JSON that a request brings.
#[derive(Debug)]
pub(super) struct Given<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Given<T>, Problem> {
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
        let bytes = match tokio::time::timeout(BODY_TIME_MAX, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let error = ControlError::bad_input("the request is larger than 1 MiB");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error));
            }
            Ok(Err(error)) => {
                let message = format!("the request broke off: {error}");
                return Err(ControlError::bad_input(message).into());
            }
            Err(_) => {
                let error = ControlError::bad_input("the request took too long to arrive");
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, error));
            }
        };
        serde_json::from_slice(&bytes).map(Given).map_err(|error| {
            ControlError::bad_input(format!("the request is not what it should be: {error}")).into()
        })
    }
}

/// What stands behind the `?` of a request.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked<T>, Problem> {
        let asked = Query::try_from_uri(&parts.uri).map_err(|error| {
            ControlError::bad_input(error.body_text().trim_end_matches('.').to_lowercase())
        })?;
        Ok(Asked(asked.0))
    }
}

/// The part of the path that an endpoint leaves open.
#[derive(Debug)]
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named, Problem> {
        let part = Path::from_request_parts(parts, state).await;
        let Path(name) =
            part.map_err(|error| ControlError::bad_input(error.body_text().to_lowercase()))?;
        Ok(Named(name))
    }
}

/// Headers of every answer: nothing here is kept by caches, guessed at, or shown inside the page of another site.
pub(super) async fn with_headers(mut response: Response) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
