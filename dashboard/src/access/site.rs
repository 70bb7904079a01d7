//! Whether a request that came by TCP is for us, or was made by a browser for another site.
//!
//! A page of a stranger can make a browser on this machine send requests here. If its name was made to resolve to our address, `Host`
//! shows that name (DNS rebinding); otherwise `Origin` or `Sec-Fetch-Site` show another site (CSRF). Neither can be forged by a page.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// What a proxy adds: the request did not begin where the connection did.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The names we answer to.
#[derive(Debug, Default)]
pub(crate) struct Site {
    names: Vec<String>,
}

/// Why a request is not for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It does not say for whom it is, or says it twice.
    NoHost,
    /// It is for somebody else.
    Host(String),
    /// It was made by another site.
    Origin(String),
}

impl Site {
    /// Answers to these names, besides `localhost` and addresses.
    pub(crate) fn new(names: &[String]) -> Site {
        Site { names: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Checks a request that came to the address `local`. Says whether it was sent to this machine by a name that only this machine
    /// has, and by no proxy.
    pub(super) fn check(&self, request: &Parts, local: IpAddr) -> Result<bool, Foreign> {
        let host = host(request)?;
        let name = host.host().to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let address: Option<IpAddr> = bare.unwrap_or(&name).parse().ok();
        let address = address.map(|address| address.to_canonical());
        let is_loopback =
            name == "localhost" || address.is_some_and(|address| address.is_loopback());
        // An address cannot be rebound: a page that was loaded from it was loaded from us.
        let is_ours =
            is_loopback || address == Some(local.to_canonical()) || self.names.contains(&name);
        if !is_ours {
            return Err(Foreign::Host(name));
        }
        if let Some(origin) = one(&request.headers, &ORIGIN) {
            let (_, site) = origin.split_once("://").unwrap_or_default();
            let web = origin.starts_with("http://") || origin.starts_with("https://");
            if !web || !site.eq_ignore_ascii_case(host.as_str()) {
                return Err(Foreign::Origin(origin));
            }
        }
        if let Some(site) = one(&request.headers, &FETCH_SITE) {
            let followed = request.method == Method::GET
                && one(&request.headers, &FETCH_MODE).as_deref() == Some("navigate");
            if !matches!(site.as_str(), "same-origin" | "none") && !followed {
                return Err(Foreign::Origin(format!("a {site} page")));
            }
        }
        Ok(is_loopback && !FORWARDED.iter().any(|name| request.headers.contains_key(*name)))
    }
}

/// Whom a request is for.
fn host(request: &Parts) -> Result<Authority, Foreign> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Foreign::NoHost) };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| Foreign::NoHost)?;
    let same = request.uri.authority().is_none_or(|target| *target == host);
    if host.as_str().contains('@') || !same { Err(Foreign::NoHost) } else { Ok(host) }
}

/// The value of a header. One that stands twice is like none of ours.
fn one(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return Some("two at once".to_owned());
    }
    Some(String::from_utf8_lossy(first.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(names: &[&str], local: &str, headers: &[(&str, &str)]) -> Result<bool, Foreign> {
        let mut request = Request::builder().uri("/api/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let parts = request.body(()).unwrap().into_parts().0;
        Site::new(&names).check(&parts, local.parse().unwrap())
    }

    #[test]
    fn only_our_own_names_and_addresses_are_ours() {
        let named = |host| check(&["Pi.local"], "192.168.1.5", &[("host", host)]);
        for near in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:8080", "127.0.0.9"] {
            assert_eq!(named(near), Ok(true), "{near}");
        }
        for ours in ["pi.local", "PI.local:8080", "192.168.1.5:8080"] {
            assert_eq!(named(ours), Ok(false), "{ours}");
        }
        for other in
            ["evil.example", "localhost.evil.example", "192.168.1.6", "pi.local.", "0.0.0.0"]
        {
            let is_host = matches!(named(other), Err(Foreign::Host(_)));
            assert!(is_host, "{other}: {:?}", named(other));
        }
        for none in ["", "localhost@evil.example", "evil.example@localhost", "a b"] {
            assert_eq!(named(none), Err(Foreign::NoHost), "{none}");
        }
        assert_eq!(check(&[], "::1", &[]), Err(Foreign::NoHost));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(check(&[], "::1", &twice), Err(Foreign::NoHost));
    }

    #[test]
    fn what_another_site_had_a_browser_send_is_told_apart() {
        let ask = |name, value| check(&[], "::1", &[("host", "localhost:8080"), (name, value)]);
        assert_eq!(ask("origin", "http://localhost:8080"), Ok(true));
        assert_eq!(ask("origin", "https://LOCALHOST:8080"), Ok(true));
        for other in [
            "http://localhost:3000",
            "http://evil.example",
            "null",
            "",
            "http://",
            "localhost:8080",
            "ftp://localhost:8080",
            "http://localhost:8080/",
        ] {
            assert_eq!(ask("origin", other), Err(Foreign::Origin(other.into())), "{other}");
        }
        assert_eq!(ask("sec-fetch-site", "same-origin"), Ok(true));
        assert_eq!(ask("sec-fetch-site", "none"), Ok(true));
        for other in ["cross-site", "same-site", "anything"] {
            assert!(ask("sec-fetch-site", other).is_err(), "{other}");
        }
        let link = [
            ("host", "localhost"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        assert_eq!(check(&[], "::1", &link), Ok(true), "a link may lead here");
    }

    #[test]
    fn what_a_proxy_sent_on_did_not_begin_on_this_machine() {
        for header in FORWARDED {
            let headers = [("host", "localhost:8080"), (header, "203.0.113.7")];
            assert_eq!(check(&[], "127.0.0.1", &headers), Ok(false), "{header}");
        }
    }
}
