//! One engine per data directory. The kernel holds the lock (`flock`) for as long as the process lives and lets go of it however the process
//! ends, so it is never stale. What stands in the file is for messages; nothing is decided by it, so it need not survive anything and does
//! not go through [`Disk`](smollama_engine::disk::Disk).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use smollama_engine::disk::{RealDisk, create_dir_durably};
use smollama_engine::time::Timestamp;

/// How often it is tried while others only look whether it is held, and how long between.
const TRIES: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(1);

/// The lock of a data directory, held until this is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the lock is held for as long as this lives"]
pub struct DataDirLock {
    file: File,
}

impl Drop for DataDirLock {
    /// Closing is not enough: a process that was forked a moment ago has the file open too, until it begins its own program.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Who holds a lock, as it says itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process. `None` in the moment between taking the lock and saying so.
    pub process: Option<u32>,
    /// When it took the lock.
    pub since: Option<Timestamp>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process}"),
            None => f.write_str("a process that has just begun"),
        }
    }
}

/// Why a data directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another engine has it.
    #[error("an engine ({holder}) runs on this data directory `{}`", data_dir.display())]
    Held {
        /// Who has it.
        holder: Holder,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Error::Held { .. } => {
                "`smollama apply` changes it while it runs; to run another engine beside it, give that one a data directory of its \
                 own with `--data-dir`"
            }
            Error::Disk { .. } => {
                "the data directory must be on a file system that can lock files, and this user must be allowed to write there"
            }
        }
    }

    fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Disk { action, path: path.to_owned(), source }
    }
}

impl DataDirLock {
    /// Takes the lock of a data directory, which is made where it is not there, and says in the file who took it and when.
    ///
    /// # Errors
    /// [`Error::Held`] where any other process, or this one, has it; or whatever the file system says.
    pub fn take(data_dir: &Path, now: Timestamp) -> Result<DataDirLock, Error> {
        create_dir_durably(&RealDisk, data_dir).map_err(Error::disk("make", data_dir))?;
        let path = path(data_dir);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::disk("open", &path))?;
        for _ in 0..TRIES {
            if is_locked(&file, FlockOperation::NonBlockingLockExclusive, &path)? {
                // It says who holds it where it can: a full disk must not keep an engine from starting.
                if let Err(error) = say(&mut file, now) {
                    tracing::warn!("`{}` cannot be written: {error}", path.display());
                }
                return Ok(DataDirLock { file });
            }
            if let Some(holder) = look(&mut file, &path)? {
                return Err(Error::Held { holder, data_dir: data_dir.to_owned() });
            }
            // Someone only looked, and had it for that moment.
            thread::sleep(PAUSE);
        }
        Err(Error::disk("lock", &path)(io::ErrorKind::WouldBlock.into()))
    }
}

/// Who holds the lock of a data directory; `None` where nobody does.
///
/// # Errors
/// Whatever the file system says.
pub fn holder(data_dir: &Path) -> Result<Option<Holder>, Error> {
    let path = path(data_dir);
    match File::open(&path) {
        Ok(mut file) => look(&mut file, &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::disk("open", &path)(error)),
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("lock")
}

/// Looks by sharing the lock for a moment, which is possible only where nobody has it alone: `flock` cannot be asked in another way.
fn look(file: &mut File, path: &Path) -> Result<Option<Holder>, Error> {
    if is_locked(file, FlockOperation::NonBlockingLockShared, path)? {
        flock(&*file, FlockOperation::Unlock)
            .map_err(|error| Error::disk("unlock", path)(error.into()))?;
        return Ok(None);
    }
    let mut text = String::new();
    // What cannot be read is not known; that it is held is.
    let _ = file.take(256).read_to_string(&mut text);
    let mut words = text.split_ascii_whitespace();
    let process = words.next().and_then(|word| word.parse().ok());
    let since = words.next().and_then(|word| word.parse().ok());
    Ok(Some(Holder { process, since }))
}

/// Whether this open file has the lock now.
fn is_locked(file: &File, how: FlockOperation, path: &Path) -> Result<bool, Error> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(Error::disk("lock", path)(error.into())),
    }
}

