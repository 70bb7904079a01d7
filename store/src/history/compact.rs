//! Which files to merge next: those of an hour, a day, a month or a year that is over, until a file is large enough.

use super::calendar::Period;
use super::files::StoredFile;

/// How long after its end a period is left alone: what comes late should still find it open.
const GRACE_SECONDS: i64 = 600;

/// How many files of a period make a merge worth its writing. An hour is merged only so that a day does not pile up files.
const fn files_least(period: Period) -> usize {
    match period {
        Period::Hour => 8,
        Period::Day | Period::Month | Period::Year => 2,
    }
}

/// The files to merge next, if any: shorter periods first, older ones first. Files of `bytes_enough` and more stay as they are, and
/// nothing is merged beyond `longest`.
pub(crate) fn next_merge<'a>(
    files: impl Iterator<Item = &'a StoredFile> + Clone,
    now_second: i64,
    bytes_enough: u64,
    longest: Period,
) -> Option<Vec<StoredFile>> {
    let periods = Period::ALL.into_iter().filter(|&period| period <= longest);
    for period in periods {
        let mut group = Vec::new();
        let mut group_span = 0..0;
        for file in files.clone().filter(|file| file.len < bytes_enough) {
            let span = period.holding(file.first);
            let over = span.end.saturating_add(GRACE_SECONDS) <= now_second;
            if !over || !span.contains(&file.last) {
                continue;
            }
            if span != group_span || bytes(&group) >= bytes_enough {
                if group.len() >= files_least(period) {
                    return Some(group);
                }
                group.clear();
                group_span = span;
            }
            group.push(file.clone());
        }
        if group.len() >= files_least(period) {
            return Some(group);
        }
    }
    None
}

fn bytes(files: &[StoredFile]) -> u64 {
    files.iter().map(|file| file.len).sum()
}

#[cfg(test)]
mod tests {
    use super::super::calendar::read_second;
    use super::*;

    fn file(first: &str, last: &str, sequence: u64, len: u64) -> StoredFile {
        let second = |text| read_second(text).unwrap();
        StoredFile { first: second(first), last: second(last), sequence, len }
    }

    fn next(files: &[StoredFile], now: &str, longest: Period) -> Option<Vec<u64>> {
        let merge = next_merge(files.iter(), read_second(now).unwrap(), 100, longest)?;
        Some(merge.iter().map(|file| file.sequence).collect())
    }

    #[test]
    fn a_day_is_merged_when_it_is_over_and_then_its_month_and_year() {
        let days = [
            file("20261120T000000Z", "20261120T110000Z", 0, 10),
            file("20261120T120000Z", "20261120T235959Z", 1, 10),
            file("20261121T000000Z", "20261121T110000Z", 2, 10),
        ];
        assert_eq!(next(&days, "20261121T000959Z", Period::Year), None);
        assert_eq!(next(&days, "20261121T001000Z", Period::Year), Some(vec![0, 1]));
        assert_eq!(next(&days[1..], "20261201T001000Z", Period::Year), Some(vec![1, 2]));
        assert_eq!(next(&days[1..], "20261201T001000Z", Period::Day), None);
        let months = [
            file("20260101T000000Z", "20260131T000000Z", 0, 10),
            file("20260201T000000Z", "20260228T000000Z", 1, 10),
        ];
        assert_eq!(next(&months, "20261201T000000Z", Period::Year), None);
        assert_eq!(next(&months, "20270101T001000Z", Period::Year), Some(vec![0, 1]));
        assert_eq!(next(&months, "20270101T001000Z", Period::Month), None);
    }

    #[test]
    fn a_large_file_is_left_alone_and_a_group_ends_when_it_is_large_enough() {
        let files = [
            file("20260101T000000Z", "20260101T010000Z", 0, 100),
            file("20260101T020000Z", "20260101T030000Z", 1, 60),
            file("20260101T040000Z", "20260101T050000Z", 2, 60),
            file("20260101T060000Z", "20260101T070000Z", 3, 60),
        ];
        assert_eq!(next(&files, "20270101T001000Z", Period::Year), Some(vec![1, 2]));
    }

    #[test]
    fn an_hour_is_merged_only_when_it_has_many_files() {
        let files: Vec<_> = (0..8)
            .map(|n| file(&format!("20260101T000{n}00Z"), &format!("20260101T000{n}01Z"), n, 1))
            .collect();
        assert_eq!(next(&files[..7], "20260101T012000Z", Period::Year), None);
        assert_eq!(next(&files, "20260101T012000Z", Period::Year), Some((0..8).collect()));
    }
}
