//! The API of a running engine over TCP, as a stranger, a script and a browser meet it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::http::{Answer, ask};
use crate::kill::receiver::{Mood, Receiver};
use crate::place::{Engine, Place, wait_until};

const HOME: &str = "\
pipeline: home
sources:
  air: { every: 50ms, simulate: { noise: 0.5 } }
transforms:
  news: { inputs: [air], dedup: { deadband: 0.1 } }
sinks:
  out: { inputs: [news], file: { path: air.jsonl } }
";

/// An engine with a port.
struct Host {
    place: Place,
    address: SocketAddr,
    _engine: Engine,
}

impl Host {
    fn new() -> Host {
        let place = Place::new();
        place.write("home.yaml", HOME);
        let engine = place.start(&["run", "home.yaml", "--port", "0"]);
        // It is said a moment after the engine begins to answer.
        wait_until("the address is said", || place.read("engine.log").contains("API on http://"));
        let log = place.read("engine.log");
        let address = log.split("API on http://").nth(1).and_then(|rest| rest.split(". ").next());
        let address = address.and_then(|address| address.parse().ok());
        Host {
            address: address.unwrap_or_else(|| panic!("no address: {log}")),
            place,
            _engine: engine,
        }
    }

    fn token(&self) -> String {
        format!("authorization: Bearer {}", self.place.read("data/token").trim())
    }

    /// Asks by the right name.
    fn ask(&self, request: &str, headers: &[&str], body: &str) -> Answer {
        let host = format!("host: {}", self.address);
        self.ask_as(request, &[&[host.as_str()], headers].concat(), body)
    }

    fn ask_as(&self, request: &str, headers: &[&str], body: &str) -> Answer {
        let stream = TcpStream::connect(self.address).expect("it listens");
        ask(stream, request, headers, body).expect("an answer")
    }

    /// A row of a log of the data directory, once it is there.
    fn row(&self, file: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_until(file, || {
            let rows = self.place.read(&format!("data/{file}"));
            let mut rows = rows.lines().filter_map(|row| serde_json::from_str(row).ok());
            found = rows.find(|row| is_it(row));
            found.is_some()
        });
        found.expect("it was found")
    }
}

#[test]
fn p9_without_a_token_there_is_health_and_on_this_machine_numbers() {
    let host = Host::new();
    for open in ["GET /api/health", "GET /api/ready", "GET /api/openapi.json", "GET /api/status"] {
        assert_eq!(host.ask(open, &[], "").status, 200, "{open}");
    }
    let metrics = host.ask("GET /metrics", &[], "");
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("\nsmollama_"), "{}", metrics.body);
    let forwarded = host.ask("GET /metrics", &["x-forwarded-for: 192.0.2.7"], "");
    assert_eq!(forwarded.status, 401, "who comes through a proxy may be from elsewhere");
    for closed in ["GET /api/history", "GET /api/logs", "GET /api/dlq", "GET /api/tap/home/air"] {
        let answer = host.ask(closed, &[], "");
        assert_eq!(answer.status, 401, "{closed}");
        assert_eq!(answer.json()["error"]["kind"], "denied", "{closed}");
        assert_eq!(host.ask(closed, &["authorization: Bearer wrong"], "").status, 401, "{closed}");
    }
    for change in ["POST /api/apply", "POST /api/rollback", "POST /api/dlq/drop"] {
        assert_eq!(host.ask(change, &[], "{}").status, 401, "{change}");
    }
    let token = host.token();
    assert_eq!(host.ask("GET /api/history", &[&token], "").json()[0]["number"], 1);
    assert_eq!(host.ask("GET /api/tap/home/air?limit=1", &[&token], "").status, 200);
}

#[test]
fn p9_a_page_of_a_stranger_gets_nothing_even_with_the_token() {
    let host = Host::new();
    let token = host.token();
    // A name that a stranger lets point here: what the browser sends is that name.
    let rebound = host.ask_as("GET /api/status", &["host: evil.example", &token], "");
    assert_eq!(rebound.status, 421);
    assert_eq!(rebound.json()["error"]["kind"], "denied");
    let other_site = ["origin: http://evil.example", "sec-fetch-site: cross-site", &token];
    assert_eq!(host.ask("GET /api/status", &other_site, "").status, 403);
    assert_eq!(host.ask("POST /api/checkpoint", &other_site, "{}").status, 403);
    let form = ["content-type: text/plain", "content-length: 2", &token];
    assert_eq!(host.ask("POST /api/checkpoint", &form, "").status, 415);
    host.row("refusals.jsonl", |row| row.to_string().contains("evil.example"));
}

