//! Requests byte by byte: a library would not send what an attacker sends.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request on a connection of its own.
pub(super) async fn ask(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let headers = [headers, &[("connection", "close")]].concat();
    stream.write_all(request(line, &headers, body).as_bytes()).await.unwrap();
    answer(&mut stream).await
}

/// The text of a request.
pub(super) fn request(line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!("{line} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// Reads an answer up to its end: as many bytes as it announces, or all until the other side closes.
pub(super) async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Answer {
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = whole(&bytes) {
            return answer;
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return parsed(&bytes).unwrap_or_else(|| closed(&bytes)),
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
}

/// A connection that was closed without an answer.
fn closed(bytes: &[u8]) -> Answer {
    assert!(bytes.is_empty(), "half an answer: {}", String::from_utf8_lossy(bytes));
    Answer { status: 0, headers: BTreeMap::new(), body: String::new() }
}

fn whole(bytes: &[u8]) -> Option<Answer> {
    let answer = parsed(bytes)?;
    let length = answer.headers.get("content-length")?.parse::<usize>().ok()?;
    (answer.body.len() >= length).then_some(answer)
}

fn parsed(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Some(Answer { status, headers, body: body.to_owned() })
}
