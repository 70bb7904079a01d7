//! Streams of lines, read back.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::BodyStream;
use hyper::body::{Body, Incoming};
use smollama_engine::control::{Chunk, Lines};

use crate::api::MISSED;

/// The longest line that is read, in bytes; the stream ends before a longer one.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The lines of an answer.
pub(super) fn of(body: Incoming) -> Lines {
    chunks(body).boxed()
}

fn chunks<B>(body: B) -> impl futures::Stream<Item = Chunk> + Send
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    let body = BodyStream::new(body);
    stream::unfold((body, Vec::new()), async |(mut body, mut rest)| {
        loop {
            let chunk = whole_lines(&mut rest);
            if chunk != Chunk::default() {
                return Some((chunk, (body, rest)));
            }
            if rest.len() > LINE_BYTES_MAX {
                return None;
            }
            rest.extend_from_slice(&body.next().await?.ok()?.into_data().ok()?);
        }
    })
}

/// Takes the whole lines off the front, up to the first that says how many were left out and with it.
fn whole_lines(rest: &mut Vec<u8>) -> Chunk {
    let mut chunk = Chunk::default();
    let mut taken = 0;
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        if line.last() != Some(&b'\n') {
            break;
        }
        taken += line.len();
        match missed(line) {
            Some(missed) => {
                chunk.missed = missed;
                break;
            }
            None => chunk.lines.extend_from_slice(line),
        }
    }
    rest.drain(..taken);
    chunk
}

fn missed(line: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(line).ok()?.trim_end().strip_prefix(MISSED)?;
    number.strip_suffix('}')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::executor::block_on;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[test]
    fn lines_are_whole_however_they_were_cut() {
        let text = b"{\"a\":1}\n{\"b\":2}\n{\"missed\":7}\n{\"c\":3}\n{\"torn\"";
        for size in 1..text.len() {
            let parts = text.chunks(size).map(Bytes::from_static).map(Frame::data);
            let body = StreamBody::new(stream::iter(parts.map(Ok::<_, Infallible>)));
            let chunks: Vec<Chunk> = block_on(chunks(body).collect());
            let lines: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.lines.clone()).collect();
            assert_eq!(lines, b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n", "cut every {size} bytes");
            let at: Vec<u8> = chunks
                .iter()
                .take_while(|chunk| chunk.missed == 0)
                .flat_map(|c| c.lines.clone())
                .collect();
            let with = chunks.iter().find(|chunk| chunk.missed == 7).unwrap();
            assert_eq!(
                [at, with.lines.clone()].concat(),
                b"{\"a\":1}\n{\"b\":2}\n",
                "missed after these"
            );
            assert!(
                chunks.iter().all(|chunk| chunk.lines.is_empty() || chunk.lines.ends_with(b"\n"))
            );
        }
    }
}
