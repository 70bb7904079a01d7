//! How a segment's bytes are laid out, so that whatever happens to them, what is whole is found.
//!
//! A header: magic, format, length, the release that wrote it, what the log says of itself, checksum. Then records: length, checksum,
//! body. A record leans on the one before it, so every few KiB there is one that leans on nothing and has a mark before it:
//! behind damage, reading goes on there.

use std::ops::Range;

use crc32fast::Hasher;
use uuid::Uuid;

use super::wire::{self, Wire};
use crate::formats::Head;

/// The format this release writes, and the newest it reads. Format 2 has one more kind of record, format 3 a mark on items that are no readings;
/// otherwise they are format 1.
pub(crate) const FORMAT: u16 = 3;

const MAGIC: [u8; 8] = *b"smol.log";
/// Magic, format, length of what follows.
const HEADER_FIXED: usize = 12;
/// No header is longer than this.
pub(super) const HEADER_MAX: usize = 512;
const CHECKSUM: usize = 4;

/// Stands before a record that leans on no other. A length is never 0, so it cannot be taken for one.
pub(super) const MARK: [u8; 4] = [0, 0xa7, b'S', 0xe3];
/// What is said to be longer is damage.
const BODY_MAX: u64 = 256 << 20;

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// The least number a record in it can have; the name of the file, too.
    pub(super) first: u64,
    /// The number of the last record before this segment, 0 if there was none: what is missing at the end of the one before shows.
    pub(super) before: u64,
    /// The start of the machine in which it was begun.
    pub(super) boot: Option<Uuid>,
    /// What the owner of the log wants to find again when older segments are gone.
    pub(super) note: Vec<u8>,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Its bytes are not what was written.
    Damaged,
    /// A later release wrote it.
    Newer { format: u16, writer: String },
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        wire::put_bytes(out, env!("CARGO_PKG_VERSION").as_bytes());
        wire::put(out, self.first);
        wire::put(out, self.before);
        out.extend_from_slice(self.boot.unwrap_or_default().as_bytes());
        wire::put_bytes(out, &self.note);
        // A note is a few numbers, so that the whole stays far below `HEADER_MAX`.
        let len = (out.len() - start - HEADER_FIXED) as u16;
        out[start + 10..start + 12].copy_from_slice(&len.to_le_bytes());
        let checksum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    /// The header at the beginning of `bytes`, and its length. In every format, magic, format, length, writer and the checksum
    /// behind them stand where they stand here.
    pub(super) fn read(bytes: &[u8]) -> Result<(Header, usize), BadHeader> {
        let parts = || {
            let mut fixed = Wire(bytes);
            let magic: [u8; 8] = fixed.array()?;
            let format = u16::from_le_bytes(fixed.array()?);
            let len = HEADER_FIXED + usize::from(u16::from_le_bytes(fixed.array()?));
            let (covered, rest) = bytes.split_at_checked(len)?;
            let checksum = u32::from_le_bytes(Wire(rest).array()?);
            let mut body = Wire(&covered[HEADER_FIXED..]);
            let writer = body.text()?;
            let whole = magic == MAGIC && checksum == crc32fast::hash(covered);
            whole.then_some((format, len + CHECKSUM, writer, body))
        };
        let (format, len, writer, mut body) = parts().ok_or(BadHeader::Damaged)?;
        if format > FORMAT {
            return Err(BadHeader::Newer { format, writer: writer.to_owned() });
        }
        let mut fields = || {
            let (first, before) = (body.get()?, body.get()?);
            let boot = Uuid::from_bytes(body.array()?);
            let boot = (!boot.is_nil()).then_some(boot);
            Some(Header { first, before, boot, note: body.bytes()?.to_vec() })
        };
        Ok((fields().ok_or(BadHeader::Damaged)?, len))
    }
}

/// The format and the writer that the header at the beginning of `bytes` names, of whatever release it is.
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    match Header::read(bytes) {
        Ok(_) => {
            let format = u16::from_le_bytes(*bytes.get(MAGIC.len()..)?.first_chunk()?);
            let writer = Wire(bytes.get(HEADER_FIXED..)?).text()?.to_owned();
            Some(Head { format, writer })
        }
        Err(BadHeader::Newer { format, writer }) => Some(Head { format, writer }),
        Err(BadHeader::Damaged) => None,
    }
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record: where its body lies, and whether it leans on no other. The next begins where the body ends.
    Record { body: Range<usize>, stands_alone: bool },
    /// So many bytes are needed to tell.
    Needs(usize),
    /// Nothing that was written like this.
    Damage,
}

