//! The source against a server on a real socket.

mod trust;

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::reading::Reading;
use smollama_engine::testing::START;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::io::http::server::{Reply, Server as TestServer};

struct Bench {
    host: Arc<Host>,
    source: Http,
}

fn config(settings: Json) -> HttpConfig {
    let config: HttpConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    config
}

impl Bench {
    fn new(url: &str, mut settings: Json) -> Bench {
        settings["url"] = url.into();
        let host = Arc::new(Host::for_tests(std::path::Path::new("/nonexistent")));
        let context = Context::new(host.clone(), "p/in", "h");
        let mut source = Http::new(&config(settings), &context).unwrap();
        source.later = std::time::Duration::ZERO;
        Bench { host, source }
    }

    async fn read(&mut self) -> Result<SourceBatch, String> {
        match self.source.read(START).await {
            Ok(Read::Batch(batch)) => Ok(batch),
            Ok(Read::Finished) => panic!("it never ends"),
            Err(NodeError::Retry(why)) => {
                assert_eq!(self.source.trouble.get(), Some(why.clone()));
                Err(why)
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// `id=value` of one answer.
    async fn said(&mut self) -> Vec<String> {
        let batch = self.read().await.unwrap();
        assert_eq!(batch.rejects, []);
        assert_eq!(self.source.trouble.get(), None);
        let Items::Readings(readings) = batch.items else { panic!("readings") };
        let said =
            |one: &Reading| format!("{}={}", self.host.series.get(one.series).source, one.value);
        readings.iter().map(said).collect()
    }
}

fn ok(body: &str) -> Reply {
    Reply::status(200).body(body)
}

/// A server that writes these bytes to each connection when it was asked, and then waits, or ends the connection.
async fn raw(bytes: Vec<u8>, ends: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4_096];
            let _ = stream.read(&mut asked).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            if !ends {
                tokio::spawn(async move {
                    let _ = stream.read(&mut asked).await;
                });
            }
        }
    });
    url
}

