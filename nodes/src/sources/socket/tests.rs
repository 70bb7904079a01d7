//! The source over real sockets. How it listens lies in `listening`, what it makes of bytes in `lines`.

mod lines;
mod listening;

use std::os::fd::AsFd;
use std::path::Path;

use rustix::net::{RecvFlags, recv};
use serde_json::json;
use smollama_engine::batch::Items;
use smollama_engine::context::Host;
use smollama_engine::node::Reject;
use smollama_engine::reading::Reading;
use smollama_engine::testing::START;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

use super::*;

/// A source in a folder of its own.
struct Bench {
    folder: TempDir,
    host: Arc<Host>,
    source: Socket,
}

trait Wire: AsyncRead + AsyncWrite + AsFd + Unpin {}
impl<T: AsyncRead + AsyncWrite + AsFd + Unpin> Wire for T {}

/// A sender.
struct Client(BufReader<Box<dyn Wire>>);

fn config(settings: serde_json::Value) -> SocketConfig {
    let config: SocketConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    config
}

fn context(host: &Arc<Host>) -> Context {
    Context::new(host.clone(), "p/in", "socket")
}

impl Bench {
    fn new(settings: serde_json::Value) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let host = Arc::new(Host::for_tests(folder.path()));
        let source = Socket::new(&config(settings), &context(&host)).unwrap();
        Bench { folder, host, source }
    }

    /// Over TCP, on a port of the system's choice.
    fn tcp() -> Bench {
        Bench::new(json!({ "tcp": "127.0.0.1:0" }))
    }

    async fn connect(&self) -> Client {
        let address = self.source.listening.held().tcp_address();
        let wire: Box<dyn Wire> = match address {
            Some(address) => Box::new(TcpStream::connect(address).await.unwrap()),
            None => Box::new(UnixStream::connect(self.path()).await.unwrap()),
        };
        Client(BufReader::new(wire))
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("in.sock")
    }

    async fn batch(&mut self) -> SourceBatch {
        match within_reason(self.source.read(START)).await.unwrap() {
            Read::Batch(batch) => batch,
            Read::Finished => unreachable!("a socket never ends"),
        }
    }

    /// Takes batches until so many readings and refused lines were there.
    async fn take(&mut self, items: usize) -> Taken {
        let mut taken = Taken::default();
        while taken.readings.len() + taken.rejects.len() < items {
            let batch = self.batch().await;
            let Items::Readings(readings) = batch.items else { unreachable!() };
            taken.readings.extend(readings);
            taken.rejects.extend(batch.rejects);
            taken.receipts.extend(batch.receipt);
            taken.batches += 1;
        }
        taken
    }

    /// Whatever is under way gets where it goes; there is no batch in it.
    async fn settle(&mut self) {
        tokio::select! {
            biased;
            () = yield_often() => {}
            batch = self.source.read(START) => panic!("{batch:?}"),
        }
    }

    /// `source=value`.
    fn said(&self, taken: &Taken) -> Vec<String> {
        let said =
            |one: &Reading| format!("{}={}", self.host.series.get(one.series).source, one.value);
        taken.readings.iter().map(said).collect()
    }
}

/// What several batches held.
#[derive(Default)]
struct Taken {
    readings: Vec<Reading>,
    rejects: Vec<Reject>,
    receipts: Vec<Receipt>,
    batches: usize,
}

impl Taken {
    fn keep(self) {
        self.receipts.into_iter().for_each(Receipt::kept);
    }
}

/// So that a test fails instead of waiting for what never comes.
async fn within_reason<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing came")
}

