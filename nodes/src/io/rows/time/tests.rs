use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::io::rows::Place;

const TEXT: Cell = Cell::Text(Place { start: 0, end: 0 });

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn read(format: TimeFormat, zone_name: &str, text: &str) -> Result<String, BadTime> {
    let mut reader = TimeReader::new(format, zone(zone_name));
    reader.read(TEXT, text.as_bytes()).map(|time| time.to_string())
}

fn auto(text: &str) -> String {
    read(TimeFormat::Auto, "UTC", text).unwrap_or_else(|bad| bad.to_string())
}

#[test]
fn reads_what_recordings_write() {
    assert_eq!(auto("2013-07-04 00:00:00"), "2013-07-04T00:00:00Z");
    assert_eq!(auto("2013-07-04T01:02:03.5Z"), "2013-07-04T01:02:03.500Z");
    assert_eq!(auto("2013-07-04T01:02:03.1234567+02:00"), "2013-07-03T23:02:03.123456Z");
    assert_eq!(auto("2013-07-04 01:02-0330"), "2013-07-04T04:32:00Z");
    assert_eq!(auto("2013-07-04"), "2013-07-04T00:00:00Z");
    assert_eq!(auto(" 2013-07-04T01:02:03,250 "), "2013-07-04T01:02:03.250Z");
    assert_eq!(auto("2016-12-31T23:59:60Z"), "2016-12-31T23:59:59Z");
    assert_eq!(auto("20130704T010203Z"), "2013-07-04T01:02:03Z");
    assert_eq!(auto("2024-02-29T12:00:00[Europe/Berlin]"), "2024-02-29T12:00:00Z");
    assert_eq!(auto("Thu, 04 Jul 2013 01:02:03 GMT"), "2013-07-04T01:02:03Z");
}

#[test]
fn the_size_of_a_number_tells_its_unit() {
    for text in
        ["1372896000", "1372896000000", "1372896000000000", "1372896000000000000", "1372896000.0"]
    {
        assert_eq!(auto(text), "2013-07-04T00:00:00Z", "{text}");
    }
    let mut reader = TimeReader::new(TimeFormat::Auto, TimeZone::UTC);
    assert_eq!(
        reader.read(Cell::Int(1_372_896_000_123), b"").unwrap().as_micros() % 1_000_000,
        123_000
    );
    assert_eq!(
        reader.read(Cell::Float(1_372_896_000.000_001), b"").unwrap().as_micros() % 1_000_000,
        1
    );
    let mut millis = TimeReader::new(TimeFormat::Epoch(EpochUnit::Milliseconds), TimeZone::UTC);
    assert_eq!(millis.read(Cell::Int(5), b"").unwrap().as_micros(), 5_000);
    assert_eq!(millis.read(TEXT, b"5").unwrap().as_micros(), 5_000);
}

#[test]
fn refuses_what_is_no_time_or_cannot_be_right() {
    for text in [
        "",
        "yesterday",
        "2013-02-29",
        "2013-07-04T24:00:00Z",
        "2013-07-04T00:61:00Z",
        "NaN",
        "2013-7-4",
    ] {
        assert_eq!(auto(text), "not a time", "{text}");
    }
    for text in ["1969-12-31T23:59:59Z", "2200-01-01", "-5", "9223372036854775807"] {
        let bad = auto(text);
        assert!(bad == "a time before 1970 or after 2199" || text.len() > 12, "{text}: {bad}");
    }
    let mut reader = TimeReader::new(TimeFormat::Auto, TimeZone::UTC);
    assert_eq!(reader.read(Cell::Missing, b""), Err(BadTime::Missing));
    assert_eq!(reader.read(Cell::Bool(true), b""), Err(BadTime::Unreadable));
}

#[test]
fn a_time_shown_twice_is_the_first_and_one_skipped_is_moved() {
    let berlin = |text| read(TimeFormat::Auto, "Europe/Berlin", text).unwrap();
    assert_eq!(berlin("2024-07-01 12:00:00"), "2024-07-01T10:00:00Z");
    assert_eq!(berlin("2024-10-27 02:30:00"), "2024-10-27T00:30:00Z");
    assert_eq!(berlin("2024-03-31 02:30:00"), "2024-03-31T01:30:00Z");
}

#[test]
fn a_pattern_may_have_an_offset_a_time_or_a_date_alone() {
    let by = |pattern: &str, text| read(TimeFormat::Pattern(pattern.into()), "Asia/Tokyo", text);
    assert_eq!(by("%d.%m.%Y %H:%M", "04.07.2013 09:00").unwrap(), "2013-07-04T00:00:00Z");
    assert_eq!(by("%d.%m.%Y %H:%M %z", "04.07.2013 09:00 +0000").unwrap(), "2013-07-04T09:00:00Z");
    assert_eq!(by("%d.%m.%Y", "04.07.2013").unwrap(), "2013-07-03T15:00:00Z");
    assert_eq!(by("%d.%m.%Y", "04/07/2013"), Err(BadTime::Unreadable));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The fast way and the remembered hour agree with jiff, in zones with odd offsets and changes of half an hour.
    #[test]
    fn agrees_with_jiff(
        name in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"]),
        start in 0i64..7_000_000_000,
        steps in proptest::collection::vec(-20_000i64..20_000, 1..40),
    ) {
        let mut reader = TimeReader::new(TimeFormat::Auto, zone(name));
        let mut second = start.max(100_000_000);
        for step in steps {
            second = (second + step).max(86_400);
            let civil = TimeZone::UTC.to_datetime(jiff::Timestamp::from_second(second).unwrap());
            let expected = civil.to_zoned(zone(name)).unwrap().timestamp();
            let text = civil.to_string();
            prop_assert_eq!(reader.read(TEXT, text.as_bytes()).unwrap().as_micros(), expected.as_microsecond());
        }
    }

    #[test]
    fn every_day_is_the_day_it_is(days_on in 0i32..80_000) {
        let day = date(1970, 1, 1).checked_add(jiff::Span::new().days(days_on)).unwrap();
        let (month, of_month) = (day.month().unsigned_abs().into(), day.day().unsigned_abs().into());
        prop_assert_eq!(days(day.year().into(), month, of_month), Some(i64::from(days_on)));
    }

    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,30}|[0-9T:. +Z-]{0,30}") {
        let _ = read(TimeFormat::Auto, "Europe/Berlin", &text);
    }
}
