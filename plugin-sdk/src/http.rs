//! HTTP exchanges that a plugin describes and the host runs (`imprint:types/http-types`).

use crate::props::Props;

pub mod objects;

/// How the host signs a request. Secrets are named; their values never reach the plugin.
///
/// The schemes are those of the interface `imprint:host/http`: `none`, `headers`, `bearer`,
/// `basic`, `json-body`, `sigv4`, `sigv4-query`, `temp-url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The name of the scheme.
    pub scheme: String,
    /// The parameters that are not secret.
    pub params: Props,
    /// The names of secrets, by the parameters that they are for.
    pub secrets: Props,
}

impl Auth {
    /// Returns a scheme without parameters.
    pub fn new(scheme: &str) -> Self {
        Self { scheme: scheme.to_owned(), params: Props::new(), secrets: Props::new() }
    }

    /// Returns the scheme `none`: the request is sent as it is.
    pub fn none() -> Self {
        Self::new("none")
    }

    /// Adds a parameter.
    #[must_use]
    pub fn param(mut self, key: &str, value: &str) -> Self {
        self.params.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Permits the host to hand a signed address to clients, which then read the object without it:
    /// for the request of a read locator, where the operator says that clients reach the service.
    /// The host signs by that scheme, `sigv4-query` or `temp-url`, with the same parameters and
    /// secrets, for a time of its own. A host that knows no such addresses reads the object itself.
    #[must_use]
    pub fn client_scheme(self, scheme: &str) -> Self {
        self.param("client-scheme", scheme)
    }

    /// Adds a secret by its name.
    #[must_use]
    pub fn secret(mut self, key: &str, name: &str) -> Self {
        self.secrets.insert(key.to_owned(), name.to_owned());
        self
    }
}

/// The body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body.
    Empty,
    /// These bytes, at most 4 MiB.
    Inline(Vec<u8>),
    /// The bytes of the part that the host is moving.
    Payload,
}

/// A request that the host signs and sends.
///
/// ```
/// use imprint_plugin_sdk::http::{Auth, Request};
///
/// let request = Request::new("GET", "https://objects.example/images/a.qcow2")
///     .auth(Auth::new("bearer").secret("token", "api-token"))
///     .retry_on(&[500, 503])
///     .max_response(64 << 10);
/// assert_eq!((request.method.as_str(), request.retry_on.len()), ("GET", 2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method in upper case.
    pub method: String,
    /// The absolute URL, percent-encoded.
    pub url: String,
    /// The headers, with names in lower case.
    pub headers: Props,
    /// The headers that the host makes of the body, by name: `sha256-hex`, `sha256-b64`, `md5-hex`,
    /// `md5-b64`, `crc32c-b64`.
    pub computed: Props,
    /// How the request is signed.
    pub auth: Auth,
    /// The body.
    pub body: Body,
    /// The status codes that count as success; empty stands for 200 to 299.
    pub expect: Vec<u16>,
    /// The status codes after which the host repeats the request by itself.
    pub retry_on: Vec<u16>,
    /// The headers of the answer that the plugin gets, in lower case.
    pub capture: Vec<String>,
    /// The number of bytes of the answer's body that the plugin gets.
    pub max_response: u32,
}

impl Request {
    /// Returns a request without a body, that is not signed and whose answer is not looked into.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Props::new(),
            computed: Props::new(),
            auth: Auth::none(),
            body: Body::Empty,
            expect: Vec::new(),
            retry_on: Vec::new(),
            capture: Vec::new(),
            max_response: 0,
        }
    }

    /// Sets how the request is signed.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Adds a header; `name` is in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header that the host makes of the body; `name` is in lower case.
    #[must_use]
    pub fn computed(mut self, name: &str, compute: &str) -> Self {
        self.computed.insert(name.to_owned(), compute.to_owned());
        self
    }

    /// Sets the status codes that count as success.
    #[must_use]
    pub fn expect(mut self, status: &[u16]) -> Self {
        self.expect = status.to_vec();
        self
    }

    /// Sets the status codes after which the host repeats the request.
    #[must_use]
    pub fn retry_on(mut self, status: &[u16]) -> Self {
        self.retry_on = status.to_vec();
        self
    }

    /// Sets the headers of the answer that the plugin gets; names are in lower case.
    #[must_use]
    pub fn capture(mut self, names: &[&str]) -> Self {
        self.capture = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Sets how much of the answer's body the plugin gets, in bytes.
    #[must_use]
    pub fn max_response(mut self, bytes: u32) -> Self {
        self.max_response = bytes;
        self
    }

    /// Returns whether a status counts as success.
    pub fn expects(&self, status: u16) -> bool {
        if self.expect.is_empty() { (200..300).contains(&status) } else { self.expect.contains(&status) }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The captured headers, with names in lower case.
    pub headers: Props,
    /// The body, as far as it was requested.
    pub body: Vec<u8>,
}

/// Byte ranges of one HTTP object: the host adds the `range` header and sends the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSource {
    /// The request for the whole object.
    pub request: Request,
    /// The size of the object in bytes.
    pub size: u64,
    /// The strong entity tag, which the host sends as `if-match`: a torn read becomes an error, not
    /// corruption.
    pub etag: Option<String>,
    /// The number of requests that the server takes at once.
    pub max_parallel: u16,
    /// The number of bytes of one request that suits the server.
    pub preferred_chunk: u32,
    /// The number of seconds after which the locator must be asked for again; `None` when it does
    /// not end.
    pub valid_for_s: Option<u32>,
}

/// A credential that a server answers to a sign-in. The host keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The name by which later requests refer to the credential, as to a secret.
    pub name: String,
    /// The header of the answer that has it, in lower case.
    pub header: String,
    /// The number of seconds after which the host forgets it.
    pub valid_for_s: u32,
}
