//! The shapes that every kind of plugin shares.

use crate::{
    bindings::host::imprint::types::{http_types as wit_http, locators as wit_locators, types as wit},
    error::{Error, ErrorClass},
    http::{Auth, Body, HttpSource, Request, Response},
    types::{ByteRange, Codec, Digest, FileRef, NbdRef, Props, ReadLocator},
};

pub(crate) fn props_in(pairs: Vec<(String, String)>) -> Props {
    pairs.into_iter().collect()
}

pub(crate) fn props_out(props: Props) -> Vec<(String, String)> {
    props.into_iter().collect()
}

/// The classes of both sides, spelled once.
macro_rules! classes {
    ($($class:ident)*) => {
        impl From<ErrorClass> for wit::ErrorClass {
            fn from(class: ErrorClass) -> Self {
                match class {
                    $(ErrorClass::$class => Self::$class,)*
                }
            }
        }

        impl From<wit::ErrorClass> for ErrorClass {
            fn from(class: wit::ErrorClass) -> Self {
                match class {
                    $(wit::ErrorClass::$class => Self::$class,)*
                }
            }
        }
    };
}

classes! {
    InvalidInput Unsupported NotFound AlreadyExists Denied Conflict Corrupt LimitExceeded Transient Cancelled
    Internal
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        let Error { class, code, message, retry_after_ms } = error;
        Self { class: class.into(), code, message, retry_after_ms }
    }
}

impl From<wit::Error> for Error {
    fn from(error: wit::Error) -> Self {
        let wit::Error { class, code, message, retry_after_ms } = error;
        Self { class: class.into(), code, message, retry_after_ms }
    }
}

impl From<ByteRange> for wit::ByteRange {
    fn from(range: ByteRange) -> Self {
        Self { offset: range.offset, length: range.length }
    }
}

impl From<Codec> for wit::Codec {
    fn from(codec: Codec) -> Self {
        Self { name: codec.name, params: props_out(codec.params) }
    }
}

impl From<wit::Digest> for Digest {
    fn from(digest: wit::Digest) -> Self {
        Self { algorithm: digest.algorithm, value: digest.value }
    }
}

impl From<FileRef> for wit_locators::FileRef {
    fn from(file: FileRef) -> Self {
        Self { grant: file.grant, path: file.path }
    }
}

impl From<NbdRef> for wit_locators::NbdRef {
    fn from(nbd: NbdRef) -> Self {
        Self {
            endpoint: nbd.endpoint,
            export_name: nbd.export_name,
            meta_contexts: nbd.meta_contexts,
            max_connections: nbd.max_connections,
        }
    }
}

impl From<ReadLocator> for wit_locators::ReadLocator {
    fn from(locator: ReadLocator) -> Self {
        match locator {
            ReadLocator::File(file) => Self::File(file.into()),
            ReadLocator::Nbd(nbd) => Self::Nbd(nbd.into()),
            ReadLocator::Http(source) => Self::Http((*source).into()),
            ReadLocator::GuestStream => Self::GuestStream,
        }
    }
}

impl From<Auth> for wit_http::Auth {
    fn from(auth: Auth) -> Self {
        let Auth { scheme, params, secrets } = auth;
        Self { scheme, params: props_out(params), secrets: props_out(secrets) }
    }
}

impl From<Body> for wit_http::Body {
    fn from(body: Body) -> Self {
        match body {
            Body::Empty => Self::Empty,
            Body::Inline(bytes) => Self::Inline(bytes),
            Body::Payload => Self::Payload,
        }
    }
}

impl From<Request> for wit_http::Request {
    fn from(request: Request) -> Self {
        let computed = request.computed.into_iter();
        Self {
            method: request.method,
            url: request.url,
            headers: props_out(request.headers),
            computed: computed.map(|(name, compute)| wit_http::ComputedHeader { name, compute }).collect(),
            auth: request.auth.into(),
            body: request.body.into(),
            expect: request.expect,
            retry_on: request.retry_on,
            capture: request.capture,
            max_response: request.max_response,
        }
    }
}

impl From<wit_http::Response> for Response {
    fn from(response: wit_http::Response) -> Self {
        Self { status: response.status, headers: props_in(response.headers), body: response.body }
    }
}

impl From<HttpSource> for wit_locators::HttpSource {
    fn from(source: HttpSource) -> Self {
        Self {
            request: source.request.into(),
            size: source.size,
            etag: source.etag,
            max_parallel: source.max_parallel,
            preferred_chunk: source.preferred_chunk,
            valid_for_s: source.valid_for_s,
        }
    }
}
