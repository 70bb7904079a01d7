//! The data set `observations`: one row an observation.

use std::sync::Arc;

use parquet::data_type::ByteArray;
use serde::Serialize;
use serde::de::DeserializeOwned;
use smollama_engine::observation::{Evidence, Observation};
use smollama_engine::time::Timestamp;

use super::columns::Columns;
use super::table::{ColumnForm, Kind, Table};

/// Its columns. Lists are JSON.
pub(crate) static OBSERVATIONS: Table = Table {
    name: "observations",
    columns: &[
        ColumnForm::required("time", Kind::Time),
        ColumnForm::required("id", Kind::Text),
        ColumnForm::required("author", Kind::Text),
        ColumnForm::required("kind", Kind::Text),
        ColumnForm::required("text", Kind::Text),
        ColumnForm::optional("confidence", Kind::Float),
        ColumnForm::optional("sources", Kind::Json),
        ColumnForm::optional("evidence_from", Kind::Time),
        ColumnForm::optional("evidence_to", Kind::Time),
        ColumnForm::optional("evidence_sources", Kind::Json),
        ColumnForm::optional("model", Kind::Text),
        ColumnForm::required("rung", Kind::Text),
    ],
    time: TIME,
    source: None,
};

const TIME: usize = 0;
const ID: usize = 1;
const AUTHOR: usize = 2;
const KIND: usize = 3;
const TEXT: usize = 4;
const CONFIDENCE: usize = 5;
const SOURCES: usize = 6;
const EVIDENCE_FROM: usize = 7;
const EVIDENCE_TO: usize = 8;
const EVIDENCE_SOURCES: usize = 9;
const MODEL: usize = 10;
const RUNG: usize = 11;

fn bytes(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

/// The word that stands for a plain variant in JSON.
fn word<T: Serialize>(variant: &T) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn variant<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

/// Appends one observation.
pub(crate) fn push(rows: &mut Columns, observation: &Observation) {
    rows.begin_row();
    rows.set_int(TIME, observation.time.as_micros());
    rows.set_text(ID, bytes(&observation.id.to_string()));
    rows.set_text(AUTHOR, bytes(&observation.author));
    rows.set_text(KIND, bytes(&observation.kind.to_string()));
    rows.set_text(TEXT, bytes(&observation.text));
    if !observation.confidence.is_nan() {
        rows.set_float(CONFIDENCE, observation.confidence);
    }
    set_list(rows, SOURCES, &observation.sources);
    if observation.evidence != Evidence::default() {
        rows.set_int(EVIDENCE_FROM, observation.evidence.from.as_micros());
        rows.set_int(EVIDENCE_TO, observation.evidence.to.as_micros());
        set_list(rows, EVIDENCE_SOURCES, &observation.evidence.sources);
    }
    if let Some(model) = &observation.model {
        rows.set_text(MODEL, bytes(model));
    }
    rows.set_text(RUNG, bytes(&word(&observation.rung)));
}

fn set_list(rows: &mut Columns, column: usize, list: &[Arc<str>]) {
    // A list of texts always serialises.
    if let Some(json) = (!list.is_empty()).then(|| serde_json::to_vec(list).ok()).flatten() {
        rows.set_text(column, json.into());
    }
}

/// The observations of stored rows; a row that this version cannot understand is left out.
pub(crate) fn observations(rows: &Columns) -> Vec<Observation> {
    (0..rows.rows()).filter_map(|row| observation(rows, row)).collect()
}

fn observation(rows: &Columns, row: usize) -> Option<Observation> {
    let list = |column| {
        let list = rows.str(column, row).and_then(|json| serde_json::from_str(json).ok());
        list.unwrap_or_default()
    };
    let time = |column| Timestamp::from_micros(rows.int(column, row).unwrap_or(0));
    Some(Observation {
        id: rows.str(ID, row)?.parse().ok()?,
        time: time(TIME),
        author: rows.str(AUTHOR, row)?.into(),
        kind: variant(rows.str(KIND, row)?)?,
        text: rows.str(TEXT, row)?.into(),
        confidence: rows.float(CONFIDENCE, row).unwrap_or(f64::NAN),
        sources: list(SOURCES),
        evidence: Evidence {
            from: time(EVIDENCE_FROM),
            to: time(EVIDENCE_TO),
            sources: list(EVIDENCE_SOURCES),
        },
        model: rows.str(MODEL, row).map(Into::into),
        rung: variant(rows.str(RUNG, row)?)?,
    })
}
