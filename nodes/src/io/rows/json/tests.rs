use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const WANTED: [&str; 5] = ["ts", "value", "a.b", "a", r"d\.e"];

/// What a line gave: a value per wanted field, or the reason it was refused.
type Outcome = Result<Vec<Value>, String>;

fn fields(names: &[&str]) -> Fields {
    let mut fields = Fields::default();
    names.iter().for_each(|name| assert!(fields.slot(name) < names.len()));
    fields
}

fn value(row: Row<'_>, slot: usize) -> Value {
    let cell = row.cell(slot);
    match cell {
        Cell::Missing => Value::String("(missing)".into()),
        Cell::Null => Value::Null,
        Cell::Bool(value) => value.into(),
        Cell::Int(value) | Cell::Time(value) => value.into(),
        Cell::Float(value) => value.into(),
        Cell::Text(_) | Cell::Unescaped(_) => std::str::from_utf8(row.text(cell)).unwrap().into(),
        Cell::Nested(_) => serde_json::from_slice(row.text(cell)).unwrap(),
    }
}

/// Decodes all lines, given in pieces that are cut anywhere.
fn decode(names: &[&str], bytes: &[u8], max_line: usize) -> Vec<Outcome> {
    let mut decoder = JsonLines::new(&fields(names), max_line);
    let (mut outcomes, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match decoder.decode(bytes, at, true) {
            Step::Row { next } => {
                let row = decoder.row(bytes);
                outcomes.push(Ok((0..names.len()).map(|slot| value(row, slot)).collect()));
                at = next;
            }
            Step::Blank { next } => at = next,
            Step::Rejected { next, reason } => {
                outcomes.push(Err(reason.to_string()));
                at = next;
            }
            Step::Incomplete => panic!("nothing is incomplete at the end"),
        }
    }
    outcomes
}

fn one(names: &[&str], line: &str) -> Outcome {
    decode(names, line.as_bytes(), 1 << 20).pop().unwrap()
}

/// What serde_json makes of the same lines.
fn expected(bytes: &[u8]) -> Vec<Option<Vec<Value>>> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| line.iter().any(|byte| !b" \t\r".contains(byte)));
    let wanted = |object: &Value| {
        let paths: [&[&str]; 5] = [&["ts"], &["value"], &["a", "b"], &["a"], &["d.e"]];
        paths.map(|path| {
            let found = path.iter().try_fold(object, |at, key| at.as_object()?.get(*key));
            match found {
                // Whole numbers beyond 64 bits with a sign become floats here.
                Some(Value::Number(number)) if number.is_u64() && !number.is_i64() => {
                    number.as_f64().into()
                }
                found => found.cloned().unwrap_or("(missing)".into()),
            }
        })
    };
    let parse = |line| serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
    lines.map(|line| parse(line).map(|object| wanted(&object).to_vec())).collect()
}

/// serde_json may be off by the last bits of a double, and so nearly equal is equal here; that doubles are exact is
/// tested with the numbers.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-15 * a.abs().max(b.abs()) + 1e-320
                && a.is_sign_negative() == b.is_sign_negative()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn agrees_with_serde_json(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = decode(&WANTED, bytes, 1 << 20);
    let theirs = expected(bytes);
    prop_assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        match (ours, theirs) {
            (Ok(ours), Some(theirs)) => {
                let agree = ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs));
                prop_assert!(agree, "{ours:?} is not {theirs:?}");
            }
            (Err(_), None) => {}
            _ => prop_assert!(false, "{ours:?} against {theirs:?}"),
        }
    }
    Ok(())
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        (-9999i32..9999, 0u32..100).prop_map(|(whole, part)| format!("{whole}.{part:02}")),
        any::<String>().prop_map(|text| Value::String(text).to_string()),
        "[a-z\u{e9}]{0,20}".prop_map(|text| format!("\"{text}\"")),
        prop::sample::select(vec![
            "true",
            "false",
            "null",
            "-0",
            "0",
            "1e5",
            "1E-7",
            "1e999",
            "-",
            "01",
            "1.",
            "18446744073709551616",
            r#""\u00e9\ud83d\ude00\n\/""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\x""#,
            "\"\u{1}\"",
            "tru",
            "[]",
            "{}",
            "[1, [2,{\"a\":{\"b\":3}}]]",
            r#"{"b":7}"#,
            r#"{"b":[1],"c":2,"b":"x"}"#,
            r#"{"c":{"b":1}}"#,
        ])
        .prop_map(str::to_owned),
    ]
}

fn key() -> impl Strategy<Value = &'static str> {
    let keys = vec!["ts", "value", "a", "b", "d.e", r"\u0061", r"t\u0073", "other", "é"];
    prop::sample::select(keys)
}

