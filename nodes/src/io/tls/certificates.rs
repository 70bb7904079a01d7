//! Until when the certificates of a connection are good, said before they are not.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::tz::TimeZone;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use smollama_engine::duration::Duration;
use smollama_engine::time::Timestamp;
use smollama_engine::trouble::Notice;

/// So long before its end it is said.
const SAID_BEFORE: Duration = Duration::from_days(30);

/// What is known of the certificates of both sides.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    own: Option<(PathBuf, Timestamp)>,
    seen: Seen,
    /// What is in the log already.
    logged: Arc<Mutex<Vec<Notice>>>,
}

/// Until when the last certificate of a server is good that was held good.
type Seen = Arc<Mutex<Option<Timestamp>>>;

impl Certificates {
    /// With that by which this host is known, and where it lies.
    pub(super) fn new(own: Option<(PathBuf, &CertificateDer<'_>)>, seen: Seen) -> Certificates {
        let own = own.and_then(|(path, certificate)| Some((path, not_after(certificate)?)));
        Certificates { own, seen, logged: Arc::default() }
    }

    /// What is to be said of them: from a month before their end on, and after it.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        let own = self.own.as_ref().into_iter().flat_map(|(path, end)| {
            let what = format!("the certificate of this host, {},", path.display());
            let help = "put one that is good for longer there, and start this program anew";
            before_and_after(&what, *end, help)
        });
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.into_iter().flat_map(|end| {
            before_and_after(
                "the certificate of the broker",
                end,
                "whoever runs it has to renew it",
            )
        });
        own.chain(seen).collect()
    }

    /// What is to be said now and is not in the log yet. It counts as logged.
    #[must_use]
    pub fn take_unlogged(&self, now: Timestamp) -> Vec<Notice> {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let new = |notice: &Notice| notice.holds(now) && !logged.contains(notice);
        let new: Vec<Notice> = self.notices().into_iter().filter(new).collect();
        logged.extend(new.iter().cloned());
        new
    }

    /// That the certificate of this host is good no more, where that is so.
    #[must_use]
    pub fn own_has_expired(&self, now: Timestamp) -> Option<String> {
        let (path, end) = self.own.as_ref().filter(|(_, end)| *end < now)?;
        Some(format!("the certificate of this host, {}, expired at {end}", path.display()))
    }
}

fn before_and_after(what: &str, end: Timestamp, help: &str) -> [Notice; 2] {
    let before = Notice::since(end - SAID_BEFORE, format!("{what} expires at {end}: {help}"));
    let after = Notice::since(end, format!("{what} expired at {end}: {help}"));
    [before.until(end), after]
}

/// Asks another one whether a server can be trusted, and notes until when its certificate is good.
#[derive(Debug)]
pub(super) struct Noting {
    pub(super) inner: Arc<dyn ServerCertVerifier>,
    pub(super) seen: Seen,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = not_after(end_entity);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// DER's numbers for what is read here (X.690, 8).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Until when a certificate is good (RFC 5280, 4.1.2.5); `None` where it does not say that so that it can be read, or says that it always is.
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (signed, _) = of(SEQUENCE, certificate)?;
    let (mut rest, _) = of(SEQUENCE, signed)?;
    if let Some((_, behind)) = of(VERSION, rest) {
        rest = behind;
    }
    // The serial number, the algorithm, and who issued it.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, _) = of(SEQUENCE, rest)?;
    let (.., end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        UTC_TIME if text.get(..2)?.parse::<u8>().ok()? >= 50 => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = jiff::fmt::strtime::parse("%Y%m%d%H%M%SZ", text).ok()?.to_datetime().ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp::from_jiff(time.timestamp()))
}

/// What an element with this tag holds, and what lies behind it.
fn of(wanted: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (tag, content, behind) = element(bytes)?;
    (tag == wanted).then_some((content, behind))
}

/// The first element: its tag, what it holds, and what lies behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            // Four of them at most, so that nothing is lost.
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn until(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(1970, 1, 1), date_time_ymd(year, 2, 3));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_that_it_can_have() {
        for year in [1975, 2020, 2049, 2050, 2999] {
            let end = format!("{year}-02-03T00:00:00Z").parse().unwrap();
            assert_eq!(not_after(&until(year)), Some(end), "{year}");
        }
        assert_eq!(not_after(b""), None);
    }

    #[test]
    fn a_month_before_its_end_it_is_said_and_after_it_too() {
        let own = (PathBuf::from("/a/b.pem"), &CertificateDer::from(until(2030)));
        let seen = Seen::default();
        let certificates = Certificates::new(Some(own), seen.clone());
        let said = |at: &str| {
            let now = at.parse().unwrap();
            let holds = certificates.notices().into_iter().filter(|notice| notice.holds(now));
            holds.map(|notice| notice.text).collect::<Vec<_>>()
        };
        assert_eq!(said("2030-01-03T23:59:59Z"), [""; 0]);
        let before = said("2030-01-04T00:00:00Z");
        assert_eq!(
            before,
            [
                "the certificate of this host, /a/b.pem, expires at 2030-02-03T00:00:00Z: put one that is good for longer there, and start this program anew"
            ]
        );
        let after = said("2030-02-03T00:00:01Z");
        assert!(after.len() == 1 && after[0].contains("b.pem, expired at 2030-02-03"), "{after:?}");
        *seen.lock().unwrap() = Some("2030-01-10T00:00:00Z".parse().unwrap());
        let both = said("2030-01-04T00:00:00Z");
        assert!(both.len() == 2 && both[1].contains("of the broker expires at 2030-01-10"));
        let log = |at: &str| certificates.take_unlogged(at.parse().unwrap()).len();
        let times = ["2029-01-01", "2030-01-04", "2030-01-05", "2030-01-11", "2030-01-12"];
        assert_eq!(times.map(|day| log(&format!("{day}T00:00:00Z"))), [0, 2, 0, 1, 0]);
        let expired = |at: &str| certificates.own_has_expired(at.parse().unwrap()).is_some();
        assert!(!expired("2030-02-03T00:00:00Z") && expired("2030-02-03T00:00:01Z"));
    }

    proptest! {
        #[test]
        fn bytes_that_are_none_are_no_harm(at in 0usize..400, byte: u8, end in 0usize..600) {
            let mut bytes = until(2030);
            let len = bytes.len();
            bytes[at % len] = byte;
            let _ = not_after(&bytes);
            let _ = not_after(&bytes[..end.min(len)]);
        }
    }
}
