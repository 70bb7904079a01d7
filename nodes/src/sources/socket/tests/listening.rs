//! Who can connect where, and what happens when one node takes the place of another.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;

use super::*;

fn unix() -> serde_json::Value {
    json!({ "unix": "in.sock" })
}

fn refusal(settings: serde_json::Value, folder: &Path) -> Problem {
    let host = Arc::new(Host::for_tests(folder));
    Socket::new(&config(settings), &context(&host)).err().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_successor_takes_over_the_socket_and_its_connections() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    client.values([1]).await;
    client.send(r#"{"source":"b","#).await;
    let before = bench.take(1).await;
    let waiting = bench.connect().await;

    let changed = config(json!({ "tcp": "127.0.0.1:0", "max_line": "2KiB" }));
    let successor = Socket::new(&changed, &context(&bench.host)).unwrap();
    drop(std::mem::replace(&mut bench.source, successor));
    before.keep();
    assert_eq!(client.line().await, r#"{"ack":1}"#);
    client.send("\"value\":2}\n").await;
    let taken = bench.take(1).await;
    assert_eq!(bench.said(&taken), ["socket:b=2"]);
    taken.keep();
    assert_eq!(client.line().await, r#"{"ack":2}"#);
    for mut other in [waiting, bench.connect().await] {
        other.values([3]).await;
        bench.take(1).await.keep();
        assert_eq!(other.line().await, r#"{"ack":1}"#);
    }
}

#[tokio::test]
async fn a_successor_that_acknowledges_otherwise_lets_the_senders_begin_anew() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    bench.settle().await;
    let changed = config(json!({ "tcp": "127.0.0.1:0", "ack": false }));
    bench.source = Socket::new(&changed, &context(&bench.host)).unwrap();
    bench.settle().await;
    assert_eq!(client.line().await, "", "closed");
}

#[tokio::test]
async fn a_node_that_goes_closes_its_connections_once_they_are_answered() {
    let mut bench = Bench::new(unix());
    let mut client = bench.connect().await;
    client.values([1]).await;
    let taken = bench.take(1).await;
    let path = bench.path();
    assert!(path.exists());
    drop(bench.source);
    assert!(!path.exists(), "the socket's file goes too");
    assert!(client.is_silent().await);
    taken.keep();
    assert_eq!(client.line().await, r#"{"ack":1}"#);
    assert_eq!(client.line().await, "", "closed");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let mut bench = Bench::new(json!({ "tcp": "127.0.0.1:0", "connections": 2 }));
    let mut first = bench.connect().await;
    let mut second = bench.connect().await;
    second.values([1]).await;
    let unanswered = bench.take(1).await;
    let mut third = bench.connect().await;
    bench.settle().await;
    assert_eq!(third.line().await, r#"{"error":"`connections` allows no more than 2"}"#);
    assert_eq!(third.line().await, "", "closed");
    // One that waits for its acknowledgement is still there.
    second.half_close().await;
    bench.settle().await;
    let mut fourth = bench.connect().await;
    bench.settle().await;
    assert!(fourth.line().await.contains("error"));
    unanswered.keep();
    assert_eq!(second.line().await, r#"{"ack":1}"#);
    bench.settle().await;
    let mut fifth = bench.connect().await;
    for client in [&mut first, &mut fifth] {
        client.values([1]).await;
        bench.take(1).await.keep();
        assert_eq!(client.line().await, r#"{"ack":1}"#);
    }
}

#[tokio::test]
async fn a_unix_socket_is_for_its_user_unless_the_settings_say_more() {
    let bench = Bench::new(unix());
    assert_eq!(mode(&bench.path()), 0o600);
    let mut bench = Bench::new(json!({ "unix": "in.sock", "mode": "0660" }));
    assert_eq!(mode(&bench.path()), 0o660);
    let changed = config(json!({ "unix": "in.sock", "mode": "0600" }));
    bench.source = Socket::new(&changed, &context(&bench.host)).unwrap();
    bench.settle().await;
    assert_eq!(mode(&bench.path()), 0o600, "a successor's settings hold");
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let listener = StdUnixListener::bind(&path).unwrap();
    let problem = refusal(unix(), folder.path());
    assert_eq!(problem.field, "unix");
    assert!(problem.message.ends_with("in.sock`: another program listens there"), "{problem:?}");
    drop(listener);
    let host = Arc::new(Host::for_tests(folder.path()));
    let source = Socket::new(&config(unix()), &context(&host)).unwrap();
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    // Another program's file in its place is not removed with it.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "notes").unwrap();
    drop(source);
    assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
    let problem = refusal(unix(), folder.path());
    assert!(problem.message.ends_with("there is a file that is no socket"), "{problem:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "notes");
}

#[test]
fn a_port_in_use_is_an_error_with_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let problem = refusal(json!({ "tcp": address }), Path::new("."));
    assert_eq!(problem.field, "tcp");
    assert!(problem.message.starts_with(&format!("cannot listen on `{address}`: ")), "{problem:?}");
}

#[test]
fn says_what_is_wrong_with_the_settings() {
    let found = |settings| {
        let config: SocketConfig = serde_json::from_value(settings).unwrap();
        let problems = config.problems().into_iter();
        problems.map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({})), [": nothing says where to listen"]);
    assert_eq!(
        found(json!({ "tcp": "127.0.0.1:9000", "unix": "a" })),
        ["unix: `tcp` and `unix` are both set"]
    );
    assert_eq!(found(json!({ "tcp": "9000" })), ["tcp: `9000` is no address with a port"]);
    let remote =
        "tcp: `0.0.0.0:9000` can be reached from other machines, and whoever reaches it can send";
    assert_eq!(found(json!({ "tcp": "0.0.0.0:9000" })), [remote]);
    assert!(found(json!({ "tcp": "0.0.0.0:9000", "allow_remote": true })).is_empty());
    assert!(found(json!({ "tcp": "[::1]:9000" })).is_empty());
    assert_eq!(found(json!({ "unix": "a/.." })), ["unix: `a/..` names no file"]);
    assert_eq!(
        found(
            json!({ "tcp": "127.0.0.1:1", "mode": "0600", "connections": 0, "max_line": "2MiB" })
        ),
        [
            "mode: a TCP port has no permissions",
            "connections: it must lie between 1 and 1024",
            "max_line: it must lie between 1B and 1MiB"
        ]
    );
    for bad in ["0888", "rw", "01777", "-1"] {
        let settings = json!({ "unix": "a", "mode": bad });
        let error = serde_json::from_value::<SocketConfig>(settings).unwrap_err();
        assert!(error.to_string().contains("is no permission"), "{error}");
    }
}