fn say(file: &mut File, now: Timestamp) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(format!("{} {now}\n", std::process::id()).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const FOLDER: &str = "SMOLLAMA_TEST_LOCK";

    fn held(data_dir: &Path) -> Holder {
        match DataDirLock::take(data_dir, NOW) {
            Err(Error::Held { holder, .. }) => holder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_held_once_also_within_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("not/there/yet");
        assert_eq!(holder(&data_dir).unwrap(), None);
        let lock = DataDirLock::take(&data_dir, NOW).unwrap();
        let me = Holder { process: Some(std::process::id()), since: Some(NOW) };
        assert_eq!(held(&data_dir), me);
        assert_eq!(holder(&data_dir).unwrap(), Some(me), "having looked changes nothing");
        assert_eq!(held(&data_dir), me);

        let error = DataDirLock::take(&data_dir, NOW).unwrap_err();
        let (process, dir) = (std::process::id(), data_dir.display());
        assert_eq!(
            error.to_string(),
            format!("an engine (process {process}) runs on this data directory `{dir}`")
        );
        assert!(error.help().contains("--data-dir"));

        drop(lock);
        assert_eq!(holder(&data_dir).unwrap(), None, "the file alone is no lock");
        let later = NOW.saturating_add("1s".parse().unwrap());
        let _lock = DataDirLock::take(&data_dir, later).unwrap();
        assert_eq!(held(&data_dir).since, Some(later));
    }

    /// Not a test: what the tests below start as another process.
    #[test]
    #[ignore = "only as a child of other tests"]
    fn child_that_holds_the_lock() {
        let Some(data_dir) = std::env::var_os(FOLDER) else { return };
        let _lock = DataDirLock::take(Path::new(&data_dir), NOW).unwrap();
        // It outlives this process, until the test closes its input, and must not hold the lock.
        let mut program = Command::new("cat").stdout(Stdio::null()).spawn().unwrap();
        println!("held");
        program.wait().unwrap();
    }

    fn child(data_dir: &Path) -> Child {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lock::tests::child_that_holds_the_lock", "--ignored", "--nocapture"])
            .env(FOLDER, data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("held")));
        child
    }

    #[test]
    fn it_is_free_at_once_when_its_holder_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let mut child = child(folder.path());
            let other = Holder { process: Some(child.id()), since: Some(NOW) };
            assert_eq!(held(folder.path()), other);
            assert_eq!(holder(folder.path()).unwrap(), Some(other));
            child.kill().unwrap();
            child.wait().unwrap();
            assert_eq!(holder(folder.path()).unwrap(), None);
            drop(DataDirLock::take(folder.path(), NOW).unwrap());
        }
    }

    #[test]
    fn those_who_look_do_not_stop_one_who_takes() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDirLock::take(folder.path(), NOW).unwrap());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        holder(folder.path()).unwrap();
                    }
                });
            }
            for _ in 0..300 {
                let taken = DataDirLock::take(folder.path(), NOW);
                done.store(taken.is_err(), Ordering::Relaxed);
                drop(taken.unwrap());
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn of_many_who_take_one_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let (holding, times) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(_lock) = DataDirLock::take(folder.path(), NOW) {
                            assert_eq!(holding.fetch_add(1, Ordering::SeqCst), 0);
                            times.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                            holding.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(times.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn whatever_stands_in_the_file_decides_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for text in [&b"1 2026-01-01T00:00:00Z\n"[..], b"nonsense", b"\xff\xff", b""] {
            fs::write(path(folder.path()), text).unwrap();
            assert_eq!(holder(folder.path()).unwrap(), None);
            let lock = DataDirLock::take(folder.path(), NOW).unwrap();
            fs::write(path(folder.path()), b"nonsense").unwrap();
            assert_eq!(held(folder.path()), Holder::default());
            drop(lock);
        }
        let error = DataDirLock::take(&path(folder.path()), NOW).unwrap_err();
        assert!(matches!(error, Error::Disk { action: "make", .. }), "{error}");
        assert!(!error.help().is_empty());
    }
}
