//! As little of HTTP/1.1 as tests need to ask the API, byte for byte as they like.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Sends a request on a connection of its own. `headers` are lines without their ends.
pub(crate) fn ask(
    mut stream: impl Read + Write,
    request: &str,
    headers: &[&str],
    body: &str,
) -> io::Result<Answer> {
    let mut head = format!("{request} HTTP/1.1\r\nconnection: close\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        head += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    if length.is_some_and(|length: usize| body.len() < length) {
        return Err(cut());
    }
    Ok(Answer { status, body: body.to_owned() })
}

/// Asks the engine of a data directory.
pub(crate) fn ask_engine(data: &Path, request: &str, body: &str) -> io::Result<Answer> {
    ask(UnixStream::connect(data.join("control.sock"))?, request, &["host: localhost"], body)
}
