//! How fast bytes become cells and readings, in million rows per second of one thread, the median of seven passes:
//! `cargo bench -p smollama-nodes --bench decode -- FILE.jsonl '{"time":"ts","source":"{source}/{metric}"}' [FIELD...]`.
//!
//! The settings are those of `replay`. With fields, those alone are decoded from the file in memory, and nothing is made of them.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use smollama_engine::context::{Context, Host};
use smollama_engine::node::{Node, Read};
use smollama_engine::registry::NodeConfig;
use smollama_engine::time::Timestamp;
use smollama_nodes::io::rows::path::Fields;
use smollama_nodes::io::rows::{RowDecoder, Step, json::JsonLines};
use smollama_nodes::sources::replay::ReplayConfig;

const PASSES: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let [file, settings, names @ ..] = arguments.as_slice() else {
        println!("usage: decode FILE.jsonl SETTINGS [FIELD...]");
        return Ok(());
    };
    let mut rates = Vec::new();
    if names.is_empty() {
        for _ in 0..PASSES {
            rates.push(readings(file, settings)?);
        }
    } else {
        let bytes = std::fs::read(file)?;
        let mut fields = Fields::default();
        for name in names {
            fields.slot(name);
        }
        rates.extend((0..PASSES).map(|_| cells(&bytes, &fields)));
    }
    rates.sort_by(f64::total_cmp);
    println!("{:.2} M/s (from {:.2} to {:.2})", rates[PASSES / 2], rates[0], rates[PASSES - 1]);
    Ok(())
}

/// The whole source, from the file on.
fn readings(file: &str, settings: &str) -> Result<f64, Box<dyn Error>> {
    let mut settings: serde_json::Value = serde_json::from_str(settings)?;
    settings["path"] = std::path::absolute(file)?.to_string_lossy().into();
    let config: ReplayConfig = serde_json::from_value(settings)?;
    let host = Arc::new(Host::for_tests(Path::new(".")));
    let context = Context::new(host, "bench/lines", "lines");
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let start = Instant::now();
    let Ok(Node::Source(mut source)) = config.build(&context) else {
        return Err("the settings do not fit the file".into());
    };
    let (mut count, mut rejected) = (0, 0);
    while let Read::Batch(batch) = runtime.block_on(source.read(Timestamp::EPOCH))? {
        rejected += batch.rejects.len();
        count += black_box(batch).items.len();
    }
    let rate = count as f64 / start.elapsed().as_secs_f64() / 1e6;
    if rejected > 0 { Err(format!("{rejected} rows were refused").into()) } else { Ok(rate) }
}

/// The decoder alone, in chunks as a file is read.
fn cells(bytes: &[u8], fields: &Fields) -> f64 {
    let mut decoder = JsonLines::new(fields, 1 << 20);
    let start = Instant::now();
    let (mut rows, mut from) = (0, 0);
    while from < bytes.len() {
        let end = (from + (256 << 10)).min(bytes.len());
        let chunk = &bytes[from..end];
        let mut at = 0;
        while at < chunk.len() {
            match decoder.decode(chunk, at, end == bytes.len()) {
                Step::Row { next } => {
                    black_box(decoder.row(chunk));
                    rows += 1;
                    at = next;
                }
                Step::Blank { next } | Step::Rejected { next, .. } => at = next,
                Step::Incomplete => break,
            }
        }
        from += at;
    }
    f64::from(rows) / start.elapsed().as_secs_f64() / 1e6
}
