//! Rotation in virtual time.

use std::io::Read;

use super::*;

/// Writes a reading every `step` hours for `hours`, flushing after each.
fn run(bench: &mut Bench, from: i64, to: i64, step: usize) {
    for hour in (from..to).step_by(step) {
        bench.now = START + Duration::from_hours(hour);
        bench.readings(vec![bench.value(hour * 3600, hour as f64)]);
        bench.flush().unwrap();
    }
}

/// A bench whose clock stands in the present, since files carry the machine's time.
fn bench(mut settings: serde_json::Value) -> Bench {
    settings["path"] = "x.csv".into();
    settings["fields"] = serde_json::json!(["value"]);
    Bench::new(settings)
}

#[test]
fn days_end_at_midnight_and_the_oldest_go() {
    let mut bench = bench(serde_json::json!({ "rotate": { "every": "1d", "keep": 2 } }));
    run(&mut bench, 0, 110, 6);
    assert_eq!(bench.files(), ["x-20260104T000000Z.csv", "x-20260105T000000Z.csv", "x.csv"]);
    assert_eq!(bench.text("x-20260104T000000Z.csv"), "value\n48.0\n54.0\n60.0\n66.0\n");
    assert_eq!(bench.text("x.csv"), "value\n96.0\n102.0\n108.0\n");
}

#[test]
fn midnight_is_that_of_the_hosts_zone() {
    let mut bench = bench(serde_json::json!({ "rotate": { "every": "1d" } }));
    let timezone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-5));
    let host = Host { timezone, ..Host::for_tests(bench.folder.path()) };
    bench.host = Arc::new(host);
    run(&mut bench, 0, 12, 1);
    assert_eq!(bench.files(), ["x-20260101T050000Z.csv", "x.csv"]);
    assert_eq!(bench.text("x-20260101T050000Z.csv").lines().count(), 6);
}

#[test]
fn a_file_is_put_aside_when_its_time_is_over_even_without_rows() {
    let mut bench = bench(serde_json::json!({ "rotate": { "every": "1h" } }));
    run(&mut bench, 0, 1, 1);
    bench.now = START + Duration::from_mins(59);
    bench.flush().unwrap();
    assert_eq!(bench.files(), ["x.csv"]);
    bench.now = START + Duration::from_mins(61);
    bench.flush().unwrap();
    assert_eq!(bench.files(), ["x-20260101T010100Z.csv", "x.csv"]);
    bench.now = START + Duration::from_mins(200);
    bench.flush().unwrap();
    assert_eq!(bench.files().len(), 2, "an empty file is not put aside");
}

#[test]
fn size_counts_and_one_second_can_see_several() {
    let mut bench = bench(serde_json::json!({ "rotate": { "size": "20B", "keep": 3 } }));
    for value in 0..11 {
        bench.readings(vec![bench.value(value, value as f64)]);
    }
    bench.close();
    assert_eq!(bench.files(), ["x-20260101T000000Z-2.csv", "x-20260101T000000Z.csv", "x.csv"]);
    assert_eq!(bench.text("x-20260101T000000Z.csv"), "value\n0.0\n1.0\n2.0\n3.0\n");
    assert_eq!(bench.text("x-20260101T000000Z-2.csv"), "value\n4.0\n5.0\n6.0\n7.0\n");
    assert_eq!(bench.text("x.csv"), "value\n8.0\n9.0\n10.0\n");
}

#[test]
fn what_is_put_aside_is_compressed_and_reads_back() {
    for (compress, name) in
        [("gzip", "x-20260101T010000Z.csv.gz"), ("zstd", "x-20260101T010000Z.csv.zst")]
    {
        let mut bench =
            bench(serde_json::json!({ "rotate": { "every": "1h" }, "compress": compress }));
        // One that an earlier run did not come to compress.
        bench.put("x-20251231T000000Z.csv", "value\n-1.0\n");
        run(&mut bench, 0, 2, 1);
        let old = format!("x-20251231T000000Z.csv.{}", name.rsplit('.').next().unwrap());
        assert_eq!(bench.files(), [old.as_str(), name, "x.csv"]);
        let bytes = fs::read(bench.folder.path().join(name)).unwrap();
        let mut text = String::new();
        if compress == "gzip" {
            flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
        } else {
            text = String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap();
        }
        assert_eq!(text, "value\n0.0\n");
    }
}

#[test]
fn files_of_other_names_are_left_alone() {
    let mut bench =
        bench(serde_json::json!({ "rotate": { "every": "1h", "keep": 1 }, "compress": "gzip" }));
    let others =
        ["x-notes.csv", "x-20260101.csv", "y-20260101T000000Z.csv", "x-20260101T000000Z.txt"];
    others.iter().for_each(|name| bench.put(name, "mine"));
    run(&mut bench, 0, 5, 1);
    for name in others {
        assert_eq!(bench.text(name), "mine");
    }
    assert_eq!(bench.files().len(), others.len() + 2);
}

#[test]
fn a_file_of_an_earlier_day_is_put_aside_after_a_restart() {
    let mut bench = bench(serde_json::json!({ "rotate": { "every": "1d" } }));
    bench.put("x.csv", "value\n-1.0\n");
    let written =
        std::time::UNIX_EPOCH + std::time::Duration::from_micros(START.as_micros() as u64);
    let file = fs::File::options().append(true).open(bench.folder.path().join("x.csv")).unwrap();
    file.set_modified(written).unwrap();
    run(&mut bench, 23, 25, 1);
    assert_eq!(bench.files(), ["x-20260102T000000Z.csv", "x.csv"]);
    assert_eq!(bench.text("x-20260102T000000Z.csv"), "value\n-1.0\n23.0\n");
}

#[test]
fn a_file_with_other_columns_is_put_aside() {
    let mut bench = bench(serde_json::json!({}));
    bench.put("x.csv", "time,value\n1,2\n");
    bench.readings(vec![bench.value(0, 1.0)]);
    bench.close();
    assert_eq!(bench.files(), ["x-20260101T000000Z.csv", "x.csv"]);
    assert_eq!(bench.text("x.csv"), "value\n1.0\n");
    assert_eq!(bench.text("x-20260101T000000Z.csv"), "time,value\n1,2\n");
}