#[tokio::test]
async fn an_answer_becomes_readings_by_what_it_is() {
    let weather = r#"{"current":{"temperature":4.5,"wind":2},"station":"x","value_of":[1,2]}"#;
    let lines = "{\"source\":\"a\",\"value\":1}\n\n{\"source\":\"b\",\"value\":2}";
    for (settings, body, said) in [
        (
            json!({}),
            weather,
            vec![
                "h:current.temperature=4.5",
                "h:current.wind=2",
                "h:station=x",
                "h:value_of.0=1",
                "h:value_of.1=2",
            ],
        ),
        (
            json!({ "fields": { "current.wind": { "unit": "m/s", "id": "wind" } } }),
            weather,
            vec!["h:wind=2"],
        ),
        (json!({ "value": "current.wind" }), weather, vec!["h:value=2"]),
        (json!({ "value": "current.wind", "id": "{station}/wind" }), weather, vec!["h:x/wind=2"]),
        (json!({}), " 21.5\n", vec!["h:value=21.5"]),
        (json!({ "id": "{host}" }), "21.5", vec!["h:127.0.0.1=21.5"]),
        (json!({ "format": "text" }), "21.5", vec!["h:value=21.5"]),
        (json!({ "format": "json_lines" }), lines, vec!["h:a=1", "h:b=2"]),
        (
            json!({ "each": "list", "value": "v", "id": "{n}" }),
            r#"{"list":[{"n":"a","v":1},{"n":"b","v":2}]}"#,
            vec!["h:a=1", "h:b=2"],
        ),
        (json!({}), "", vec![]),
    ] {
        let server = TestServer::script([ok(body)]).await;
        assert_eq!(Bench::new(&server.url(), settings).said().await, said, "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_understood_goes_to_the_dead_letters() {
    let server = TestServer::script([ok("{\"a\":"), ok("1\nx\n")]).await;
    let mut bench = Bench::new(&server.url(), json!({ "format": "json" }));
    let batch = bench.read().await.unwrap();
    assert_eq!((batch.items.len(), batch.rejects.len()), (0, 1));
    assert_eq!(
        (&*batch.rejects[0].origin, &*batch.rejects[0].bytes),
        (&*format!("`{}`", server.url()), &b"{\"a\":"[..])
    );
    let mut bench = Bench::new(&server.url(), json!({ "format": "json_lines" }));
    let batch = bench.read().await.unwrap();
    assert_eq!((batch.items.len(), batch.rejects.len()), (1, 1));
    assert_eq!(batch.rejects[0].origin, format!("`{}` line 2", server.url()));
    assert_eq!(bench.source.trouble.get(), None);
}

#[tokio::test]
async fn what_was_read_is_not_sent_again() {
    let replies = [
        ok("1").header("etag", "\"a\"").header("last-modified", "Sat, 21 Nov 2026 01:02:03 GMT"),
        Reply::status(304),
        ok("2"),
        ok("3"),
    ];
    let server = TestServer::script(replies).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    for said in [&["h:value=1"][..], &[], &["h:value=2"], &["h:value=3"]] {
        assert_eq!(bench.said().await, said);
    }
    let asked = |at: usize| {
        let request = &server.requests()[at];
        (request.header("if-none-match"), request.header("if-modified-since"))
    };
    assert_eq!(asked(0), (String::new(), String::new()));
    let known = ("\"a\"".to_owned(), "Sat, 21 Nov 2026 01:02:03 GMT".to_owned());
    assert_eq!((asked(1), asked(2)), (known.clone(), known));
    assert_eq!(asked(3), (String::new(), String::new()), "the newest answer has no name");
}

#[tokio::test]
async fn a_name_counts_only_for_what_was_read_whole() {
    let torn =
        Reply::status(200).header("etag", "\"a\"").header("content-length", "9").body("{\"a\"");
    let large = ok(&"1".repeat(40)).header("etag", "\"b\"");
    let server = TestServer::script([torn, large, ok("7")]).await;
    let mut bench = Bench::new(&server.url(), json!({ "max_size": "32B" }));
    bench.read().await.unwrap_err();
    assert_eq!(
        bench.read().await.unwrap().rejects[0].reason,
        "the answer is larger than `max_size` (32 bytes)"
    );
    assert_eq!(bench.said().await, ["h:value=7"]);
    assert!(server.requests().iter().all(|one| one.header("if-none-match").is_empty()));
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn answers_may_be_packed_and_come_in_chunks() {
    let body = gzip(b"{\"a\":1}");
    let length = format!("content-encoding: gzip\r\ncontent-length: {}", body.len());
    let url = raw(answer(&length, &body), true).await;
    assert_eq!(Bench::new(&url, json!({})).said().await, ["h:a=1"]);
    let chunks = b"3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
    let url = raw(answer("transfer-encoding: chunked", chunks), true).await;
    assert_eq!(Bench::new(&url, json!({})).said().await, ["h:a=1"]);
    // A little that unpacks to a lot is not unpacked.
    let bomb = gzip(&vec![b' '; 40 << 20]);
    assert!(bomb.len() < 100_000);
    let length = format!("content-encoding: gzip\r\ncontent-length: {}", bomb.len());
    let mut bench = Bench::new(&raw(answer(&length, &bomb), true).await, json!({}));
    assert_eq!(
        bench.read().await.unwrap().rejects[0].reason,
        "the answer is larger than `max_size` (1048576 bytes)"
    );
    let broken = answer("content-encoding: gzip\r\ncontent-length: 4", b"junk");
    let why = Bench::new(&raw(broken, true).await, json!({})).read().await.unwrap_err();
    assert!(why.contains("cannot be unpacked"), "{why}");
    let other = answer("content-encoding: br\r\ncontent-length: 4", b"junk");
    let why = Bench::new(&raw(other, true).await, json!({})).read().await.unwrap_err();
    assert!(why.contains("answered in `br`"), "{why}");
}

#[tokio::test]
async fn a_server_that_is_silent_or_slow_or_breaks_off_is_no_more_than_a_trouble() {
    let quick = json!({ "timeout": "200ms" });
    let silent = TestServer::script([Reply::Silence]).await;
    let mut bench = Bench::new(&silent.url(), quick.clone());
    assert_eq!(
        bench.read().await.unwrap_err(),
        format!("`{}`: it did not answer in time", silent.url())
    );
    assert_eq!(bench.said().await, [""; 0], "and is asked again");
    // The head comes, and of the body no more than half.
    let slow = raw(answer("content-length: 8", b"{\"a\""), false).await;
    let why = Bench::new(&slow, quick.clone()).read().await.unwrap_err();
    assert!(why.contains("did not answer in time"), "{why}");
    let torn = raw(answer("content-length: 8", b"{\"a\""), true).await;
    let why = Bench::new(&torn, quick.clone()).read().await.unwrap_err();
    assert!(why.starts_with(&format!("`{torn}`: ")), "{why}");
    let closed = TestServer::script([Reply::Close]).await;
    Bench::new(&closed.url(), quick.clone()).read().await.unwrap_err();
    Bench::new("http://127.0.0.1:1/hush", quick).read().await.unwrap_err();
}

#[tokio::test]
async fn what_is_no_answer_is_said() {
    let replies = [
        Reply::status(404).body("no  such\nstation"),
        Reply::status(500),
        Reply::status(204),
        ok("1"),
    ];
    let server = TestServer::script(replies).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    let url = server.url();
    assert_eq!(
        bench.read().await.unwrap_err(),
        format!("`{url}` answered 404 Not Found: no such station")
    );
    assert_eq!(
        bench.read().await.unwrap_err(),
        format!("`{url}` answered 500 Internal Server Error")
    );
    assert_eq!(bench.said().await, [""; 0]);
    assert_eq!(bench.said().await, ["h:value=1"]);
}

#[tokio::test]
async fn a_pause_that_the_server_asks_for_is_kept() {
    let replies = [Reply::status(429).header("retry-after", "120"), ok("1")];
    let server = TestServer::script(replies).await;
    let mut bench = Bench::new(&server.url(), json!({}));
    bench.read().await.unwrap_err();
    let (asked, pause) = (Instant::now(), bench.source.pause.unwrap());
    assert!(pause > asked + std::time::Duration::from_secs(110));
    let waits = bench.source.read(START);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), waits).await.is_err());
    assert_eq!(server.requests().len(), 1);
    // Dropped while it waited, it still waits.
    assert_eq!(bench.source.pause, Some(pause));
    bench.source.pause = Some(asked);
    assert_eq!(bench.said().await, ["h:value=1"]);
    assert_eq!(bench.source.pause, None);
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_and_no_further() {
    let away = TestServer::always(200).await;
    let other = format!("http://localhost:{}/", away.port());
    let last = Reply::status(302).header("location", "/five");
    let mut replies: Vec<Reply> = Vec::new();
    replies.extend(["/one", "/two", "/three"].map(|to| Reply::status(301).header("location", to)));
    replies.push(ok("1"));
    replies.push(Reply::status(302).header("location", &other));
    replies.extend((0..6).map(|_| last.clone()));
    let server = TestServer::script(replies).await;
    let mut bench = Bench::new(&server.url(), json!({ "headers": { "x-api-key": "hush" } }));
    assert_eq!(bench.said().await, ["h:value=1"]);
    let paths: Vec<String> = server.requests().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["/", "/one", "/two", "/three"]);
    assert!(server.requests().iter().all(|one| one.header("x-api-key") == "hush"));
    let why = bench.read().await.unwrap_err();
    assert!(why.contains("answered 302 Found: it leads elsewhere to `http://localhost:"), "{why}");
    assert_eq!(away.requests().len(), 0, "a secret goes to no other host");
    let why = bench.read().await.unwrap_err();
    assert!(why.contains("302 Found"), "{why}");
    assert_eq!(server.requests().len(), 11);
}

#[test]
fn hosts_ask_at_different_times_and_each_at_its_own() {
    let later = |id: u128, every: Option<Duration>| {
        let mut host = Host::for_tests(std::path::Path::new("/nonexistent"));
        host.id = uuid::Uuid::from_u128(id);
        let mut context = Context::new(Arc::new(host), "p/in", "h");
        context.every = every;
        Http::new(&config(json!({ "url": "http://a" })), &context).unwrap().later
    };
    let all: std::collections::BTreeSet<_> = (0..100).map(|id| later(id, None)).collect();
    assert!(all.len() > 95 && all.iter().all(|one| one.as_secs_f64() <= 6.0), "{all:?}");
    assert!(all.last().unwrap().as_secs_f64() > 5.0 && all.first().unwrap().as_secs_f64() < 1.0);
    assert_eq!(later(7, None), later(7, None));
    assert!((0..100).all(|id| later(id, Some(Duration::from_hours(1))).as_secs_f64() <= 10.0));
}
