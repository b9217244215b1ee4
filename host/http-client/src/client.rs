//! The client: requests with their answers, over connections that are kept.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    time::Duration,
};

use ureq::{
    Agent, Body, SendBody,
    config::Config,
    http::{
        HeaderMap, Request, Response,
        header::{CONTENT_LENGTH, DATE, RETRY_AFTER},
    },
    tls::TlsConfig,
    unversioned::transport::{Connector as _, DefaultConnector, TcpConnector},
};

use crate::{
    address::CheckedResolver,
    body,
    error::HttpError,
    pinned::{CertificateDigest, PinnedConnector},
    private_networks::PrivateNetworks,
    tls::{self, Authority},
};

/// The number of bytes of an answer that are shown with its status.
const SHOWN: u64 = 300;
/// The longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest time until the head of an answer has arrived.
const ANSWER: Duration = Duration::from_secs(60);
/// The longest pause within a body, in either direction.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);
/// The number of connections that are kept for one server.
pub const MAX_IDLE: usize = 16;

/// The answer to a request: its head, and its body as a stream.
pub type Answer = Response<Body>;

/// How servers are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientOptions {
    /// The private networks that may be connected to.
    pub private_networks: PrivateNetworks,
    /// Whether servers with `https://` are reached: the system's authorities are read then.
    pub tls: bool,
    /// The authorities that are trusted to certify servers with `https://`, in addition to those of
    /// the system.
    pub authorities: Vec<Authority>,
    /// The SHA-256 of the one certificate that is accepted with `https://`, whatever its names and
    /// its authority. Then neither the system's authorities nor the added ones count.
    pub pinned: Option<CertificateDigest>,
}

impl ClientOptions {
    /// Returns the options for the one server with that certificate, which may be in a private
    /// network.
    pub fn pinned(certificate: CertificateDigest) -> Self {
        let private_networks = PrivateNetworks::All;
        Self { private_networks, tls: true, authorities: Vec::new(), pinned: Some(certificate) }
    }
}

/// A client that several threads can use: connections are kept and reused.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
}

impl Client {
    /// Returns a client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`HttpError::NoAuthorities`] where there are none for `https://`.
    pub fn new(options: &ClientOptions) -> Result<Self, HttpError> {
        Self::with_pause(options, PAUSE)
    }

    /// As [`new`](Self::new), with the longest pause within a body.
    pub(crate) fn with_pause(options: &ClientOptions, pause: Duration) -> Result<Self, HttpError> {
        let tls = if options.tls && options.pinned.is_none() {
            tls::config(&options.authorities)?
        } else {
            TlsConfig::default()
        };
        let config = Config::builder()
            .tls_config(tls)
            .max_redirects(0)
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("imprint/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .max_idle_connections(MAX_IDLE)
            .max_idle_connections_per_host(MAX_IDLE)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(pause))
            .timeout_per_write(Some(pause))
            .allow_non_standard_methods(true)
            .build();
        let resolver = CheckedResolver::new(options.private_networks.clone());
        let agent = match options.pinned {
            None => Agent::with_parts(config, DefaultConnector::new(), resolver),
            Some(digest) => {
                let connector = TcpConnector::default().chain(PinnedConnector::new(digest)?);
                Agent::with_parts(config, connector, resolver)
            }
        };
        Ok(Self { agent })
    }

    /// Sends a request with all of its body, and returns the answer, whatever its status. The
    /// length of the body is sent. Blocks.
    ///
    /// # Errors
    ///
    /// [`HttpError`] where the server cannot be reached, is not the right one, or breaks the
    /// protocol.
    pub fn send(&self, request: Request<&[u8]>) -> Result<Answer, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let sent = if request.body().is_empty() && !takes_body(request.method().as_str()) {
            let (head, _) = request.into_parts();
            self.agent.run(Request::from_parts(head, ()))
        } else {
            self.agent.run(request)
        };
        sent.map_err(|error| HttpError::of(&host, error))
    }

    /// Sends a request with the first `length` bytes of a file, and returns the answer, whatever
    /// its status. Blocks.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_file(&self, request: Request<()>, file: &File, length: u64) -> Result<Answer, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let (mut head, ()) = request.into_parts();
        head.headers.insert(CONTENT_LENGTH, length.into());
        let mut body = FileBody { file, at: 0, end: length };
        let sent = self.agent.run(Request::from_parts(head, SendBody::from_reader(&mut body)));
        sent.map_err(|error| HttpError::of(&host, error))
    }
}

