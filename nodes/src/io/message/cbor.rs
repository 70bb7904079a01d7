//! CBOR (RFC 8949) as JSON text, so that both formats mean the same to everything behind this.
//!
//! Tags are left out and their content is taken; byte strings, NaN and infinities have no JSON form and are refused.

use smollama_engine::reading::{write_float, write_json_text};

/// How deep maps and arrays may lie in each other; the same bound as for JSON.
const DEPTH_MAX: usize = 127;

/// Appends one CBOR item that fills all the bytes as JSON.
///
/// # Errors
/// What is wrong, with the byte at which it is found, counted from 1.
pub(super) fn to_json(bytes: &[u8], json: &mut Vec<u8>) -> Result<(), String> {
    let mut reader = Reader { bytes, at: 0 };
    let read = reader.item(json, 0).and_then(|()| match bytes.len() - reader.at {
        0 => Ok(()),
        _ => Err("more than one CBOR item"),
    });
    read.map_err(|reason| format!("{reason} at byte {}", reader.at + 1))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What an item begins with.
#[derive(Clone, Copy)]
struct Head {
    major: u8,
    /// The low five bits: how long the argument is, or what it is.
    info: u8,
    argument: u64,
}

impl Head {
    const INDEFINITE: u8 = 31;

    fn is_indefinite(self) -> bool {
        self.info == Self::INDEFINITE
    }
}

const ENDS: &str = "the message ends within an item";
const NOT_JSON: &str = "a number that is not finite";

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(length).map_err(|_| ENDS)?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or(ENDS)?;
        self.at += length;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, &'static str> {
        let &[first] = self.take(1)? else { return Err(ENDS) };
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..24 => u64::from(info),
            24..28 => {
                let bytes = self.take(1 << (info - 24))?;
                bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            }
            Head::INDEFINITE if matches!(major, 2..=5 | 7) => 0,
            _ => return Err("no CBOR"),
        };
        Ok(Head { major, info, argument })
    }

    /// Whether what comes is the end of a map, array or text of no given length; it is taken then.
    fn ends(&mut self) -> bool {
        let ends = self.bytes.get(self.at) == Some(&0xFF);
        self.at += usize::from(ends);
        ends
    }

    fn item(&mut self, json: &mut Vec<u8>, depth: usize) -> Result<(), &'static str> {
        let start = self.at;
        let mut head = self.head()?;
        while head.major == 6 {
            head = self.head()?;
        }
        match head.major {
            0 => json.extend_from_slice(itoa::Buffer::new().format(head.argument).as_bytes()),
            1 => {
                let number = -1 - i128::from(head.argument);
                json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            3 => self.text(head, json)?,
            4 | 5 if depth == DEPTH_MAX => return Err("nested too deeply"),
            4 => self.entries(head, json, depth, false)?,
            5 => self.entries(head, json, depth, true)?,
            7 => simple(head, json)?,
            _ => {
                self.at = start;
                return Err("a byte string, which no reading can hold");
            }
        }
        Ok(())
    }

    fn entries(
        &mut self,
        head: Head,
        json: &mut Vec<u8>,
        depth: usize,
        is_map: bool,
    ) -> Result<(), &'static str> {
        json.push(if is_map { b'{' } else { b'[' });
        let mut count = 0;
        while if head.is_indefinite() { !self.ends() } else { count < head.argument } {
            if count > 0 {
                json.push(b',');
            }
            count += 1;
            if is_map {
                self.key(json)?;
                json.push(b':');
            }
            self.item(json, depth + 1)?;
        }
        json.push(if is_map { b'}' } else { b']' });
        Ok(())
    }

    /// Texts and whole numbers are keys; numbers as sensors send them to save bytes.
    fn key(&mut self, json: &mut Vec<u8>) -> Result<(), &'static str> {
        let head = self.head()?;
        match head.major {
            3 => self.text(head, json),
            0 => {
                write_json_text(itoa::Buffer::new().format(head.argument), json);
                Ok(())
            }
            1 => {
                write_json_text(itoa::Buffer::new().format(-1 - i128::from(head.argument)), json);
                Ok(())
            }
            _ => Err("a key that is neither a text nor a whole number"),
        }
    }

    fn text(&mut self, head: Head, json: &mut Vec<u8>) -> Result<(), &'static str> {
        const NOT_UTF8: &str = "bytes that are not UTF-8";
        if !head.is_indefinite() {
            let text = std::str::from_utf8(self.take(head.argument)?).map_err(|_| NOT_UTF8)?;
            write_json_text(text, json);
            return Ok(());
        }
        let mut whole = String::new();
        while !self.ends() {
            let piece = self.head()?;
            if piece.major != 3 || piece.is_indefinite() {
                return Err("a piece of a text that is none");
            }
            let piece = self.take(piece.argument)?;
            whole.push_str(std::str::from_utf8(piece).map_err(|_| NOT_UTF8)?);
        }
        write_json_text(&whole, json);
        Ok(())
    }
}

