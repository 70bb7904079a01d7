//! The source over real sockets.

use std::time::Duration;

use hyper::StatusCode;
use reqwest::header::RETRY_AFTER;
use ring::hmac;
use serde_json::{Value as Json, json};
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::testing::START;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

/// Nothing here takes as long, unless it never happens.
const WITHIN: Duration = Duration::from_secs(30);

struct Bench {
    host: Arc<Host>,
    source: Webhook,
    url: String,
}

fn settings(mut settings: Json) -> Json {
    settings["listen"] = "127.0.0.1:0".into();
    settings
}

fn source(host: &Arc<Host>, settings: Json) -> Webhook {
    let config: WebhookConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    crate::io::tls::install_provider();
    Webhook::new(&config, &Context::new(host.clone(), "p/in", "w")).unwrap()
}

type Sent = JoinHandle<(u16, Json)>;

impl Bench {
    async fn new(with: Json) -> Bench {
        let host = Arc::new(Host::for_tests(std::path::Path::new("/nonexistent")));
        let mut bench = Bench { source: source(&host, settings(with)), host, url: String::new() };
        bench.url = format!("http://{}", bench.source.door.address().unwrap());
        bench.begin().await;
        bench
    }

    /// The source is asked for the first time: it listens from then on.
    async fn begin(&mut self) {
        let asked = tokio::time::timeout(Duration::from_millis(1), self.source.read(START)).await;
        assert!(asked.is_err(), "nothing came yet");
    }

