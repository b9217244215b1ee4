//! A request as a plugin described it, checked: what the host completes, signs and sends.

use imprint_http_client::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use imprint_ports::Props;

use super::{
    error::NetError,
    scheme::{Compute, Scheme},
};
use crate::bindings::host::imprint::types::http_types as wit;

/// The longest URL, in bytes.
const MAX_URL: usize = 8 << 10;
/// The most headers, status codes and captured headers.
const MAX_LIST: usize = 64;
/// The longest value of a header, in bytes.
const MAX_VALUE: usize = 8 << 10;
/// The longest body that a plugin gives, and the most of an answer that it gets, in bytes.
const MAX_BODY: usize = 4 << 20;
const MAX_ANSWER: usize = 1 << 20;

/// The headers that the host sets.
const OWN_HEADERS: [HeaderName; 5] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, AUTHORIZATION];

/// The body that a plugin described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemplateBody {
    /// These bytes, or none.
    Inline(Vec<u8>),
    /// Those of a part.
    Payload,
}

/// A checked description.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    headers: HeaderMap,
    pub(super) computed: Vec<(HeaderName, Compute)>,
    pub(super) scheme: Scheme,
    pub(crate) params: Props,
    pub(crate) secrets: Props,
    expect: Vec<u16>,
    retry_on: Vec<u16>,
    pub(crate) capture: Vec<HeaderName>,
    pub(crate) max_response: usize,
}

fn invalid(why: impl Into<String>) -> NetError {
    NetError::Request(why.into())
}

fn header_name(name: &str) -> Result<HeaderName, NetError> {
    let name: HeaderName = name.parse().map_err(|_| invalid(format!("{name:?} is no name of a header")))?;
    if OWN_HEADERS.contains(&name) {
        return Err(invalid(format!("the header {name} is the host's")));
    }
    Ok(name)
}

/// Returns a header's value; one that is secret is not shown by anything that prints headers.
pub(super) fn header_value(name: &HeaderName, value: &str, secret: bool) -> Result<HeaderValue, NetError> {
    let parsed = if value.len() > MAX_VALUE { None } else { HeaderValue::from_str(value).ok() };
    let mut parsed =
        parsed.ok_or_else(|| invalid(format!("the value of the header {name} cannot be sent")))?;
    parsed.set_sensitive(secret);
    Ok(parsed)
}

impl Template {
    /// Checks a description. Where it leads is checked when it is sent.
    pub(crate) fn parse(request: wit::Request) -> Result<(Self, TemplateBody), NetError> {
        let method: Method =
            request.method.parse().map_err(|_| invalid("its method is no method of HTTP"))?;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(invalid(format!("the method {method} is not for plugins")));
        }
        if request.url.len() > MAX_URL {
            return Err(invalid(format!("its URL is longer than {MAX_URL} bytes")));
        }
        let uri: Uri = request.url.parse().map_err(|_| invalid("its URL is not valid"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if !matches!(scheme, "http" | "https") || uri.host().is_none() || user {
            return Err(invalid("its URL is not absolute with http or https, or has a user name"));
        }
        let lists = [request.headers.len(), request.computed.len(), request.expect.len()];
        let more = [request.retry_on.len(), request.capture.len(), request.auth.params.len()];
        if lists.iter().chain(&more).any(|length| *length > MAX_LIST) || request.auth.secrets.len() > MAX_LIST
        {
            return Err(invalid(format!("it has a list with more than {MAX_LIST} entries")));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = header_name(name)?;
            let value = header_value(&name, value, false)?;
            headers.insert(name, value);
        }
        let mut computed = Vec::new();
        for header in &request.computed {
            computed.push((header_name(&header.name)?, Compute::parse(&header.compute)?));
        }
        let capture = request.capture.iter().map(|name| {
            name.parse::<HeaderName>().map_err(|_| invalid(format!("{name:?} is no name of a header")))
        });
        let body = match request.body {
            wit::Body::Empty => TemplateBody::Inline(Vec::new()),
            wit::Body::Inline(bytes) if bytes.len() > MAX_BODY => {
                return Err(NetError::BodyTooLong(MAX_BODY));
            }
            wit::Body::Inline(bytes) => TemplateBody::Inline(bytes),
            wit::Body::Payload => TemplateBody::Payload,
        };
        let template = Self {
            method,
            uri,
            headers,
            computed,
            scheme: Scheme::parse(&request.auth.scheme)?,
            params: request.auth.params.into_iter().collect(),
            secrets: request.auth.secrets.into_iter().collect(),
            expect: request.expect,
            retry_on: request.retry_on,
            capture: capture.collect::<Result<_, _>>()?,
            max_response: usize::try_from(request.max_response)
                .map_or(MAX_ANSWER, |most| most.min(MAX_ANSWER)),
        };
        Ok((template, body))
    }

    /// Returns whether a status counts as success.
    pub(crate) fn expects(&self, status: u16) -> bool {
        if self.expect.is_empty() { (200..300).contains(&status) } else { self.expect.contains(&status) }
    }

    /// Returns whether the request may be repeated after that status.
    pub(crate) fn repeats(&self, status: u16) -> bool {
        self.retry_on.contains(&status)
    }

    /// Returns whether the request says more than its method and its URL.
    pub(super) fn has_headers(&self) -> bool {
        !self.headers.is_empty() || !self.computed.is_empty()
    }

    /// Returns the head of a request that is not signed yet, to the template's address.
    pub(crate) fn head(&self) -> Result<Request<()>, NetError> {
        let mut request = Request::builder().method(self.method.clone()).uri(self.uri.clone()).body(());
        if let Ok(request) = &mut request {
            *request.headers_mut() = self.headers.clone();
        }
        request.map_err(|error| invalid(error.to_string()))
    }

    /// Returns the secrets whose refusal by the server ends a session: the names that the scheme
    /// uses.
    pub(crate) fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secrets.values().map(String::as_str)
    }

    /// Returns the scheme's name.
    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme.as_str()
    }
}
