//! What a stranger cannot exhaust.

use std::io::ErrorKind;

use futures::StreamExt;
use smollama_engine::control::{ApplyRequest, Control, TapRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::{answer, request};
use super::{OPERATE, READ, Served};

async fn connected(served: &Served) -> TcpStream {
    TcpStream::connect(served.server.address().unwrap()).await.unwrap()
}

fn tapped(address: &str) -> TapRequest {
    TapRequest { address: address.into(), ..TapRequest::default() }
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_a_head_too_slowly_is_cut_off() {
    let served = Served::new().await;
    let began = tokio::time::Instant::now();
    for start in ["", "GET /api/health HT", "GET /api/health HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut stream = connected(&served).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // It may come as an answer, or as an end.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{start}");
    }
    // And one that had an answer may not sit there for ever.
    let mut stream = connected(&served).await;
    stream
        .write_all(request("GET /api/health", &[("host", "localhost")], "").as_bytes())
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.status, 200);
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    let seconds = began.elapsed().as_secs();
    assert!((30..60).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_a_body_too_slowly_is_told_so() {
    let served = Served::new().await;
    let began = tokio::time::Instant::now();
    let mut stream = connected(&served).await;
    let head = format!(
        "POST /api/plan HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {OPERATE}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 408);
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    assert_eq!(served.engine.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_is_announced() {
    let served = Served::new().await;
    let head = format!(
        "POST /api/plan HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {OPERATE}\r\ncontent-type: application/json\r\n"
    );
    for announced in
        ["content-length: 99999999\r\n\r\n", "transfer-encoding: chunked\r\n\r\n200000\r\n"]
    {
        let (mut read, mut write) = connected(&served).await.into_split();
        let body = vec![b' '; 2 * 1024 * 1024];
        let text = format!("{head}{announced}");
        let sent = tokio::spawn(async move {
            write.write_all(text.as_bytes()).await?;
            // The server hangs up before it has all of it.
            write.write_all(&body).await?;
            Ok::<_, std::io::Error>(write)
        });
        assert_eq!(answer(&mut read).await.status, 413, "{announced}");
        drop(read);
        let _ = sent.await.unwrap();
    }
    // Without a token not a byte of it is waited for.
    let mut stream = connected(&served).await;
    let text = "POST /api/plan HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 401);
    assert_eq!(served.engine.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let served = Served::new().await;
    let answer = served.ask("GET /api/health", &[("x-long", &"x".repeat(60_000))], "").await;
    assert!(matches!(answer.status, 431 | 0), "{answer:?}");
    let many = vec![("x-many", "x"); 200];
    assert_eq!(served.ask("GET /api/health", &many, "").await.status, 431);
    assert_eq!(served.ask("GET /api/health", &[], "").await.status, 200);
}

#[tokio::test]
async fn too_many_connections_are_turned_away_and_the_command_line_is_not() {
    let served = Served::new().await;
    let mut open = Vec::new();
    for _ in 0..crate::serve::SEATS {
        let mut stream = connected(&served).await;
        let text = request("GET /api/health", &[("host", "localhost")], "");
        stream.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut stream).await.status, 200);
        open.push(stream);
    }
    let answer = answer(&mut connected(&served).await).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(served.client().health().await.is_ok(), "the control socket has seats of its own");
    // The seat of whoever goes is free as soon as the server has seen it go.
    open.pop();
    while served.ask("GET /api/health", &[], "").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_reader_of_a_tap_misses_items_and_never_holds_the_graph_up() {
    let served = Served::new().await;
    let mut lines = served.client().tap(tapped("garden/air")).await.unwrap();
    let line = format!("{{\"value\":\"{}\"}}", "x".repeat(1000));
    for _ in 0..20_000 {
        assert_eq!(served.engine.show(&line), 1);
        tokio::task::yield_now().await;
    }
    served.engine.end_taps();
    let (mut shown, mut missed) = (0, 0);
    while let Some(chunk) = lines.next().await {
        assert!(
            chunk
                .lines
                .split(|byte| *byte == b'\n')
                .all(|one| one.is_empty() || one == line.as_bytes())
        );
        shown += chunk.lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        missed += chunk.missed;
    }
    assert!(missed > 0 && shown > 0, "{shown} and {missed}");
    assert_eq!(shown + missed, 20_000);
}

#[tokio::test]
async fn a_tap_that_nobody_reads_any_more_is_closed_on_the_other_side() {
    let served = Served::new().await;
    let lines = served.client().tap(tapped("garden/air")).await.unwrap();
    assert_eq!(served.engine.show("{}"), 1);
    drop(lines);
    while served.engine.show("{}") > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let served = Served::new().await;
    let client = served.client();
    let mut taps = Vec::new();
    let error = loop {
        match client.tap(tapped("garden/air")).await {
            Ok(lines) => taps.push(lines),
            Err(error) => break error,
        }
    };
    assert_eq!(taps.len(), 32, "{error}");
    assert!(client.health().await.is_ok());
    drop(taps);
    while client.tap(tapped("garden/air")).await.is_err() {
        served.engine.show("{}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_streams_and_idle_connections_and_removes_the_socket() {
    let served = Served::new().await;
    let mut lines = served.client().tap(tapped("garden/air")).await.unwrap();
    let idle = connected(&served).await;
    let token = format!("Bearer {READ}");
    let mut tap = connected(&served).await;
    let text =
        request("GET /api/tap/garden/air", &[("host", "localhost"), ("authorization", &token)], "");
    tap.write_all(text.as_bytes()).await.unwrap();
    while served.engine.show("{}") < 2 {
        tokio::task::yield_now().await;
    }
    let (address, socket) = (served.server.address().unwrap(), served.server.socket().to_owned());
    let began = tokio::time::Instant::now();
    served.server.stop().await;
    assert!(began.elapsed().as_millis() < 1000, "nothing had to be cut off: {:?}", began.elapsed());
    while lines.next().await.is_some() {}
    tap.read_to_end(&mut Vec::new()).await.unwrap();
    assert!(!socket.exists());
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(idle);
}

#[tokio::test]
async fn a_change_goes_on_when_whoever_asked_for_it_hangs_up() {
    let served = Served::new().await;
    served.engine.applies.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let client = served.client();
    let apply = tokio::spawn(async move { client.apply(ApplyRequest::default(), "").await });
    let mut calls = Vec::new();
    while calls.is_empty() {
        calls = served.engine.calls();
        tokio::task::yield_now().await;
    }
    apply.abort();
    assert!(apply.await.unwrap_err().is_cancelled());
    // The server notices; an answer to somebody else shows that it had the time.
    served.client().health().await.unwrap();
    served.engine.applies.add_permits(1);
    let audit = served.data_dir().join("audit.jsonl");
    let engine = served.engine.clone();
    served.server.stop().await;
    assert_eq!(engine.calls(), ["apply ends"]);
    assert!(std::fs::read_to_string(audit).unwrap().contains("\"outcome\":\"done\""));
}
