//! P3 with the real process: under a load that is far more than the caps allow, disk and memory stay below what was declared.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::http::ask_engine;
use crate::kill::receiver::{Mood, Receiver};
use crate::place::Place;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Lines that are said, of 100 bytes each: several times the sum of all caps.
const LINES: u64 = 60_000;

/// The bytes of all files of a folder, whatever comes and goes meanwhile.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes(&entry.path()),
        _ => entry.metadata().map_or(0, |file| file.len()),
    };
    entries.map(of).sum()
}

/// Says lines, never more than so many ahead of what is acknowledged.
fn say(socket: &Path) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    let mut answers = BufReader::new(stream.try_clone().expect("the same socket")).lines();
    let (mut said, mut heard) = (0, 0);
    while heard < LINES {
        if said < LINES && said - heard < 4_000 {
            let line = |n| format!("{{\"source\":\"a\",\"value\":\"{n:070}\"}}\n");
            stream
                .write_all((said..said + 500).map(line).collect::<String>().as_bytes())
                .expect("it takes it");
            said += 500;
            continue;
        }
        let answer = answers.next().expect("it answers").expect("text");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        heard = answer["ack"].as_u64().expect("an acknowledgement");
    }
}

#[test]
fn p3_disk_and_memory_stay_below_their_caps_under_load() {
    let place = Place::new();
    let receiver = Receiver::start();
    receiver.be(Mood::Away);
    place.write("config.yaml", "journal: { size: 1MiB }\n");
    let yaml = format!(
        "pipeline: p\nsources: {{ in: {{ as: s, socket: {{ unix: in.sock }} }} }}\nsinks:\n  \
         out: {{ inputs: [in], file: {{ path: out/out.jsonl, rotate: {{ size: 128KiB, keep: 2 }} }} }}\n  \
         away:\n    inputs: [in]\n    \
         queue: {{ size: 64KiB, spool: 256KiB, when_full: drop_oldest }}\n    \
         http: {{ url: \"http://{}/\" }}\n",
        receiver.address
    );
    let mut engine = place.engine(&yaml);
    let data = place.path("data");
    let (over, checkpoints) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut most = [0; 3];
    std::thread::scope(|scope| {
        let said = scope.spawn(|| say(&data.join("in.sock")));
        scope.spawn(|| {
            // By itself it takes one in ten seconds at most, and a journal as small as this one would hold the sender up till then.
            while !over.load(Ordering::Relaxed) {
                let taken = ask_engine(&data, "POST /api/checkpoint", "{}");
                checkpoints.fetch_add(u64::from(taken.is_ok()), Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        while !said.is_finished() {
            for (most, folder) in most.iter_mut().zip(["journal", "spool", "out"]) {
                *most = bytes(&data.join(folder)).max(*most);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let status = place.json(&["status"]);
    receiver.be(Mood::There);
    engine.stop();
    let [journal, spool, out] = most;
    println!("journal {journal}, spool {spool}, files {out}, of {} said; {status}", LINES * 100);
    assert!(checkpoints.into_inner() > 0);
    assert!((128 * KIB..=MIB).contains(&journal), "the journal had {journal} bytes");
    assert!((64 * KIB..=256 * KIB).contains(&spool), "the spool had {spool} bytes");
    // A file is looked at between batches.
    assert!((256 * KIB..=3 * 128 * KIB + 512 * KIB).contains(&out), "the files had {out} bytes");
    let away = &status["nodes"][2];
    assert!(away["dropped"].as_u64() > Some(LINES / 2), "{away}");
    for node in status["nodes"].as_array().expect("nodes").iter().skip(1) {
        let queue = &node["queue"];
        assert!(queue["bytes"].as_u64() <= queue["size"].as_u64(), "{node}");
    }
    // Unoptimised, with everything; what waits in memory is 2 MiB at most for each node.
    assert!(status["host"]["rss_bytes"].as_u64() < Some(256 * MIB), "{status}");
}
