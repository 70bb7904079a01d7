//! What the machine does to the real binary: a disk that is full, a folder that may not be read.
//!
//! A small file system and another user need the rights of root; where the tests have none, they say so and end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A file system of its own, a quarter of a MiB large, taken away at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(SmallDisk(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// P3 and P8 in small: a full disk is named, nothing is lost, no row is torn, and it goes on by itself when there is space.
#[test]
fn a_full_disk_is_told_and_survived() {
    let Some(disk) = SmallDisk::new() else {
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
    // Fills what is left, to the last block.
    let filler = disk.path("filler");
    let mut size = 256 * 1024;
    while size >= 1024 {
        let mut bytes = fs::read(&filler).unwrap_or_default();
        bytes.resize(bytes.len() + size, 0);
        if fs::write(&filler, &bytes).is_err() {
            size /= 2;
        }
    }
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
