//! The client and the server together are the engine itself, seen from another process.

use smollama_engine::control::{
    ApplyRequest, Chunk, Control, ErrorKind, LetterFilter, Level, LevelRequest, LogRequest,
    PlanRequest, RollbackPlanRequest, RollbackRequest, Selection, TapRequest, Variables,
};
use smollama_engine::duration::Duration;
use smollama_engine::glob::Glob;
use smollama_engine::time::Timestamp;

use futures::StreamExt;

use super::{Served, StandIn};
use crate::Client;

/// Asks the same of two engines and compares what they say, and what they were told.
macro_rules! alike {
    ($near:expr, $far:expr, $through:expr, $method:ident($($argument:expr),*)) => {{
        let wanted = $near.$method($($argument),*).await;
        let got = $through.$method($($argument),*).await;
        assert_eq!(got, wanted);
        assert_eq!($far.calls(), $near.calls());
    }};
}

#[tokio::test]
async fn everything_asked_through_the_socket_is_what_the_engine_says() {
    let near = StandIn::default();
    let served = Served::new().await;
    let (far, client) = (&served.engine, served.client());
    let us = format!("uid {}", rustix::process::geteuid().as_raw());
    let us = us.as_str();
    alike!(near, far, client, health());
    alike!(near, far, client, ready());
    alike!(near, far, client, status());
    alike!(near, far, client, history());
    let variables = Variables([("NAME".to_owned(), "ü \" value".to_owned())].into());
    let plan = PlanRequest { paths: vec!["/a b/ü".into()], all: true, variables };
    alike!(near, far, client, plan(plan.clone()));
    let apply = ApplyRequest { plan, expect: Some(3), message: Some("why".into()) };
    alike!(near, far, client, apply(apply.clone(), us));
    alike!(near, far, client, apply(ApplyRequest { expect: Some(2), ..apply.clone() }, us));
    alike!(near, far, client, plan_rollback(RollbackPlanRequest { revision: Some(2) }));
    alike!(near, far, client, rollback(RollbackRequest::default(), us));
    alike!(near, far, client, rollback(RollbackRequest { revision: Some(9), expect: None }, us));
    let level = LevelRequest {
        node: Some("garden/air".into()),
        level: Level::Debug,
        span: Some(Duration::from_mins(10)),
    };
    alike!(near, far, client, set_level(level.clone(), us));
    let filter = LetterFilter {
        address: Some(Glob::new("garden/**").unwrap()),
        since: Some(Timestamp::from_micros(1_500_000)),
        before: None,
    };
    alike!(near, far, client, dead_letters(filter.clone(), 7));
    alike!(near, far, client, dead_letters(LetterFilter::default(), 10_000));
    alike!(near, far, client, dead_letter("2"));
    for selection in [Selection::Ids(vec!["a/1".into(), "2".into()]), Selection::Filter(filter)] {
        alike!(near, far, client, replay_dead_letters(selection.clone(), us));
        alike!(near, far, client, drop_dead_letters(selection.clone(), us));
    }
    alike!(near, far, client, checkpoint(us));
}

#[tokio::test]
async fn lines_come_through_the_socket_as_the_engine_gives_them() {
    let served = Served::new().await;
    let client = served.client();
    let request = LogRequest {
        node: Some(Glob::new("garden/*").unwrap()),
        level: Some(Level::Warn),
        follow: true,
        last: Some(3),
    };
    let lines: Vec<Chunk> = client.logs(request.clone()).await.unwrap().collect().await;
    let lines: Vec<u8> = lines.into_iter().flat_map(|chunk| chunk.lines).collect();
    assert_eq!(lines, b"{\"level\":\"info\"}\n{\"level\":\"warn\"}\n");
    let tap = TapRequest { address: "garden/air>".into(), limit: Some(5), per_second: Some(2) };
    let mut lines = client.tap(tap.clone()).await.unwrap();
    assert_eq!(served.engine.calls(), [format!("logs {request:?}"), format!("tap {tap:?}")]);
    served.engine.show("{\"value\":1}");
    assert_eq!(lines.next().await.unwrap().lines, b"{\"value\":1}\n");
    served.engine.show("{\"value\":2}");
    served.engine.end_taps();
    assert_eq!(lines.next().await.unwrap().lines, b"{\"value\":2}\n");
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn where_no_engine_runs_the_client_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path());
    assert_eq!(client.running().await.unwrap(), None);
    let error = client.status().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.message.contains(&folder.path().display().to_string()), "{error}");
    assert!(error.help.unwrap().contains("smollama run"));
    // One that died leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join(crate::SOCKET_NAME)).unwrap());
    assert_eq!(client.running().await.unwrap(), None);
    let nowhere = Client::new(&folder.path().join("nowhere"));
    assert_eq!(nowhere.running().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_not_understood_is_bad_input_and_does_not_reach_the_engine() {
    let served = Served::new().await;
    let client = served.client();
    let relative = PlanRequest { paths: vec!["pipelines".into()], ..PlanRequest::default() };
    let error = client.plan(relative).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadInput);
    assert!(error.message.contains("`pipelines`"), "{error}");
    let token = format!("Bearer {}", super::OPERATE);
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    for (line, body) in [
        ("POST /api/plan", ""),
        ("POST /api/plan", "{"),
        ("POST /api/plan", r#"{"paths":["/p"],"al":true}"#),
        ("POST /api/apply", r#"{"paths":["/p"]}"#),
        ("POST /api/dlq/drop", r#"{}"#),
        ("POST /api/dlq/drop", r#"{"ids":["1"],"filter":{}}"#),
        ("POST /api/log-level", r#"{"level":"loud"}"#),
        ("POST /api/log-level", r#"{"level":"info","for":"soon"}"#),
        ("GET /api/logs?levl=warn", ""),
        ("GET /api/logs?last=-1", ""),
        ("GET /api/dlq?since=yesterday", ""),
        ("GET /api/tap/garden/air?limit=x", ""),
        ("GET /api/tap/%ff", ""),
        ("GET /api/dlq/%ff", ""),
    ] {
        let answer = served.ask(line, &headers, body).await;
        assert_eq!(answer.status, 400, "{line} {body}: {answer:?}");
        assert_eq!(answer.json()["error"]["kind"], "bad_input", "{line} {body}");
    }
    assert_eq!(served.ask("GET /api/nothing", &headers, "").await.status, 404);
    let other = served.ask("DELETE /api/history", &headers, "").await;
    assert_eq!((other.status, other.headers["allow"].as_str()), (405, "GET,HEAD"), "{other:?}");
    assert_eq!(other.json()["error"]["kind"], "bad_input");
    assert_eq!(served.engine.calls(), Vec::<String>::new());
}