#[test]
fn p9_who_guesses_waits_and_the_socket_does_not() {
    let host = Host::new();
    let guess = |number: usize| {
        let token = format!("authorization: Bearer guess-{number}");
        host.ask("GET /api/history", &[&token], "").status
    };
    let answers: Vec<u16> = (0..12).map(guess).collect();
    assert!(answers.starts_with(&[401; 10]), "{answers:?}");
    assert_eq!(answers.last(), Some(&429), "{answers:?}");
    assert_eq!(host.place.json(&["history"])[0]["number"], 1);
    assert!(!host.place.read("data/refusals.jsonl").contains("guess-"), "no guess is written down");
}

#[test]
fn a_change_over_the_port_is_made_and_remembered() {
    let host = Host::new();
    let token = host.token();
    let file = host.place.path("home.yaml");
    host.place.write("home.yaml", &HOME.replace("0.1", "0.2"));
    let plan = serde_json::json!({ "paths": [file] });
    let planned = host.ask("POST /api/plan", &[&token], &plan.to_string());
    assert_eq!((planned.status, &planned.json()["pending"]), (200, &true.into()));
    let apply = |expect: u64| serde_json::json!({ "plan": plan, "expect": expect }).to_string();
    let stale = host.ask("POST /api/apply", &[&token], &apply(7));
    assert_eq!((stale.status, &stale.json()["error"]["kind"]), (409, &"refused".into()));
    let applied = host.ask("POST /api/apply", &[&token], &apply(1));
    assert_eq!((applied.status, &applied.json()["revision"]), (200, &2.into()), "{}", applied.body);
    let row = host.row("audit.jsonl", |row| row["action"] == "apply" && row["outcome"] == "done");
    assert!(row["peer"].as_str().is_some_and(|peer| peer.contains("127.0.0.1")), "{row}");
    assert!(row["target"].as_str().is_some_and(|target| target.contains("home.yaml")), "{row}");
    assert!(!host.place.read("data/audit.jsonl").contains(host.place.read("data/token").trim()));
}

/// Scripts and dashboards live on these names.
#[test]
fn the_status_has_the_keys_that_others_read() {
    let host = Host::new();
    let by_socket = host.place.json(&["status"]);
    let by_port = host.ask("GET /api/status", &[], "").json();
    for status in [&by_socket, &by_port] {
        for pointer in [
            "/timestamp",
            "/host/name",
            "/host/pid",
            "/host/uptime_s",
            "/host/rss_bytes",
            "/revision",
            "/pipelines/0/state",
            "/nodes/0/address",
            "/nodes/0/state",
            "/nodes/0/emitted/main",
            "/nodes/0/dropped",
            "/nodes/0/errors",
            "/nodes/0/received_per_s",
            "/nodes/2/queue/bytes",
            "/nodes/2/queue/size",
            "/journal/durability",
            "/journal/bytes",
            "/journal/cap",
            "/journal/written_bytes_per_day",
            "/dead_letters/letters",
            "/readings/series",
        ] {
            assert!(status.pointer(pointer).is_some(), "{pointer} is not in {status}");
        }
    }
}

#[test]
fn a_tap_shows_what_a_port_drops() {
    let host = Host::new();
    let lines = host.place.says(&["tap", "home/news.dropped", "--count", "2"]);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("\"source\":\"simulate:value\""), "{lines}");
    assert_eq!(host.place.run(&["tap", "home/news.drop"]).status.code(), Some(2));
}

/// What another side refused goes to the dead letters, and from there once more to where it was to go.
#[test]
fn dead_letters_are_given_to_their_sink_once_more() {
    let place = Place::new();
    let receiver = Receiver::start();
    receiver.be(Mood::Refusing);
    let yaml = format!(
        "pipeline: p\nsources: {{ in: {{ as: s, socket: {{ unix: in.sock }} }} }}\n\
         sinks: {{ away: {{ inputs: [in], http: {{ url: \"http://{}/\" }} }} }}\n",
        receiver.address
    );
    let _engine = place.engine(&yaml);
    let mut sender = UnixStream::connect(place.path("data/in.sock")).expect("it listens");
    sender.write_all(b"{\"source\":\"a\",\"value\":7}\n").expect("it takes it");
    wait_until("it is refused", || place.json(&["dlq", "list"])["total"] == 1);
    let letter = &place.json(&["dlq", "list"])["letters"][0];
    assert_eq!(letter["address"], "p/away", "{letter}");
    assert!(letter["reason"].as_str().is_some_and(|why| why.contains("422")), "{letter}");
    assert!(receiver.taken().items.is_empty());

    let elsewhere = place.run(&["dlq", "replay", "--node", "q/*"]);
    assert!(elsewhere.status.success());
    assert_eq!(place.json(&["dlq", "list"])["total"], 1, "none of that node");
    receiver.be(Mood::There);
    assert_eq!(place.json(&["dlq", "replay", "--all"])["letters"], 1);
    wait_until("it arrives", || !receiver.taken().items.is_empty());
    assert!(receiver.taken().items.values().all(|item| item.contains("\"value\":7")));
    assert_eq!(place.json(&["dlq", "list"])["total"], 0);
}
