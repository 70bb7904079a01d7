use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Outcome = Result<Vec<String>, String>;

/// Decodes rows of the columns a, b and c, giving all bytes at once or only what was asked for so far.
fn decode(bytes: &[u8], max_line: usize, piece: usize) -> Vec<(usize, Outcome)> {
    let mut wanted = Fields::default();
    let columns = ["a", "b", "c"].map(str::to_owned);
    columns.iter().for_each(|name| assert!(wanted.slot(name) < 3));
    let mut decoder = CsvRows::new(b',', max_line);
    decoder.choose(&columns, &wanted).unwrap();
    let (mut outcomes, mut at, mut there, mut line) = (Vec::new(), 0, piece.min(bytes.len()), 1);
    while at < bytes.len() {
        let (seen, last) = (&bytes[..there], there == bytes.len());
        let step = decoder.decode(seen, at, last);
        match step {
            Step::Row { next } => {
                let row = decoder.row(seen);
                let text = |slot| String::from_utf8(row.text(row.cell(slot)).to_vec()).unwrap();
                outcomes.push((line, Ok((0..3).map(text).collect())));
                at = next;
            }
            Step::Rejected { next, reason } => {
                outcomes.push((line, Err(reason.to_string())));
                at = next;
            }
            Step::Blank { next } => at = next,
            Step::Incomplete => {
                assert!(!last, "nothing is incomplete at the end");
                there = (there + piece).min(bytes.len());
                continue;
            }
        }
        line += decoder.lines();
    }
    outcomes
}

fn all(text: &str) -> Vec<(usize, Outcome)> {
    decode(text.as_bytes(), 1 << 20, usize::MAX)
}

fn row(fields: [&str; 3]) -> Outcome {
    Ok(fields.map(str::to_owned).to_vec())
}

#[test]
fn reads_rfc_4180() {
    let text = "1,2,3\r\n\"x\"\"y\",\"p\nq\",z\n\n4,,\"\"\n5,é,in\"side\n6,7,8";
    assert_eq!(
        all(text),
        [
            (1, row(["1", "2", "3"])),
            (2, row(["x\"y", "p\nq", "z"])),
            (5, row(["4", "", ""])),
            (6, row(["5", "é", "in\"side"])),
            (7, row(["6", "7", "8"])),
        ]
    );
}

#[test]
fn refuses_ragged_rows_with_their_line() {
    let outcomes = all("1,2,3\n1,2\n1,2,3,4\n4,5,6\n");
    assert_eq!(outcomes[1], (2, Err("2 fields where the header has 3".into())));
    assert_eq!(outcomes[2], (3, Err("4 fields where the header has 3".into())));
    assert_eq!(outcomes[3], (4, row(["4", "5", "6"])));
}

#[test]
fn a_quote_that_nobody_closed_costs_one_line() {
    let outcomes = all("1,\"2,3\n4,5,6\n7,8,9");
    assert_eq!(outcomes[0], (1, Err("a quoted field without an end".into())));
    assert_eq!(outcomes[1..], [(2, row(["4", "5", "6"])), (3, row(["7", "8", "9"]))]);
    let outcomes = decode(b"1,\"2,3\n4,5,6\n7,8,9\n1,1,1\n", 12, usize::MAX);
    assert_eq!(outcomes[0], (1, Err("longer than `max_line` (12 bytes)".into())));
    assert_eq!(outcomes.len(), 4);
}

#[test]
fn bytes_that_are_not_utf8_refuse_their_row() {
    let outcomes = decode(b"1,\xC3,3\n1,\xA9,3\nx,y,z\n", 1 << 20, usize::MAX);
    assert_eq!(outcomes[0].1, Err("bytes that are not UTF-8".into()));
    assert_eq!(outcomes[1].1, Err("bytes that are not UTF-8".into()));
    assert_eq!(outcomes[2].1, row(["x", "y", "z"]));
}

#[test]
fn a_header_names_the_columns() {
    let mut decoder = CsvRows::new(b';', 1 << 20);
    let (step, names) = decoder.header(b"time; \"room 1\" ;b\r\n1;2;3\n", 0, false);
    assert_eq!(step, Step::Row { next: 19 });
    assert_eq!(names.as_deref(), Some(["time", "\"room 1\"", "b"].map(str::to_owned).as_slice()));
    let mut wanted = Fields::default();
    wanted.slot("b");
    wanted.slot("time");
    decoder.choose(&names.unwrap(), &wanted).unwrap();
    let bytes = b"11;22;33\n1;2;3\n";
    assert_eq!(decoder.decode(bytes, 0, false), Step::Row { next: 9 });
    let row = decoder.row(bytes);
    assert_eq!((row.text(row.cell(0)), row.text(row.cell(1))), (&b"33"[..], &b"11"[..]));
    wanted.slot("c");
    let columns = ["time", "b"].map(str::to_owned);
    let error = decoder.choose(&columns, &wanted).unwrap_err();
    assert_eq!(error.to_string(), "the file has no column `c`; it has `time`, `b`");
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.]{0,12}",
        "[a-zé,\"\n\r]{0,10}".prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
        "[ -~é]{0,6}",
    ]
}

/// What csv-core alone makes of the bytes, row by row.
fn by_csv_core(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let (mut reader, mut rest, mut rows) = (Reader::new(), bytes, Vec::new());
    let (mut output, mut ends) = (vec![0; 1 << 16], vec![0; 1 << 10]);
    loop {
        let (mut written, mut fields) = (0, 0);
        loop {
            let (result, took, gave, ended) =
                reader.read_record(rest, &mut output[written..], &mut ends[fields..]);
            rest = &rest[took..];
            written += gave;
            fields += ended;
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return rows,
                _ => {}
            }
        }
        let mut start = 0;
        let cut = ends[..fields]
            .iter()
            .map(|end| output[std::mem::replace(&mut start, *end)..*end].to_vec());
        rows.push(cut.collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn splits_as_csv_core_does(rows in vec(vec(field(), 3), 0..8), ends in vec(any::<bool>(), 8)) {
        let mut text = String::new();
        for (row, end) in rows.iter().zip(ends) {
            text += &row.join(",");
            text += if end { "\n" } else { "\r\n" };
        }
        // A quote in an unquoted field is allowed, but one that opens a field and is never closed is ours alone.
        let ours: Vec<_> = all(&text).into_iter().filter_map(|(_, outcome)| outcome.ok()).collect();
        let theirs = by_csv_core(text.as_bytes()).into_iter().filter(|row| row.len() == 3);
        let theirs = theirs.map(|row| row.into_iter().map(|field| String::from_utf8(field).unwrap()).collect());
        let theirs: Vec<Vec<String>> = theirs.collect();
        if all(&text).iter().all(|(_, outcome)| !matches!(outcome, Err(why) if why.contains("without an end"))) {
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn any_bytes_in_any_pieces(bytes in vec(prop_oneof![any::<u8>(), prop::sample::select(b",\"\n\r1".to_vec())], 0..80), piece in 1usize..9) {
        prop_assert_eq!(decode(&bytes, 40, piece), decode(&bytes, 40, usize::MAX));
    }
}
