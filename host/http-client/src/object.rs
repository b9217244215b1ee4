//! An object behind HTTP as a source: range requests (RFC 9110, section 14), several at once.
//!
//! The server is not trusted: every answer has to be exactly the requested range, of the object
//! that was opened (strong entity tag, or the time of its last change, and its size). Requests that
//! fail with a transient error are repeated a few times; a body that was cut off is continued where
//! it ended.

use std::{
    fmt, io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use imprint_ports::BlockSource;
use ureq::http::{self, header};

use crate::{
    backoff::Backoff,
    body,
    client::{Answer, Client},
    error::HttpError,
    follow::{Follower, Target, location},
    options::{HttpOptions, Retries},
    web_address::shown_url,
};

/// The number of bytes that is worth a round trip.
const PREFERRED_READ: u64 = 4 << 20;
/// The most attempts to open an object: who typed a wrong address waits for them.
const OPENING: u32 = 5;
/// The time after which a pause looks whether it is over.
const STEP: Duration = Duration::from_millis(100);
/// The longest pause that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(120);
/// Bytes that make an attempt count as one that got on.
const PROGRESS: usize = 64 << 10;

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
    target: RwLock<Arc<Target>>,
    /// The address that a user gave: its redirects are followed.
    follower: Option<Follower>,
    authorise: Option<Arc<dyn Authorise>>,
    size: u64,
    preferred_read: u64,
    /// The version of the object that was opened.
    tag: Option<Tag>,
    changed: AtomicBool,
    retries: Retries,
}

