//! What is written is what is read.

use proptest::test_runner::TestCaseError;

use super::*;
use crate::checkpoints::form;

proptest! {
    #[test]
    fn what_was_written_is_read_in_the_numbers_of_another_process(
        (checkpoint, table) in any_checkpoint(7),
        stranger in any_series(),
    ) {
        let file = form::encode(&checkpoint, &table).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let next = Host::for_tests(Path::new("/data"));
        // Another process has met other series first.
        next.series.intern(&stranger).unwrap();
        let read = form::decode(&file, &next).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read, translated(&checkpoint, &table, &next.series));
    }

    #[test]
    fn bytes_that_nobody_wrote_are_damage(bytes in vec(any::<u8>(), 0..200)) {
        let host = Host::for_tests(Path::new("/data"));
        prop_assert!(form::decode(&bytes, &host).is_err());
        let sealed = crate::envelope::seal(&form::KIND, &bytes);
        // It may be one by chance; it must not panic, or take memory that is not there.
        let _ = form::decode(&sealed, &host);
    }
}

/// `format-1.ckpt` was written by the release that made the format. It is read as long as the format is.
#[test]
fn the_golden_file_of_format_1_is_read() {
    let golden = include_bytes!("format-1.ckpt");
    let host = Host::for_tests(Path::new("/data"));
    let read = form::decode(golden, &host).unwrap();
    assert_eq!(read, full(1, &host.series));
}

#[test]
fn format_1_is_written_as_it_was() {
    let host = Host::for_tests(Path::new("/data"));
    let file = form::encode(&full(1, &host.series), &host.series).unwrap();
    let body = |file: &[u8]| crate::envelope::open(&form::KIND, file).unwrap().1.to_vec();
    assert_eq!(body(&file), body(include_bytes!("format-1.ckpt")));
}

#[test]
fn series_over_the_cap_keep_their_state() {
    let table = SeriesTable::default();
    let ids =
        ["a", "b", "c"].map(|id| table.intern(&Series::new(SourceKey::local("t", id))).unwrap());
    let states = vec![("p/one".into(), State { version: 1, series: ids.to_vec(), body: vec![1] })];
    let cuts = vec![PartCut { states, ..PartCut::default() }];
    let file = form::encode(&Checkpoint { cuts, ..Checkpoint::default() }, &table).unwrap();

    let host = Host { series: SeriesTable::new(2), ..Host::for_tests(Path::new("/data")) };
    let read = form::decode(&file, &host).unwrap();
    let found = read.cuts[0].states[0].1.series.iter();
    let found: Vec<String> = found.map(|&id| host.series.get(id).source.id().to_owned()).collect();
    assert_eq!(found, ["a", "b", "c"]);
    assert_eq!(host.series.len(), 0, "they take their slots when they are gone on with");
}

#[test]
fn a_state_follows_a_source_to_its_new_name() {
    let table = SeriesTable::default();
    let named = |name| Series::new(SourceKey::parse(name)).with_unit("W");
    let ids = ["old:1", "old:2", "new:2"].map(|name| table.intern(&named(name)).unwrap());
    let states = vec![("p/one".into(), State { version: 1, series: ids.to_vec(), body: vec![] })];
    let cuts = vec![PartCut { states, ..PartCut::default() }];
    let file = form::encode(&Checkpoint { cuts, ..Checkpoint::default() }, &table).unwrap();

    let aliases = [("old:1", "new:1"), ("old:2", "new:2")];
    let aliases = aliases.map(|(then, now)| (then.to_owned(), now.to_owned())).into();
    let host = Host { aliases, ..Host::for_tests(Path::new("/data")) };
    let read = form::decode(&file, &host).unwrap();
    let found: Vec<String> = read.cuts[0].states[0]
        .1
        .series
        .iter()
        .map(|&id| host.series.get(id).source.name().to_owned())
        .collect();
    assert_eq!(found, ["new:1", "old:2", "new:2"], "two that became one stay apart");
}
