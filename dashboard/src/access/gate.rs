//! Lets a request in or refuses it, before anything else is done with it.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::guesses::Guesses;
use super::site::Foreign;
use super::{Caller, Need, Peer, Role, Site, Tokens};

/// How long whoever sent a wrong token waits for the answer.
const WRONG_PAUSE: Duration = Duration::from_millis(250);

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The user the engine runs as. Besides it only root may use the control socket, whatever the mode of its file says.
    owner: u32,
    tokens: Option<Tokens>,
    site: Site,
    guesses: Guesses,
}

/// Who was not let in, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What the answer says.
    pub(crate) status: StatusCode,
    /// Why; the same for all that are refused for the same reason, so that they can be counted together.
    pub(crate) reason: &'static str,
    /// Why, with what was sent.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: &'static str,
    /// Who it was, as far as is known.
    pub(crate) actor: String,
    /// When to try again, in seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Gate {
    /// For an engine that runs as `owner`. Without tokens there is no TCP, and whoever comes by it is refused.
    pub(crate) fn new(owner: u32, tokens: Option<Tokens>, site: Site) -> Gate {
        Gate { owner, tokens, site, guesses: Guesses::default() }
    }

    /// Who it is that sent a request, if it meets a need.
    pub(crate) async fn admit(
        &self,
        request: &Parts,
        peer: Peer,
        need: Need,
    ) -> Result<Caller, Refused> {
        let caller = match peer {
            Peer::Unix { uid } => self.user(peer, uid)?,
            Peer::Tcp { remote, local } => {
                let sent_here = self
                    .site
                    .check(request, local.ip())
                    .map_err(|foreign| Refused::from(&foreign))?;
                let nearby = sent_here && remote.ip().to_canonical().is_loopback();
                let role = self.role(&request.headers, peer).await?;
                let actor = match role {
                    Some(role) => format!("token {}", role.as_str()),
                    None => "nobody".to_owned(),
                };
                Caller { peer, role, nearby, actor }
            }
        };
        if !caller.meets(need) {
            return Err(Refused::lacking(&caller, need));
        }
        let is_json = one(&request.headers, CONTENT_TYPE.as_str()).is_some_and(is_json);
        if !matches!(request.method, Method::GET | Method::HEAD) && !is_json {
            return Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not JSON",
                "send it with `content-type: application/json`",
                caller.actor,
            ));
        }
        Ok(caller)
    }

    fn user(&self, peer: Peer, uid: u32) -> Result<Caller, Refused> {
        let actor = format!("uid {uid}");
        if uid != self.owner && uid != 0 {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "another user",
                "only the user the engine runs as, and root, may use the control socket",
                actor,
            ));
        }
        Ok(Caller { peer, role: Some(Role::Operate), nearby: true, actor })
    }

    /// What the token that a request brings is good for; nothing, if it brings none.
    async fn role(&self, headers: &HeaderMap, peer: Peer) -> Result<Option<Role>, Refused> {
        let Peer::Tcp { remote, .. } = peer else { return Ok(None) };
        if !headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        if let Some(wait) = self.guesses.barred_for(remote.ip(), Instant::now()) {
            let mut refused = Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens",
                "wait for a minute",
                "nobody".to_owned(),
            );
            refused.retry_after = Some(wait.as_secs() + 1);
            return Err(refused);
        }
        let given = one(headers, AUTHORIZATION.as_str()).and_then(bearer);
        let role = given.and_then(|given| self.tokens.as_ref()?.role(given));
        if role.is_some() {
            return Ok(role);
        }
        self.guesses.wrong(remote.ip(), Instant::now());
        tokio::time::sleep(WRONG_PAUSE).await;
        Err(Refused::new(
            StatusCode::UNAUTHORIZED,
            "a wrong token",
            "the token is in the file `token` of the data directory, or in config.yaml under `http.token`",
            "nobody".to_owned(),
        ))
    }
}

impl Refused {
    fn new(status: StatusCode, reason: &'static str, help: &'static str, actor: String) -> Refused {
        Refused { status, reason, message: reason.to_owned(), help, actor, retry_after: None }
    }

    fn lacking(caller: &Caller, need: Need) -> Refused {
        let actor = caller.actor.clone();
        if caller.role.is_some() {
            let help = "this needs the token for everything, not the one for reading";
            return Refused::new(StatusCode::FORBIDDEN, "a token for reading only", help, actor);
        }
        let help = match need {
            Need::Nearby => "without a token this is for callers on the same machine only",
            _ => "send `Authorization: Bearer TOKEN`, or use the control socket",
        };
        Refused::new(StatusCode::UNAUTHORIZED, "no token", help, actor)
    }
}

impl From<&Foreign> for Refused {
    fn from(foreign: &Foreign) -> Refused {
        let (status, reason, message, help) = match foreign {
            Foreign::NoHost => (
                StatusCode::BAD_REQUEST,
                "no host",
                "the request does not say for whom it is".to_owned(),
                "send one header `Host`",
            ),
            Foreign::Host(name) => (
                StatusCode::MISDIRECTED_REQUEST,
                "another host",
                format!("the request is for `{name}`, not for this host"),
                "if it is a name of this host, list it in config.yaml under `http.hosts`",
            ),
            Foreign::Origin(origin) => (
                StatusCode::FORBIDDEN,
                "another origin",
                format!("the request was made by another site: {origin}"),
                "only pages of this host may send requests to it",
            ),
        };
        Refused { message, ..Refused::new(status, reason, help, "nobody".to_owned()) }
    }
}

/// The value of a header that stands once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn bearer(header: &str) -> Option<&[u8]> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().as_bytes())
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
