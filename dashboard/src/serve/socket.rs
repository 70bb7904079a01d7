//! The control socket: where it lies, how it is made so that it is never open to others, and how it is reached.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The name of the control socket in the data directory.
pub const SOCKET_NAME: &str = "control.sock";
/// The folder it is made in, and its name there: together shorter than its last name, so that they fit where that fits.
const NURSERY: &str = ".ctl";
const NEWBORN: &str = "s";
/// The longest name of a socket; the system's own limit is 108 bytes, or 104.
const NAME_BYTES_MAX: usize = 100;

/// Makes the control socket of a data directory, in the place of one that a dead engine left.
///
/// It is made in a folder that is closed to others and moved to its place once its own mode is right.
pub(super) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let nursery = data_dir.join(NURSERY);
    let newborn = nursery.join(NEWBORN);
    for removed in [fs::remove_file(&newborn), fs::remove_dir(&nursery)] {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    DirBuilder::new().mode(0o700).create(&nursery)?;
    let listener = {
        let short = Short::of(&nursery, NEWBORN)?;
        UnixListener::bind(&short.path)?
    };
    fs::set_permissions(&newborn, Permissions::from_mode(0o600))?;
    fs::rename(&newborn, data_dir.join(SOCKET_NAME))?;
    fs::remove_dir(&nursery)?;
    Ok(listener)
}

/// Connects to the control socket of a data directory.
pub(crate) async fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let short = Short::of(data_dir, SOCKET_NAME)?;
    UnixStream::connect(&short.path).await
}

/// A name of a socket that is short enough for the system.
struct Short {
    path: PathBuf,
    /// The folder stays open for as long as the name is needed.
    _folder: Option<File>,
}

impl Short {
    /// The name as it is; where it is too long, by way of the open folder: `/proc/self/fd/7/control.sock`.
    fn of(folder: &Path, name: &str) -> io::Result<Short> {
        let path = folder.join(name);
        if path.as_os_str().len() <= NAME_BYTES_MAX {
            return Ok(Short { path, _folder: None });
        }
        let open = File::open(folder)?;
        let by_way = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        if !by_way.exists() {
            let message =
                "the name of the data directory is too long for a socket; use a shorter one";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Short { path: by_way.join(name), _folder: Some(open) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn is_reached(data_dir: &Path) {
        let listener = bind(data_dir).unwrap();
        let (mut near, far) = (connect(data_dir).await.unwrap(), listener.accept().await.unwrap());
        let (mut far, _) = far;
        far.write_all(b"x").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn only_its_owner_can_open_it_and_a_dead_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let dead = bind(folder.path()).unwrap();
        drop(dead);
        fs::create_dir(folder.path().join(NURSERY)).unwrap();
        is_reached(folder.path()).await;
        let mode = fs::metadata(folder.path().join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[tokio::test]
    async fn a_data_directory_with_a_long_name_has_one_too() {
        let folder = tempfile::tempdir().unwrap();
        for length in [60, 70, 80, 90, 100, 110, 200] {
            let data_dir = folder.path().join("x".repeat(length));
            fs::create_dir(&data_dir).unwrap();
            is_reached(&data_dir).await;
        }
    }
}
