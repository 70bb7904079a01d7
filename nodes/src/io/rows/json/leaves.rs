//! All fields of a JSON text, for whoever does not know their names beforehand.

use std::ops::ControlFlow;

use super::scan::{MAX_DEPTH, scalar};
use crate::io::rows::text::json_string;
use crate::io::rows::{Cell, Reject, Row};

/// Goes through JSON texts and shows their scalars, each with its path: keys and places in arrays, with dots between them.
#[derive(Debug, Default)]
pub struct Leaves {
    path: Vec<u8>,
    scratch: Vec<u8>,
}

/// Takes a scalar: its path, its cell, and a row in which the cell's text lies. It may end the walk.
pub trait TakeLeaf: FnMut(&[u8], Cell, Row<'_>) -> ControlFlow<()> {}
impl<F: FnMut(&[u8], Cell, Row<'_>) -> ControlFlow<()>> TakeLeaf for F {}

impl Leaves {
    /// Shows all scalars of a text that is one JSON value with blanks around it. Before an error is found, some were shown.
    ///
    /// # Errors
    /// What serde_json refuses is refused here.
    pub fn walk(&mut self, bytes: &[u8], mut take: impl TakeLeaf) -> Result<(), Reject> {
        self.path.clear();
        let mut walk = Walk { bytes, at: 0, depth: 0, leaves: self, take: &mut take, over: false };
        walk.value()?;
        walk.end()
    }
}

/// Shows the entries of a JSON array, each with the bytes from its first to its last. Before an error is found, some were shown.
///
/// # Errors
/// It is no array, or not JSON.
pub fn entries(bytes: &[u8], mut take: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Reject> {
    let mut leaves = Leaves::default();
    let mut nothing = |_: &[u8], _: Cell, _: Row<'_>| ControlFlow::Continue(());
    let mut walk =
        Walk { bytes, at: 0, depth: 0, leaves: &mut leaves, take: &mut nothing, over: true };
    if walk.skip_blanks() != Some(b'[') {
        return Err(walk.bad("not a JSON array"));
    }
    walk.enter()?;
    let mut first = true;
    while walk.next_of(b']', first)? {
        first = false;
        walk.skip_blanks();
        let start = walk.at;
        walk.value()?;
        if take(bytes.get(start..walk.at).unwrap_or_default()).is_break() {
            return Ok(());
        }
    }
    walk.end()
}

struct Walk<'a, F> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    leaves: &'a mut Leaves,
    take: &'a mut F,
    /// Nothing more is shown.
    over: bool,
}

impl<F: TakeLeaf> Walk<'_, F> {
    fn bad(&self, reason: &'static str) -> Reject {
        Reject::syntax(reason, self.at + 1)
    }

    fn skip_blanks(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn end(&mut self) -> Result<(), Reject> {
        match self.skip_blanks() {
            None => Ok(()),
            Some(_) => Err(self.bad("more than one JSON value")),
        }
    }

    fn enter(&mut self) -> Result<(), Reject> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.bad("nested too deeply"));
        }
        self.at += 1;
        Ok(())
    }

    /// Goes on to the next entry of an object or array, if there is one, and otherwise behind its end.
    fn next_of(&mut self, close: u8, first: bool) -> Result<bool, Reject> {
        match self.skip_blanks() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => Err(self.bad("neither `,` nor an end behind a value")),
        }
    }

    fn value(&mut self) -> Result<(), Reject> {
        match self.skip_blanks() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            _ => {
                self.leaves.scratch.clear();
                let (cell, end) = scalar(self.bytes, self.at, &mut self.leaves.scratch)?;
                self.at = end;
                if !self.over {
                    let row = Row { bytes: self.bytes, scratch: &self.leaves.scratch, cells: &[] };
                    self.over = (self.take)(&self.leaves.path, cell, row).is_break();
                }
                Ok(())
            }
        }
    }

    fn object(&mut self) -> Result<(), Reject> {
        self.enter()?;
        let mut first = true;
        while self.next_of(b'}', first)? {
            first = false;
            if self.skip_blanks() != Some(b'"') {
                return Err(self.bad("no key where one must stand"));
            }
            let length = self.leaves.path.len();
            self.key()?;
            if self.skip_blanks() != Some(b':') {
                return Err(self.bad("no `:` behind a key"));
            }
            self.at += 1;
            self.value()?;
            self.leaves.path.truncate(length);
        }
        Ok(())
    }

    fn key(&mut self) -> Result<(), Reject> {
        self.leaves.scratch.clear();
        let (key, end) = json_string(self.bytes, self.at + 1, &mut self.leaves.scratch)?;
        self.at = end;
        if self.over {
            return Ok(());
        }
        let Leaves { path, scratch } = &mut *self.leaves;
        if self.depth > 1 {
            path.push(b'.');
        }
        match key {
            Cell::Unescaped(place) => path.extend_from_slice(place.of(scratch)),
            Cell::Text(place) => path.extend_from_slice(place.of(self.bytes)),
            _ => {}
        }
        Ok(())
    }

    fn array(&mut self) -> Result<(), Reject> {
        self.enter()?;
        let mut place = 0_u64;
        let length = self.leaves.path.len();
        while self.next_of(b']', place == 0)? {
            if !self.over {
                let path = &mut self.leaves.path;
                if self.depth > 1 {
                    path.push(b'.');
                }
                path.extend_from_slice(itoa::Buffer::new().format(place).as_bytes());
            }
            place += 1;
            self.value()?;
            self.leaves.path.truncate(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(json: &str) -> Result<Vec<String>, Reject> {
        let mut found = Vec::new();
        Leaves::default().walk(json.as_bytes(), |path: &[u8], cell: Cell, row: Row<'_>| {
            let (path, text) = (String::from_utf8_lossy(path), row.text(cell));
            found.push(match cell {
                Cell::Text(_) | Cell::Unescaped(_) => {
                    format!("{path}={}", String::from_utf8_lossy(text))
                }
                cell => format!("{path}={cell:?}"),
            });
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    #[test]
    fn scalars_come_with_their_paths() {
        let json =
            r#" {"a": 1, "b": {"c": [true, {"d\n": "x\ty"}], "e": {}}, "f": [[2.5]], "": null}"#;
        let expected =
            ["a=Int(1)", "b.c.0=Bool(true)", "b.c.1.d\n=x\ty", "f.0.0=Float(2.5)", "=Null"];
        assert_eq!(leaves(json).unwrap(), expected);
        assert_eq!(leaves("[1,[2]]").unwrap(), ["0=Int(1)", "1.0=Int(2)"]);
    }

    #[test]
    fn a_walk_can_be_ended_and_still_checks_the_rest() {
        let mut count = 0;
        let mut walk = |json: &str| {
            Leaves::default().walk(json.as_bytes(), |_: &[u8], _: Cell, _: Row<'_>| {
                count += 1;
                ControlFlow::Break(())
            })
        };
        assert_eq!(walk("[1,2,3]"), Ok(()));
        assert!(walk("[1,2,3").is_err());
        assert_eq!(count, 2);
    }

    #[test]
    fn entries_of_an_array_are_shown_one_by_one() {
        let mut found = Vec::new();
        let mut all = |json: &str| {
            entries(json.as_bytes(), |entry| {
                found.push(String::from_utf8_lossy(entry).into_owned());
                ControlFlow::Continue(())
            })
        };
        all(r#" [ {"a": [1, "]"]} , 2,"x" ] "#).unwrap();
        all("[]").unwrap();
        assert!(all("{}").is_err() && all("[7,]").is_err());
        assert_eq!(found, [r#"{"a": [1, "]"]}"#, "2", "\"x\"", "7"]);
    }

    fn json() -> impl Strategy<Value = Vec<u8>> {
        let noise = proptest::collection::vec(any::<u8>(), 0..40);
        let pieces = "([\\[\\]{},: \"a]|true|null|-1|1e5|\"k\":|\\\\u00e9){0,30}";
        prop_oneof![noise, pieces.prop_map(String::into_bytes)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn accepts_what_serde_json_accepts(bytes in json()) {
            let ours = Leaves::default().walk(&bytes, |_: &[u8], _: Cell, _: Row<'_>| ControlFlow::Continue(()));
            let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        }
    }

    #[test]
    fn nests_as_deep_as_serde_json_and_no_deeper() {
        for depth in [127, 128, 100_000] {
            let json = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            let theirs = serde_json::from_str::<serde_json::Value>(&json);
            assert_eq!(leaves(&json).is_ok(), theirs.is_ok(), "{depth}");
        }
    }
}
