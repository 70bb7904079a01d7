//! How fast rows become cells: `cargo bench -p smollama-nodes --bench decode -- FILE.jsonl FIELD...`, in million rows per
//! second of one thread, the median of seven passes over the file in memory.

use std::hint::black_box;
use std::time::Instant;

use smollama_nodes::io::rows::path::Fields;
use smollama_nodes::io::rows::{RowDecoder, Step, json::JsonLines};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let [file, names @ ..] = arguments.as_slice() else {
        println!("usage: decode FILE.jsonl FIELD...");
        return Ok(());
    };
    let bytes = std::fs::read(file)?;
    let mut fields = Fields::default();
    for name in names {
        fields.slot(name);
    }
    let mut rates: Vec<f64> = (0..7).map(|_| pass(&bytes, &fields)).collect();
    rates.sort_by(f64::total_cmp);
    println!("{:.2} M rows/s (from {:.2} to {:.2})", rates[3], rates[0], rates[6]);
    Ok(())
}

/// One pass in chunks, as a file is read; gives million rows per second.
fn pass(bytes: &[u8], fields: &Fields) -> f64 {
    let mut decoder = JsonLines::new(fields, 1 << 20);
    let start = Instant::now();
    let (mut rows, mut rejected, mut from) = (0, 0, 0);
    while from < bytes.len() {
        let end = (from + (256 << 10)).min(bytes.len());
        let chunk = &bytes[from..end];
        let mut at = 0;
        loop {
            match decoder.decode(chunk, at, end == bytes.len()) {
                Step::Row { next } => {
                    black_box(decoder.row(chunk));
                    rows += 1;
                    at = next;
                }
                Step::Blank { next } => at = next,
                Step::Rejected { next, .. } => {
                    rejected += 1;
                    at = next;
                }
                Step::Incomplete => break,
            }
            if at == chunk.len() {
                break;
            }
        }
        from += at;
    }
    assert_eq!(rejected, 0, "the file has rows that are no JSON");
    f64::from(rows) / start.elapsed().as_secs_f64() / 1e6
}