/// Lets all other tasks of this thread run until they wait.
async fn yield_often() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends readings of the source `a`, with these values.
    async fn values(&mut self, values: impl IntoIterator<Item = i64>) {
        let line = |value| format!("{{\"source\":\"a\",\"value\":{value}}}\n");
        self.send(&values.into_iter().map(line).collect::<String>()).await;
    }

    /// The next line; empty at the end.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        within_reason(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Whether there is nothing to be read: the kernel is asked, which knows it before the runtime does.
    async fn is_silent(&mut self) -> bool {
        yield_often().await;
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.0.buffer().is_empty()
            && recv(self.0.get_ref().as_fd(), &mut byte, flags) == Err(rustix::io::Errno::AGAIN)
    }

    /// Ends this side.
    async fn half_close(&mut self) {
        self.0.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_line_is_acknowledged_when_it_is_kept_and_not_before() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    client.values([1, 2]).await;
    let taken = bench.take(2).await;
    assert_eq!(bench.said(&taken), ["socket:a=1", "socket:a=2"]);
    assert!(client.is_silent().await);
    taken.keep();
    assert_eq!(client.line().await, r#"{"ack":2}"#);
    client.values([3]).await;
    bench.take(1).await.keep();
    assert_eq!(client.line().await, r#"{"ack":3}"#);
}

#[tokio::test]
async fn an_acknowledgement_waits_for_all_lines_before_it() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    client.values([1]).await;
    let first = bench.take(1).await;
    client.values([2, 3]).await;
    let second = bench.take(2).await;
    second.keep();
    assert!(client.is_silent().await);
    first.keep();
    assert_eq!(client.line().await, r#"{"ack":3}"#);
}

#[tokio::test]
async fn what_is_not_kept_is_never_acknowledged_and_ends_the_connection() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    let mut taken = Vec::new();
    for value in 1..=4 {
        client.values([value]).await;
        taken.push(bench.take(1).await);
    }
    let mut taken = taken.into_iter();
    let (first, second, third) = (taken.next(), taken.next(), taken.next());
    third.unwrap().keep();
    drop(second);
    assert!(client.is_silent().await, "the first may still be kept");
    first.unwrap().keep();
    taken.for_each(Taken::keep);
    assert_eq!(client.line().await, r#"{"ack":1}"#);
    let why = r#"{"error":"lines after 1 were not kept; send them again"}"#;
    assert_eq!(client.line().await, why);
    assert_eq!(client.line().await, "", "closed");
    bench.settle().await;
    assert_eq!(bench.source.listening.held().connections.len(), 0);
}

#[tokio::test]
async fn half_a_line_waits_for_the_rest_and_a_dropped_read_loses_nothing() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    client.send(r#"{"source":"a","va"#).await;
    bench.settle().await;
    client.send("lue\":7}\n{\"sou").await;
    let taken = bench.take(1).await;
    assert_eq!(bench.said(&taken), ["socket:a=7"]);
    taken.keep();
    assert_eq!(client.line().await, r#"{"ack":1}"#);
    client.send("rce\":\"b\",\"value\":true}\n").await;
    let taken = bench.take(1).await;
    assert_eq!(bench.said(&taken), ["socket:b=true"]);
    taken.keep();
    assert_eq!(client.line().await, r#"{"ack":2}"#);
}

#[tokio::test]
async fn a_sender_that_closed_its_side_still_gets_its_last_acknowledgement() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    client.send("{\"source\":\"a\",\"value\":1}\n{\"source\":\"a\",\"value\":2}").await;
    client.half_close().await;
    let taken = bench.take(2).await;
    assert_eq!(bench.said(&taken), ["socket:a=1", "socket:a=2"], "a whole line needs no end");
    bench.settle().await;
    assert!(client.is_silent().await);
    taken.keep();
    assert_eq!(client.line().await, r#"{"ack":2}"#);
    assert_eq!(client.line().await, "", "closed");
}

#[tokio::test]
async fn a_connection_that_ends_in_a_line_leaves_the_whole_ones() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    client.send("{\"source\":\"a\",\"value\":1}\n{\"source\":\"a\",\"value\":2").await;
    drop(client);
    let taken = bench.take(1).await;
    assert_eq!((bench.said(&taken), taken.rejects.len()), (vec!["socket:a=1".into()], 0));
    bench.settle().await;
    let node = bench.source.context.address.clone();
    assert!(!bench.source.limit.admits(Some(&node), TORN), "it was said");
    assert_eq!(bench.source.listening.held().connections.len(), 0);
}

#[tokio::test]
async fn a_flood_on_one_connection_leaves_room_for_the_others() {
    let mut bench = Bench::tcp();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(bench.connect().await);
    }
    bench.settle().await;
    for (number, client) in clients.iter_mut().enumerate() {
        client.values((0..3000).map(|_| number as i64)).await;
    }
    let taken = bench.take(8 * 1024).await;
    for number in 0..8 {
        let own = taken.readings.iter().filter(|one| one.value == (number as i64).into());
        assert!(own.count() >= 700, "{number}");
    }
    let rest = bench.take(8 * 3000 - taken.readings.len()).await;
    taken.keep();
    rest.keep();
    for client in &mut clients {
        while client.line().await != r#"{"ack":3000}"# {}
    }
}

#[tokio::test]
async fn a_sender_that_does_not_read_holds_up_nobody_and_misses_only_old_acknowledgements() {
    let mut bench = Bench::new(json!({ "unix": "in.sock" }));
    let (mut deaf, mut other) = (bench.connect().await, bench.connect().await);
    for value in 1..=2_000 {
        deaf.values([value]).await;
        bench.take(1).await.keep();
    }
    other.values([1]).await;
    bench.take(1).await.keep();
    assert_eq!(other.line().await, r#"{"ack":1}"#);
    let mut lines = 1;
    while deaf.line().await != r#"{"ack":2000}"# {
        lines += 1;
    }
    assert!(lines < 1_500, "{lines} acknowledgements");
}

#[tokio::test]
async fn what_is_not_asked_for_stays_with_the_sender() {
    let mut bench = Bench::tcp();
    let mut client = bench.connect().await;
    bench.settle().await;
    let line = format!("{{\"source\":\"a\",\"value\":\"{}\"}}\n", "x".repeat(10_000));
    let mut sent = 0;
    loop {
        tokio::select! {
            biased;
            () = client.send(&line) => sent += 1,
            () = yield_often() => break,
        }
        assert!(sent < 10_000, "100 MB were taken from the sender");
    }
    assert_eq!(bench.take(sent).await.readings.len(), sent);
}

#[tokio::test]
async fn without_acknowledgements_nothing_is_promised_and_nothing_written() {
    let settings = json!({ "tcp": "127.0.0.1:0", "ack": false });
    assert!(!config(settings.clone()).profile().promises);
    assert!(config(json!({ "unix": "in.sock" })).profile().promises);
    let mut bench = Bench::new(settings);
    let mut client = bench.connect().await;
    client.send("{\"source\":\"a\",\"value\":1}\nwhat?\n").await;
    let taken = bench.take(2).await;
    assert_eq!((taken.readings.len(), taken.rejects.len(), taken.receipts.len()), (1, 1, 0));
    assert!(client.is_silent().await);
    client.half_close().await;
    bench.settle().await;
    assert_eq!(client.line().await, "", "closed");
}
