//! Readings out of JSON: named fields, all fields, a value, or the one JSON form.

use std::collections::HashMap;
use std::ops::ControlFlow;

use jiff::tz::TimeZone;
use smollama_engine::context::Context;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::time::Timestamp;

use super::fields::{Field, Fields as FieldSettings};
use super::found::Found;
use super::line::write_line;
use super::series::{Message, SeriesBook};
use super::settings::Settings;
use super::template::Template;
use super::times::Times;
use super::value;
use crate::io::rows::form::{FormReader, Origin, Refused, check_name};
use crate::io::rows::json::{JsonLines, Leaves, entries};
use crate::io::rows::path::{Fields, leads_into_array, plain};
use crate::io::rows::series::field_text;
use crate::io::rows::{Cell, Row, RowDecoder, Step};

/// Reads JSON payloads.
pub(super) struct Objects {
    decoder: JsonLines,
    wanted: Vec<Wanted>,
    every: Option<Every>,
    form: Option<FormReader>,
    each: Option<(usize, String)>,
    times: Times,
    book: SeriesBook,
    /// What plain values are.
    plain: Field,
    /// Not in use at the moment.
    buffers: Vec<Vec<u8>>,
}

/// A field that becomes a reading.
struct Wanted {
    slot: usize,
    /// As the user wrote it.
    path: String,
    /// What is put behind the id; empty for the only value.
    name: String,
    field: Field,
    /// A message without it is refused.
    is_needed: bool,
}

/// Fields that are found by going through all of them.
struct Every {
    leaves: Leaves,
    /// What is known of fields, by path; none for those that say something else than a value.
    known: HashMap<Vec<u8>, Option<usize>, foldhash::fast::RandomState>,
    /// What begins like this is left out.
    skipped: Vec<Vec<u8>>,
    /// Whether fields that are not known are taken.
    takes_others: bool,
}

/// What a message says for the entries of its array.
#[derive(Default)]
struct Around {
    time: Option<Timestamp>,
    /// What the fields of the name say.
    fields: Vec<Option<String>>,
}

impl Objects {
    pub(super) fn new(
        config: &Settings,
        template: Template,
        zone: &TimeZone,
        context: &Context,
    ) -> Objects {
        let mut fields = Fields::default();
        let times = Times::new(config, &mut fields, zone.clone());
        let book = SeriesBook::new(config, template.clone(), &mut fields, context);
        let each = config.each.as_ref().map(|path| (fields.slot(path), path.clone()));
        let plain_field = Field { kind: config.kind, ..Field::default() };
        let wanted = wanted(config, &plain_field, &mut fields);
        let form = config
            .is_automatic()
            .then(|| FormReader::new(&mut fields, zone.clone(), config.whole_sources, context));
        let takes_others = config.others
            || config.value.is_none() && !matches!(config.fields, Some(FieldSettings::Named(_)));
        let walks = takes_others || wanted.iter().any(|one| leads_into_array(&one.path));
        let skips = |at: usize| wanted.get(at).is_some_and(|one| one.field.skip);
        let every = walks.then(|| {
            let names = times.names().iter().map(String::as_str).chain(template.fields());
            let other = names.chain(config.each.as_deref()).map(|path| (plain(path), None));
            let wanted = wanted.iter().enumerate().map(|(at, one)| (plain(&one.path), Some(at)));
            let skipped = wanted.clone().filter(|(_, at)| at.is_some_and(&skips));
            let skipped = skipped.map(|(path, _)| (path + ".").into_bytes()).collect();
            let known = other.chain(wanted).map(|(path, at)| (path.into_bytes(), at)).collect();
            Every { leaves: Leaves::default(), known, skipped, takes_others }
        });
        Objects {
            decoder: JsonLines::new(&fields, usize::MAX),
            wanted,
            every,
            form,
            each,
            times,
            book,
            plain: plain_field,
            buffers: Vec::new(),
        }
    }

    /// Forgets the series that gave their slots back.
    #[inline]
    pub(super) fn refresh(&mut self) {
        self.book.refresh();
        if let Some(form) = &mut self.form {
            form.refresh();
        }
    }

