//! As much of an HTTP server as a test needs.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// What a client sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> String {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.clone()).unwrap_or_default();
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
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
    pub(crate) fn status(code: u16) -> Reply {
        Reply::Status { code, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Reply {
        if let Reply::Status { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn body(mut self, text: &str) -> Reply {
        if let Reply::Status { body, .. } = &mut self {
            text.clone_into(body);
        }
        self
    }
}

type Judge = Box<dyn FnMut(&Request) -> Reply + Send>;

#[derive(Clone)]
pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<(Request, u16)>>>,
    judge: Arc<Mutex<Judge>>,
}

impl Server {
    pub(crate) async fn new(judge: impl FnMut(&Request) -> Reply + Send + 'static) -> Server {
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
    fn silent(
        listener: &TcpListener,
        judge: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> Server {
        let port = listener.local_addr().unwrap().port();
        Server { port, seen: Arc::default(), judge: Arc::new(Mutex::new(Box::new(judge))) }
    }

    pub(crate) async fn always(code: u16) -> Server {
        Server::new(move |_| Reply::status(code)).await
    }

    /// These answers, and from then on 200.
    pub(crate) async fn script(replies: impl IntoIterator<Item = Reply>) -> Server {
        let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
        Server::new(move |_| replies.next().unwrap_or(Reply::status(200))).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().iter().map(|(request, _)| request.clone()).collect()
    }

    /// The requests that were answered so.
    pub(crate) fn answered(&self, code: u16) -> Vec<Request> {
        let seen = self.seen.lock().unwrap();
        let so = seen.iter().filter(|(_, answer)| *answer == code);
        so.map(|(request, _)| request.clone()).collect()
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
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

/// A server with a certificate for `localhost`, whose authority is written to a file.
pub(crate) async fn trusted(
    ca: &Path,
    judge: impl FnMut(&Request) -> Reply + Send + 'static,
) -> Server {
    crate::io::tls::install_provider();
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).unwrap();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = params.signed_by(&key, &issuer).unwrap();
    let private = PrivatePkcs8KeyDer::from(key.serialize_der());
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], private.into())
        .unwrap();
    std::fs::write(ca, root.pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::silent(&listener, judge);
    let (acceptor, serving) = (TlsAcceptor::from(Arc::new(tls)), server.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serving.clone().serve(stream));
            }
        }
    });
    server
}
