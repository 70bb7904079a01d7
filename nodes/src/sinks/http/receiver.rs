//! The other side: one request, and what its answer means.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use smollama_engine::context::Context;
use smollama_engine::registry::Problem;

use super::config::{Compression, HttpConfig, Method};
use crate::io::http::{self, Auth};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// See the module. It cannot be printed, since its address can be secret.
pub(super) struct Receiver {
    client: Client,
    url: Url,
    method: reqwest::Method,
    headers: HeaderMap,
    auth: Option<Auth>,
    /// How it is called in messages.
    name: String,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The receiver has it.
    Taken,
    /// It may take it later, not before the pause.
    Later(String, Option<Duration>),
    /// It will never take it as it is; it might take parts of it.
    Refused { why: String, parts: bool },
}

impl Receiver {
    pub(super) fn new(
        config: &HttpConfig,
        content_type: &'static str,
        context: &Context,
    ) -> Result<Receiver, Problem> {
        let url = http::address(&config.url)?;
        let redirects = redirect::Policy::custom(follow);
        let client = http::client(config.timeout.to_std(), redirects, &config.tls, context)?;
        Ok(Receiver {
            client,
            name: http::name(&url),
            url,
            method: match config.method {
                Method::Post => reqwest::Method::POST,
                Method::Put => reqwest::Method::PUT,
            },
            headers: headers(config, content_type)?,
            auth: config.auth.clone(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Sends one request. The key tells it from all others, where there is one.
    pub(super) async fn send(&self, body: Vec<u8>, key: Option<String>) -> Answer {
        let mut request = self.client.request(self.method.clone(), self.url.clone());
        request = request.headers(self.headers.clone()).body(body);
        request = match &self.auth {
            None => request,
            Some(Auth::Bearer(token)) => request.bearer_auth(token.expose()),
            Some(Auth::Basic(basic)) => {
                request.basic_auth(&basic.user, Some(basic.password.expose()))
            }
        };
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        match request.send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => Answer::Later(http::failure(&self.name, error), None),
        }
    }

    async fn judge(&self, response: Response) -> Answer {
        let status = response.status();
        let pause = http::retry_after(response.headers());
        let why = http::complaint(&self.name, &self.url, response).await;
        if status.is_success() {
            return Answer::Taken;
        }
        match status {
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => Answer::Later(why, pause),
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused { why, parts: true },
            status if status.is_client_error() => Answer::Refused { why, parts: false },
            _ => Answer::Later(why, pause),
        }
    }
}

/// Follows a redirect that keeps method and body, on the same host: another one could be anybody, and a request that became a GET
/// would be taken for delivered.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let keeps =
        matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if keeps && http::stays(&attempt) { attempt.follow() } else { attempt.stop() }
}

fn headers(config: &HttpConfig, content_type: &'static str) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if config.compression == Compression::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.extend(http::header_map(&config.headers)?);
    Ok(headers)
}
