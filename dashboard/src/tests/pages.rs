//! What is generated: metrics and the OpenAPI document, and the page of the docs that is held to the list of endpoints.

use serde_json::Value;
use smollama_engine::control::NodeState;

use super::{Served, stand_in};
use crate::access::{Need, Role};
use crate::api::endpoints;

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let served = Served::new().await;
    let answer = served.ask("GET /metrics", &[], "").await;
    assert_eq!(
        answer.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for line in [
        "# TYPE smollama_node_received_items counter",
        r#"smollama_node_received_items_total{pipeline="garden",node="history"} 12"#,
        r#"smollama_node_emitted_items_total{pipeline="garden",node="alerts",port="late"} 1"#,
        r#"smollama_node_errors_total{pipeline="garden",node="alerts"} 3"#,
        r#"smollama_node_state{pipeline="garden",node="alerts",state="retrying"} 1"#,
        r#"smollama_node_state{pipeline="garden",node="alerts",state="running"} 0"#,
        r#"smollama_node_warnings{pipeline="garden",node="alerts"} 1.0"#,
        r#"smollama_node_warnings{pipeline="garden",node="history"} 0.0"#,
        r#"smollama_node_spool_bytes{pipeline="garden",node="history"} 200.0"#,
        r#"smollama_build_info{version="0.1.0",host="pi"} 1"#,
        "smollama_journal_written_bytes_total 8192",
        "smollama_journal_failing 1.0",
        "smollama_checkpoint_age_seconds 2.0",
        "smollama_dead_letters 2.0",
        "smollama_http_requests_total 1",
        "# EOF",
    ] {
        assert!(answer.body.lines().any(|one| one == line), "no `{line}` in\n{}", answer.body);
    }
}

/// The number of metrics is that of nodes and ports, whatever is measured.
#[test]
fn a_node_has_a_fixed_number_of_metrics() {
    let lines = |count: usize| {
        let mut status = stand_in::status();
        status.nodes =
            (0..count).map(|n| stand_in::node(&format!("p/n{n}"), NodeState::Running)).collect();
        status.readings.sources = (0..count * 10).map(|n| format!("air:{n}")).collect();
        crate::api::metrics_of(status).lines().count()
    };
    let (one, two, ten) = (lines(1), lines(2), lines(10));
    assert_eq!(ten - one, 9 * (two - one));
    assert!(two - one < 30, "{}", two - one);
}

#[tokio::test]
async fn the_openapi_document_names_every_endpoint_and_every_type_it_speaks_of() {
    let served = Served::new().await;
    let document = served.ask("GET /api/openapi.json", &[], "").await.json();
    for endpoint in endpoints() {
        let path = endpoint.path.replace("{*", "{");
        let operation = &document["paths"][&path][endpoint.method.as_str().to_lowercase()];
        assert_eq!(operation["summary"], endpoint.text, "{path}");
        assert_eq!(
            operation["security"].is_array(),
            matches!(endpoint.need, Need::Role(_)),
            "{path}"
        );
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 30, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let limit = &document["paths"]["/api/tap/{address}"]["get"]["parameters"];
    let names: Vec<_> =
        limit.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["address", "limit", "per_second"]);
    assert!(document["components"]["schemas"]["NodeStatus"]["properties"]["type"].is_object());
}

fn collect_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                match value {
                    Value::String(text) if key == "$ref" => into.push(text.clone()),
                    _ => collect_references(value, into),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, into)),
        _ => {}
    }
}

#[test]
fn the_docs_name_every_endpoint_and_who_may_use_it() {
    let page = include_str!("../../../docs/api.md");
    for endpoint in endpoints() {
        let path = endpoint.path.replace("{*", "{");
        let who = match endpoint.need {
            Need::Nothing => "anyone",
            Need::Nearby => "this machine",
            Need::Role(Role::Read) => "read",
            Need::Role(Role::Operate) => "operate",
        };
        let row = format!("| `{} {path}` | {who} |", endpoint.method);
        assert!(page.contains(&row), "docs/api.md has no row that begins with\n{row}");
    }
    let rows =
        page.lines().filter(|line| line.starts_with("| `GET ") || line.starts_with("| `POST "));
    assert_eq!(rows.count(), endpoints().count(), "docs/api.md has a row too many");
}
