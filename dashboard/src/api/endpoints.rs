//! The list of all endpoints. Router, guard, OpenAPI document and `docs/api.md` follow it.

use std::sync::Arc;

use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use smollama_engine::control::{
    ApplyReply, ApplyRequest, CheckpointStatus, Health, Letter, LetterPage, LettersDone,
    LevelReply, LevelRequest, LogLine, LogRequest, PlanReply, PlanRequest, Ready, RevisionRow,
    RollbackPlanRequest, RollbackRequest, Selection, Status,
};

use super::look::TapQuery;
use super::{App, change, letters, look, openapi};
use crate::access::{Need, Role};

/// One thing that can be asked.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// As the router writes it: `{id}` is a part, `{*address}` all that is left.
    pub(crate) path: &'static str,
    /// What the caller must be.
    pub(crate) need: Need,
    /// What it is for, in a sentence.
    pub(crate) text: &'static str,
    pub(super) takes: Takes,
    pub(super) gives: Gives,
    pub(super) handler: fn() -> MethodRouter<Arc<App>>,
}

/// The schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request brings.
pub(super) enum Takes {
    Nothing,
    Query(SchemaOf),
    Body(SchemaOf),
}

/// What an answer holds.
pub(super) enum Gives {
    Json(SchemaOf),
    /// One JSON value a line, as they come.
    Lines(SchemaOf),
    Text(&'static str),
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    Schema::default()
}

const READ: Need = Need::Role(Role::Read);
const OPERATE: Need = Need::Role(Role::Operate);

/// All of them.
pub(super) static ENDPOINTS: [Endpoint; 18] = [
    Endpoint {
        method: Method::GET,
        path: "/api/health",
        need: Need::Nothing,
        text: "Whether an engine is there.",
        takes: Takes::Nothing,
        gives: Gives::Json(schema::<Health>),
        handler: || get(look::health),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/ready",
        need: Need::Nothing,
        text: "Whether everything that was applied runs; the status is 503 while it does not.",
        takes: Takes::Nothing,
        gives: Gives::Json(schema::<Ready>),
        handler: || get(look::ready),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/openapi.json",
        need: Need::Nothing,
        text: "This document.",
        takes: Takes::Nothing,
        gives: Gives::Json(anything),
        handler: || get(openapi::openapi),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/status",
        need: Need::Nearby,
        text: "Host, pipelines, nodes, journal, checkpoint, dead letters.",
        takes: Takes::Nothing,
        gives: Gives::Json(schema::<Status>),
        handler: || get(look::status),
    },
    Endpoint {
        method: Method::GET,
        path: "/metrics",
        need: Need::Nearby,
        text: "The same numbers for Prometheus.",
        takes: Takes::Nothing,
        gives: Gives::Text(super::metrics::CONTENT_TYPE),
        handler: || get(look::metrics),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/history",
        need: READ,
        text: "The applied revisions, the newest first.",
        takes: Takes::Nothing,
        gives: Gives::Json(schema::<Vec<RevisionRow>>),
        handler: || get(look::history),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/tap/{*address}",
        need: READ,
        text: "What leaves a port from now on: `pipeline/node`, `pipeline/node.port`, or `pipeline/node>` for what enters a node. \
            A line `{\"missed\":3}` says how many were left out.",
        takes: Takes::Query(inline::<TapQuery>),
        gives: Gives::Lines(anything),
        handler: || get(look::tap),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/logs",
        need: READ,
        text: "Lines of the log.",
        takes: Takes::Query(inline::<LogRequest>),
        gives: Gives::Lines(schema::<LogLine>),
        handler: || get(look::logs),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/dlq",
        need: READ,
        text: "Dead letters, the newest first.",
        takes: Takes::Query(inline::<letters::LetterQuery>),
        gives: Gives::Json(schema::<LetterPage>),
        handler: || get(letters::list),
    },
    Endpoint {
        method: Method::GET,
        path: "/api/dlq/{id}",
        need: READ,
        text: "One dead letter with all that is kept of it.",
        takes: Takes::Nothing,
        gives: Gives::Json(schema::<Letter>),
        handler: || get(letters::show),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/dlq/replay",
        need: OPERATE,
        text: "Gives dead letters to their nodes once more.",
        takes: Takes::Body(schema::<Selection>),
        gives: Gives::Json(schema::<LettersDone>),
        handler: || post(letters::replay),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/dlq/drop",
        need: OPERATE,
        text: "Removes dead letters.",
        takes: Takes::Body(schema::<Selection>),
        gives: Gives::Json(schema::<LettersDone>),
        handler: || post(letters::discard),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/plan",
        need: OPERATE,
        text: "What an apply would change. It changes nothing, but reads files of the host.",
        takes: Takes::Body(schema::<PlanRequest>),
        gives: Gives::Json(schema::<PlanReply>),
        handler: || post(change::plan),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/apply",
        need: OPERATE,
        text: "Applies pipelines. It goes on when the caller hangs up.",
        takes: Takes::Body(schema::<ApplyRequest>),
        gives: Gives::Json(schema::<ApplyReply>),
        handler: || post(change::apply),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/rollback/plan",
        need: OPERATE,
        text: "What going back to an earlier revision would change. It changes nothing.",
        takes: Takes::Body(schema::<RollbackPlanRequest>),
        gives: Gives::Json(schema::<PlanReply>),
        handler: || post(change::plan_rollback),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/rollback",
        need: OPERATE,
        text: "Applies an earlier revision. It goes on when the caller hangs up.",
        takes: Takes::Body(schema::<RollbackRequest>),
        gives: Gives::Json(schema::<ApplyReply>),
        handler: || post(change::rollback),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/log-level",
        need: OPERATE,
        text: "Says more or less in the log, for a while or until a restart.",
        takes: Takes::Body(schema::<LevelRequest>),
        gives: Gives::Json(schema::<LevelReply>),
        handler: || post(change::set_level),
    },
    Endpoint {
        method: Method::POST,
        path: "/api/checkpoint",
        need: OPERATE,
        text: "Takes a checkpoint now.",
        takes: Takes::Nothing,
        gives: Gives::Json(schema::<CheckpointStatus>),
        handler: || post(change::checkpoint),
    },
];
