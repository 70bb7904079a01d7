//! The key of the hashes of secrets: random, made at first use, readable by its owner only.

use std::io;
use std::path::Path;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use smollama_engine::disk::{Disk, write_privately};

use super::error::{Error, Result};
use super::revision::SecretHash;

const LEN: usize = 32;

/// Reads the key, or makes it.
pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<hmac::Key> {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(disk, path)?,
        Err(error) => return Err(Error::disk("read", path)(error)),
    };
    if bytes.len() != LEN {
        return Err(Error::Key { path: path.to_owned(), len: bytes.len() });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn make(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![0; LEN];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
    write_privately(disk, path, &bytes).map_err(Error::disk("write", path))?;
    Ok(bytes)
}

/// The name is part of what is hashed, so that nobody sees that two secrets are equal.
pub(super) fn hash(key: &hmac::Key, name: &str, value: &str) -> SecretHash {
    let mut context = hmac::Context::with_key(key);
    context.update(&(name.len() as u64).to_le_bytes());
    context.update(name.as_bytes());
    context.update(value.as_bytes());
    let mut hash = SecretHash([0; 32]);
    hash.0.copy_from_slice(context.sign().as_ref());
    hash
}
