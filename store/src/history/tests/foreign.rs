//! Parquet files from elsewhere, as the Arrow writer makes them.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float32Array, Int8Array, ListArray, RecordBatch, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::super::Error;
use super::super::foreign::{Cell, ParquetFile};

fn file(columns: Vec<(&str, ArrayRef)>, group_rows: usize) -> ParquetFile {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    ParquetFile::from_bytes(writer.into_inner().unwrap(), Path::new("some.parquet")).unwrap()
}

#[test]
fn cells_of_every_plain_type() {
    let decimal = |precision, scale, values: [i128; 2]| -> ArrayRef {
        let decimals = Decimal128Array::from_iter_values(values);
        Arc::new(decimals.with_precision_and_scale(precision, scale).unwrap())
    };
    let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
    let columns: Vec<(&str, ArrayRef, [Cell; 2])> = vec![
        ("small", Arc::new(Int8Array::from(vec![Some(-3), None])), [Cell::Int(-3), Cell::Absent]),
        (
            "huge",
            Arc::new(UInt64Array::from(vec![u64::MAX, 7])),
            [Cell::Float(18_446_744_073_709_551_615.0), Cell::Int(7)],
        ),
        (
            "single",
            Arc::new(Float32Array::from(vec![0.5, -1.0])),
            [Cell::Float(0.5), Cell::Float(-1.0)],
        ),
        (
            "switch",
            Arc::new(BooleanArray::from(vec![true, false])),
            [Cell::Bool(true), Cell::Bool(false)],
        ),
        (
            "text",
            Arc::new(StringArray::from(vec![Some("ü"), None])),
            [Cell::Text("ü".into()), Cell::Absent],
        ),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![&b"a\xff"[..], b"b"])),
            [Cell::Text("a\u{fffd}".into()), Cell::Text("b".into())],
        ),
        ("dictionary", Arc::new(dictionary), [Cell::Text("x".into()), Cell::Absent]),
        (
            "seconds",
            Arc::new(TimestampSecondArray::from(vec![1, -1])),
            [Cell::Time(1_000_000), Cell::Time(-1_000_000)],
        ),
        (
            "millis",
            Arc::new(TimestampMillisecondArray::from(vec![1, 2]).with_timezone("+02:00")),
            [Cell::Time(1_000), Cell::Time(2_000)],
        ),
        (
            "nanos",
            Arc::new(TimestampNanosecondArray::from(vec![1_999, -1])),
            [Cell::Time(1), Cell::Time(-1)],
        ),
        (
            "date",
            Arc::new(Date32Array::from(vec![1, -1])),
            [Cell::Time(86_400_000_000), Cell::Time(-86_400_000_000)],
        ),
        ("price", decimal(20, 2, [1_999, -5]), [Cell::Float(19.99), Cell::Float(-0.05)]),
        ("whole", decimal(20, 0, [42, -1]), [Cell::Int(42), Cell::Int(-1)]),
    ];
    let names: Vec<&str> = columns.iter().map(|(name, _, _)| *name).collect();
    let file = file(columns.iter().map(|(name, array, _)| (*name, array.clone())).collect(), 10);
    assert_eq!(file.columns(), names);
    let batches: Vec<_> = file.read(&names, 0).unwrap().map(|batch| batch.unwrap()).collect();
    assert_eq!(batches.len(), 1);
    for ((name, _, expected), cells) in columns.iter().zip(&batches[0]) {
        assert_eq!(cells, expected, "{name}");
    }
}

#[test]
fn columns_come_in_the_order_asked_for_and_rows_from_where_asked() {
    let numbers =
        |from: u64| -> ArrayRef { Arc::new(UInt64Array::from_iter_values(from..from + 10_000)) };
    for first in [0, 1, 2_500, 2_501, 9_999, 10_000, 20_000] {
        let file = file(vec![("a", numbers(0)), ("b", numbers(50_000))], 2_500);
        assert_eq!(file.rows_total(), 10_000);
        let rows = file.read(&["b", "a", "b"], first).unwrap().map(|batch| batch.unwrap());
        let rows: Vec<_> = rows
            .flat_map(|batch| {
                let [b, a, again] = <[_; 3]>::try_from(batch).unwrap();
                assert_eq!(b, again);
                b.into_iter().zip(a).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(rows.len() as u64, 10_000 - first.min(10_000), "{first}");
        if let Some((b, a)) = rows.first() {
            let first = i64::try_from(first).unwrap();
            assert_eq!((b, a), (&Cell::Int(50_000 + first), &Cell::Int(first)));
        }
    }
}

#[test]
fn a_missing_and_a_nested_column_are_named() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]);
    let make = || {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        file(vec![("time", text), ("many", Arc::new(list.clone()))], 10)
    };
    let message = |column: &str| match make().read(&[column], 0) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was read"),
    };
    assert_eq!(message("tme"), "`some.parquet` has no column `tme`; it has `time`, `many`");
    let nested = message("many");
    assert!(
        nested.starts_with("column `many` of `some.parquet` holds List(")
            && nested.ends_with(", which is not a plain value"),
        "{nested}"
    );
}

#[test]
fn what_is_no_parquet_is_said_to_be_none() {
    for bytes in [&b""[..], b"PAR1", b"time,value\n1,2\n", &[0; 100]] {
        let error = ParquetFile::from_bytes(bytes.to_vec(), Path::new("x.parquet")).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(
            error.to_string().starts_with("`x.parquet` cannot be read as Parquet: "),
            "{error}"
        );
    }
}
