//! Which files to merge next: those of an hour, a day, a month or a year that is over, until a file is large enough; and of an hour
//! that is not, where checkpoints make many.

use std::collections::BTreeMap;

use super::calendar::Period;
use super::encode::Effort;
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

/// How many files of about one size make a merge while their hour is not over. What comes of it is no longer of their size, so a
/// row is written once more for each time its hour has sixteen times as many files.
const FILES_OF_A_SIZE: usize = 16;

/// How many times as large as the smallest a file of about its size may be.
const SIZES: u64 = 4;

/// The most files of a merge: it has them all open, with some rows of each.
const FILES_MOST: usize = 64;

/// Files to be merged.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) inputs: Vec<StoredFile>,
    /// How hard to try: what will be merged again soon need not be small.
    pub(crate) effort: Effort,
}

/// The files to merge next, if any: shorter periods first, older ones first. Files of `bytes_enough` and more stay as they are, and
/// nothing is merged beyond `longest`.
pub(crate) fn next_merge<'a>(
    files: impl Iterator<Item = &'a StoredFile> + Clone,
    now_second: i64,
    bytes_enough: u64,
    longest: Period,
) -> Option<Merge> {
    if let Some(group) = many_of_a_size(files.clone().filter(|file| file.len < bytes_enough)) {
        let stays = bytes(&group) >= bytes_enough / 2;
        let effort = if stays { Effort::Best } else { Effort::Quick };
        return Some(Merge { inputs: group, effort });
    }
    let best = |inputs| Some(Merge { inputs, effort: Effort::Best });
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
            let full = bytes(&group) >= bytes_enough || group.len() >= FILES_MOST;
            if span != group_span || full {
                if group.len() >= files_least(period) {
                    return best(group);
                }
                group.clear();
                group_span = span;
            }
            group.push(file.clone());
        }
        if group.len() >= files_least(period) {
            return best(group);
        }
    }
    None
}

/// Files of one hour, over or not, of about the size of its smallest, if they are many.
fn many_of_a_size<'a>(files: impl Iterator<Item = &'a StoredFile>) -> Option<Vec<StoredFile>> {
    let mut hours: BTreeMap<i64, Vec<&StoredFile>> = BTreeMap::new();
    for file in files {
        let hour = Period::Hour.holding(file.first);
        if hour.contains(&file.last) {
            hours.entry(hour.start).or_default().push(file);
        }
    }
    hours.into_values().find_map(|mut files| {
        let smallest = files.iter().map(|file| file.len).min()?;
        files.retain(|file| file.len <= smallest.saturating_mul(SIZES));
        files.truncate(FILES_MOST);
        (files.len() >= FILES_OF_A_SIZE).then(|| files.into_iter().cloned().collect())
    })
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
        Some(merge.inputs.iter().map(|file| file.sequence).collect())
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

    #[test]
    fn an_hour_that_goes_on_is_merged_when_many_files_are_of_a_size() {
        let at = |minute: u64| format!("20260101T00{minute:02}00Z");
        let mut files: Vec<_> = (0..16).map(|n| file(&at(n), &at(n), n, 1 + n % 4)).collect();
        let now = "20260101T003000Z";
        assert_eq!(next(&files[..15], now, Period::Year), None);
        assert_eq!(next(&files, now, Period::Year), Some((0..16).collect()));
        let merge = next_merge(files.iter(), read_second(now).unwrap(), 100, Period::Year);
        assert_eq!(merge.unwrap().effort, Effort::Quick, "it will be merged again");
        files[3].len = 5;
        assert_eq!(next(&files, now, Period::Year), None, "one is of another size");
        files.iter_mut().for_each(|file| file.len = 9);
        let merge = next_merge(files.iter(), read_second(now).unwrap(), 100, Period::Year);
        assert_eq!(merge.unwrap().effort, Effort::Best, "it will stay");
    }

    #[test]
    fn a_merge_has_so_many_files_and_no_more() {
        let at = |n: u64| format!("2026010{}T{:02}{:02}00Z", 1 + n / 1440, n / 60 % 24, n % 60);
        let files: Vec<_> =
            (0..100).map(|n| file(&at(n * 13), &at(n * 13 + 7), n, 1 + n % 2 * 50)).collect();
        let merge =
            next_merge(files.iter(), read_second("20270601T000000Z").unwrap(), 9999, Period::Year);
        assert_eq!(merge.unwrap().inputs.len(), FILES_MOST);
    }
}