    fn post(&self, path: &str, body: impl Into<String>) -> Sent {
        self.send(reqwest::Client::new().post(format!("{}{path}", self.url)).body(body.into()))
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Sent {
        tokio::spawn(async move {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
        })
    }

    async fn batch(&mut self) -> SourceBatch {
        match tokio::time::timeout(WITHIN, self.source.read(START)).await.unwrap().unwrap() {
            Read::Batch(batch) => batch,
            Read::Finished => panic!("it never ends"),
        }
    }

    fn said(&self, batch: &SourceBatch) -> Vec<String> {
        let Items::Readings(readings) = &batch.items else { panic!("readings") };
        let said =
            |one: &Reading| format!("{}={}", self.host.series.get(one.series).source, one.value);
        readings.iter().map(said).collect()
    }

    /// What a request gives when it is kept, and its answer.
    async fn keep(&mut self, sent: Sent) -> (Vec<String>, (u16, Json)) {
        let mut batch = self.batch().await;
        let said = self.said(&batch);
        batch.receipt.take().unwrap().kept();
        (said, sent.await.unwrap())
    }
}

#[tokio::test]
async fn a_request_is_answered_when_it_is_kept_and_not_before() {
    let mut bench = Bench::new(json!({})).await;
    let sent = bench.post("/kitchen", r#"{"temperature":21.5,"door":true}"#);
    let mut batch = bench.batch().await;
    assert_eq!(bench.said(&batch), ["w:kitchen/temperature=21.5", "w:kitchen/door=true"]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!sent.is_finished());
    batch.receipt.take().unwrap().kept();
    assert_eq!(sent.await.unwrap(), (200, json!({ "readings": 2 })));
}

#[tokio::test]
async fn what_is_not_kept_is_not_acknowledged() {
    let mut bench = Bench::new(json!({ "timeout": "300ms" })).await;
    let sent = bench.post("/", "1");
    drop(bench.batch().await);
    let (status, said) = sent.await.unwrap();
    assert_eq!((status, &said["error"]), (503, &json!("it is not kept: send it again")));
    let sent = bench.post("/", "1");
    let held = bench.batch().await;
    let (status, said) = sent.await.unwrap();
    assert_eq!((status, &said["error"]), (503, &json!("it is not kept yet: send it again later")));
    held.receipt.unwrap().kept();
}

#[tokio::test]
async fn bodies_are_objects_arrays_or_lines() {
    let mut bench = Bench::new(json!({ "fields": { "t": "°C" }, "path": "/in" })).await;
    let sent = bench.post("/in/a", r#"[{"t":1,"id":"x"},{"t":2,"u":3}]"#);
    let (said, answer) = bench.keep(sent).await;
    assert_eq!(
        (said, answer),
        (vec!["w:a/0/t=1".into(), "w:a/1/t=2".into()], (200, json!({ "readings": 2 })))
    );
    let lines = reqwest::Client::new()
        .put(format!("{}/in", bench.url))
        .header("content-type", "application/x-ndjson; charset=utf-8")
        .body("{\"t\":1}\n\n{nonsense\n{\"t\":2}");
    let (said, (status, answer)) = bench.keep(bench.send(lines)).await;
    assert_eq!((said, status), (vec!["w:t=1".to_owned(), "w:t=2".into()], 200));
    assert_eq!(answer["readings"], 2);
    assert!(answer["refused"].is_string(), "{answer}");
}

#[tokio::test]
async fn what_is_not_understood_lies_in_the_dead_letters_before_it_is_answered() {
    let mut bench = Bench::new(json!({ "format": "json" })).await;
    let sent = bench.post("/a", "{\"t\":");
    let mut batch = bench.batch().await;
    assert_eq!((batch.rejects.len(), &*batch.rejects[0].bytes), (1, &b"{\"t\":"[..]));
    assert!(
        batch.rejects[0].origin.starts_with("127.0.0.1:")
            && batch.rejects[0].origin.ends_with(" /a")
    );
    assert!(!sent.is_finished());
    batch.receipt.take().unwrap().kept();
    let (status, said) = sent.await.unwrap();
    assert_eq!((status, said["error"].as_str()), (400, Some(&*batch.rejects[0].reason)));
}

#[tokio::test]
async fn requests_that_are_wrong_are_told_so_and_go_no_further() {
    let with = json!({ "path": "/in", "max_size": "16B", "auth": { "bearer": "hush" } });
    let bench = Bench::new(with).await;
    let client = reqwest::Client::new();
    let to = |path: &str| format!("{}{path}", bench.url);
    let right = |request: reqwest::RequestBuilder| request.bearer_auth("hush");
    for (request, status) in [
        (right(client.post(to("/other"))), 404),
        (right(client.get(to("/in"))), 405),
        (client.post(to("/in")).body("1"), 401),
        (client.post(to("/in")).bearer_auth("hus").body("1"), 401),
        (right(client.post(to("/in"))).body("x".repeat(17)), 413),
        (right(client.post(to("/in"))).header("content-encoding", "gzip").body("1"), 415),
    ] {
        let (answer, said) = bench.send(request).await.unwrap();
        assert_eq!(answer, status, "{said}");
        assert!(said["error"].is_string());
        assert!(!said.to_string().contains("hush"));
    }
    // One that does not say how long it is, is counted.
    let mut raw = TcpStream::connect(bench.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /in HTTP/1.1\r\nhost: a\r\nauthorization: Bearer hush\r\ntransfer-encoding: chunked\r\n\r\n";
    raw.write_all(format!("{head}20\r\n{}\r\n", "x".repeat(32)).as_bytes()).await.unwrap();
    assert_eq!(status_of(&mut raw).await, 413);
}

async fn status_of(raw: &mut TcpStream) -> u16 {
    let mut text = [0; 12];
    tokio::time::timeout(WITHIN, raw.read_exact(&mut text)).await.unwrap().unwrap();
    std::str::from_utf8(&text[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_request_that_does_not_come_to_its_end_is_given_up() {
    let bench = Bench::new(json!({ "timeout": "200ms" })).await;
    let address = bench.url.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12").await.unwrap();
    assert_eq!(status_of(&mut slow).await, 408);
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"POST / HTTP/1.1\r\nho").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(WITHIN, silent.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_signed_body_is_taken_and_a_changed_one_is_not() {
    let with = json!({ "auth": { "hmac": { "secret": "hush", "header": "X-Signature" } } });
    let mut bench = Bench::new(with).await;
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"hush");
    let digits = |body: &str| {
        let tag = hmac::sign(&key, body.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let client = reqwest::Client::new();
    let signed = |body: &str, by: String| {
        client.post(&bench.url).header("x-signature", by).body(body.to_owned())
    };
    for by in [digits("2"), "x".into(), String::new()] {
        assert_eq!(bench.send(signed("1", by)).await.unwrap().0, 401);
    }
    let sent = bench.send(signed("1", format!("sha256={}", digits("1"))));
    assert_eq!(bench.keep(sent).await, (vec!["w:value=1".into()], (200, json!({ "readings": 1 }))));
}

#[tokio::test]
async fn too_much_that_waits_is_turned_away_and_later_taken() {
    let mut bench = Bench::new(json!({ "max_size": "16MiB" })).await;
    let large = format!("{{\"t\":1,\"x\":\"{}\"}}", "y".repeat(12 << 20));
    let first = [bench.post("/a", large.clone()), bench.post("/b", large.clone())];
    while bench.source.desk.waiting.load(std::sync::atomic::Ordering::Relaxed) < 24 << 20 {
        tokio::task::yield_now().await;
    }
    let turned = reqwest::Client::new().post(&bench.url).body(large.clone()).send().await.unwrap();
    assert_eq!(turned.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(turned.headers()[RETRY_AFTER], "1");
    let mut batch = bench.batch().await;
    batch.receipt.take().unwrap().kept();
    for sent in first {
        // Its text is longer than a reading takes: that part lies in the dead letters.
        assert_eq!(sent.await.unwrap().1["readings"], 1);
    }
    assert_eq!(bench.source.desk.waiting.load(std::sync::atomic::Ordering::Relaxed), 0);
    let again = bench.post("/", large);
    let mut batch = bench.batch().await;
    batch.receipt.take().unwrap().kept();
    assert_eq!(again.await.unwrap().0, 200);
}

#[tokio::test]
async fn a_successor_takes_over_the_socket_and_its_connections() {
    let mut bench = Bench::new(json!({})).await;
    let client = reqwest::Client::new();
    let address = bench.source.door.address().unwrap();
    let ask =
        |client: &reqwest::Client| client.post(format!("http://{address}/a")).body("{\"t\":1}");
    let sent = bench.send(ask(&client));
    assert_eq!(bench.keep(sent).await.0, ["w:a/t=1"]);
    // What the first had taken and not kept is to be sent again.
    let sent = bench.send(ask(&client));
    let unkept = bench.batch().await;
    // The lease is by the address in the settings.
    let next = source(&bench.host, settings(json!({ "fields": ["u"] })));
    assert!(Arc::ptr_eq(&next.door, &bench.source.door));
    bench.source = next;
    drop(unkept);
    assert_eq!(sent.await.unwrap().0, 503);
    bench.begin().await;
    let sent = bench.send(client.post(format!("http://{address}/a")).body("{\"t\":1,\"u\":2}"));
    assert_eq!(bench.keep(sent).await.0, ["w:a/u=2"]);
    let door = Arc::downgrade(&bench.source.door);
    let Bench { source, .. } = bench;
    drop(source);
    assert!(door.upgrade().is_none());
}

#[test]
fn says_what_is_wrong_with_the_settings() {
    let found = |settings: Json| {
        let config: WebhookConfig = serde_json::from_value(settings).unwrap();
        let problems = config.problems().into_iter();
        problems.map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>()
    };
    assert_eq!(
        found(
            json!({ "listen": "here", "path": "in", "max_size": "17MiB", "connections": 0, "timeout": "0s", "id": "{0}" })
        ),
        [
            "listen: `here` is no address and port",
            "path: `in` is no path",
            "max_size: it must lie between 1B and 16MiB",
            "connections: it must lie between 1 and 4096",
            "timeout: no request comes in no time",
            "id: there is no level 0",
        ]
    );
    assert_eq!(
        found(json!({ "listen": "0.0.0.0:1" })),
        ["listen: other machines can reach `0.0.0.0:1`, and whoever does can send"]
    );
    assert_eq!(found(json!({ "listen": "0.0.0.0:1", "allow_remote": true })), [""; 0]);
    assert_eq!(found(json!({ "listen": "0.0.0.0:1", "auth": { "bearer": "x" } })), [""; 0]);
    assert_eq!(
        found(
            json!({ "listen": "[::1]:1", "auth": { "hmac": { "secret": "", "header": "a b" } } })
        ),
        ["auth.hmac.secret: it is empty", "auth.hmac.header: `a b` is no name of a header"]
    );
}