/// Looks at the beginning of `bytes`, which belong to the segment `first`.
pub(super) fn look(bytes: &[u8], first: u64) -> Found {
    let stands_alone = match bytes.first() {
        None => return Found::Needs(1),
        Some(0) if bytes.len() < MARK.len() => return Found::Needs(MARK.len()),
        Some(0) if bytes.starts_with(&MARK) => true,
        Some(0) => return Found::Damage,
        Some(_) => false,
    };
    let at = if stands_alone { MARK.len() } else { 0 };
    let mut rest = Wire(&bytes[at..]);
    let Some(len) = rest.get() else {
        return if rest.len() == 0 { Found::Needs(bytes.len() + 1) } else { Found::Damage };
    };
    if len == 0 || len > BODY_MAX {
        return Found::Damage;
    }
    let Some(checksum) = rest.array() else { return Found::Needs(bytes.len() + CHECKSUM) };
    let start = bytes.len() - rest.len();
    let end = start + len as usize;
    let Some(body) = bytes.get(start..end) else { return Found::Needs(end) };
    if checksum_of(body, first, stands_alone) != u32::from_le_bytes(checksum) {
        return Found::Damage;
    }
    Found::Record { body: start..end, stands_alone }
}

/// Makes room for length and checksum; the body is to be appended, and then [`finish`] called with what this gives.
pub(super) fn begin(out: &mut Vec<u8>, stands_alone: bool) -> usize {
    if stands_alone {
        out.extend_from_slice(&MARK);
    }
    let start = out.len();
    out.extend_from_slice(&[0; 1 + CHECKSUM]);
    start
}

/// Fills in length and checksum of a record whose body goes to the end of `out`.
pub(super) fn finish(out: &mut Vec<u8>, start: usize, first: u64, stands_alone: bool) {
    let mut body = start + 1 + CHECKSUM;
    let len = (out.len() - body) as u64;
    let checksum = checksum_of(&out[body..], first, stands_alone).to_le_bytes();
    if len < 0x80 {
        out[start] = len as u8;
    } else {
        let mut length = Vec::with_capacity(10);
        wire::put(&mut length, len);
        out.splice(start..=start, length.iter().copied());
        body += length.len() - 1;
    }
    out[body - CHECKSUM..body].copy_from_slice(&checksum);
}

/// Bytes of another segment that come to light in this one do not pass for records of it.
fn checksum_of(body: &[u8], first: u64, stands_alone: bool) -> u32 {
    let seed = (first as u32) ^ ((first >> 32) as u32).rotate_left(16);
    let mut hasher = Hasher::new_with_initial(seed ^ (u32::from(stands_alone) << 31));
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8], first: u64, stands_alone: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let start = begin(&mut out, stands_alone);
        out.extend_from_slice(body);
        finish(&mut out, start, first, stands_alone);
        out
    }

    #[test]
    fn a_record_is_found_whole_or_not_at_all() {
        for len in [1, 127, 128, 20_000] {
            for stands_alone in [false, true] {
                let bytes = record(&vec![7; len], 5, stands_alone);
                let body = bytes.len() - len..bytes.len();
                let found = look(&bytes, 5);
                assert_eq!(found, Found::Record { body, stands_alone });
                assert_eq!(look(&bytes, 6), Found::Damage, "of another segment");
                for cut in 0..bytes.len().min(300) {
                    assert!(matches!(look(&bytes[..cut], 5), Found::Needs(n) if n > cut), "{cut}");
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_shows() {
        let bytes = record(b"some body", 1, true);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(look(&flipped, 1), Found::Record { .. }), "bit {bit}");
        }
    }

    #[test]
    fn a_header_of_a_later_format_is_known_by_its_writer() {
        let boot = Some(Uuid::from_u128(9));
        let header = Header { first: 300, before: 299, boot, note: vec![1, 2] };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        assert_eq!(Header::read(&bytes), Ok((header, bytes.len())));
        let covered = bytes.len() - CHECKSUM;
        let format = FORMAT + 1;
        bytes[8..10].copy_from_slice(&format.to_le_bytes());
        assert_eq!(Header::read(&bytes), Err(BadHeader::Damaged));
        let checksum = crc32fast::hash(&bytes[..covered]);
        bytes[covered..].copy_from_slice(&checksum.to_le_bytes());
        let writer = env!("CARGO_PKG_VERSION").to_owned();
        assert_eq!(Header::read(&bytes), Err(BadHeader::Newer { format, writer }));
    }
}
