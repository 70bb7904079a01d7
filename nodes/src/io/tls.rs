//! TLS, with one provider of cryptography for everything.

mod certificates;

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;
use smollama_engine::config::mqtt::MqttTls;

pub use certificates::Certificates;
use certificates::Noting;

/// Makes ring the provider of this process. Comes before the first client is made; done again it changes nothing.
pub fn install_provider() {
    // It fails where one is installed already, and nothing here installs another.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// How a broker is known for sure, and how it knows this host; and what is to be said of the certificates. Reads the files that are named.
///
/// # Errors
/// A file cannot be read or does not hold what it should, or the system's authorities cannot be read: which, and why.
pub fn client_config(tls: &MqttTls) -> Result<(Arc<ClientConfig>, Certificates), String> {
    install_provider();
    let builder = ClientConfig::builder();
    let inner: Arc<dyn ServerCertVerifier> = match &tls.ca {
        Some(path) => WebPkiServerVerifier::builder(Arc::new(authorities(path)?))
            .build()
            .map_err(|error| format!("{} holds no authority: {error}", path.display()))?,
        None => {
            Arc::new(Verifier::new(builder.crypto_provider().clone()).map_err(|error| {
                format!("the authorities of the system cannot be read: {error}")
            })?)
        }
    };
    let seen = Arc::default();
    let noting = Noting { inner, seen: Arc::clone(&seen) };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(noting));
    let (config, known) = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let secret =
                PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, "key", &error))?;
            let chain = certificates(cert)?;
            let own = chain.first().map(|own| (cert.clone(), own));
            let known = Certificates::new(own, seen);
            let config = builder.with_client_auth_cert(chain, secret).map_err(|error| {
                format!("{} and {} do not fit: {error}", cert.display(), key.display())
            })?;
            (config, known)
        }
        _ => (builder.with_no_client_auth(), Certificates::new(None, seen)),
    };
    Ok((Arc::new(config), known))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| format!("{} holds no authority: {error}", path.display()))?;
    }
    Ok(store)
}

/// The certificates of a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(bad(path, "certificate", &pem::Error::NoItemsFound)),
        found => found.map_err(|error| bad(path, "certificate", &error)),
    }
}

fn bad(path: &Path, what: &str, error: &pem::Error) -> String {
    let path = path.display();
    match error {
        pem::Error::Io(error) => format!("{path} cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("{path} holds no {what} in the form of PEM"),
        error => format!("{path} holds no {what} that can be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_what_is_wrong_with_them_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let one = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let cert = write("cert.pem", &one.cert.pem());
        let key = write("key.pem", &one.signing_key.serialize_pem());
        let foreign = write("foreign.pem", &other.signing_key.serialize_pem());
        let empty = write("empty.pem", "nothing");
        let missing = folder.path().join("missing.pem");

        let own = |cert: &Path, key: &Path| MqttTls {
            ca: None,
            cert: Some(cert.to_owned()),
            key: Some(key.to_owned()),
        };
        let ca = |path: &Path| MqttTls { ca: Some(path.to_owned()), ..MqttTls::default() };
        client_config(&ca(&cert)).unwrap();
        client_config(&MqttTls { ca: Some(cert.clone()), ..own(&cert, &key) }).unwrap();
        let with = |tls: MqttTls| MqttTls { ca: tls.ca.or(Some(cert.clone())), ..tls };
        for (tls, part) in [
            (ca(&missing), "missing.pem cannot be read"),
            (ca(&empty), "empty.pem holds no certificate"),
            (ca(&key), "key.pem holds no certificate"),
            (with(own(&cert, &empty)), "empty.pem holds no key"),
            (with(own(&cert, &foreign)), "do not fit"),
        ] {
            let said = client_config(&tls).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
