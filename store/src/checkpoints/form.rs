//! A checkpoint as bytes. Series are written out once, and are numbers from there on: a number of this process means nothing in the next.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smollama_engine::context::Host;
use smollama_engine::node::{Position, State};
use smollama_engine::run::{Checkpoint, PartCut, SinkCut, SourceCut};
use smollama_engine::series::{Series, SeriesId, SeriesMap, SeriesTable, SourceKey};
use smollama_engine::time::Timestamp;
use uuid::Uuid;

use crate::envelope::{Kind, Unreadable, open, seal};

pub(crate) const KIND: Kind = Kind { name: "checkpoint", magic: *b"smolckpt", format: 1 };

/// The body of format 1, as postcard writes it. The structs are apart from the engine's: those may change, these may not.
#[derive(Serialize, Deserialize)]
struct BodyForm<'a> {
    number: u64,
    revision: u64,
    seq: u64,
    #[serde(borrow)]
    series: Vec<SeriesForm<'a>>,
    cuts: Vec<CutForm<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SeriesForm<'a> {
    type_part: &'a str,
    id: &'a str,
    unit: Option<&'a str>,
    labels: Vec<(&'a str, &'a str)>,
    monotonic: bool,
}

#[derive(Serialize, Deserialize)]
struct CutForm<'a> {
    seq: u64,
    now_us: i64,
    #[serde(borrow)]
    sources: Vec<SourceForm<'a>>,
    states: Vec<StateForm<'a>>,
    sinks: Vec<SinkForm<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SourceForm<'a> {
    address: &'a str,
    key: &'a str,
    position: Option<PositionForm<'a>>,
    taken: u64,
    done: u64,
    ended: bool,
}

#[derive(Serialize, Deserialize)]
struct PositionForm<'a> {
    part: &'a str,
    offset: u64,
    line: u64,
}

#[derive(Serialize, Deserialize)]
struct StateForm<'a> {
    address: &'a str,
    version: u32,
    /// Places in the dictionary.
    series: Vec<u32>,
    #[serde(borrow)]
    body: Bytes<'a>,
}

#[derive(Serialize, Deserialize)]
struct SinkForm<'a> {
    address: &'a str,
    stream: [u8; 16],
    sent: u64,
    spool: Option<&'a str>,
}

/// Bytes in one piece; serde would take them one by one.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Bytes)
    }
}

/// The dictionary while a checkpoint is written.
struct Dictionary<'t> {
    table: &'t SeriesTable,
    places: SeriesMap<u32>,
    series: Vec<Arc<Series>>,
}

impl Dictionary<'_> {
    fn place(&mut self, id: SeriesId) -> u32 {
        let Dictionary { table, places, series } = self;
        *places.get_or_insert_with(id, || {
            series.push(table.get(id));
            series.len() as u32 - 1
        })
    }
}

/// The whole file of a checkpoint.
pub(super) fn encode(checkpoint: &Checkpoint, table: &SeriesTable) -> postcard::Result<Vec<u8>> {
    let Checkpoint { number, revision, seq, cuts } = checkpoint;
    let mut dictionary = Dictionary { table, places: SeriesMap::new(), series: Vec::new() };
    let cuts = cuts.iter().map(|cut| cut_form(cut, &mut dictionary)).collect();
    let series = dictionary.series.iter().map(|series| series_form(series)).collect();
    let body = BodyForm { number: *number, revision: *revision, seq: *seq, series, cuts };
    Ok(seal(&KIND, &postcard::to_stdvec(&body)?))
}

fn series_form(series: &Series) -> SeriesForm<'_> {
    let Series { source, unit, labels, monotonic } = series;
    SeriesForm {
        type_part: source.type_part(),
        id: source.id(),
        unit: unit.as_deref(),
        labels: labels.iter().map(|(name, value)| (&**name, &**value)).collect(),
        monotonic: *monotonic,
    }
}

fn cut_form<'a>(cut: &'a PartCut, dictionary: &mut Dictionary<'_>) -> CutForm<'a> {
    let PartCut { seq, now, sources, states, sinks } = cut;
    let mut state = |(address, state): &'a (Arc<str>, State)| StateForm {
        address,
        version: state.version,
        series: state.series.iter().map(|&id| dictionary.place(id)).collect(),
        body: Bytes(&state.body),
    };
    CutForm {
        seq: *seq,
        now_us: now.as_micros(),
        sources: sources.iter().map(source_form).collect(),
        states: states.iter().map(&mut state).collect(),
        sinks: sinks.iter().map(sink_form).collect(),
    }
}

