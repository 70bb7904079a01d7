//! `send SOCKET LINES SERIES`: readings of a hundred bytes to the `socket` source, as fast as it takes them.
//!
//! Prints, as JSON, how many bytes the lines had, and after how many seconds the last was acknowledged; where nothing is, after how many
//! the other side had read to the end.

use std::error::Error;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, lines, series] = arguments.as_slice() else {
        return Err("usage: send SOCKET LINES SERIES".into());
    };
    let (lines, series): (u64, u64) = (lines.parse()?, series.parse()?);
    let stream = UnixStream::connect(socket)?;
    let answers = BufReader::new(stream.try_clone()?);
    let began = Instant::now();
    let sender = std::thread::spawn(move || send(stream, lines, series));
    for line in answers.lines() {
        let line = line?;
        let Some(acked) = line.strip_prefix("{\"ack\":").and_then(|rest| rest.strip_suffix('}')) else {
            return Err(format!("the engine said: {line}").into());
        };
        if acked.parse::<u64>()? >= lines {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let bytes = sender.join().map_err(|_| "the sender panicked")??;
    println!("{{\"bytes\":{bytes},\"seconds\":{seconds}}}");
    Ok(())
}

fn send(stream: UnixStream, lines: u64, series: u64) -> std::io::Result<u64> {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let mut out = BufWriter::with_capacity(64 << 10, stream);
    let mut line = Vec::with_capacity(128);
    let mut bytes = 0;
    for n in 0..lines {
        let (of, round) = (n % series, n / series);
        let value = 2_000 + (of * 37 + round * 7) % 1_000;
        line.clear();
        write!(
            line,
            r#"{{"time":{},"source":"greenhouse/bed-{of:04}/soil-temperature","value":{}.{:02},"unit":"°C"}}"#,
            start + round,
            value / 100,
            value % 100
        )?;
        line.push(b'\n');
        bytes += line.len() as u64;
        out.write_all(&line)?;
    }
    out.flush()?;
    out.get_ref().shutdown(Shutdown::Write)?;
    Ok(bytes)
}
