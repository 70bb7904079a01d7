//! JSON strings: where they end, whether they are valid, and what their escapes say.

use super::{Cell, Place, Reject, word};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes that are zero. Above the lowest mark there may be false ones.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// Reads the rest of a string whose opening quote stands before `start`, and says where it goes on behind the closing
/// one. Escapes are resolved onto the end of `scratch`.
///
/// # Errors
/// A control character, an escape that JSON does not know, half a surrogate pair, bytes that are not UTF-8, or no end.
#[inline]
pub(super) fn json_string(
    bytes: &[u8],
    start: usize,
    scratch: &mut Vec<u8>,
) -> Result<(Cell, usize), Reject> {
    let mut at = start;
    let mut high = 0;
    while let Some(word) = word(bytes, at) {
        let stops = zeros(word ^ (ONES * b'"' as u64))
            | zeros(word ^ (ONES * b'\\' as u64))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGHS);
        if stops != 0 {
            let bits = stops.trailing_zeros() & !7;
            high |= word & HIGHS & ((1 << bits) - 1);
            at += bits as usize / 8;
            break;
        }
        high |= word & HIGHS;
        at += 8;
    }
    // Near the end of the bytes there is no whole word to look at.
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' if high == 0 => return Ok((Cell::Text(Place::new(start, at)), at + 1)),
            b'"' => return checked(bytes, start, at),
            b'\\' => return unescape(bytes, start, at, scratch),
            0..0x20 => return Err(Reject::syntax("a control character in a string", at + 1)),
            _ => high |= u64::from(byte) & 0x80,
        }
        at += 1;
    }
    Err(Reject::syntax("a string without an end", start))
}

#[cold]
fn checked(bytes: &[u8], start: usize, end: usize) -> Result<(Cell, usize), Reject> {
    match std::str::from_utf8(bytes.get(start..end).unwrap_or_default()) {
        Ok(_) => Ok((Cell::Text(Place::new(start, end)), end + 1)),
        Err(error) => {
            Err(Reject::syntax("bytes that are not UTF-8", start + error.valid_up_to() + 1))
        }
    }
}

/// As [`json_string`], from the first backslash on.
#[cold]
fn unescape(
    bytes: &[u8],
    start: usize,
    mut at: usize,
    scratch: &mut Vec<u8>,
) -> Result<(Cell, usize), Reject> {
    let from = scratch.len();
    scratch.extend_from_slice(bytes.get(start..at).unwrap_or_default());
    loop {
        match bytes.get(at) {
            Some(b'"') => break,
            Some(b'\\') => at = escape(bytes, at, scratch)?,
            Some(0..0x20) => return Err(Reject::syntax("a control character in a string", at + 1)),
            Some(&byte) => {
                scratch.push(byte);
                at += 1;
            }
            None => return Err(Reject::syntax("a string without an end", start)),
        }
    }
    // Checked as a whole: escapes are ASCII, so that they never complete or tear a sequence around them.
    match std::str::from_utf8(scratch.get(from..).unwrap_or_default()) {
        Ok(_) => Ok((Cell::Unescaped(Place::new(from, scratch.len())), at + 1)),
        Err(_) => Err(Reject::syntax("bytes that are not UTF-8", start)),
    }
}

/// Resolves the escape at a backslash and says where it ends.
fn escape(bytes: &[u8], at: usize, scratch: &mut Vec<u8>) -> Result<usize, Reject> {
    let bad = || Reject::syntax("an escape that JSON does not know", at + 1);
    let plain = match bytes.get(at + 1).ok_or_else(bad)? {
        byte @ (b'"' | b'\\' | b'/') => *byte,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unicode(bytes, at, scratch),
        _ => return Err(bad()),
    };
    scratch.push(plain);
    Ok(at + 2)
}

fn unicode(bytes: &[u8], at: usize, scratch: &mut Vec<u8>) -> Result<usize, Reject> {
    let bad = |reason| move || Reject::syntax(reason, at + 1);
    let first = hex(bytes, at + 2).ok_or_else(bad("an escape that JSON does not know"))?;
    let (code, end) = match first {
        0xD800..0xDC00 => {
            let second = (bytes.get(at + 6..at + 8) == Some(br"\u"))
                .then(|| hex(bytes, at + 8))
                .flatten()
                .filter(|second| (0xDC00..0xE000).contains(second))
                .ok_or_else(bad("half a surrogate pair"))?;
            (0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00), at + 12)
        }
        code => (code, at + 6),
    };
    let character = char::from_u32(code).ok_or_else(bad("half a surrogate pair"))?;
    scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(end)
}

fn hex(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .iter()
        .try_fold(0, |number, &byte| Some(number * 16 + char::from(byte).to_digit(16)?))
}