fn source_form(source: &SourceCut) -> SourceForm<'_> {
    let SourceCut { address, key, position, taken, done, ended } = source;
    let position = position.as_ref().map(|Position { part, offset, line }| PositionForm {
        part,
        offset: *offset,
        line: *line,
    });
    SourceForm { address, key, position, taken: *taken, done: *done, ended: *ended }
}

fn sink_form(sink: &SinkCut) -> SinkForm<'_> {
    let SinkCut { address, stream, sent, spool } = sink;
    SinkForm { address, stream: stream.into_bytes(), sent: *sent, spool: spool.as_deref() }
}

/// A checkpoint out of its whole file. Its series have numbers, and no slots yet.
pub(super) fn decode(file: &[u8], host: &Host) -> Result<Checkpoint, Unreadable> {
    let (_format, body) = open(&KIND, file)?;
    let (body, rest): (BodyForm<'_>, &[u8]) =
        postcard::take_from_bytes(body).map_err(Unreadable::damaged)?;
    if !rest.is_empty() {
        return Err(Unreadable::damaged("something follows it"));
    }
    let BodyForm { number, revision, seq, series, cuts } = body;
    let names = Names { series: series.iter().map(|form| named(form, host)).collect(), host };
    let cuts = cuts.into_iter().map(|cut| names.cut(cut)).collect::<Result<_, _>>()?;
    Ok(Checkpoint { number, revision, seq, cuts })
}

/// A series of the dictionary: as it was called then, and as it is called now.
struct Named {
    then: Series,
    now: Option<SourceKey>,
}

fn named(form: &SeriesForm<'_>, host: &Host) -> Named {
    let mut then = Series::new(SourceKey::local(form.type_part, form.id));
    then.unit = form.unit.map(Arc::from);
    then.labels = form.labels.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    then.monotonic = form.monotonic;
    let now = host.aliases.get(then.source.name()).map(|now| SourceKey::parse(now));
    Named { then, now }
}

/// The dictionary while a checkpoint is read.
struct Names<'h> {
    series: Vec<Named>,
    host: &'h Host,
}

impl Names<'_> {
    fn cut(&self, form: CutForm<'_>) -> Result<PartCut, Unreadable> {
        let mut states = Vec::with_capacity(form.states.len());
        for state in form.states {
            let address: Arc<str> = state.address.into();
            if let Some(series) = self.state_series(&address, &state.series)? {
                let body = state.body.0.to_vec();
                states.push((address, State { version: state.version, series, body }));
            }
        }
        Ok(PartCut {
            seq: form.seq,
            now: Timestamp::from_micros(form.now_us),
            sources: form.sources.into_iter().map(source).collect(),
            states,
            sinks: form.sinks.into_iter().map(sink).collect(),
        })
    }

    /// The numbers that the series of a node's state have in this process; `None` where one of them gets none.
    fn state_series(
        &self,
        address: &str,
        places: &[u32],
    ) -> Result<Option<Vec<SeriesId>>, Unreadable> {
        let named = |&place: &u32| self.series.get(place as usize);
        let all: Option<Vec<&Named>> = places.iter().map(named).collect();
        let all = all.ok_or_else(|| Unreadable::damaged("a series is missing"))?;
        let mut taken: HashSet<Series> = HashSet::new();
        if all.iter().any(|one| one.now.is_some()) {
            taken.extend(all.iter().map(|one| one.then.clone()));
        }
        let mut ids = Vec::with_capacity(all.len());
        for Named { then, now } in all {
            let mut series = then.clone();
            if let Some(now) = now {
                series.source = now.clone();
                // The node knows both: what it knows of the one must not replace what it knows of the other.
                if !taken.insert(series.clone()) {
                    series.source = then.source.clone();
                }
            }
            // It takes a slot when the graph begins with it: what was let in once is not refused now.
            let Some(id) = self.host.series.name(&series) else {
                tracing::error!(
                    node = address,
                    "it begins without the state it had: there are no numbers left for its series"
                );
                return Ok(None);
            };
            ids.push(id);
        }
        Ok(Some(ids))
    }
}

fn source(form: SourceForm<'_>) -> SourceCut {
    let position = form.position.map(|PositionForm { part, offset, line }| Position {
        part: part.into(),
        offset,
        line,
    });
    let SourceForm { address, key, taken, done, ended, .. } = form;
    SourceCut { address: address.into(), key: key.into(), position, taken, done, ended }
}

fn sink(form: SinkForm<'_>) -> SinkCut {
    let SinkForm { address, stream, sent, spool } = form;
    let stream = Uuid::from_bytes(stream);
    SinkCut { address: address.into(), stream, sent, spool: spool.map(str::to_owned) }
}
