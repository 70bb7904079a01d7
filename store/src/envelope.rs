//! What every file of ours that is written as a whole begins and ends with: magic, format, the release that wrote it, checksums. The
//! beginning has a checksum of its own and stays as it is in every later format, so that a release can tell a file that is
//! damaged from one that it is too old for.
//!
//! `magic (8) | format (2, little endian) | length of release (1) | release | checksum (4) | body | checksum of all before (4)`

use std::fmt;

use crate::formats::Head;

/// A kind of file.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What it is called in messages: `checkpoint`.
    pub(crate) name: &'static str,
    /// The first bytes.
    pub(crate) magic: [u8; 8],
    /// The format this release writes, and the newest it reads.
    pub(crate) format: u16,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Its bytes are not those that were written.
    Damaged(String),
    /// A later release wrote it.
    Newer {
        /// What kind of file it is.
        kind: &'static str,
        /// Its format.
        format: u16,
        /// The newest format this release reads.
        known: u16,
        /// The release that wrote it.
        writer: String,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Damaged(reason) => write!(f, "is damaged: {reason}"),
            Unreadable::Newer { kind, format, known, writer } => write!(
                f,
                "has {kind} format {format}, written by smollama {writer}; this version reads formats up to {known}: \
                 update smollama, or move the file elsewhere"
            ),
        }
    }
}

impl Unreadable {
    pub(crate) fn damaged(reason: impl fmt::Display) -> Unreadable {
        Unreadable::Damaged(reason.to_string())
    }
}

const CHECKSUM: usize = 4;

/// A whole file with this body.
pub(crate) fn seal(kind: &Kind, body: &[u8]) -> Vec<u8> {
    let writer = env!("CARGO_PKG_VERSION").as_bytes();
    let writer = &writer[..writer.len().min(u8::MAX.into())];
    let mut file = Vec::with_capacity(kind.magic.len() + 3 + writer.len() + body.len() + 8);
    file.extend_from_slice(&kind.magic);
    file.extend_from_slice(&kind.format.to_le_bytes());
    file.push(writer.len() as u8);
    file.extend_from_slice(writer);
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    file.extend_from_slice(body);
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    file
}

/// What a file says of itself, of which these are the first bytes; nothing where it is none of this kind.
pub(crate) fn head(kind: &Kind, bytes: &[u8]) -> Option<Head> {
    let (&[low, high, writer_len], rest) =
        bytes.strip_prefix(&kind.magic)?.split_first_chunk::<3>()?;
    let (writer, rest) = rest.split_at_checked(writer_len.into())?;
    let header = &bytes[..bytes.len() - rest.len()];
    let whole = crc32fast::hash(header).to_le_bytes() == *rest.first_chunk::<CHECKSUM>()?;
    let writer = String::from_utf8_lossy(writer).into_owned();
    whole.then_some(Head { format: u16::from_le_bytes([low, high]), writer })
}

/// The body of a file, and its format.
pub(crate) fn open<'a>(kind: &Kind, file: &'a [u8]) -> Result<(u16, &'a [u8]), Unreadable> {
    let short = || Unreadable::damaged("it ends too early");
    let rest = file
        .strip_prefix(&kind.magic)
        .ok_or_else(|| Unreadable::Damaged(format!("it does not begin as a {} does", kind.name)))?;
    let (&[low, high, writer_len], rest) = rest.split_first_chunk::<3>().ok_or_else(short)?;
    let (writer, rest) = rest.split_at_checked(writer_len.into()).ok_or_else(short)?;
    let header = &file[..file.len() - rest.len()];
    let (checksum, rest) = rest.split_first_chunk::<CHECKSUM>().ok_or_else(short)?;
    if crc32fast::hash(header).to_le_bytes() != *checksum {
        return Err(Unreadable::damaged("the checksum of its beginning does not fit"));
    }
    let format = u16::from_le_bytes([low, high]);
    if format > kind.format {
        let writer = String::from_utf8_lossy(writer).into_owned();
        return Err(Unreadable::Newer { kind: kind.name, format, known: kind.format, writer });
    }
    let (body, checksum) = rest.split_last_chunk::<CHECKSUM>().ok_or_else(short)?;
    if crc32fast::hash(&file[..file.len() - CHECKSUM]).to_le_bytes() != *checksum {
        return Err(Unreadable::damaged("its checksum does not fit"));
    }
    Ok((format, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "thing", magic: *b"smoltest", format: 3 };

    #[test]
    fn what_is_sealed_opens_and_nothing_else() {
        let file = seal(&KIND, b"body");
        assert_eq!(open(&KIND, &file), Ok((3, &b"body"[..])));
        for len in 0..file.len() {
            assert!(matches!(open(&KIND, &file[..len]), Err(Unreadable::Damaged(_))), "{len}");
        }
        for (at, bit) in (0..file.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            assert!(matches!(open(&KIND, &flipped), Err(Unreadable::Damaged(_))), "{at}.{bit}");
        }
    }

    #[test]
    fn a_later_format_is_named_also_where_its_body_is_strange() {
        let mut file = seal(&Kind { format: 4, ..KIND }, b"a body with another checksum");
        file.truncate(file.len() - 2);
        let error = open(&KIND, &file).unwrap_err();
        let writer = env!("CARGO_PKG_VERSION");
        assert_eq!(
            error.to_string(),
            format!(
                "has thing format 4, written by smollama {writer}; this version reads formats up to 3: \
                 update smollama, or move the file elsewhere"
            )
        );
    }
}
