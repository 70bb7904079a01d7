//! As much of an HTTP server as a test needs.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// What a client sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The value of a header; empty where it is not there.
    pub(super) fn header(&self, name: &str) -> String {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.clone()).unwrap_or_default();
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Status {
        code: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// Nothing, ever.
    Silence,
    /// Ends the connection.
    Close,
}

impl Reply {
    pub(super) fn status(code: u16) -> Reply {
        Reply::Status { code, headers: Vec::new(), body: String::new() }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Reply {
        if let Reply::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(super) fn body(mut self, text: &str) -> Reply {
        if let Reply::Status { body, .. } = &mut self {
            text.clone_into(body);
        }
        self
    }
}

type Judge = Box<dyn FnMut(&Request) -> Reply + Send>;

#[derive(Clone)]
pub(super) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<(Request, u16)>>>,
    judge: Arc<Mutex<Judge>>,
}

impl Server {
    pub(super) async fn new(judge: impl FnMut(&Request) -> Reply + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::silent(&listener, judge);
        let serving = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    /// One that is still to be given connections.
    pub(super) fn silent(
        listener: &TcpListener,
        judge: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> Server {
        let port = listener.local_addr().unwrap().port();
        Server { port, seen: Arc::default(), judge: Arc::new(Mutex::new(Box::new(judge))) }
    }

    pub(super) async fn always(code: u16) -> Server {
        Server::new(move |_| Reply::status(code)).await
    }

    /// These answers, and from then on 200.
    pub(super) async fn script(replies: impl IntoIterator<Item = Reply>) -> Server {
        let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
        Server::new(move |_| replies.next().unwrap_or(Reply::status(200))).await
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().iter().map(|(request, _)| request.clone()).collect()
    }

    /// The requests that were answered so.
    pub(super) fn answered(&self, code: u16) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        let so = seen.iter().filter(|(_, answer)| *answer == code);
        so.map(|(request, _)| request.clone()).collect()
    }

    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream).await {
            let reply = (self.judge.lock().unwrap())(&request);
            let code = if let Reply::Status { code, .. } = &reply { *code } else { 0 };
            self.seen.lock().unwrap().push((request, code));
            match reply {
                Reply::Close => return,
                Reply::Silence => std::future::pending().await,
                Reply::Status { code, headers, body } => {
                    // Who promises another length breaks off.
                    let torn = headers.iter().any(|(name, _)| name == "content-length");
                    let mut text = format!("HTTP/1.1 {code} Word\r\n");
                    if !torn {
                        text += &format!("content-length: {}\r\n", body.len());
                    }
                    headers
                        .iter()
                        .for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
                    text += &format!("\r\n{body}");
                    if stream.write_all(text.as_bytes()).await.is_err() || torn {
                        return;
                    }
                }
            }
        }
    }
}

async fn read(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.remove(0);
    let mut words = first.split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method: words.next()?, path: words.next()?, headers, body })
}
