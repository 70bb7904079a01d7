//! The other side: one request, and what its answer is.

use std::io::Read;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use smollama_engine::context::Context;
use smollama_engine::registry::Problem;

use super::config::HttpConfig;
use crate::io::http::{self, Auth};
use crate::io::rows::REJECTED_BYTES;

/// See the module. It cannot be printed, since its address can be secret.
pub(super) struct Server {
    client: Client,
    url: Url,
    host: String,
    /// How it is called in messages.
    name: String,
    headers: HeaderMap,
    auth: Option<Auth>,
    largest: usize,
    /// What the newest answer that was read whole is known again by.
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

/// What an answer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is something new.
    New(Vec<u8>),
    /// There is nothing new.
    Same,
    /// There is more than may be; why, and what it begins with.
    TooLarge(String, Vec<u8>),
    /// It is none; why, and how long the server wants to be left alone.
    None(String, Option<Duration>),
}

impl Server {
    pub(super) fn new(config: &HttpConfig, context: &Context) -> Result<Server, Problem> {
        let url = http::address(&config.url)?;
        let redirects = redirect::Policy::custom(|attempt| {
            if http::stays(&attempt) { attempt.follow() } else { attempt.stop() }
        });
        let mut headers = http::header_map(&config.headers)?;
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        Ok(Server {
            client: http::client(config.timeout.to_std(), redirects, &config.tls, context)?,
            host: url.host_str().unwrap_or_default().to_owned(),
            name: http::name(&url),
            url,
            headers,
            auth: config.auth.clone(),
            largest: config.largest(),
            etag: None,
            modified: None,
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks once.
    pub(super) async fn ask(&mut self) -> Answer {
        let mut request = self.client.get(self.url.clone()).headers(self.headers.clone());
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag.clone());
        }
        if let Some(modified) = &self.modified {
            request = request.header(IF_MODIFIED_SINCE, modified.clone());
        }
        request = match &self.auth {
            None => request,
            Some(Auth::Bearer(token)) => request.bearer_auth(token.expose()),
            Some(Auth::Basic(basic)) => {
                request.basic_auth(&basic.user, Some(basic.password.expose()))
            }
        };
        match request.send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => Answer::None(http::failure(&self.name, error), None),
        }
    }

    async fn judge(&mut self, response: Response) -> Answer {
        match response.status() {
            StatusCode::NOT_MODIFIED => return Answer::Same,
            StatusCode::NO_CONTENT => return Answer::New(Vec::new()),
            status if status.is_success() => {}
            _ => {
                let pause = http::retry_after(response.headers());
                let why = http::complaint(&self.name, &self.url, response).await;
                return Answer::None(why, pause);
            }
        }
        let headers = response.headers();
        let (etag, modified) = (headers.get(ETAG).cloned(), headers.get(LAST_MODIFIED).cloned());
        let packing = headers.get(CONTENT_ENCODING).cloned();
        let body = match self.body(response).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let body = match packing.as_ref().map(|packing| packing.as_bytes().trim_ascii()) {
            None | Some(b"" | b"identity") => body,
            Some(b"gzip" | b"x-gzip") => match self.unpack(&body) {
                Ok(body) => body,
                Err(answer) => return answer,
            },
            Some(other) => {
                let packing = other.escape_ascii();
                let why = format!("{} answered in `{packing}`, which was not asked for", self.name);
                return Answer::None(why, None);
            }
        };
        // Only of what was read whole: the rest would never come again.
        (self.etag, self.modified) = (etag, modified);
        Answer::New(body)
    }

    /// The body as it was sent.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Answer> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => return Err(Answer::None(http::failure(&self.name, error), None)),
            }
            if body.len() > self.largest {
                return Err(self.too_large(body));
            }
        }
    }

    fn unpack(&self, packed: &[u8]) -> Result<Vec<u8>, Answer> {
        let mut body = Vec::new();
        let most = self.largest as u64 + 1;
        match flate2::read::MultiGzDecoder::new(packed).take(most).read_to_end(&mut body) {
            Ok(_) if body.len() > self.largest => Err(self.too_large(body)),
            Ok(_) => Ok(body),
            Err(error) => {
                let why = format!("{}: its answer cannot be unpacked: {error}", self.name);
                Err(Answer::None(why, None))
            }
        }
    }

    fn too_large(&self, mut body: Vec<u8>) -> Answer {
        body.truncate(REJECTED_BYTES);
        let why = format!("the answer is larger than `max_size` ({} bytes)", self.largest);
        Answer::TooLarge(why, body)
    }
}
