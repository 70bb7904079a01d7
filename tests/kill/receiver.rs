//! A web server that is there, away, or takes what it is sent and does not answer.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// 204.
    There,
    /// 503, and nothing is taken.
    Away,
    /// It takes what comes and hangs up.
    Mute,
    /// 422, and nothing is taken.
    Refusing,
}

const MOODS: [Mood; 4] = [Mood::There, Mood::Away, Mood::Mute, Mood::Refusing];

#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    mood: AtomicU8,
    taken: Mutex<Taken>,
}

/// What came.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The id of the stream: there is one for as long as the sink is the same.
    stream: Option<String>,
    /// How far it has come: all that a receiver has to remember that wants nothing twice.
    known: u64,
    /// Its items by their numbers, each once.
    pub(crate) items: BTreeMap<u64, String>,
    /// How many items came that were known by their number.
    pub(crate) repeated: usize,
    /// What must not come, in words.
    pub(crate) wrong: Vec<String>,
}

impl Receiver {
    pub(crate) fn start() -> Arc<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the test");
        let receiver = Arc::new(Receiver {
            address: listener.local_addr().expect("an address"),
            mood: AtomicU8::new(Mood::Away as u8),
            taken: Mutex::default(),
        });
        let answering = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiver = answering.clone();
                // A connection breaks with every kill.
                std::thread::spawn(move || drop(receiver.answer(&stream)));
            }
        });
        receiver
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().expect("no thread failed")
    }

    fn answer(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut key, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                match line.split_once(": ") {
                    Some(("idempotency-key", value)) => key = value.to_owned(),
                    Some(("content-length", value)) => length = value.parse().expect("a length"),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let mood = MOODS[usize::from(self.mood.load(Ordering::Relaxed))];
            if matches!(mood, Mood::There | Mood::Mute) {
                self.taken().take(&key, &String::from_utf8(body).expect("text"));
            }
            let mut stream = stream;
            match mood {
                Mood::There => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?,
                Mood::Away => {
                    let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer)?;
                }
                Mood::Refusing => {
                    let answer = b"HTTP/1.1 422 Unprocessable Content\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer)?;
                }
                Mood::Mute => return stream.shutdown(std::net::Shutdown::Both),
            }
        }
    }
}

impl Taken {
    fn take(&mut self, key: &str, body: &str) {
        let mut parts = key.rsplitn(3, '-');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let (Some(last), Some(first)) = (number(), number()) else {
            self.wrong.push(format!("a request with the key `{key}`"));
            return;
        };
        let stream = parts.next().unwrap_or_default();
        if self.stream.get_or_insert_with(|| stream.to_owned()) != stream {
            self.wrong.push(format!("another stream began: {key}"));
        }
        if body.lines().count() as u64 != last + 1 - first {
            self.wrong.push(format!("{} items under the key `{key}`", body.lines().count()));
        }
        for (number, item) in (first..).zip(body.lines()) {
            if number > self.known {
                self.known = number;
                self.items.insert(number, item.to_owned());
                continue;
            }
            self.repeated += 1;
            let before = self.items.get(&number).map(String::as_str);
            if before != Some(item) {
                self.wrong.push(format!("item {number} was {before:?} and is {item}"));
            }
        }
    }
}
