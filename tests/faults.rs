//! What the machine does to the real binary: a disk that is full, a folder that may not be read.
//!
//! A small file system and another user need the rights of root; where the tests have none, they say so and end.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::place::{Place, wait_until};

/// A file system of its own, taken away at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// So many KiB large. Nothing without the rights for it.
    fn new(kib: usize) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(SmallDisk(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Fills what is left, to the last block, with a file that can be removed.
    fn fill(&self) -> PathBuf {
        let filler = self.path("filler");
        let mut size = 256 * 1024;
        while size >= 1024 {
            let mut bytes = fs::read(&filler).unwrap_or_default();
            bytes.resize(bytes.len() + size, 0);
            if fs::write(&filler, &bytes).is_err() {
                size /= 2;
            }
        }
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// P3 and P8 in small: a full disk is named, nothing is lost, no row is torn, and it goes on by itself when there is space.
#[test]
fn a_full_disk_is_told_and_survived() {
    let Some(disk) = SmallDisk::new(256) else {
        eprintln!("not tested: no right to mount a small file system");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder for the test");
    let pipeline = folder.path().join("p.yaml");
    let yaml = "pipeline: p\nsources:\n  air: { every: 20ms, simulate: {} }\nsinks:\n  out: { inputs: [air], file: { path: air.jsonl } }\n";
    fs::write(&pipeline, yaml).expect("a file for the test");
    let data = disk.path("data");
    let mut child = Command::new(env!("CARGO_BIN_EXE_smollama"))
        .arg("run")
        .arg(&pipeline)
        .arg("--data-dir")
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let written = || fs::read_to_string(data.join("air.jsonl")).unwrap_or_default();
    wait_until("it runs", || data.join("control.sock").exists() && !written().is_empty());
    let filler = disk.fill();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    while !said.contains("air.jsonl` cannot be written: No space left on device") {
        assert!(lines.read_line(&mut said).expect("text") > 0, "it ended: {said}");
    }
    let before = written().lines().count();
    fs::remove_file(&filler).expect("the filler goes");
    wait_until("rows are written again", || written().lines().count() > before + 20);
    let sent = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    std::io::Read::read_to_string(&mut lines, &mut said).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{said}");
    let rows = written();
    assert!(rows.ends_with('\n'));
    let whole = rows.lines().filter(|row| serde_json::from_str::<serde_json::Value>(row).is_ok());
    let whole = whole.count();
    assert_eq!(whole, rows.lines().count(), "no row is torn");
    assert!(
        said.contains(&format!("Done: {whole} readings.")),
        "every reading is a row: {whole}, {said}"
    );
}

/// Says 0, 1, 2... until it is enough, each after the one before was acknowledged.
fn say_one_after_the_other(socket: &Path, acknowledged: &AtomicU64, enough: &AtomicBool) {
    while !enough.load(Ordering::Relaxed) {
        // Where nothing can be kept, it hangs up on its senders.
        let Ok(mut stream) = UnixStream::connect(socket) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        let mut answers = BufReader::new(stream.try_clone().expect("the same socket")).lines();
        let mut next = acknowledged.load(Ordering::Relaxed);
        while !enough.load(Ordering::Relaxed) {
            let line = format!("{{\"source\":\"a\",\"value\":{next}}}\n");
            let said = stream.write_all(line.as_bytes());
            match answers.next() {
                Some(Ok(answer)) if said.is_ok() && answer.starts_with("{\"ack\":") => next += 1,
                _ => break,
            }
            acknowledged.store(next, Ordering::Relaxed);
        }
    }
}

/// When it goes, it is enough.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn value_of(row: &str) -> u64 {
    let row: serde_json::Value = serde_json::from_str(row).expect("no row is torn");
    row["value"].as_u64().expect("a number")
}

/// P3: where the disk has less room than the caps allow, senders wait, `status` says why, and nothing that was acknowledged is lost.
#[test]
fn p3_a_disk_that_is_smaller_than_the_caps_stops_senders_and_loses_nothing() {
    let Some(disk) = SmallDisk::new(4 * 1024) else {
        eprintln!("not tested: no right to mount a small file system");
        return;
    };
    let place = Place::at(disk.path("data"));
    let yaml = "pipeline: p\nsources:\n  in: { as: s, socket: { unix: in.sock } }\n\
        sinks:\n  out: { inputs: [in], file: { path: out.jsonl } }\n  \
        kept: { inputs: [in], parquet: {} }\n";
    let mut engine = place.engine(yaml);
    let socket = disk.path("data/in.sock");
    let (acknowledged, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let count = || acknowledged.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        // Also where something here fails: otherwise the sender would go on for ever.
        let end = Enough(&enough);
        scope.spawn(|| say_one_after_the_other(&socket, &acknowledged, &enough));
        wait_until("readings are acknowledged", || count() > 100);
        let filler = disk.fill();
        wait_until("`status` and the log say what is wrong", || {
            let said = place.says(&["status"]);
            let failure = place.json(&["status"])["journal"]["failure"].clone();
            let error = place.json(&["status", "p/out"])["error"].to_string();
            let log = place.read("engine.log");
            let space = "No space left on device";
            error.contains(space)
                && log.contains("the journal cannot be written; trying again")
                && said.contains("! it cannot be written for ")
                && failure["since"].is_string()
                && failure["error"].as_str().is_some_and(|why| why.contains(space))
        });
        fs::remove_file(filler).expect("the filler goes");
        let before = count();
        wait_until("readings are acknowledged again", || count() > before + 100);
        assert_eq!(place.json(&["status"])["journal"]["failure"], serde_json::Value::Null);
        drop(end);
    });
    engine.stop();
    let rows = fs::read_to_string(disk.path("data/out.jsonl")).expect("it was written");
    let values: BTreeSet<u64> = rows.lines().map(value_of).collect();
    let lost: Vec<u64> = (0..count()).filter(|value| !values.contains(value)).collect();
    assert!(lost.is_empty(), "acknowledged, and lost: {lost:?}");
    let again = "pipeline: again\nsources: { in: { replay: { path: history/readings } } }\n\
        sinks: { out: { inputs: [in], file: { path: all.jsonl } } }\n";
    fs::write(disk.path("data/again.yaml"), again).expect("a file for the test");
    let args = ["run", "--once", "--data-dir"];
    let again = Command::new(env!("CARGO_BIN_EXE_smollama"))
        .args(args)
        .args([place.path("again"), disk.path("data/again.yaml")])
        .output();
    assert!(again.is_ok_and(|again| again.status.success()));
    let values: BTreeSet<u64> = place.read("again/all.jsonl").lines().map(value_of).collect();
    let lost: Vec<u64> = (0..count()).filter(|value| !values.contains(value)).collect();
    assert!(lost.is_empty(), "acknowledged, and not in the history: {lost:?}");
}

/// A folder or file that may not be read is named, with what the system says.
#[test]
fn what_may_not_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let at = |name: &str| folder.path().join(name);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    fs::copy(env!("CARGO_BIN_EXE_smollama"), at("smollama")).expect("a copy for another user");
    fs::create_dir(at("closed")).expect("a folder");
    fs::write(at("closed.yaml"), "pipeline: p\n").expect("a file");
    mode(folder.path(), 0o755);
    mode(&at("smollama"), 0o755);
    mode(&at("closed"), 0o000);
    mode(&at("closed.yaml"), 0o000);
    let ran = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(at("smollama"))
        .args(["validate", "closed", "closed.yaml"])
        .current_dir(folder.path())
        .output();
    mode(&at("closed"), 0o755);
    let Some(ran) = ran.ok().filter(|ran| ran.status.code() != Some(127)) else {
        eprintln!("not tested: no right to become another user");
        return;
    };
    let said = String::from_utf8_lossy(&ran.stderr);
    if said.contains("setpriv:") {
        eprintln!("not tested: {said}");
        return;
    }
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(
        said.contains("SM0002") && said.contains("`closed`") && said.contains("`closed.yaml`"),
        "{said}"
    );
    assert!(said.contains("no permission to read `closed`"), "{said}");
}