const OTHER_RANGE: &str = "it is another range than was asked for";

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
    /// Requests the first byte, whose answer has the object's size, and returns the source.
    /// Redirects are followed. Blocks.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub fn open(options: &HttpOptions) -> Result<Self, HttpError> {
        let follower = Follower::new(options)?;
        Self::opened(follower.start()?, Some(follower), options.retries.clone())
    }

    /// Opens an object with the head of a request for all of it, like [`open`](Self::open), but
    /// without following redirects. Blocks.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub fn request(
        client: Arc<Client>,
        request: http::Request<()>,
        retries: Retries,
    ) -> Result<Self, HttpError> {
        Self::opened(Target { client, request, address: None, is_redirected: false }, None, retries)
    }

    fn opened(target: Target, follower: Option<Follower>, retries: Retries) -> Result<Self, HttpError> {
        let mut source = Self {
            target: RwLock::new(Arc::new(target)),
            follower,
            authorise: None,
            size: 0,
            preferred_read: PREFERRED_READ,
            tag: None,
            changed: AtomicBool::new(false),
            retries,
        };
        (source.size, source.tag) = source.retry(OPENING, || source.first_byte())?;
        Ok(source)
    }

    /// Returns an object that is known already. Nothing is sent.
    pub fn known(object: HttpObject) -> Self {
        let HttpObject { client, request, authorise, size, etag, preferred_read } = object;
        let preferred_read = if preferred_read == 0 { PREFERRED_READ } else { preferred_read };
        Self {
            target: RwLock::new(Arc::new(Target { client, request, address: None, is_redirected: false })),
            follower: None,
            authorise: Some(authorise),
            size,
            preferred_read,
            tag: etag.as_deref().and_then(strong).map(Tag::Entity),
            changed: AtomicBool::new(false),
            retries: Retries::default(),
        }
    }

    fn target(&self) -> Arc<Target> {
        self.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn first_byte(&self) -> Result<(u64, Option<Tag>), HttpError> {
        let (mut answer, target) = self.ask(0, 0)?;
        let (status, is_text) = (answer.status().as_u16(), is_page(answer.headers()));
        let head = answer.headers();
        match status {
            206 => {
                let range = content_range(head).ok_or(HttpError::Protocol { what: "it names no range" })?;
                if (range.first, range.last) != (0, 0) {
                    return Err(HttpError::Protocol { what: OTHER_RANGE });
                }
                refuse_encoded(head)?;
                let found = (range.size, tag(head));
                let mut first = [0];
                self.read_body(&mut answer, &target, &mut first, &mut 0)?;
                if is_text && first == *b"<" { Err(HttpError::Page) } else { Ok(found) }
            }
            200 if is_text => Err(HttpError::Page),
            200 => Err(HttpError::NoRanges),
            412 => Err(self.is_changed()),
            // RFC 9110, 15.5.17: an empty object has no first byte.
            416 if header_text(head, header::CONTENT_RANGE) == Some("bytes */0") => Ok((0, tag(head))),
            _ => Err(refused(&target, answer)),
        }
    }

    /// Asks for a range, and follows where the answer redirects to.
    fn ask(&self, first: u64, last: u64) -> Result<(Answer, Arc<Target>), HttpError> {
        let known = self.target();
        let mut target = known.clone();
        let mut answer = self.ask_at(&target, first, last)?;
        let Some(follower) = &self.follower else { return Ok((answer, target)) };
        // What a redirect leads to is often signed for a short time only.
        if target.is_redirected && matches!(answer.status().as_u16(), 400 | 401 | 403 | 404 | 410) {
            target = Arc::new(follower.start()?);
            answer = self.ask_at(&target, first, last)?;
        }
        let (answer, target) = follower.follow(target, answer, |target| self.ask_at(target, first, last))?;
        if !Arc::ptr_eq(&known, &target) && answer.status().is_success() {
            *self.target.write().unwrap_or_else(PoisonError::into_inner) = target.clone();
        }
        Ok((answer, target))
    }

    fn ask_at(&self, target: &Target, first: u64, last: u64) -> Result<Answer, HttpError> {
        let (mut head, ()) = target.request.clone().into_parts();
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
        target.client.send(http::Request::from_parts(head, &[]))
    }

    /// Reads a range; counts what has arrived in `filled`, also where an error ends it.
    fn read_range(&self, buf: &mut [u8], offset: u64, filled: &mut usize) -> Result<(), HttpError> {
        let last = offset + length(buf) - 1;
        let (mut answer, target) = self.ask(offset, last)?;
        match answer.status().as_u16() {
            206 => {}
            200 if is_page(answer.headers()) => return Err(HttpError::Page),
            200 => return Err(HttpError::NoRanges),
            412 | 416 | 404 | 410 => return Err(self.is_changed()),
            _ => return Err(refused(&target, answer)),
        }
        let head = answer.headers();
        let range = content_range(head).ok_or(HttpError::Protocol { what: "it names no range" })?;
        if range.size != self.size || (self.tag.is_some() && tag(head) != self.tag) {
            return Err(self.is_changed());
        }
        if (range.first, range.last) != (offset, last) {
            return Err(HttpError::Protocol { what: OTHER_RANGE });
        }
        refuse_encoded(head)?;
        let announced = header_text(head, header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        if announced.is_some_and(|announced: u64| announced != length(buf)) {
            return Err(HttpError::Protocol { what: "it has another length than was asked for" });
        }
        self.read_body(&mut answer, &target, buf, filled)
    }

    fn read_body(
        &self,
        answer: &mut Answer,
        target: &Target,
        buf: &mut [u8],
        filled: &mut usize,
    ) -> Result<(), HttpError> {
        body::fill(answer.body_mut(), buf, (target.host(), self.retries.pause), filled)
    }

    /// Repeats a request that failed with a transient error.
    fn retry<T>(&self, most: u32, mut request: impl FnMut() -> Result<T, HttpError>) -> Result<T, HttpError> {
        let mut backoff = Backoff::new(self.retries.attempts.min(most));
        loop {
            match request() {
                Err(error) => self.wait(&mut backoff, error)?,
                answer => return answer,
            }
        }
    }

    /// Waits for the next attempt after a transient error; returns the error where there is none.
    fn wait(&self, backoff: &mut Backoff, error: HttpError) -> Result<(), HttpError> {
        if !error.is_transient() {
            return Err(error);
        }
        let Some(pause) = backoff.pause(None) else { return Err(error) };
        let mut left = pause.max(asked(&error).min(LONGEST_ASKED));
        tracing::debug!(%error, "HTTP request failed; repeating it");
        while !left.is_zero() {
            if (self.retries.is_over)() {
                return Err(error);
            }
            let step = left.min(STEP);
            std::thread::sleep(step);
            left -= step;
        }
        Ok(())
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
        let mut backoff = Backoff::new(self.retries.attempts);
        let mut done = 0;
        while done < buf.len() {
            let mut arrived = 0;
            let (rest, at) = (&mut buf[done..], offset + length_of(done));
            let read = self.read_range(rest, at, &mut arrived);
            done += arrived;
            if let Err(error) = read {
                if arrived >= PROGRESS {
                    backoff = Backoff::new(self.retries.attempts);
                }
                self.wait(&mut backoff, error)?;
            }
        }
        Ok(())
    }

    fn unchanged(&self) -> io::Result<bool> {
        if self.changed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.retry(u32::MAX, || self.first_byte()) {
            Ok((size, tag)) => Ok(size == self.size && tag == self.tag),
            Err(HttpError::Changed) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the pause that an answer asks for.
fn asked(error: &HttpError) -> Duration {
    #[expect(clippy::wildcard_enum_match_arm, reason = "only an answer asks for anything")]
    match error {
        HttpError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

/// Returns the error for an answer that has no object: with what the server says about it, and with
/// where it redirects to.
pub(crate) fn refused(target: &Target, mut answer: Answer) -> HttpError {
    let to = location(&answer);
    #[expect(clippy::wildcard_enum_match_arm, reason = "it is the one that is made")]
    match HttpError::status(answer.status().as_u16(), &mut answer) {
        HttpError::Status { status, detail, retry_after } => {
            let detail = match &target.address {
                Some(address) => address.without_secrets(detail),
                None => detail,
            };
            let detail = to.map_or(detail, |to| format!(" (a redirect to {})", shown_url(&to)));
            HttpError::Status { status, detail, retry_after }
        }
        other => other,
    }
}

/// Whether an answer says that it is a page for a browser.
pub(crate) fn is_page(headers: &http::HeaderMap) -> bool {
    let kind = header_text(headers, header::CONTENT_TYPE).unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/html") || kind.starts_with("application/xhtml")
}

/// Refuses an answer that is compressed: its range counts other bytes than those of the object.
pub(crate) fn refuse_encoded(headers: &http::HeaderMap) -> Result<(), HttpError> {
    let how = header_text(headers, header::CONTENT_ENCODING).map(str::trim).unwrap_or_default();
    if how.is_empty() || how.eq_ignore_ascii_case("identity") {
        return Ok(());
    }
    Err(HttpError::Protocol { what: "it is compressed, which was not asked for" })
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
    length_of(buf.len())
}

fn length_of(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits in 64 bits")
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
