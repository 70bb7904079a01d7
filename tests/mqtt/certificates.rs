//! Certificates that come to their end: `status` says so before, and what it was afterwards.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::access::{PIPELINE, goes_through, others_go_on, place_with, wait_for};
use super::{broker, node};
use crate::mosquitto::{KEEPS, Mosquitto};
use crate::place::{Place, text};

/// Whether `openssl` did this in a folder.
fn openssl(folder: &Path, args: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(args.split_whitespace()).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// Writes an authority to `ca.pem`. False where there is no `openssl`.
fn authority(folder: &Path) -> bool {
    openssl(folder, &format!("req -x509 {KEY} -keyout ca.key -out ca.pem -subj /CN=ca -days 999"))
}

/// Writes a certificate for loopback that is good for so many days, with its key, to `NAME.pem` and `NAME.key`.
fn signs(keys: &Place, name: &str, days: i32) {
    keys.write("names", "subjectAltName=IP:127.0.0.1\n");
    let request = format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}");
    let sign = format!(
        "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile names -out {name}.pem"
    );
    assert!(openssl(keys.folder(), &request) && openssl(keys.folder(), &sign), "{name}");
}

#[test]
fn certificates_that_end_soon_are_told_and_one_that_has_ended_is_named() {
    let (keys, good) = (Place::new(), broker(""));
    if !authority(keys.folder()) {
        eprintln!("not tested: there is no openssl");
        return;
    }
    for (name, days) in [("server", 20), ("lasting", 40), ("ending", 10), ("ended", -1)] {
        signs(&keys, name, days);
    }
    let shown = keys.folder().display();
    let strict = Mosquitto::start(&format!(
        "cafile {shown}/ca.pem\ncertfile {shown}/server.pem\nkeyfile {shown}/server.key\nrequire_certificate true\n{KEEPS}"
    ));
    let place = |name: &str, version: &str| {
        let tls = format!("ca: {shown}/ca.pem, cert: {shown}/{name}.pem, key: {shown}/{name}.key");
        let port = strict.port;
        let settings =
            format!("broker: 127.0.0.1, port: {port}, version: {version:?}, tls: {{ {tls} }}");
        place_with(&settings, &good)
    };
    for (name, versions) in [("lasting", &["5"][..]), ("ending", &["5", "3.1.1"])] {
        for version in versions {
            let place = place(name, version);
            let _engine = place.engine(PIPELINE);
            goes_through(&place, || {
                let said = place.run(&["mqtt", "pub", "in/1", "2"]);
                assert!(said.status.success(), "{}", text(&said.stderr));
            });
            let logs = place.says(&["logs"]);
            for node in ["in", "sent"].map(|name| node(&place, name)) {
                let warnings = node["warnings"].as_array().expect("warnings");
                let mut warned = warnings.iter().map(|warning| warning["text"].to_string());
                let own = format!("the certificate of this host, {shown}/{name}.pem, expires at");
                assert_eq!(
                    warned.any(|text| text.contains(&own)),
                    name == "ending",
                    "{warnings:?}"
                );
                let of_broker = "the certificate of the broker expires at";
                assert!(warnings.iter().any(|one| one.to_string().contains(of_broker)));
                assert_eq!(logs.matches(of_broker).count(), 1, "{logs}");
                assert_eq!(node["error"], Value::Null);
            }
            assert_eq!(node(&place, "other")["warnings"], Value::Null);
        }
    }
    for version in ["5", "3.1.1"] {
        let place = place("ended", version);
        let _engine = place.engine(PIPELINE);
        let why = format!("the certificate of this host, {shown}/ended.pem, expired at");
        for name in ["in", "sent"] {
            wait_for(&place, name, &why);
        }
        others_go_on(&place, &good);
        let said = place.run(&["mqtt", "pub", "in/1", "2"]);
        assert!(text(&said.stderr).contains(&why), "{}", text(&said.stderr));
    }
}
