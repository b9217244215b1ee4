//! An object behind HTTP as a source: range requests (RFC 9110, section 14), several at once.
//!
//! The server is not trusted: every answer has to be exactly the requested range, of the object
//! that was opened (strong entity tag, or the time of its last change, and its size). Requests that
//! fail with a transient error are repeated a few times.

use std::{
    fmt,
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use imprint_ports::BlockSource;
use ureq::http::{self, Uri, header};

use crate::{
    backoff::Backoff,
    client::{Answer, Client, ClientOptions},
    error::HttpError,
    tls::Authority,
};

/// The number of bytes that is worth a round trip.
const PREFERRED_READ: u64 = 4 << 20;
/// The number of attempts for a request.
const ATTEMPTS: u32 = 5;
/// The time after which a pause looks whether it is over.
const STEP: Duration = Duration::from_millis(100);

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

/// How long transient failures of a server are borne.
#[derive(Clone)]
pub struct Retries {
    /// The number of attempts for a request.
    pub attempts: u32,
    /// Asked at least ten times a second while a request waits for its next attempt: whether to
    /// give up at once.
    pub is_over: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: ATTEMPTS, is_over: Arc::new(|| false) }
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

/// Completes the head of a request before it is sent: signs it.
pub trait Authorise: fmt::Debug + Send + Sync {
    /// Adds what the server needs to accept the request, which has no body.
    ///
    /// # Errors
    ///
    /// [`HttpError::Authorise`] where the request cannot be signed.
    fn authorise(&self, request: &mut http::request::Parts) -> Result<(), HttpError>;
}

/// An object whose address, size and version are known.
#[derive(Clone, Debug)]
pub struct HttpObject {
    /// The client that reaches it.
    pub client: Arc<Client>,
    /// The head of a request for the whole object.
    pub request: http::Request<()>,
    /// What signs requests.
    pub authorise: Arc<dyn Authorise>,
    /// The size in bytes.
    pub size: u64,
    /// The strong entity tag, where there is one.
    pub etag: Option<String>,
    /// The number of bytes of one request that suits the server; 0 for the default.
    pub preferred_read: u64,
}

/// An HTTP object that several threads can read.
#[derive(Debug)]
pub struct HttpSource {
    client: Arc<Client>,
    request: http::Request<()>,
    authorise: Option<Arc<dyn Authorise>>,
    size: u64,
    preferred_read: u64,
    /// The version of the object that was opened.
    tag: Option<Tag>,
    changed: AtomicBool,
    retries: Retries,
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
        uri.host().ok_or_else(bad)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(bad()),
        };
        let options = ClientOptions {
            private_networks: options.private_networks,
            tls,
            authorities: options.authorities.clone(),
            pinned: None,
        };
        let request = http::Request::get(uri).body(()).map_err(|_| bad())?;
        Self::request(Arc::new(Client::new(&options)?), request, Retries::default())
    }

    /// Opens an object with the head of a request for all of it, like [`open`](Self::open). Blocks.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub fn request(
        client: Arc<Client>,
        request: http::Request<()>,
        retries: Retries,
    ) -> Result<Self, HttpError> {
        let mut source = Self {
            client,
            request,
            authorise: None,
            size: 0,
            preferred_read: PREFERRED_READ,
            tag: None,
            changed: AtomicBool::new(false),
            retries,
        };
        (source.size, source.tag) = source.retry(|| source.first_byte())?;
        Ok(source)
    }

    /// Returns an object that is known already. Nothing is sent.
    pub fn known(object: HttpObject) -> Self {
        let HttpObject { client, request, authorise, size, etag, preferred_read } = object;
        let preferred_read = if preferred_read == 0 { PREFERRED_READ } else { preferred_read };
        Self {
            client,
            request,
            authorise: Some(authorise),
            size,
            preferred_read,
            tag: etag.as_deref().and_then(strong).map(Tag::Entity),
            changed: AtomicBool::new(false),
            retries: Retries::default(),
        }
    }

    fn host(&self) -> &str {
        self.request.uri().host().unwrap_or_default()
    }

    fn first_byte(&self) -> Result<(u64, Option<Tag>), HttpError> {
        let mut answer = self.ask(0, 0)?;
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
            status => Err(HttpError::status(status, &mut answer)),
        }
    }

    fn ask(&self, first: u64, last: u64) -> Result<Answer, HttpError> {
        let (mut head, ()) = self.request.clone().into_parts();
        let mut set = |name: header::HeaderName, value: &str| {
            let value = http::HeaderValue::from_str(value);
            value
                .map(|value| head.headers.insert(name, value))
                .map_err(|_| HttpError::Protocol { what: "its entity tag is no text" })
        };
        set(header::RANGE, &format!("bytes={first}-{last}"))?;
        match &self.tag {
            Some(Tag::Entity(tag)) => set(header::IF_MATCH, tag)?,
            Some(Tag::Modified(date)) => set(header::IF_UNMODIFIED_SINCE, date)?,
            None => None,
        };
        if let Some(authorise) = &self.authorise {
            authorise.authorise(&mut head)?;
        }
        self.client.send(http::Request::from_parts(head, &[]))
    }

    fn read_range(&self, buf: &mut [u8], offset: u64) -> Result<(), HttpError> {
        let last = offset + length(buf) - 1;
        let mut answer = self.ask(offset, last)?;
        match answer.status().as_u16() {
            206 => {}
            200 => return Err(HttpError::NoRanges),
            412 | 416 | 404 | 410 => return Err(self.is_changed()),
            status => return Err(HttpError::status(status, &mut answer)),
        }
        let range =
            content_range(answer.headers()).ok_or(HttpError::Protocol { what: "it names no range" })?;
        if range.size != self.size || (self.tag.is_some() && tag(answer.headers()) != self.tag) {
            return Err(self.is_changed());
        }
        if (range.first, range.last) != (offset, last) {
            return Err(HttpError::Protocol { what: "it is another range than was asked for" });
        }
        let announced =
            header_text(answer.headers(), header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let mut body = answer.body_mut().as_reader();
        body.read_exact(buf).map_err(|error| {
            let cut_off = error.kind() == io::ErrorKind::UnexpectedEof;
            if cut_off && announced != Some(length(buf)) {
                return HttpError::Protocol { what: "it is shorter than it says" };
            }
            let why = if cut_off {
                // What the server announced was longer.
                "the connection ended in the middle of an answer".to_owned()
            } else {
                error.to_string()
            };
            HttpError::Connect { host: self.host().to_owned(), why }
        })?;
        // The body is complete, so the connection can be reused.
        match body.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(HttpError::Protocol { what: "it is longer than was asked for" }),
            Err(error) => Err(HttpError::Connect { host: self.host().to_owned(), why: error.to_string() }),
        }
    }

    /// Repeats a request that failed with a transient error.
    fn retry<T>(&self, mut request: impl FnMut() -> Result<T, HttpError>) -> Result<T, HttpError> {
        let mut backoff = Backoff::new(self.retries.attempts);
        loop {
            let error = match request() {
                Err(error) if error.is_transient() => error,
                answer => return answer,
            };
            let Some(mut left) = backoff.pause(None) else { return Err(error) };
            tracing::debug!(%error, "HTTP request failed; repeating it");
            while !left.is_zero() {
                if (self.retries.is_over)() {
                    return Err(error);
                }
                let step = left.min(STEP);
                std::thread::sleep(step);
                left -= step;
            }
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
        self.preferred_read
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(length(buf)).filter(|end| *end <= self.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if buf.is_empty() {
            return Ok(());
        }
        Ok(self.retry(|| self.read_range(buf, offset))?)
    }

    fn unchanged(&self) -> io::Result<bool> {
        if self.changed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        Ok(self.retry(|| self.first_byte()).map(|(size, tag)| size == self.size && tag == self.tag)?)
    }
}

fn header_text(headers: &http::HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the object's version. Weak tags (RFC 9110, 8.8.3) do not promise the same bytes.
fn tag(headers: &http::HeaderMap) -> Option<Tag> {
    let modified = || header_text(headers, header::LAST_MODIFIED);
    header_text(headers, header::ETAG)
        .and_then(strong)
        .map(Tag::Entity)
        .or_else(|| modified().map(|date| Tag::Modified(date.to_owned())))
}

/// Returns a strong entity tag. OpenStack Swift leaves the quotation marks of most tags out.
fn strong(tag: &str) -> Option<String> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match tag {
        quoted if quoted.starts_with('"') => Some(quoted.to_owned()),
        bare if plain(bare) => Some(format!("\"{bare}\"")),
        _ => None,
    }
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

fn length(buf: &[u8]) -> u64 {
    u64::try_from(buf.len()).expect("a length fits in 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_tags_are_versions_and_marks_may_be_left_out() {
        let version = |tag_text: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(header::ETAG, tag_text.parse().unwrap());
            headers.insert(header::LAST_MODIFIED, http::HeaderValue::from_static("then"));
            tag(&headers)
        };
        let entity = Some(Tag::Entity("\"5d41402a\"".to_owned()));
        assert_eq!(version("\"5d41402a\""), entity);
        assert_eq!(version("5d41402a"), entity);
        for weak in ["W/\"5d41402a\"", "", "a b"] {
            assert_eq!(version(weak), Some(Tag::Modified("then".to_owned())), "{weak}");
        }
    }
}
