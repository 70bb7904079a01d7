//! Who is trusted with what: secrets, certificates, settings.

use super::*;
use crate::io::http::server::trusted;

#[tokio::test]
async fn headers_and_credentials_are_sent_and_never_shown() {
    let server = Server::script([Reply::status(200), Reply::status(503)]).await;
    let secret = format!("http://127.0.0.1:{}/hooks/hush?token=hush", server.port());
    let settings =
        json!({ "headers": { "X-Api-Key": "hush" }, "auth": { "bearer": "hush" }, "url": secret });
    let shown = format!("{:?}", config(settings.clone()));
    assert!(!shown.contains("hush"), "{shown}");
    let mut bench = Bench::new(&secret, settings);
    bench.values([1]).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!(request.header("x-api-key"), "hush");
    assert_eq!(request.header("authorization"), "Bearer hush");
    assert_eq!(request.path, "/hooks/hush?token=hush");
    let said = why(bench.values([1]).await);
    assert!(!said.contains("hush"), "{said}");

    let basic = json!({ "auth": { "basic": { "user": "me", "password": "hush" } } });
    let mut bench = Bench::new(&server.url(), basic);
    bench.values([1]).await.unwrap();
    assert_eq!(server.requests()[2].header("authorization"), "Basic bWU6aHVzaA==");

    let inside = format!("http://me:hush@127.0.0.1:{}", server.port());
    let mut bench = Bench::new(&inside, json!({}));
    bench.values([1]).await.unwrap();
    assert_eq!(server.requests()[3].header("authorization"), "Basic bWU6aHVzaA==");
    let nobody = Bench::new("http://me:hush@127.0.0.1:1/hush?hush", json!({})).values([1]).await;
    let said = why(nobody);
    assert!(said.starts_with("`http://127.0.0.1:1`: ") && !said.contains("hush"), "{said}");
}

#[tokio::test]
async fn a_server_is_trusted_where_its_authority_is() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let server = trusted(&ca, |_| Reply::status(200)).await;
    let url = format!("https://localhost:{}/in", server.port());
    let trusting = json!({ "url": url, "tls": { "ca": ca } });
    let mut bench = Bench::new(&url, trusting.clone());
    bench.values([1]).await.unwrap();
    assert_eq!(values_in(&server.requests()[0]), [1]);
    let said = why(Bench::new(&url, json!({})).values([1]).await);
    assert!(said.contains("certificate"), "{said}");
    let other_name = format!("https://127.0.0.1:{}/in", server.port());
    let said = why(Bench::new(&other_name, trusting).values([1]).await);
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_file_of_authorities_must_hold_some() {
    let folder = tempfile::tempdir().unwrap();
    let host = Arc::new(Host::for_tests(folder.path()));
    let mut context = Context::new(host, "p/out", "http");
    context.folder = folder.path().to_owned();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    for (name, what) in [("none.pem", "cannot be read"), ("empty.pem", "holds no certificates")] {
        let settings = json!({ "url": "https://example.org", "tls": { "ca": name } });
        let problem = sink(&config(settings), &context).err().unwrap();
        assert_eq!(problem.field, "tls.ca");
        assert!(problem.message.contains(what), "{}", problem.message);
    }
}

#[test]
fn says_what_is_wrong_with_the_settings() {
    let found = |mut settings: serde_json::Value| {
        if settings["url"].is_null() {
            settings["url"] = "https://example.org".into();
        }
        let config: HttpConfig = serde_json::from_value(settings).unwrap();
        let problems = config.problems().into_iter();
        problems.map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({})), Vec::<String>::new());
    assert_eq!(
        found(json!({ "url": "example.org" })),
        ["url: this is no address: relative URL without a base"]
    );
    assert_eq!(
        found(json!({ "url": "ftp://a" })),
        ["url: `ftp` is nothing that requests can be sent to"]
    );
    let twice = json!({ "url": "https://me:hush@a", "auth": { "bearer": "x" } });
    assert_eq!(found(twice), ["auth: the address holds a name and a password too"]);
    let headers = BTreeMap::from([("a b", "x")]);
    assert_eq!(found(json!({ "headers": headers })), ["headers.a b: `a b` is no name of a header"]);
    let line = json!({ "headers": { "a": "hush\n" }, "auth": { "bearer": "hush\n" } });
    assert_eq!(
        found(line),
        [
            "headers.a: this value cannot stand in a header",
            "auth.bearer: this value cannot stand in a header"
        ]
    );
    let batch = json!({ "items": 0, "bytes": "17MiB", "wait": "6s" });
    assert_eq!(
        found(json!({ "batch": batch, "timeout": "0s" })),
        [
            "batch.items: it must lie between 1 and 10000",
            "batch.bytes: it must lie between 1B and 16MiB",
            "batch.wait: it can be 5s at most",
            "timeout: no answer comes in no time"
        ]
    );
    let template = |text: &str| found(json!({ "body": { "template": text } }));
    assert_eq!(
        template("{{ valeu }} {{ range(3) }} {% set x = 1 %}{{ x }}"),
        ["body.template: no item has a field `valeu`"]
    );
    let broken = template("a\n{{ value");
    assert!(broken[0].starts_with("body.template: the template fails in line 2: "), "{broken:?}");
}