impl Client {
    /// Sends a request with what a reader returns until its end, and returns the answer, whatever
    /// its status. Blocks.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and where the reader fails.
    pub fn send_stream(&self, request: Request<()>, body: &mut dyn io::Read) -> Result<Answer, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let (head, ()) = request.into_parts();
        let sent = self.agent.run(Request::from_parts(head, SendBody::from_reader(body)));
        sent.map_err(|error| HttpError::of(&host, error))
    }
}

impl Client {
    /// Sends a request, and returns the status of the answer with all of its body. Blocks.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`HttpError::Protocol`] for a body of more than `most` bytes, and
    /// [`HttpError::Stalled`] for one that arrives too slowly.
    pub fn send_for_text(&self, request: Request<&[u8]>, most: usize) -> Result<(u16, Vec<u8>), HttpError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let mut answer = self.send(request)?;
        let mut text = Vec::new();
        let took = body::drain(answer.body_mut(), (&host, PAUSE), |piece| {
            if text.len() + piece.len() > most {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            text.extend_from_slice(piece);
            Ok(())
        });
        match took {
            Ok(()) => Ok((answer.status().as_u16(), text)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(HttpError::Protocol { what: "it is longer than what was asked for can be" })
            }
            Err(error) => match error.downcast() {
                Ok(error) => Err(error),
                Err(error) => Err(HttpError::Connect { host, why: error.to_string() }),
            },
        }
    }
}

/// A range of a file as the body of a request.
struct FileBody<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl io::Read for FileBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buf.len());
        let read = self.file.read_at(&mut buf[..left], self.at)?;
        self.at += u64::try_from(read).map_err(io::Error::other)?;
        Ok(read)
    }
}

fn takes_body(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

impl HttpError {
    /// Returns the error for a request that failed without an answer.
    pub(crate) fn of(host: &str, error: ureq::Error) -> Self {
        if let Some(error) = tls::tls_error(host, &error) {
            return error;
        }
        let why = error.to_string();
        let connect = || Self::Connect { host: host.to_owned(), why };
        #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum, and it may grow")]
        match error {
            ureq::Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(error) => *error,
                Err(_) => connect(),
            },
            _ => connect(),
        }
    }

    /// Returns the error for an answer with an unexpected status; reads the beginning of its body.
    pub(crate) fn status(status: u16, answer: &mut Answer) -> Self {
        let mut body = Vec::new();
        // What cannot be read adds nothing to the status.
        let _ = answer.body_mut().as_reader().take(SHOWN).read_to_end(&mut body);
        let text: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).collect();
        let text = text.trim();
        let detail = if text.is_empty() { String::new() } else { format!(" ({text})") };
        Self::Status { status, detail, retry_after: retry_after(answer.headers()) }
    }
}

/// Returns the pause that a server asks for (RFC 9110, 10.2.3): in seconds, or until a time. Times
/// are compared with the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = |text| httpdate::parse_http_date(text).ok();
    time(asked)?.duration_since(time(text(DATE)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_time() {
        let asked = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, ureq::http::HeaderValue::from_static(value));
            let now = ureq::http::HeaderValue::from_static("Fri, 31 Dec 1999 23:59:50 GMT");
            headers.insert(DATE, now);
            retry_after(&headers)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sat, 01 Jan 2000 00:00:00 GMT"), Some(Duration::from_secs(10)));
        for other in ["Fri, 31 Dec 1999 23:59:49 GMT", "-1", "soon", ""] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
