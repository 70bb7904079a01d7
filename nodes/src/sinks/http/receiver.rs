//! The other side: one request, and what its answer means.

use std::io::Write;

use async_trait::async_trait;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use smollama_engine::context::Context;
use smollama_engine::registry::Problem;

use super::config::{Compression, HttpConfig, Method};
use crate::io::http::{self, Auth};
use crate::io::outbound::{Answer, Body, Load, Receiver};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// See the module. It cannot be printed, since its address can be secret.
pub(super) struct Server {
    client: Client,
    url: Url,
    method: reqwest::Method,
    headers: HeaderMap,
    auth: Option<Auth>,
    compression: Compression,
    /// How it is called in messages.
    name: String,
}

impl Server {
    pub(super) fn new(config: &HttpConfig, context: &Context) -> Result<Server, Problem> {
        let url = http::address(&config.url)?;
        let redirects = redirect::Policy::custom(follow);
        let client = http::client(config.timeout.to_std(), redirects, &config.tls, context)?;
        Ok(Server {
            client,
            name: http::name(&url),
            url,
            method: match config.method {
                Method::Post => reqwest::Method::POST,
                Method::Put => reqwest::Method::PUT,
            },
            headers: headers(config)?,
            compression: config.compression,
            auth: config.auth.clone(),
        })
    }

    async fn judge(&self, response: Response) -> Answer {
        let status = response.status();
        let pause = http::retry_after(response.headers());
        let why = http::complaint(&self.name, &self.url, response).await;
        if status.is_success() {
            return Answer::Taken(Vec::new());
        }
        match status {
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::PROXY_AUTHENTICATION_REQUIRED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => Answer::later(why, pause),
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Answer::Refused { why, parts: true },
            status if status.is_client_error() => Answer::Refused { why, parts: false },
            _ => Answer::later(why, pause),
        }
    }
}

#[async_trait]
impl Receiver for Server {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&mut self, load: Load<'_>) -> Answer {
        let body = match self.compression {
            Compression::None => load.body(),
            Compression::Gzip => gzip(&load.body()),
        };
        let mut request = self.client.request(self.method.clone(), self.url.clone());
        request = request.headers(self.headers.clone()).body(body);
        request = match &self.auth {
            None => request,
            Some(Auth::Bearer(token)) => request.bearer_auth(token.expose()),
            Some(Auth::Basic(basic)) => {
                request.basic_auth(&basic.user, Some(basic.password.expose()))
            }
        };
        if let Some(key) = load.key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        match request.send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => Answer::later(http::failure(&self.name, error), None),
        }
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Level::fast());
    // Writing to memory cannot fail.
    let _ = out.write_all(body);
    out.finish().unwrap_or_default()
}

/// Follows a redirect that keeps method and body, on the same host: another one could be anybody, and a request that became a GET
/// would be taken for delivered.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let keeps =
        matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if keeps && http::stays(&attempt) { attempt.follow() } else { attempt.stop() }
}

fn headers(config: &HttpConfig) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    let content_type = match config.body {
        Body::JsonLines => "application/x-ndjson",
        Body::Json => "application/json",
        Body::Template(_) => "text/plain; charset=utf-8",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if config.compression == Compression::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.extend(http::header_map(&config.headers)?);
    Ok(headers)
}