fn blanks() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\t ", "\r"])
}

/// Lines of a few shapes, each used for some lines in a row and mixed with the others.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let shape = vec((key(), blanks(), blanks()), 0..6);
    let shapes = vec(shape, 1..4);
    (shapes, vec((any::<prop::sample::Index>(), vec(scalar(), 6)), 1..24)).prop_map(
        |(shapes, lines)| {
            let mut text = String::new();
            for (shape, scalars) in lines {
                let shape = &shapes[shape.index(shapes.len())];
                let pairs = shape.iter().zip(&scalars);
                let pairs: Vec<_> = pairs
                    .map(|((key, a, b), scalar)| format!("{a}\"{key}\"{b}:{a}{scalar}{b}"))
                    .collect();
                text += &format!("{{{}}}\n", pairs.join(","));
            }
            text.into_bytes()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn means_what_serde_json_means(bytes in lines()) {
        agrees_with_serde_json(&bytes)?;
    }

    #[test]
    fn refuses_what_serde_json_refuses(
        mut bytes in lines(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..12),
    ) {
        for (index, byte, edit) in edits {
            let at = index.index(bytes.len().max(1)).min(bytes.len());
            match edit {
                0 => bytes.insert(at, byte),
                1 => bytes.insert(at, b"{}[]:,\"\\ 0-.en\n"[usize::from(byte) % 15]),
                2 if at < bytes.len() => { bytes.remove(at); }
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        agrees_with_serde_json(&bytes)?;
    }

    #[test]
    fn any_bytes_at_all(bytes in vec(any::<u8>(), 0..200)) {
        agrees_with_serde_json(&bytes)?;
    }
}

#[test]
fn finds_fields_in_any_order_and_depth() {
    let wanted = ["ts", "a.b", "a.c.d", r"x\.y"];
    let outcome =
        one(&wanted, r#" { "a" : {"c":{"d":true},"z":[1,{"b":9}],"b":-5} , "x.y":"k", "ts":1.50}"#);
    assert_eq!(outcome, Ok(vec![1.5.into(), (-5).into(), true.into(), "k".into()]));
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let line = r#"{"a":{"b":1,"c":2},"a":{"c":3}}"#;
    assert_eq!(one(&["a.b", "a.c"], line), Ok(vec!["(missing)".into(), 3.into()]));
    // The second line must not be taken by a shape of the first.
    let other = r#"{"a":{"b":8,"c":9},"a":{"c":7}}"#;
    let text = format!("{line}\n{other}\n{other}\n{line}\n");
    let outcomes = decode(&["a.b", "a.c"], text.as_bytes(), 1 << 20);
    assert_eq!(outcomes[1], Ok(vec!["(missing)".into(), 7.into()]));
}

#[test]
fn wanted_objects_are_found_by_shape_too() {
    let lines = concat!(
        "{\"labels\":{\"room\":\"kitchen\"},\"v\":[],\"n\":{\"x\":[1,2]}}\n",
        "{\"labels\":{\"room\":\"hall\"},\"v\":[],\"n\":{\"x\":[33,4]}}\n",
        "{\"labels\":{\"room\":\"\\u0061\"},\"v\":[],\"n\":{\"x\":[5,666]}}\n",
        "{\"labels\":{\"room\":\"attic\"},\"v\":[],\"n\":{\"x\":[7,8]}}\n\n",
    );
    let mut decoder = JsonLines::new(&fields(&["labels", "n", "v", "n.x"]), 1 << 20);
    let (mut at, mut seen) = (0, Vec::new());
    while let Step::Row { next } = decoder.decode(lines.as_bytes(), at, true) {
        let row = decoder.row(lines.as_bytes());
        seen.push(
            [0, 1, 2, 3].map(|slot| String::from_utf8_lossy(row.text(row.cell(slot))).into_owned()),
        );
        at = next;
    }
    assert_eq!(seen[1], [r#"{"room":"hall"}"#, r#"{"x":[33,4]}"#, "[]", "[33,4]"]);
    assert_eq!(seen[2], [r#"{"room":"\u0061"}"#, r#"{"x":[5,666]}"#, "[]", "[5,666]"]);
    assert_eq!(decoder.shapes.len(), 1, "one shape fits all");
    assert!(decoder.shapes[0].fits() >= 2);
}

#[test]
fn interleaved_shapes_are_each_learned_once() {
    let line = |number: usize| match number % 3 {
        0 => format!("{{\"ts\":{number},\"value\":1.5,\"unit\":\"W\"}}\n"),
        1 => format!("{{\"ts\":{number},\"value\":null}}\n"),
        _ => format!("{{\"value\":2,\"ts\":{number}}}\n"),
    };
    let text: String = (0..99).map(line).collect();
    let mut decoder = JsonLines::new(&fields(&["ts", "value"]), 1 << 20);
    let (mut at, mut rows) = (0, 0);
    while at < text.len() {
        let Step::Row { next } = decoder.decode(text.as_bytes(), at, true) else {
            panic!("at {at}")
        };
        assert_eq!(decoder.row(text.as_bytes()).cell(0), Cell::Int(rows));
        (at, rows) = (next, rows + 1);
    }
    assert_eq!(decoder.shapes.len(), 3);
    // The three first lines taught them, and the last one has too few bytes behind it.
    assert_eq!(decoder.shapes.iter().map(Shape::fits).sum::<u32>(), 99 - 4);
}

#[test]
fn lines_that_never_repeat_a_shape_are_not_learned_for_ever() {
    let text: String =
        (0..2000).map(|number| format!("{{\"k{number}\":1,\"ts\":{number}}}\n")).collect();
    let outcomes = decode(&["ts"], text.as_bytes(), 1 << 20);
    assert_eq!(outcomes.len(), 2000);
    assert_eq!(outcomes[1999], Ok(vec![1999.into()]));
}

#[test]
fn says_what_is_wrong_and_where() {
    let reason = |line: &str| one(&["ts"], line).unwrap_err();
    insta::assert_snapshot!(reason(r#"{"ts":1"#), @"neither `,` nor `}` behind a value at byte 8");
    insta::assert_snapshot!(reason(r#"{"ts":1,}"#), @"no key where one must stand at byte 9");
    insta::assert_snapshot!(reason(r#"{"ts" 1}"#), @"no `:` behind a key at byte 7");
    insta::assert_snapshot!(reason(r#"{"ts":NaN}"#), @"no value where one must stand at byte 7");
    insta::assert_snapshot!(reason(r#"{"ts":1e999}"#), @"a number too large for any type at byte 7");
    insta::assert_snapshot!(reason(r#"{"ts":01}"#), @"not a number as JSON writes them at byte 8");
    insta::assert_snapshot!(reason("[1]"), @"not a JSON object at byte 1");
    insta::assert_snapshot!(reason("{} {}"), @"more than one JSON value at byte 4");
    insta::assert_snapshot!(reason(r#"{"ts":"a"#), @"a string without an end at byte 7");
    insta::assert_snapshot!(reason(r#"{"ts":"\q"}"#), @"an escape that JSON does not know at byte 8");
    let deep = format!(r#"{{"ts":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    insta::assert_snapshot!(reason(&deep), @"nested too deeply at byte 133");
}

#[test]
fn a_long_line_is_refused_and_the_next_is_not() {
    let long = format!("{{\"ts\":1}}\n{{\"ts\":\"{}\"}}\n{{\"ts\":3}}\n", "x".repeat(100));
    let outcomes = decode(&["ts"], long.as_bytes(), 50);
    assert_eq!(outcomes[0], Ok(vec![1.into()]));
    insta::assert_snapshot!(outcomes[1].clone().unwrap_err(), @"longer than `max_line` (50 bytes)");
    assert_eq!(outcomes[2], Ok(vec![3.into()]));
}

#[test]
fn a_line_that_never_ends_is_refused_once_and_not_kept() {
    let mut decoder = JsonLines::new(&fields(&["ts"]), 50);
    let long = [b'x'; 60];
    assert_eq!(decoder.decode(&long[..50], 0, false), Step::Incomplete);
    let Step::Rejected { next: 60, reason } = decoder.decode(&long, 0, false) else { panic!() };
    assert_eq!((reason.reason, decoder.lines()), (RejectReason::TooLong { max: 50 }, 1));
    assert_eq!(decoder.decode(b"{\"ts\":1}", 0, false), Step::Blank { next: 8 });
    assert_eq!(decoder.decode(b"y\n{\"ts\":1}\n", 0, false), Step::Blank { next: 2 });
    assert_eq!(decoder.lines(), 0);
    assert_eq!(decoder.decode(b"y\n{\"ts\":1}\n", 2, false), Step::Row { next: 11 });
}

#[test]
fn a_line_that_is_not_all_there_is_incomplete() {
    let mut decoder = JsonLines::new(&fields(&["ts"]), 1 << 20);
    assert_eq!(decoder.decode(b"{\"ts\":1}", 0, false), Step::Incomplete);
    assert_eq!(decoder.decode(b"{\"ts\":1}", 0, true), Step::Row { next: 8 });
    assert_eq!(decoder.decode(b"", 0, false), Step::Incomplete);
    assert_eq!(decoder.decode(b" \r\n", 0, false), Step::Blank { next: 3 });
}
