//! The other side: one request, and what its answer means.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Certificate, Client, Response, StatusCode, Url, redirect};
use smollama_engine::context::Context;
use smollama_engine::registry::Problem;

use super::config::{Auth, Compression, HttpConfig, Method};
use crate::io::tls;

const REDIRECTS_MAX: usize = 5;
/// How much of an answer is looked at, and how much of it is shown.
const ANSWER_MAX: usize = 4 << 10;
const SHOWN_MAX: usize = 200;
/// The longest that a receiver can have requests wait.
const PAUSE_MAX: Duration = Duration::from_secs(600);
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
        tls::install_provider();
        let url = config.address()?;
        let client = Client::builder()
            .no_proxy()
            .user_agent(concat!("smollama/", env!("CARGO_PKG_VERSION")))
            .timeout(config.timeout.to_std())
            .redirect(redirect::Policy::custom(follow))
            .referer(false);
        let client = match &config.tls.ca {
            Some(path) => client.tls_certs_merge(authorities(context.input_path(path))?),
            None => client,
        };
        let client = client.build().map_err(|error| {
            Problem::at("tls", format!("no connection can be made: {}", causes(&error)))
        })?;
        Ok(Receiver {
            client,
            name: name(&url),
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
            Err(error) => {
                let why = if error.is_timeout() {
                    "it did not answer in time".to_owned()
                } else {
                    causes(&error.without_url())
                };
                Answer::Later(format!("{}: {why}", self.name), None)
            }
        }
    }

    async fn judge(&self, response: Response) -> Answer {
        let status = response.status();
        let pause = retry_after(response.headers());
        let place = response.headers().get("location").cloned();
        let said = said(response).await;
        if status.is_success() {
            return Answer::Taken;
        }
        let mut why = format!("{} answered {status}", self.name);
        if status.is_redirection() {
            let place = place.and_then(|place| self.url.join(place.to_str().ok()?).ok());
            let place = place.map_or_else(String::new, |place| format!(" to {}", name(&place)));
            let _ = write!(why, ": it leads elsewhere{place}, which is not followed");
        } else if !said.is_empty() {
            let _ = write!(why, ": {said}");
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
    let previous = attempt.previous();
    let same = previous.last().is_some_and(|last| {
        let secure = last.scheme() == attempt.url().scheme() || attempt.url().scheme() == "https";
        last.host() == attempt.url().host() && secure
    });
    if keeps && same && previous.len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

/// What may be shown of an address: what stands before or behind the host can be a secret.
fn name(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("`{}://{}{port}`", url.scheme(), url.host_str().unwrap_or_default())
}

fn headers(config: &HttpConfig, content_type: &'static str) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if config.compression == Compression::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.extend(config.header_map()?);
    Ok(headers)
}

fn authorities(path: PathBuf) -> Result<Vec<Certificate>, Problem> {
    let unreadable = |what: String| {
        let problem = Problem::at("tls.ca", format!("`{}` {what}", path.display()));
        problem.help("it must be a file of certificates as PEM")
    };
    let text = fs::read(&path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let found = Certificate::from_pem_bundle(&text)
        .map_err(|error| unreadable(format!("holds no certificates: {}", causes(&error))))?;
    if found.is_empty() { Err(unreadable("holds no certificates".into())) } else { Ok(found) }
}

/// How long the receiver asks to be left alone: seconds, or a date, which is held against its own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(RETRY_AFTER)?;
    let pause = match after.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let instant = |text| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
            let pause = instant(after)?.duration_since(instant(text(DATE)?)?);
            Duration::try_from(pause).unwrap_or_default()
        }
    };
    Some(pause.min(PAUSE_MAX))
}

/// The beginning of an answer, on one line. Short ones are read to their end, so that the connection can be used again.
async fn said(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

/// An error with all that caused it.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_as_a_date() {
        let pause = |after: &'static str, date: &'static str| {
            let pairs = [(RETRY_AFTER, after), (DATE, date)];
            let headers = pairs.map(|(name, value)| (name, HeaderValue::from_static(value)));
            retry_after(&HeaderMap::from_iter(headers)).map(|pause| pause.as_secs())
        };
        let now = "Sat, 21 Nov 2026 01:02:03 GMT";
        assert_eq!(pause("17", now), Some(17));
        assert_eq!(pause("86400", now), Some(600), "no longer than that");
        assert_eq!(pause("Sat, 21 Nov 2026 01:03:00 GMT", now), Some(57));
        assert_eq!(pause("Fri, 20 Nov 2026 01:03:00 GMT", now), Some(0));
        assert_eq!(pause("soon", now), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
