//! Who may do what: P9.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use smollama_engine::config::http::HttpConfig;
use smollama_engine::control::{Control, ErrorKind};

use super::{OPERATE, READ, Served};
use crate::access::{Need, Role};
use crate::api::endpoints;
use crate::{Client, Options, Server, StartError};

const JSON: (&str, &str) = ("content-type", "application/json");
/// Makes a request one that a proxy sent on: it did not begin on this machine.
const AFAR: (&str, &str) = ("x-forwarded-for", "203.0.113.7");

/// A request for every endpoint, with a body that it takes.
fn requests() -> Vec<(&'static str, Need, &'static str)> {
    let known = |line: &str, body| {
        let endpoint = endpoints().find(|endpoint| {
            let path = endpoint.path.replace("{*address}", "garden/news").replace("{id}", "1");
            format!("{} {path}", endpoint.method) == line
        });
        (endpoint.unwrap_or_else(|| panic!("there is no {line}")).need, body)
    };
    let requests: Vec<_> = [
        ("GET /api/health", ""),
        ("GET /api/ready", ""),
        ("GET /api/openapi.json", ""),
        ("GET /api/status", ""),
        ("GET /metrics", ""),
        ("GET /api/history", ""),
        ("GET /api/tap/garden/news", ""),
        ("GET /api/logs", ""),
        ("GET /api/dlq", ""),
        ("GET /api/dlq/1", ""),
        ("POST /api/dlq/replay", r#"{"ids":["1"]}"#),
        ("POST /api/dlq/drop", r#"{"filter":{"address":"garden/**"}}"#),
        ("POST /api/plan", r#"{"paths":["/p"]}"#),
        ("POST /api/apply", r#"{"plan":{"paths":["/p"]}}"#),
        ("POST /api/rollback/plan", "{}"),
        ("POST /api/rollback", "{}"),
        ("POST /api/log-level", r#"{"level":"debug"}"#),
        ("POST /api/checkpoint", "{}"),
    ]
    .into_iter()
    .map(|(line, body)| {
        let (need, body) = known(line, body);
        (line, need, body)
    })
    .collect();
    assert_eq!(requests.len(), endpoints().count(), "an endpoint is not asked for");
    requests
}

#[tokio::test]
async fn without_the_token_nobody_changes_or_reads_what_they_may_not() {
    let served = Served::new().await;
    let (operate, read) = (format!("Bearer {OPERATE}"), format!("bearer {READ}"));
    for (line, need, body) in requests() {
        for (token, from_afar) in
            [(None, false), (None, true), (Some(&read), true), (Some(&operate), true)]
        {
            let mut headers = vec![JSON];
            headers.extend(from_afar.then_some(AFAR));
            headers.extend(token.map(|token| ("authorization", token.as_str())));
            served.engine.calls();
            let answer = tokio::select! {
                answer = served.ask(line, &headers, body) => answer,
                () = end_taps(&served) => unreachable!("it never ends"),
            };
            let allowed = match need {
                Need::Nothing => true,
                Need::Nearby => !from_afar || token.is_some(),
                Need::Role(Role::Read) => token.is_some(),
                Need::Role(Role::Operate) => token == Some(&operate),
            };
            let who = format!("{line}, {token:?}, from afar: {from_afar}: {answer:?}");
            let refused = matches!(answer.status, 401 | 403);
            assert_eq!(refused, !allowed, "{who}");
            if !allowed {
                assert_eq!(answer.status, if token.is_some() { 403 } else { 401 }, "{who}");
                assert_eq!(answer.json()["error"]["kind"], "denied", "{who}");
                assert_eq!(served.engine.calls(), Vec::<String>::new(), "{who}");
            }
            assert!(!answer.headers.keys().any(|name| name.starts_with("access-control")), "{who}");
        }
    }
    // What stops the engine is nobody's business who may not see its status.
    let far = served.ask("GET /api/ready", &[AFAR], "").await;
    assert_eq!((far.status, far.json()["reasons"].clone()), (503, serde_json::json!([])));
    let near = served.ask("GET /api/ready", &[], "").await;
    assert_eq!(near.json()["reasons"].as_array().unwrap().len(), 1);
}

/// A tap that is let in lasts until there is nothing more to show.
async fn end_taps(served: &Served) {
    loop {
        tokio::task::yield_now().await;
        served.engine.end_taps();
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_after_ten_none_is_looked_at() {
    let served = Served::new().await;
    let ask = |token: &str| {
        let token = token.to_owned();
        let served = &served;
        async move { served.ask("GET /api/history", &[("authorization", &token)], "").await }
    };
    let wrong = [
        format!("Bearer {}", &OPERATE[1..]),
        format!("Bearer {OPERATE}x"),
        "Bearer ".into(),
        "Bearer".into(),
        OPERATE.into(),
        format!("Basic {OPERATE}"),
    ];
    for token in wrong.iter().chain(&wrong).take(10) {
        assert_eq!(ask(token).await.status, 401, "{token}");
    }
    let barred = ask(&format!("Bearer {OPERATE}")).await;
    assert_eq!(barred.status, 429, "{barred:?}");
    assert!((1..=61).contains(&barred.headers["retry-after"].parse::<u64>().unwrap()));
    assert_eq!(served.engine.calls(), Vec::<String>::new());
    assert_eq!(served.ask("GET /api/health", &[], "").await.status, 200, "without a token");
    assert!(served.client().history().await.is_ok(), "the command line is not barred");
    served.server.stop().await;
    let text = std::fs::read_to_string(served.folder.path().join("refusals.jsonl")).unwrap();
    assert!(text.contains("refused: a wrong token") && text.contains("\"count\":9"), "{text}");
    assert!(!text.contains(&OPERATE[1..]), "a token is kept: {text}");
}

#[tokio::test]
async fn a_web_page_by_dns_rebinding_is_refused_and_audited() {
    let served = Served::new().await;
    let address = served.server.address().unwrap();
    let operate = format!("Bearer {OPERATE}");
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example"] {
        for line in ["GET /api/status", "GET /api/health", "POST /api/apply", "GET /nothing"] {
            let headers = [("host", host), JSON, ("authorization", &operate)];
            let body = r#"{"plan":{"paths":["/p"]}}"#;
            let answer = super::ask(address, line, &headers, body).await;
            assert_eq!(answer.status, 421, "{line} for {host}: {answer:?}");
            assert!(answer.json()["error"]["help"].as_str().unwrap().contains("http.hosts"));
        }
    }
    let absolute =
        super::ask(address, "GET http://evil.example/api/status", &[("host", "localhost")], "");
    assert_eq!(absolute.await.status, 400);
    let none = super::ask(address, "GET /api/status", &[], "").await;
    assert_eq!(none.status, 400, "{none:?}");
    assert_eq!(served.engine.calls(), Vec::<String>::new());
    let row = served.rows("refusals.jsonl").remove(0);
    assert_eq!(row["outcome"], "refused: another host");
    assert_eq!(row["action"], "GET /api/status");
    assert!(row["target"].as_str().unwrap().contains("evil.example"), "{row}");
    assert!(row["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{row}");
    assert!(served.rows("audit.jsonl").is_empty());
}

#[tokio::test]
async fn a_name_that_config_yaml_lists_is_ours() {
    let hosts = vec!["Pi.local".to_owned()];
    let served = Served::with(HttpConfig { hosts, ..HttpConfig::default() }).await;
    let address = served.server.address().unwrap();
    let ask = |line| super::ask(address, line, &[("host", "pi.local")], "");
    assert_eq!(ask("GET /api/health").await.status, 200);
    assert_eq!(ask("GET /api/status").await.status, 401, "by that name others may come, too");
}

#[tokio::test]
async fn a_cross_site_request_is_refused_and_audited() {
    let served = Served::new().await;
    let operate = format!("Bearer {OPERATE}");
    let token = ("authorization", operate.as_str());
    let apply = |header, kind| {
        let served = &served;
        async move {
            let headers = [header, token, ("content-type", kind)];
            served.ask("POST /api/apply", &headers, r#"{"plan":{"paths":["/p"]}}"#).await
        }
    };
    for header in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://localhost:3000"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = apply(header, "application/json").await;
        assert_eq!(answer.status, 403, "{header:?}: {answer:?}");
    }
    // What a form can send without asking.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(apply(("accept", "*/*"), kind).await.status, 415, "{kind}");
    }
    let preflight = [("origin", "http://evil.example"), ("access-control-request-method", "POST")];
    let answer = served.ask("OPTIONS /api/apply", &preflight, "").await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(served.engine.calls(), Vec::<String>::new());
    let rows = served.rows("refusals.jsonl");
    assert_eq!(rows[0]["outcome"], "refused: another origin");
    assert_eq!(rows[0]["action"], "POST /api/apply");
    // Our own pages may.
    let own = format!("http://{}", served.server.address().unwrap());
    assert_eq!(apply(("origin", &own), "application/json").await.status, 200);
    assert_eq!(
        apply(("sec-fetch-site", "same-origin"), "application/json; charset=utf-8").await.status,
        200
    );
}

/// What another user gets from the control socket; `None` where this process cannot become one.
fn as_another_user(data_dir: &Path) -> Option<ErrorKind> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let client = Client::new(data_dir);
    let thread = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65_534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move { client.history().await.unwrap_err() })
    });
    Some(thread.join().unwrap().kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_is_refused() {
    let served = Served::new().await;
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(served.data_dir(), 0o755);
    let ask = || tokio::task::block_in_place(|| as_another_user(served.data_dir()));
    let Some(kind) = ask() else {
        println!("skipped: only root can become another user");
        return;
    };
    assert_eq!(kind, ErrorKind::Denied, "the mode of the socket lets nobody else in");
    assert!(served.rows("refusals.jsonl").is_empty(), "it did not get as far as a request");
    open(served.server.socket(), 0o666);
    assert_eq!(ask(), Some(ErrorKind::Denied));
    assert_eq!(served.engine.calls(), Vec::<String>::new());
    let row = served.rows("refusals.jsonl").remove(0);
    assert_eq!(row["outcome"], "refused: another user");
    assert_eq!(row["actor"], "uid 65534");
    assert_eq!(row["peer"], "control socket");
}

#[tokio::test]
async fn without_a_token_of_its_own_nothing_beyond_loopback_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let engine = std::sync::Arc::new(super::StandIn::default());
    let host = smollama_engine::context::Host::for_tests(folder.path());
    let http =
        |text: &str| HttpConfig { host: text.parse().unwrap(), port: 0, ..HttpConfig::default() };
    for address in ["0.0.0.0", "::"] {
        let started = Server::start(engine.clone(), Options::new(&host, http(address))).await;
        let error = started.unwrap_err();
        assert!(matches!(error, StartError::Listen(_)), "{error}");
        assert!(error.to_string().contains("secret://file/token"), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    let off = HttpConfig { enabled: false, ..http("0.0.0.0") };
    let server = Server::start(engine, Options::new(&host, off)).await.unwrap();
    assert_eq!(server.address(), None);
    assert!(!folder.path().join("token").exists());
    assert!(Client::new(folder.path()).health().await.is_ok());
    server.stop().await;
}
