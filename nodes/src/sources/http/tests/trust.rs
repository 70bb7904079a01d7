//! Who is trusted with what: secrets, certificates, settings.

use super::*;
use crate::io::http::server::trusted;

#[tokio::test]
async fn headers_and_credentials_are_sent_and_never_shown() {
    let server = TestServer::script([Reply::status(200), Reply::status(503)]).await;
    let secret = format!("{}/hooks/hush?token=hush", server.url());
    let settings =
        json!({ "headers": { "X-Api-Key": "hush" }, "auth": { "bearer": "hush" }, "url": secret });
    let shown = format!("{:?}", config(settings.clone()));
    assert!(!shown.contains("hush"), "{shown}");
    let mut bench = Bench::new(&secret, settings);
    bench.said().await;
    let request = server.requests().remove(0);
    assert_eq!(request.header("x-api-key"), "hush");
    assert_eq!(request.header("authorization"), "Bearer hush");
    assert_eq!((&*request.method, &*request.path), ("GET", "/hooks/hush?token=hush"));
    let why = bench.read().await.unwrap_err();
    assert!(!why.contains("hush"), "{why}");
    let basic = json!({ "auth": { "basic": { "user": "me", "password": "hush" } } });
    Bench::new(&server.url(), basic).said().await;
    assert_eq!(server.requests()[2].header("authorization"), "Basic bWU6aHVzaA==");
}

#[tokio::test]
async fn a_server_is_trusted_where_its_authority_is() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let server = trusted(&ca, |_| Reply::status(200).body("1")).await;
    let url = format!("https://localhost:{}/in", server.port());
    let trusting = json!({ "tls": { "ca": ca } });
    assert_eq!(Bench::new(&url, trusting.clone()).said().await, ["h:value=1"]);
    let why = Bench::new(&url, json!({})).read().await.unwrap_err();
    assert!(why.contains("certificate"), "{why}");
    let other_name = format!("https://127.0.0.1:{}/in", server.port());
    let why = Bench::new(&other_name, trusting).read().await.unwrap_err();
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn says_what_is_wrong_with_the_settings() {
    let found = |settings: Json| {
        let config: HttpConfig = serde_json::from_value(settings).unwrap();
        let problems = config.problems().into_iter();
        problems.map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>()
    };
    assert_eq!(
        found(
            json!({ "url": "example.org", "timeout": "0s", "max_size": "65MiB", "value": "v", "fields": [] })
        ),
        [
            "url: this is no address: relative URL without a base",
            "timeout: no answer comes in no time",
            "max_size: it must lie between 1B and 64MiB",
            "fields: `value` and `fields` are both set",
            "fields: there is none",
        ]
    );
    assert_eq!(
        found(
            json!({ "url": "https://me:hush@a", "auth": { "bearer": "x" }, "headers": { "a b": "x" } })
        ),
        [
            "auth: the address holds a name and a password too",
            "headers.a b: `a b` is no name of a header"
        ]
    );
}