    /// Takes a payload that should be JSON.
    ///
    /// # Errors
    /// Why it gives nothing at all.
    pub(super) fn take(
        &mut self,
        topic: &str,
        json: &[u8],
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        let around = Around::default();
        match json.trim_ascii_start().first() {
            Some(b'{') => self.object(topic, json, (&around, None), found),
            Some(b'[') => self.array(topic, json, &around, found),
            _ => self.scalars(Message::plain(topic), json, found),
        }
    }

    /// A reading of a payload that is one value.
    pub(super) fn push_plain(
        &mut self,
        topic: &str,
        value: Value,
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        let message = Message::plain(topic);
        self.book.turn_to(message);
        check_name(self.book.key().len())?;
        let series = self.book.id(message, b"", None)?;
        found.push(Reading::new(Timestamp::ON_RECEIPT, series, value));
        Ok(())
    }

    fn array(
        &mut self,
        topic: &str,
        json: &[u8],
        around: &Around,
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        let mut place = 0;
        entries(json, |entry| {
            let taken = if entry.first() == Some(&b'{') {
                self.object(topic, entry, (around, Some(place)), found)
            } else {
                let fields = &around.fields;
                let message =
                    Message { around: fields, place: Some(place), ..Message::plain(topic) };
                self.scalars(message, entry, found)
            };
            match taken {
                Ok(()) => {}
                Err(Refused::Row(reason)) => {
                    found.refuse(format!("entry {place}: {reason}").into())
                }
                Err(full) => found.refuse(full),
            }
            place += 1;
            found.go_on()
        })
        .map_err(|reason| reason.to_string().into())
    }

    /// A value that is no object: a scalar, or the entries of an array in an array.
    fn scalars(
        &mut self,
        message: Message<'_>,
        json: &[u8],
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        self.book.turn_to(message);
        let Objects { book, plain, .. } = self;
        Leaves::default()
            .walk(json, |path: &[u8], cell: Cell, row: Row<'_>| {
                take_cell(
                    book,
                    message,
                    (path, Some(plain)),
                    (cell, row),
                    Timestamp::ON_RECEIPT,
                    found,
                );
                found.go_on()
            })
            .map_err(|reason| reason.to_string().into())
    }

    fn object(
        &mut self,
        topic: &str,
        json: &[u8],
        entry: (&Around, Option<usize>),
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        let mut line = self.buffers.pop().unwrap_or_default();
        write_line(json, &mut line);
        let taken = match self.decoder.decode(&line, 0, true) {
            Step::Row { .. } => self.row(topic, json, &line, entry, found),
            Step::Rejected { reason, .. } => Err(reason.to_string().into()),
            Step::Blank { .. } | Step::Incomplete => Err("not a JSON object".into()),
        };
        self.buffers.push(line);
        taken
    }

    #[inline]
    fn row(
        &mut self,
        topic: &str,
        json: &[u8],
        line: &[u8],
        (around, place): (&Around, Option<usize>),
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        if let (Some((slot, path)), None) = (&self.each, place) {
            let row = self.decoder.row(line);
            let array = row.text(row.cell(*slot));
            if !array.starts_with(b"[") {
                return Err(format!("no array `{path}`").into());
            }
            let fields: Vec<Option<String>> =
                self.book.slots().iter().map(|slot| field_text(row, *slot)).collect();
            check_name(fields.iter().flatten().map(String::len).sum())?;
            let around = Around { time: self.times.read(row)?, fields };
            let mut entries = self.buffers.pop().unwrap_or_default();
            entries.clear();
            entries.extend_from_slice(array);
            let taken = self.array(topic, &entries, &around, found);
            self.buffers.push(entries);
            return taken;
        }
        let Objects { decoder, wanted, every, form, times, book, .. } = self;
        let row = decoder.row(line);
        let form = form.as_mut().filter(|form| form.fits(row));
        let own_time = if form.is_some() { None } else { times.read(row)? };
        // What says when or what it is needs no place to be told apart.
        let is_told = book.has_fields()
            || own_time.is_some()
            || form.as_ref().is_some_and(|form| {
                form.is_named(row) || times.read(row).is_ok_and(|time| time.is_some())
            });
        let place = place.filter(|_| !is_told);
        let message = Message { topic, row, around: &around.fields, place };
        book.turn_to(message);
        if let Some(form) = form {
            let origin = Origin {
                key: book.key(),
                id: &|| book.own_name(message),
                describe: &|series| book.describe(topic, series),
            };
            if form.is_null(row) || !found.has_room() {
                return Ok(());
            }
            return form.take(row, origin, found.readings);
        }
        let time = own_time.or(around.time).unwrap_or(Timestamp::ON_RECEIPT);
        match every {
            Some(every) => every.take(json, message, (book, wanted), time, found),
            None => {
                for one in &*wanted {
                    let cell = row.cell(one.slot);
                    if cell == Cell::Missing && one.is_needed {
                        return Err(format!("no `{}`", one.path).into());
                    }
                    let named = (one.name.as_bytes(), Some(&one.field));
                    take_cell(book, message, named, (cell, row), time, found);
                }
                Ok(())
            }
        }
    }
}

