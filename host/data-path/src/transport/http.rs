//! An object behind HTTP as a source: range requests (RFC 9110, section 14), several at once.
//!
//! The server is not trusted: every answer has to be exactly the requested range, of the object
//! that was opened (strong entity tag, or the time of its last change, and its size). Redirects are
//! not followed. A name is resolved once and its addresses are kept, so that the checked addresses
//! are the ones that are connected to; addresses of private networks are refused unless the caller
//! allows them. Requests that fail with a transient error are repeated a few times.
//!
//! With `https://` the server has to present a certificate for its name from an authority of the
//! system, or from one that the caller adds.

mod error;
mod tls;

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use imprint_ports::BlockSource;
use ureq::{
    Agent,
    config::Config,
    http::{self, Uri, header},
    tls::TlsConfig,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use crate::util::num::to_u64;

pub use error::{CertificateProblem, HttpError};
pub use tls::Authority;

/// The number of bytes that is worth a round trip.
const PREFERRED_READ: u64 = 4 << 20;
/// The longest time to connect, and the longest time until the head of an answer has arrived; a
/// body gets as long again for each MiB.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// The number of attempts for a request, and the pause before the second one; it doubles before
/// each further one.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// The largest number of addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// How to reach an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// The address: `http://host[:port]/path`, or the same with `https`.
    pub url: String,
    /// Whether addresses of this machine and of private networks may be connected to.
    pub private_networks: bool,
    /// The authorities that are trusted to certify servers with `https://`, in addition to those of
    /// the system.
    pub authorities: Vec<Authority>,
}

/// An HTTP object that several threads can read: connections are kept and reused.
#[derive(Debug)]
pub struct HttpSource {
    agent: Agent,
    url: String,
    host: String,
    size: u64,
    /// The version of the object that was opened.
    tag: Option<Tag>,
    changed: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tag {
    /// The object's strong entity tag.
    Entity(String),
    /// The time of the object's last change.
    Modified(String),
}

/// The range of the object that an answer contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    size: u64,
}

impl HttpSource {
    /// Requests the first byte, whose answer has the object's size, and returns the source. Blocks.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub fn open(options: &HttpOptions) -> Result<Self, HttpError> {
        let shown: String = options.url.chars().filter(|c| !c.is_control()).take(200).collect();
        let bad = || HttpError::Url { url: shown.clone() };
        let uri: Uri = options.url.parse().map_err(|_| bad())?;
        let host = uri.host().ok_or_else(bad)?.to_owned();
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, TlsConfig::default()),
            Some("https") => (443, tls::config(&options.authorities)?),
            Some(_) | None => return Err(bad()),
        };
        let addresses = resolve(&host, uri.port_u16().unwrap_or(port), options.private_networks)?;
        let config = Config::builder()
            .tls_config(tls)
            .max_redirects(0)
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("imprint/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::new(), Pinned(addresses));
        let mut source = Self {
            agent,
            url: options.url.clone(),
            host,
            size: 0,
            tag: None,
            changed: AtomicBool::new(false),
        };
        (source.size, source.tag) = retry(|| source.first_byte())?;
        Ok(source)
    }

    fn first_byte(&self) -> Result<(u64, Option<Tag>), HttpError> {
        let answer = self.ask(0, 0)?;
        let head = answer.headers();
        match answer.status().as_u16() {
            206 => {
                let range = content_range(head).ok_or(HttpError::Protocol { what: "it names no range" })?;
                match (range.first, range.last) {
                    (0, 0) => Ok((range.size, tag(head))),
                    _ => Err(HttpError::Protocol { what: "it is another range than was asked for" }),
                }
            }
            200 => Err(HttpError::NoRanges),
            // RFC 9110, 15.5.17: an empty object has no first byte.
            416 if header_text(head, header::CONTENT_RANGE) == Some("bytes */0") => Ok((0, tag(head))),
            status => Err(HttpError::Status { status }),
        }
    }

    fn ask(&self, first: u64, last: u64) -> Result<http::Response<ureq::Body>, HttpError> {
        let request = self.agent.get(&self.url).header(header::RANGE, format!("bytes={first}-{last}"));
        let request = match &self.tag {
            Some(Tag::Entity(tag)) => request.header(header::IF_MATCH, tag),
            Some(Tag::Modified(date)) => request.header(header::IF_UNMODIFIED_SINCE, date),
            None => request,
        };
        request.call().map_err(|error| {
            tls::tls_error(&self.host, &error)
                .unwrap_or_else(|| HttpError::Connect { host: self.host.clone(), why: error.to_string() })
        })
    }

    fn read_range(&self, buf: &mut [u8], offset: u64) -> Result<(), HttpError> {
        let last = offset + to_u64(buf.len()) - 1;
        let mut answer = self.ask(offset, last)?;
        match answer.status().as_u16() {
            206 => {}
            200 => return Err(HttpError::NoRanges),
            412 | 416 | 404 | 410 => return Err(self.is_changed()),
            status => return Err(HttpError::Status { status }),
        }
        let range =
            content_range(answer.headers()).ok_or(HttpError::Protocol { what: "it names no range" })?;
        if range.size != self.size || (self.tag.is_some() && tag(answer.headers()) != self.tag) {
            return Err(self.is_changed());
        }
        if (range.first, range.last) != (offset, last) {
            return Err(HttpError::Protocol { what: "it is another range than was asked for" });
        }
        let mut body = answer.body_mut().as_reader();
        body.read_exact(buf).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                HttpError::Protocol { what: "it is shorter than it says" }
            } else {
                HttpError::Connect { host: self.host.clone(), why: error.to_string() }
            }
        })?;
        // The body is complete, so the connection can be reused.
        match body.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(HttpError::Protocol { what: "it is longer than was asked for" }),
            Err(error) => Err(HttpError::Connect { host: self.host.clone(), why: error.to_string() }),
        }
    }

    fn is_changed(&self) -> HttpError {
        self.changed.store(true, Ordering::Relaxed);
        HttpError::Changed
    }
}

