//! Tokens: where they come from, and whether one is right.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use smollama_engine::config::Secret;
use smollama_engine::config::http::HttpConfig;
use uuid::Uuid;

use super::Role;

/// The name of the token's file in the data directory.
const FILE: &str = "token";
/// The fewest characters of a token: a shorter one can be guessed.
const LENGTH_MIN: usize = 16;

/// The tokens that are good, and for what.
#[derive(Debug)]
pub(crate) struct Tokens {
    operate: Secret,
    read: Option<Secret>,
}

impl Tokens {
    /// Those of `config.yaml`; where it names none for everything, that of the data directory, made if there is none yet.
    ///
    /// # Errors
    /// One is too short, or the file can be neither read nor made.
    pub(crate) fn open(data_dir: &Path, config: &HttpConfig) -> io::Result<Tokens> {
        let operate = match &config.token {
            Some(token) => long_enough(token.clone(), "`http.token`")?,
            None => generated(data_dir)?,
        };
        let read = config.read_token.clone();
        let read = read.map(|token| long_enough(token, "`http.read_token`")).transpose()?;
        Ok(Tokens { operate, read })
    }

    /// What a token is good for.
    pub(crate) fn role(&self, given: &[u8]) -> Option<Role> {
        let is_operate = same(given, self.operate.expose().as_bytes());
        let is_read = self.read.as_ref().is_some_and(|read| same(given, read.expose().as_bytes()));
        match (is_operate, is_read) {
            (true, _) => Some(Role::Operate),
            (false, true) => Some(Role::Read),
            (false, false) => None,
        }
    }
}

/// Whether two texts are the same, in a time that depends on the length of the first alone: nobody learns by a clock how much of a
/// token was right.
fn same(given: &[u8], own: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != own.len() || own.is_empty());
    for (index, byte) in given.iter().enumerate() {
        let other = own.get(index % own.len().max(1)).copied().unwrap_or(0);
        difference = std::hint::black_box(difference | (byte ^ other));
    }
    difference == 0
}

fn long_enough(token: Secret, name: &str) -> io::Result<Secret> {
    let text = token.expose();
    let wrong = if text.len() < LENGTH_MIN {
        format!("has fewer than {LENGTH_MIN} characters")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "holds a character that no header can carry".to_owned()
    } else {
        return Ok(token);
    };
    let message = format!("{name} {wrong}; a good one: `openssl rand -hex 32`");
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// The token of a data directory.
fn generated(data_dir: &Path) -> io::Result<Secret> {
    let path = data_dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path)?,
        Err(error) => return Err(error),
    };
    let mode = fs::metadata(&path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!("{} could be read by others; now it cannot", path.display());
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    }
    let token = Secret::literal(text.trim());
    long_enough(token, &format!("the token in {}", path.display()))
}

/// Makes the file whole or not at all, and never readable by others in between: that needs its mode set when it is opened, which the
/// engine's `Disk` does not know.
fn make(path: &Path) -> io::Result<String> {
    // Two random ids: 244 random bits of the system's generator.
    let text = format!("{}{}\n", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let temporary = path.with_file_name(".token.tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(operate: &str, read: &str) -> io::Result<Tokens> {
        let config = HttpConfig {
            token: Some(Secret::literal(operate)),
            read_token: Some(Secret::literal(read)),
            ..HttpConfig::default()
        };
        Tokens::open(Path::new("/nowhere"), &config)
    }

    #[test]
    fn only_the_whole_token_is_right() {
        let tokens = tokens("operate-operate-operate", "read-read-read-read").unwrap();
        assert_eq!(tokens.role(b"operate-operate-operate"), Some(Role::Operate));
        assert_eq!(tokens.role(b"read-read-read-read"), Some(Role::Read));
        for wrong in [
            "",
            "o",
            "operate-operate-operat",
            "operate-operate-operatE",
            "operate-operate-operate-operate-operate-operate",
            "read-read-read-readread-read-read-read",
        ] {
            assert_eq!(tokens.role(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_be_sent_is_refused() {
        let error = tokens("short", "read-read-read-read").unwrap_err().to_string();
        assert!(error.contains("`http.token`") && !error.contains("short"), "{error}");
        let error = tokens("operate-operate-operate", "read read read read").unwrap_err();
        assert!(error.to_string().contains("`http.read_token`"), "{error}");
    }

    #[test]
    fn the_token_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = HttpConfig::default();
        let first = Tokens::open(folder.path(), &config).unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 64);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let second = Tokens::open(folder.path(), &config).unwrap();
        assert_eq!(first.operate, second.operate);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{second:?}").contains(text.trim()), "a secret is printed");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Tokens::open(other.path(), &config).unwrap().operate, first.operate);
    }
}
