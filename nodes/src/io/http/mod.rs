//! What nodes that speak HTTP with other programs have in common.

#[cfg(test)]
pub(crate) mod server;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, Url, redirect};
use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::config::Secret;
use smollama_engine::context::Context;
use smollama_engine::registry::Problem;

use crate::io::tls;

/// How many redirects are followed.
pub(crate) const REDIRECTS_MAX: usize = 5;
/// How much of an answer that is only shown is looked at, and how much of it is shown.
const ANSWER_MAX: usize = 4 << 10;
const SHOWN_MAX: usize = 200;
/// The longest that the other side can have requests wait.
const PAUSE_MAX: Duration = Duration::from_secs(600);
const CANNOT_STAND: &str = "this value cannot stand in a header";
const ONE_LINE: &str = "it must be one line of visible characters";

/// How the other side knows who this is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// A token: `authorization: Bearer ...`.
    Bearer(Secret),
    /// A name and a password.
    Basic(Basic),
}

/// A name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// What to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// A file with the certificates (PEM) of further authorities, such as one of your own. Relative to the pipeline file.
    pub ca: Option<PathBuf>,
}

/// The address in a setting `url`.
///
/// # Errors
/// It is no address of a web server. What stands there is not shown: it can be secret.
pub(crate) fn address(url: &Secret) -> Result<Url, Problem> {
    let help = "write it like `https://example.org/readings`";
    let url = Url::parse(url.expose())
        .map_err(|error| Problem::at("url", format!("this is no address: {error}")).help(help))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        let message = format!("`{}` is nothing that requests can be sent to", url.scheme());
        return Err(Problem::at("url", message).help(help));
    }
    Ok(url)
}

/// The headers that the user set in `headers`.
///
/// # Errors
/// A name or a value that cannot stand in a request. The value is not shown.
pub(crate) fn header_map(headers: &BTreeMap<String, Secret>) -> Result<HeaderMap, Problem> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let field = format!("headers.{name}");
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Problem::at(&field, format!("`{name}` is no name of a header")))?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| Problem::at(&field, CANNOT_STAND).help(ONE_LINE))?;
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok(map)
}

/// What is wrong with `url`, `headers` and `auth`.
pub(crate) fn problems(
    url: &Secret,
    headers: &BTreeMap<String, Secret>,
    auth: Option<&Auth>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    match address(url) {
        Ok(url) if auth.is_some() && !url.username().is_empty() => problems.push(
            Problem::at("auth", "the address holds a name and a password too")
                .help("say it in one place"),
        ),
        Ok(_) => {}
        Err(problem) => problems.push(problem),
    }
    problems.extend(header_map(headers).err());
    if let Some(Auth::Bearer(token)) = auth
        && HeaderValue::from_str(token.expose()).is_err()
    {
        problems.push(Problem::at("auth.bearer", CANNOT_STAND).help(ONE_LINE));
    }
    problems
}

/// A client: whom it trusts, how long a request may take with its answer, which redirects it follows.
///
/// # Errors
/// The file of authorities cannot be read, or the system's cannot.
pub(crate) fn client(
    timeout: Duration,
    redirects: redirect::Policy,
    trusted: &Tls,
    context: &Context,
) -> Result<Client, Problem> {
    tls::install_provider();
    let client = Client::builder()
        .no_proxy()
        .user_agent(concat!("smollama/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .redirect(redirects)
        .referer(false);
    let client = match &trusted.ca {
        Some(path) => client.tls_certs_merge(authorities(context.input_path(path))?),
        None => client,
    };
    client.build().map_err(|error| {
        Problem::at("tls", format!("no connection can be made: {}", causes(&error)))
    })
}

/// Whether a redirect leads to the same host, and not from an encrypted connection to one that is not: another host could be anybody.
pub(crate) fn stays(attempt: &redirect::Attempt<'_>) -> bool {
    let previous = attempt.previous();
    let same = previous.last().is_some_and(|last| {
        let secure = last.scheme() == attempt.url().scheme() || attempt.url().scheme() == "https";
        last.host() == attempt.url().host() && secure
    });
    same && previous.len() <= REDIRECTS_MAX
}

/// What may be shown of an address: what stands before or behind the host can be a secret.
pub(crate) fn name(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("`{}://{}{port}`", url.scheme(), url.host_str().unwrap_or_default())
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

/// What an answer that is not what was hoped for says of itself, with the address it names. `url` is what was asked.
pub(crate) async fn complaint(name_of_it: &str, url: &Url, response: Response) -> String {
    let status = response.status();
    let place = response.headers().get("location").cloned();
    let said = said(response).await;
    let mut why = format!("{name_of_it} answered {status}");
    if status.is_redirection() {
        let place = place.and_then(|place| url.join(place.to_str().ok()?).ok());
        let place = place.map_or_else(String::new, |place| format!(" to {}", name(&place)));
        let _ = write!(why, ": it leads elsewhere{place}, which is not followed");
    } else if !said.is_empty() {
        let _ = write!(why, ": {said}");
    }
    why
}

/// Why a request found no answer.
pub(crate) fn failure(name_of_it: &str, error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("{name_of_it}: it did not answer in time");
    }
    format!("{name_of_it}: {}", causes(&error.without_url()))
}

/// How long the other side asks to be left alone: seconds, or a date, which is held against its own clock.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
