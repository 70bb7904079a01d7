//! Requests and answers over the control socket.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use smollama_engine::control::{ControlError, ErrorKind, Lines};

use super::{Client, lines};
use crate::api::ErrorBody;
use crate::serve::{SOCKET_NAME, connect};

/// The largest answer that is read, in bytes: a status of ten thousand nodes has a tenth of it.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long an engine may take to begin an answer to a question. Changes take as long as they take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

impl Client {
    /// Asks, and reads the answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        let response = self.timed(path).await?;
        // Whoever asks whether all is well wants to know what is not.
        let not_ready =
            path == "/api/ready" && response.status() == StatusCode::SERVICE_UNAVAILABLE;
        if response.status().is_success() || not_ready {
            return read(response).await;
        }
        Err(no(response).await)
    }

    /// Tells, and reads the answer.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ControlError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ControlError::failed(format!("cannot write the request: {error}")))?;
        let response = self.send(Method::POST, path, body).await?;
        if response.status().is_success() { read(response).await } else { Err(no(response).await) }
    }

    /// Asks for lines.
    pub(super) async fn lines(&self, path: &str) -> Result<Lines, ControlError> {
        let response = self.timed(path).await?;
        if response.status().is_success() {
            Ok(lines::of(response.into_body()))
        } else {
            Err(no(response).await)
        }
    }

    async fn timed(&self, path: &str) -> Result<Response<Incoming>, ControlError> {
        let asked = self.send(Method::GET, path, Vec::new());
        tokio::time::timeout(ANSWER_TIME_MAX, asked).await.unwrap_or_else(|_| {
            let seconds = ANSWER_TIME_MAX.as_secs();
            Err(ControlError::failed(format!("the engine does not answer within {seconds} s")))
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, ControlError> {
        let stream = connect(&self.data_dir).await.map_err(|error| self.unreachable(&error))?;
        let server = stream.peer_cred().map_err(|error| self.unreachable(&error))?.uid();
        self.check_server(server)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| ControlError::bad_input(format!("`{path}`: {error}")))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // It ends with the answer, or with whoever reads it.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| broken(&error))
    }

    /// Whoever answers must be the owner of the data directory, or root: nobody else is told anything.
    fn check_server(&self, uid: u32) -> Result<(), ControlError> {
        let owner =
            std::fs::metadata(&self.data_dir).map_err(|error| self.unreachable(&error))?.uid();
        if uid == owner || uid == 0 {
            return Ok(());
        }
        let socket = self.data_dir.join(SOCKET_NAME);
        let message = format!("{} is served by uid {uid}, not by its owner", socket.display());
        Err(ControlError::new(ErrorKind::Denied, message))
    }

    fn unreachable(&self, error: &io::Error) -> ControlError {
        let data_dir = self.data_dir.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                let message = format!("no engine runs on {data_dir}");
                let help = "start one with `smollama run` or `smollama apply`, or name its data directory with `--data-dir`";
                ControlError::new(ErrorKind::Unreachable, message).help(help)
            }
            io::ErrorKind::PermissionDenied => {
                let message = format!("the engine on {data_dir} belongs to another user");
                let help = "run this as that user, or with sudo";
                ControlError::new(ErrorKind::Denied, message).help(help)
            }
            _ => ControlError::failed(format!("cannot reach the engine on {data_dir}: {error}")),
        }
    }
}

async fn read<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ControlError> {
    let bytes = bytes(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        ControlError::failed(format!("the engine's answer cannot be read: {error}"))
            .help("is it of another release than this command?")
    })
}

/// The no in an answer.
async fn no(response: Response<Incoming>) -> ControlError {
    let status = response.status();
    let body = bytes(response).await;
    let error = body.and_then(|bytes| {
        serde_json::from_slice::<ErrorBody>(&bytes)
            .map_err(|_| ControlError::failed(format!("the engine answered {status}")))
    });
    error.map_or_else(|error| error, |body| body.error)
}

async fn bytes(response: Response<Incoming>) -> Result<Bytes, ControlError> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body =
        body.map_err(|error| ControlError::failed(format!("the answer broke off: {error}")))?;
    Ok(body.to_bytes())
}

fn broken(error: &hyper::Error) -> ControlError {
    ControlError::failed(format!("the engine hung up: {error}"))
}