fn simple(head: Head, json: &mut Vec<u8>) -> Result<(), &'static str> {
    let number = match (head.info, head.argument) {
        (20, _) => {
            json.extend_from_slice(b"false");
            return Ok(());
        }
        (21, _) => {
            json.extend_from_slice(b"true");
            return Ok(());
        }
        // null and undefined
        (22 | 23, _) => {
            json.extend_from_slice(b"null");
            return Ok(());
        }
        (25, bits) => half(bits),
        (26, bits) => f64::from(f32::from_bits(bits as u32)),
        (27, bits) => f64::from_bits(bits),
        _ => return Err("a simple value that nobody knows"),
    };
    if !number.is_finite() {
        return Err(NOT_JSON);
    }
    write_float(number, json);
    Ok(())
}

/// A half-precision number, as RFC 8949 decodes it in its appendix D.
fn half(bits: u64) -> f64 {
    let (exponent, mantissa) = ((bits >> 10 & 31) as i32, (bits & 1023) as f64);
    let size = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2_f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(hex: &str) -> Result<String, String> {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let mut json = Vec::new();
        to_json(&bytes, &mut json).map(|()| String::from_utf8(json).unwrap())
    }

    #[test]
    fn the_examples_of_the_standard() {
        for (hex, json) in [
            ("00", "0"),
            ("1864", "100"),
            ("1bffffffffffffffff", "18446744073709551615"),
            ("3bffffffffffffffff", "-18446744073709551616"),
            ("3903e7", "-1000"),
            ("f90000", "0.0"),
            ("f93e00", "1.5"),
            ("f97bff", "65504.0"),
            ("f90001", "5.960464477539063e-8"),
            ("f90400", "0.00006103515625"),
            ("f9c400", "-4.0"),
            ("fa47c35000", "100000.0"),
            ("fb3ff199999999999a", "1.1"),
            ("f4", "false"),
            ("f6", "null"),
            ("f7", "null"),
            ("c11a514b67b0", "1363896240"),
            ("c074323031332d30332d32315432303a30343a30305a", "\"2013-03-21T20:04:00Z\""),
            ("62225c", r#""\"\\""#),
            ("83018202039f0405ff", "[1,[2,3],[4,5]]"),
            ("a201020304", r#"{"1":2,"3":4}"#),
            ("bf61610161629f0203ffff", r#"{"a":1,"b":[2,3]}"#),
            ("7f657374726561646d696e67ff", "\"streaming\""),
        ] {
            let read = read(hex).unwrap_or_else(|error| panic!("{hex}: {error}"));
            let values = [&read, json].map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(values[0], values[1], "{hex}: {read}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (hex, expected) in [
            ("", "the message ends within an item at byte 1"),
            ("8201", "the message ends within an item at byte 3"),
            ("5bffffffffffffffff", "a byte string, which no reading can hold at byte 1"),
            ("7bffffffffffffffff61", "the message ends within an item at byte 10"),
            ("0000", "more than one CBOR item at byte 2"),
            ("f97e00", "a number that is not finite at byte 4"),
            ("fb7ff0000000000000", "a number that is not finite at byte 10"),
            ("62c328", "bytes that are not UTF-8 at byte 4"),
            ("a1f401", "a key that is neither a text nor a whole number at byte 3"),
            ("f8ff", "a simple value that nobody knows at byte 3"),
            ("ff", "a simple value that nobody knows at byte 2"),
            ("1f", "no CBOR at byte 2"),
            ("7f01ff", "a piece of a text that is none at byte 3"),
        ] {
            assert_eq!(read(hex).unwrap_err(), expected, "{hex}");
        }
        assert!(read(&"81".repeat(100_000)).unwrap_err().starts_with("nested too deeply"));
        assert!(read(&"c1".repeat(100_000)).is_err(), "tags do not nest");
    }

    /// Encodes as the plainest encoder would.
    pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) {
        let mut head = |major: u8, argument: u64| {
            out.push(major << 5 | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        };
        match value {
            Value::Null => out.push(0xF6),
            Value::Bool(value) => out.push(0xF4 + u8::from(*value)),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => head(0, number),
                (_, Some(number), _) => head(1, (-1 - number).unsigned_abs()),
                (.., number) => head(7, number.unwrap().to_bits()),
            },
            Value::String(text) => {
                head(3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Value::Array(entries) => {
                head(4, entries.len() as u64);
                entries.iter().for_each(|entry| encode(entry, out));
            }
            Value::Object(map) => {
                head(5, map.len() as u64);
                for (key, entry) in map {
                    encode(&Value::String(key.clone()), out);
                    encode(entry, out);
                }
            }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(value in value()) {
            let (mut cbor, mut json) = (Vec::new(), Vec::new());
            encode(&value, &mut cbor);
            prop_assert_eq!(to_json(&cbor, &mut json), Ok(()));
            prop_assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), value);
            for end in 0..cbor.len() {
                prop_assert!(to_json(&cbor[..end], &mut Vec::new()).is_err());
            }
        }

        #[test]
        fn what_is_taken_is_json(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut json = Vec::new();
            if to_json(&bytes, &mut json).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&json).is_ok(), "{:?}", json);
            }
        }
    }
}
