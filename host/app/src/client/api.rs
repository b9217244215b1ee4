//! The HTTP client.

use std::time::Duration;

use imprint_api::{PROBLEM_JSON, dto::page::Page, dto::problem::Problem};
use imprint_domain::error_chain::error_chain;
use reqwest::{Method, RequestBuilder, Response, header};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{failure::Failure, retry::retry};

/// The timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of an answer, in addition to the time that the request asks the server to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 32 << 20;

/// The most pages of one list that are read.
const MAX_PAGES: usize = 100;

/// The number of items of a page.
const PAGE: u32 = 500;

/// A server, accessed as one account.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    server: String,
}

/// An answer with the `ETag` of its resource.
pub(crate) struct Tagged<T> {
    /// The parsed body.
    pub(crate) value: T,
    /// The value for `If-Match`, if the resource has one.
    pub(crate) etag: Option<String>,
}

impl Api {
    /// Makes a client of `server`, with a token or without.
    pub(crate) fn new(server: String, token: Option<&str>) -> Result<Self, Failure> {
        let mut headers = header::HeaderMap::new();
        if let Some(token) = token {
            let mut bearer =
                header::HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| {
                    Failure::Usage("the token holds characters that no token has; copy it again".to_owned())
                })?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("imprint/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::Unreachable { server: server.clone(), cause: error_chain(&error) })?;
        Ok(Self { http, server })
    }

    /// Returns the server's address.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Builds a request below `/api/v1`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.server)).timeout(ANSWER_TIMEOUT)
    }

    /// Builds a GET request outside the API, such as `/healthz`.
    pub(crate) fn plain(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.server)).timeout(ANSWER_TIMEOUT)
    }

    /// Reads a resource; transient failures are retried.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        Ok(self.get_tagged(path, query).await?.value)
    }

    /// Reads a resource with its `ETag`; transient failures are retried.
    pub(crate) async fn get_tagged<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Tagged<T>, Failure> {
        retry(async || {
            let response = self.send(self.request(Method::GET, path).query(query)).await?;
            let etag = response.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
            let etag = etag.map(str::to_owned);
            Ok(Tagged { value: self.body(response).await?, etag })
        })
        .await
    }

    /// Reads a resource; the server answers when it has changed, at the latest after `wait`.
    pub(crate) async fn get_waiting<T: DeserializeOwned>(
        &self,
        path: &str,
        wait: Duration,
    ) -> Result<T, Failure> {
        retry(async || {
            let request = self.request(Method::GET, path).query(&[("wait", wait.as_secs())]);
            self.body(self.send(request.timeout(wait + ANSWER_TIMEOUT)).await?).await
        })
        .await
    }

    /// Reads a whole list, page by page.
    pub(crate) async fn list<T>(&self, path: &str, query: &[(&str, String)]) -> Result<Page<T>, Failure>
    where
        T: DeserializeOwned,
    {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut query = query.to_vec();
            query.push(("limit", PAGE.to_string()));
            query.extend(token.map(|token| ("page_token", token)));
            let page: Page<T> = self.get(path, &query).await?;
            items.extend(page.items);
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        Ok(Page { items, next_page_token: token })
    }

    /// Creates a resource. The request has an idempotency key, so that retries create one only.
    #[expect(clippy::disallowed_methods, reason = "a key only has to differ from other keys")]
    pub(crate) async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        let key = Uuid::now_v7().to_string();
        retry(async || {
            let request = self.request(Method::POST, path).header("Idempotency-Key", &key).json(body);
            self.body(self.send(request).await?).await
        })
        .await
    }

    /// Sends a request once, without retries, and reads its answer.
    pub(crate) async fn once<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        self.body(self.send(request).await?).await
    }

    /// Sends a request; anything but success is a failure.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn body<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let bytes = self.bytes(response).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Answer { server: self.server.clone(), detail: error.to_string() })
    }

    async fn bytes(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if bytes.len().saturating_add(chunk.len()) > MAX_ANSWER {
                let detail = format!("its answer is longer than {MAX_ANSWER} bytes");
                return Err(Failure::Answer { server: self.server.clone(), detail });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads the problem of an answer that is no success.
    pub(crate) async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let is_problem =
            content_type.is_some_and(|value| value.as_bytes().starts_with(PROBLEM_JSON.as_bytes()));
        let body = match self.bytes(response).await {
            Ok(body) => body,
            Err(failure) => return failure,
        };
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if is_problem => Failure::Problem(Box::new(problem)),
            Ok(_) | Err(_) => {
                Failure::Answer { server: self.server.clone(), detail: format!("HTTP status {status}") }
            }
        }
    }

    /// Returns the failure of a request that brought no answer, or only a part of one.
    pub(crate) fn unreachable(&self, error: reqwest::Error) -> Failure {
        Failure::Unreachable { server: self.server.clone(), cause: error_chain(&error.without_url()) }
    }
}
