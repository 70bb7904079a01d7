//! What is kept about changes and refusals.

use smollama_engine::control::{
    ApplyRequest, Control, Level, LevelRequest, PlanRequest, RollbackRequest, Selection,
};

use super::{OPERATE, Served};

#[tokio::test]
async fn every_change_is_a_row_with_who_did_it_and_what_became_of_it() {
    let served = Served::new().await;
    let client = served.client();
    let plan = PlanRequest {
        paths: vec!["/etc/p".into(), "/q".into()],
        all: true,
        ..PlanRequest::default()
    };
    let apply = ApplyRequest { plan: plan.clone(), ..ApplyRequest::default() };
    client.plan(plan.clone()).await.unwrap();
    client.apply(apply.clone(), "somebody else").await.unwrap();
    client.apply(ApplyRequest { expect: Some(1), ..apply }, "").await.unwrap_err();
    client.rollback(RollbackRequest { revision: Some(2), expect: None }, "").await.unwrap();
    let level = LevelRequest { node: Some("garden/air".into()), level: Level::Debug, span: None };
    client.set_level(level, "").await.unwrap();
    client.replay_dead_letters(Selection::Ids(vec!["a/1".into()]), "").await.unwrap();
    client.drop_dead_letters(Selection::Filter(Default::default()), "").await.unwrap();
    client.checkpoint("").await.unwrap_err();
    let us = format!("uid {}", rustix::process::geteuid().as_raw());
    let rows = served.rows("audit.jsonl");
    let shown: Vec<String> = rows
        .iter()
        .map(|row| {
            assert_eq!(row["actor"], us.as_str(), "{row}");
            assert_eq!(row["peer"], "control socket", "{row}");
            let text = |key: &str| row[key].as_str().unwrap_or_default();
            format!("{} | {} | {}", text("action"), text("target"), text("outcome"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "apply | /etc/p /q (all) | done",
            "apply | /etc/p /q (all) | failed: revision 3 runs, not the one that was expected",
            "rollback | revision 2 | done",
            "log level | garden/air: debug | done",
            "replay dead letters | a/1 | done",
            "drop dead letters | {} | done",
            "checkpoint |  | failed: garden/alerts does not let the barrier pass",
        ]
    );
    assert!(served.engine.calls().contains(&format!("apply begins: {us}")), "the kernel says who");
    // Over TCP it is the token that has a name, and the address.
    let headers = [("authorization", format!("Bearer {OPERATE}"))];
    let headers = [("authorization", headers[0].1.as_str()), ("content-type", "application/json")];
    assert_eq!(served.ask("POST /api/rollback", &headers, "{}").await.status, 200);
    let row = served.rows("audit.jsonl").pop().unwrap();
    assert_eq!(row["actor"], "token operate");
    assert!(row["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{row}");
}

#[tokio::test]
async fn nobody_who_is_refused_can_push_a_change_out() {
    let served = Served::new().await;
    served.client().rollback(RollbackRequest::default(), "").await.unwrap();
    for number in 0..300 {
        let host = format!("evil-{number}.example");
        let address = served.server.address().unwrap();
        let answer = super::ask(address, "GET /api/status", &[("host", &host)], "").await;
        assert_eq!(answer.status, 421);
    }
    assert_eq!(served.rows("audit.jsonl").len(), 1);
    assert_eq!(served.rows("refusals.jsonl").len(), 1);
    let path = served.data_dir().join("refusals.jsonl");
    served.server.stop().await;
    let text = std::fs::read_to_string(path).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((text.lines().count(), &last["count"]), (2, &serde_json::json!(299)));
}

#[tokio::test]
async fn an_audit_that_cannot_be_written_stops_no_change() {
    let served = Served::new().await;
    std::fs::create_dir(served.data_dir().join("audit.jsonl")).unwrap();
    assert!(served.client().rollback(RollbackRequest::default(), "").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refusals_shows_while_it_lasts() {
    let served = Served::new().await;
    for _ in 0..3 {
        assert_eq!(served.ask("GET /api/history", &[], "").await.status, 401);
    }
    assert_eq!(served.rows("refusals.jsonl").len(), 1);
    while served.rows("refusals.jsonl").len() < 2 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(served.rows("refusals.jsonl")[1]["count"], 2);
}