impl Every {
    fn take(
        &mut self,
        json: &[u8],
        message: Message<'_>,
        (book, wanted): (&mut SeriesBook, &[Wanted]),
        time: Timestamp,
        found: &mut Found<'_>,
    ) -> Result<(), Refused> {
        let Every { leaves, known, skipped, takes_others } = self;
        let mut missing = wanted.iter().find(|one| one.is_needed);
        let walked = leaves.walk(json, |path: &[u8], cell: Cell, row: Row<'_>| {
            let named = match known.get(path) {
                Some(place) => match place.and_then(|place| wanted.get(place)) {
                    Some(one) => (one.name.as_bytes(), Some(&one.field)),
                    None => return ControlFlow::Continue(()),
                },
                None if *takes_others && !skipped.iter().any(|skip| path.starts_with(skip)) => {
                    (path, None)
                }
                None => return ControlFlow::Continue(()),
            };
            // There is at most one field that is needed.
            missing = missing.filter(|one| one.name.as_bytes() != named.0);
            take_cell(book, message, named, (cell, row), time, found);
            found.go_on()
        });
        walked.map_err(|reason| Refused::from(reason.to_string()))?;
        missing.map_or(Ok(()), |one| Err(format!("no `{}`", one.path).into()))
    }
}

/// The reading of a cell, if it holds a value, under the name of its field.
#[inline]
fn take_cell(
    book: &mut SeriesBook,
    message: Message<'_>,
    (name, field): (&[u8], Option<&Field>),
    (cell, row): (Cell, Row<'_>),
    time: Timestamp,
    found: &mut Found<'_>,
) {
    if field.is_some_and(|field| field.skip) {
        return;
    }
    if let Err(refused) = check_name(book.key().len() + name.len()) {
        found.refuse(refused);
        return;
    }
    match value::of_cell(cell, row, field.and_then(|field| field.kind)) {
        Ok(Some(value)) => match book.id(message, name, field) {
            Ok(series) => found.push(Reading::new(time, series, value)),
            Err(refused) => found.refuse(refused),
        },
        Ok(None) => {}
        Err(bad) if name.is_empty() => found.refuse(format!("the value {bad}").into()),
        Err(bad) => found.refuse(format!("`{}` {bad}", String::from_utf8_lossy(name)).into()),
    }
}

/// The fields that the settings name.
fn wanted(config: &Settings, plain_field: &Field, fields: &mut Fields) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    if let Some(path) = &config.value {
        let (slot, field) = (fields.slot(path), plain_field.clone());
        wanted.push(Wanted {
            slot,
            path: path.clone(),
            name: String::new(),
            field,
            is_needed: true,
        });
    }
    let Some(FieldSettings::Named(named)) = &config.fields else { return wanted };
    for (path, field) in named {
        wanted.push(Wanted {
            slot: fields.slot(path),
            path: path.clone(),
            name: field.id.clone().unwrap_or_else(|| plain(path)),
            field: field.clone(),
            is_needed: false,
        });
    }
    wanted
}
