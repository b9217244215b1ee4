//! Requests to one bucket.

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::{
        Auth, Request, Response,
        objects::{encode, http_date},
    },
    storage::{Object, no_object},
    types::Props,
};

use crate::{
    failure::{expect, failure},
    key::check_key,
    settings::Settings,
};

/// Status codes after which a request is repeated by the host.
pub(crate) const RETRY: [u16; 5] = [429, 500, 502, 503, 504];
/// The most bytes of an error document.
pub(crate) const ERROR: u32 = 16 << 10;

/// A bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) settings: Settings,
}

impl Bucket {
    /// Returns a request for the bucket itself; `query` is encoded.
    pub(crate) fn request(&self, method: &str, query: &str) -> Request {
        self.signed(method, format!("{}/{query}", self.settings.bucket_url))
    }

    /// Returns a request for an object; `query` is encoded and empty or begins with `?`.
    pub(crate) fn object_request(&self, method: &str, key: &str, query: &str) -> Request {
        let path = encode(&format!("{}{key}", self.settings.prefix), true);
        self.plain_request(method, &path, query)
    }

    /// Returns a request for a whole name of the bucket; `path` and `query` are encoded.
    pub(crate) fn plain_request(&self, method: &str, path: &str, query: &str) -> Request {
        self.signed(method, format!("{}/{path}{query}", self.settings.bucket_url))
    }

    fn signed(&self, method: &str, url: String) -> Request {
        let auth = Auth::new("sigv4")
            .param("region", &self.settings.region)
            .param("service", "s3")
            .param("access-key", &self.settings.access_key)
            .secret("secret-key", "secret-key")
            .secret("session-token", "session-token");
        Request::new(method, url).auth(auth).retry_on(&RETRY).max_response(ERROR)
    }

    /// Returns an object; `None` when there is none.
    pub(crate) fn find(&self, host: &dyn HttpStorageHost, key: &str) -> Result<Option<Object>> {
        check_key(key, &self.settings.prefix)?;
        let request = self
            .object_request("HEAD", key, "")
            .capture(&["content-length", "etag", "last-modified"])
            .max_response(0);
        let response = host.send(&request)?;
        match response.status {
            200 => object(key, &response).map(Some),
            // An answer to HEAD has no error document: the bucket is asked for what is wrong.
            _ => {
                let answer = host.send(&self.request("GET", "?list-type=2&max-keys=1"))?;
                expect(answer, &[200])?;
                if response.status == 404 { Ok(None) } else { Err(failure(&response)) }
            }
        }
    }

    /// Returns an object that has to be there.
    pub(crate) fn get(&self, host: &dyn HttpStorageHost, key: &str) -> Result<Object> {
        self.find(host, key)?.ok_or_else(|| no_object("s3", key))
    }

    /// Returns the answer to a request for which another status than the expected ones is an error.
    pub(crate) fn send(
        &self,
        host: &dyn HttpStorageHost,
        request: &Request,
        status: &[u16],
    ) -> Result<Response> {
        expect(host.send(request)?, status)
    }
}

fn object(key: &str, response: &Response) -> Result<Object> {
    let header = |name: &str| response.headers.get(name).map(String::as_str);
    let size = header("content-length").and_then(|text| text.parse().ok());
    let size = size.ok_or_else(|| crate::xml::not_s3("an object has no size"))?;
    Ok(Object {
        key: key.to_owned(),
        size,
        stored: Some(size),
        modified_ms: header("last-modified").and_then(http_date),
        etag: header("etag").map(str::to_owned),
        extra: Props::new(),
    })
}

/// Returns whether an error says that an object or an upload is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error.code.as_str(), "s3.not-found" | "s3.upload-lost")
}
