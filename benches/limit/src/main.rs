//! `limit A|B|C serde|hand|2t-serde|2t-hand IN OUT`: the benchmark's jobs as plain loops, with no engine around them.
//!
//! A decodes and writes, B keeps what moved by more than 0.05, C writes statistics of each minute per series. `serde` is
//! the typed loop that a program of its own would be; `hand` is a scanner for exactly this layout, the floor.
//! `2t-` decodes in one thread and works in another.

mod decode;
mod jobs;

use decode::Reading;
use jobs::{Job, Work};
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;
use std::sync::mpsc;

type Failure = Box<dyn Error + Send + Sync>;

const CHUNK: usize = 1 << 18;
/// Chunks that may wait between the two threads.
const QUEUE: usize = 8;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [job, decoder, input, output] = arguments.as_slice() else {
        return Err("usage: limit A|B|C [2t-]serde|[2t-]hand IN OUT".into());
    };
    let job = match job.as_str() {
        "A" => Job::All,
        "B" => Job::Dedup,
        "C" => Job::Windows,
        other => return Err(format!("job `{other}` is not A, B or C").into()),
    };
    let (input, output) = (File::open(input)?, File::create(output)?);
    let work = Work::new(job);
    // Each arm names its function, so that each loop is compiled with its decoder inlined.
    match decoder.as_str() {
        "serde" => one_thread(input, output, work, decode::serde),
        "hand" => one_thread(input, output, work, decode::hand),
        "2t-serde" => two_threads(input, output, work, decode::serde),
        "2t-hand" => two_threads(input, output, work, decode::hand),
        other => Err(format!("decoder `{other}` is not serde, hand, 2t-serde or 2t-hand").into()),
    }
}

fn one_thread<D>(input: File, mut output: File, mut work: Work, decode: D) -> Result<(), Failure>
where
    D: for<'a> Fn(&'a [u8]) -> Option<Reading<'a>>,
{
    each_chunk(input, |chunk| {
        for_each_line(&chunk, |line| {
            work.take(&decode(line)?);
            Some(())
        })?;
        output.write_all(&work.out)?;
        work.out.clear();
        Ok(chunk)
    })?;
    work.end();
    output.write_all(&work.out)?;
    Ok(())
}

/// A reading whose texts are places in its chunk, so that both can be sent to another thread without a copy.
struct Row {
    time: u64,
    value: f64,
    source: Range<u32>,
    metric: Range<u32>,
}

fn two_threads<D>(input: File, mut output: File, mut work: Work, decode: D) -> Result<(), Failure>
where
    D: for<'a> Fn(&'a [u8]) -> Option<Reading<'a>> + Send,
{
    let (full, chunks) = mpsc::sync_channel::<(Vec<u8>, Vec<Row>)>(QUEUE);
    let (empty, spares) = mpsc::channel::<(Vec<u8>, Vec<Row>)>();
    std::thread::scope(|threads| {
        let decoding = threads.spawn(move || {
            each_chunk(input, |chunk| {
                let (spare, mut rows) = spares.try_recv().unwrap_or_default();
                rows.clear();
                let base = chunk.as_ptr() as usize;
                let place = |part: &[u8]| {
                    let start = (part.as_ptr() as usize - base) as u32;
                    start..start + part.len() as u32
                };
                for_each_line(&chunk, |line| {
                    let Reading { time, source, metric, value } = decode(line)?;
                    rows.push(Row { time, value, source: place(source), metric: place(metric) });
                    Some(())
                })?;
                full.send((chunk, rows))?;
                Ok(spare)
            })
        });
        for (chunk, rows) in chunks {
            let text = |place: &Range<u32>| &chunk[place.start as usize..place.end as usize];
            for row in &rows {
                let (source, metric) = (text(&row.source), text(&row.metric));
                work.take(&Reading { time: row.time, source, metric, value: row.value });
            }
            output.write_all(&work.out)?;
            work.out.clear();
            // The other thread may have ended already, and then needs no spare.
            let _ = empty.send((chunk, rows));
        }
        decoding.join().map_err(|_| "the decoding thread panicked")??;
        work.end();
        output.write_all(&work.out)?;
        Ok(())
    })
}

/// Reads whole lines, about [`CHUNK`] bytes at a time; `take` gives a buffer back to be filled again.
fn each_chunk<F>(mut input: File, mut take: F) -> Result<(), Failure>
where
    F: FnMut(Vec<u8>) -> Result<Vec<u8>, Failure>,
{
    let mut carry = Vec::new();
    let mut buffer: Vec<u8> = Vec::with_capacity(CHUNK);
    loop {
        buffer.clear();
        buffer.append(&mut carry);
        let kept = buffer.len();
        buffer.resize(kept.max(CHUNK / 2) + CHUNK / 2, 0);
        let read = input.read(&mut buffer[kept..])?;
        buffer.truncate(kept + read);
        if read == 0 {
            if !buffer.is_empty() {
                buffer.push(b'\n');
                take(buffer)?;
            }
            return Ok(());
        }
        let end = memchr::memrchr(b'\n', &buffer).map_or(0, |at| at + 1);
        carry.extend_from_slice(&buffer[end..]);
        buffer.truncate(end);
        buffer = take(buffer)?;
    }
}

#[inline]
fn for_each_line<'a>(
    chunk: &'a [u8],
    mut take: impl FnMut(&'a [u8]) -> Option<()>,
) -> Result<(), Failure> {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', chunk) {
        let line = &chunk[start..end];
        start = end + 1;
        take(line)
            .ok_or_else(|| format!("not a line of `gen`: {}", String::from_utf8_lossy(line)))?;
    }
    Ok(())
}
