//! Who a sender is. Nothing here takes longer the more of a secret was guessed.

use ring::hmac;
use ring::rand::SystemRandom;
use smollama_engine::registry::Problem;

use super::config::{Auth, WebhookConfig};

/// What a request must show.
pub(super) enum Guard {
    /// Nothing.
    None,
    /// A token. It is known by its keyed hash: comparing hashes tells nothing of the token.
    Bearer { key: hmac::Key, token: hmac::Tag },
    /// A signature of the body in a header.
    Hmac { key: hmac::Key, header: String },
}

impl Guard {
    pub(super) fn new(config: &WebhookConfig) -> Result<Guard, Problem> {
        Ok(match &config.auth {
            None => Guard::None,
            Some(Auth::Bearer(token)) => {
                let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
                let no_random = |_| Problem::at("auth", "the system gives no random numbers");
                let key = key.map_err(no_random)?;
                let token = hmac::sign(&key, token.expose().as_bytes());
                Guard::Bearer { key, token }
            }
            Some(Auth::Hmac(one)) => Guard::Hmac {
                key: hmac::Key::new(hmac::HMAC_SHA256, one.secret.expose().as_bytes()),
                header: one.header.to_ascii_lowercase(),
            },
        })
    }

    /// Whether the head of a request can be that of somebody who is known: a body is read only then.
    pub(super) fn admits<'a>(&self, header: impl Fn(&str) -> Option<&'a [u8]>) -> bool {
        match self {
            Guard::None => true,
            Guard::Bearer { key, token } => {
                let given = header("authorization").unwrap_or_default();
                let given = match given.split_at_checked(7) {
                    Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") => given,
                    _ => return false,
                };
                hmac::verify(key, given.trim_ascii(), token.as_ref()).is_ok()
            }
            Guard::Hmac { header: name, .. } => header(name).and_then(signature).is_some(),
        }
    }

    /// Whether a body is signed as it should be.
    pub(super) fn accepts<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a [u8]>,
        body: &[u8],
    ) -> bool {
        match self {
            Guard::None | Guard::Bearer { .. } => true,
            Guard::Hmac { key, header: name } => header(name)
                .and_then(signature)
                .is_some_and(|given| hmac::verify(key, body, &given).is_ok()),
        }
    }
}

/// The bytes of a signature: 64 hexadecimal digits, perhaps behind the name of the method.
fn signature(text: &[u8]) -> Option<[u8; 32]> {
    let text = text.trim_ascii();
    let digits = match text.split_at_checked(7) {
        Some((b"sha256=", digits)) => digits,
        _ => text,
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|one| u8::try_from(one).ok());
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guard(auth: serde_json::Value) -> Guard {
        let config = json!({ "listen": "127.0.0.1:0", "auth": auth });
        Guard::new(&serde_json::from_value(config).unwrap()).unwrap()
    }

    #[test]
    fn a_token_is_right_or_wrong() {
        let guard = guard(json!({ "bearer": "hush" }));
        let admits = |text: &'static str| guard.admits(|_| Some(text.as_bytes()));
        assert!(admits("Bearer hush") && admits("bearer  hush "));
        for wrong in ["", "hush", "Bearer", "Bearer ", "Bearer hus", "Bearer hushh", "Basic hush"] {
            assert!(!admits(wrong), "{wrong}");
        }
        assert!(!guard.admits(|_| None));
    }

    /// The example in GitHub's documentation of its webhooks.
    #[test]
    fn a_signature_is_that_of_github() {
        let guard = guard(json!({ "hmac": { "secret": "It's a Secret to Everybody" } }));
        let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let accepts = |text: &str, body: &[u8]| {
            let header = |name: &str| (name == "x-hub-signature-256").then_some(text.as_bytes());
            guard.admits(header) && guard.accepts(header, body)
        };
        assert!(accepts(&format!("sha256={right}"), b"Hello, World!"));
        assert!(accepts(&right.to_uppercase(), b"Hello, World!"));
        assert!(!accepts(right, b"Hello, World"));
        for wrong in
            ["", "sha256=", &right[1..], &right.replace('7', "8"), &right.replace('7', "ä")]
        {
            assert!(!accepts(wrong, b"Hello, World!"), "{wrong}");
        }
        assert!(!guard.admits(|_| None));
    }
}
