//! A payload as a line, which the decoder of rows reads.

/// What a shape of an earlier line looks at in one go ([`crate::io::rows::json`]).
const BEHIND: [u8; 17] = *b"\n                ";

/// Writes a JSON text as one line, with enough behind it to be held against the shapes of earlier ones.
pub(super) fn write_line(json: &[u8], line: &mut Vec<u8>) {
    line.clear();
    line.extend_from_slice(json);
    // Both are blanks between JSON's parts, and both are refused within a text.
    for at in memchr::memchr_iter(b'\n', json) {
        if let Some(byte) = line.get_mut(at) {
            *byte = b'\t';
        }
    }
    line.extend_from_slice(&BEHIND);
}