impl BlockSource for HttpSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn preferred_read(&self) -> u64 {
        PREFERRED_READ
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(to_u64(buf.len())).filter(|end| *end <= self.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if buf.is_empty() {
            return Ok(());
        }
        Ok(retry(|| self.read_range(buf, offset))?)
    }

    fn unchanged(&self) -> io::Result<bool> {
        if self.changed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        Ok(retry(|| self.first_byte()).map(|(size, tag)| size == self.size && tag == self.tag)?)
    }
}

/// Repeats a request that failed with a transient error.
fn retry<T>(mut request: impl FnMut() -> Result<T, HttpError>) -> Result<T, HttpError> {
    let mut attempt = 1;
    loop {
        match request() {
            Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                tracing::debug!(%error, attempt, "HTTP request failed; repeating it");
                std::thread::sleep(PAUSE * (1 << (attempt - 1)));
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

fn header_text(headers: &http::HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the object's version. Weak tags (RFC 9110, 8.8.3) do not promise the same bytes.
fn tag(headers: &http::HeaderMap) -> Option<Tag> {
    let entity = header_text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
    let modified = || header_text(headers, header::LAST_MODIFIED);
    entity
        .map(|tag| Tag::Entity(tag.to_owned()))
        .or_else(|| modified().map(|date| Tag::Modified(date.to_owned())))
}

/// Parses `bytes FIRST-LAST/SIZE` (RFC 9110, 14.4).
fn content_range(headers: &http::HeaderMap) -> Option<ContentRange> {
    let text = header_text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?;
    let (range, size) = text.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let range =
        ContentRange { first: first.parse().ok()?, last: last.parse().ok()?, size: size.parse().ok()? };
    (range.first <= range.last && range.last < range.size).then_some(range)
}

/// The addresses of a name, resolved once.
#[derive(Clone, Debug)]
struct Pinned(Vec<SocketAddr>);

impl Resolver for Pinned {
    fn resolve(
        &self,
        _uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        self.0.iter().take(MAX_ADDRESSES).for_each(|address| addresses.push(*address));
        Ok(addresses)
    }
}

fn resolve(host: &str, port: u16, private_networks: bool) -> Result<Vec<SocketAddr>, HttpError> {
    let failed = |why: String| HttpError::Connect { host: host.to_owned(), why };
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<_> = (name, port).to_socket_addrs().map_err(|error| failed(error.to_string()))?.collect();
    if found.is_empty() {
        return Err(failed("its name has no address".to_owned()));
    }
    // One forbidden address refuses the name: which of them would be connected to is not decided
    // here.
    match found.iter().find(|address| !private_networks && is_private(address.ip())) {
        Some(address) => Err(HttpError::PrivateNetwork { host: host.to_owned(), address: address.ip() }),
        None => Ok(found),
    }
}

/// Returns whether an address is anything but one of the public internet (RFC 6890).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                // Shared address space (RFC 6598), benchmarks (RFC 2544), reserved.
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || a >= 240
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    // NAT64 leads to IPv4 addresses that were not checked.
                    || v6.segments()[..2] == [0x64, 0xff9b]
            }
        },
    }
}

#[cfg(test)]
mod tests;
