//! A server and its clients.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

use imprint_api::{Asset, Assets, ObjectReader, Options};
use imprint_service::{Database, KEY_BYTES, SecretKeys, Service, Settings, SystemEnvironment};
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The longest time that a test waits for an event.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The password of every account.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A running server.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<std::io::Result<()>>,
}

struct Panel;

impl Assets for Panel {
    fn get(&self, path: &str) -> Option<Asset> {
        let (bytes, content_type, immutable): (&[u8], _, _) = match path {
            "index.html" => (b"<!doctype html><title>panel</title>", "text/html; charset=utf-8", false),
            "assets/index-1a2b.js" => (b"export {}", "text/javascript; charset=utf-8", true),
            _ => return None,
        };
        let content_type = content_type.to_owned();
        Some(Asset { bytes: Cow::Borrowed(bytes), content_type, etag: format!("tag-{path}"), immutable })
    }
}

impl TestApp {
    /// A server with the account `admin` and nothing else.
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    /// The same, as if browsers reached it through HTTPS.
    pub(crate) async fn start_with(https: bool) -> Self {
        Self::start_reading(https, None).await
    }

    /// The same, with that reader of objects.
    #[expect(
        clippy::disallowed_methods,
        reason = "tests hold no clock of their own, and run what they test in the background"
    )]
    pub(crate) async fn start_reading(https: bool, objects: Option<Arc<dyn ObjectReader>>) -> Self {
        let secret_keys = SecretKeys::parse(&"5c".repeat(KEY_BYTES)).unwrap();
        let settings = Settings { password_memory_kib: 64, secret_keys, ..Settings::default() };
        let service =
            Service::open(&Database::SqliteMemory, settings, Arc::new(SystemEnvironment)).await.unwrap();
        service.ensure_admin(Some(PASSWORD.to_owned())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let options = Options {
            assets: Some(Arc::new(Panel)),
            https,
            findings: 2,
            objects,
            uploads: None,
            shutdown: stop.clone(),
        };
        let router = imprint_api::router(service, options);
        let server = tokio::spawn(imprint_api::serve(listener, router, stop.clone()));
        Self { address, stop, server }
    }

    /// A client that has not signed in.
    pub(crate) fn anon(&self) -> Client {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
        Client { http, base: format!("http://{}", self.address), identity: Identity::Anonymous }
    }

    /// An account with a browser's session.
    pub(crate) async fn browser(&self, account: &str) -> Client {
        let anon = self.anon();
        let answer = anon.post("/sessions", json!({"account": account, "password": PASSWORD})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        Client { identity: Identity::Cookie(cookie), ..anon }
    }

    /// An account with a token of all the scopes that it can have.
    pub(crate) async fn token(&self, account: &str) -> Client {
        let scopes: &[&str] = if account == "admin" {
            &["images:read", "images:write", "admin"]
        } else {
            &["images:read", "images:write"]
        };
        self.token_with(account, scopes).await
    }

    /// An account with a token.
    pub(crate) async fn token_with(&self, account: &str, scopes: &[&str]) -> Client {
        let browser = self.browser(account).await;
        let answer = browser.post("/api-tokens", json!({"name": "test", "scopes": scopes})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        browser.with_token(answer.text("/token"))
    }

    /// Makes a customer's account.
    pub(crate) async fn customer(&self, admin: &Client, name: &str) -> Client {
        let request = json!({"name": name, "password": PASSWORD, "role": "customer"});
        admin.post("/admin/accounts", request).await.expect(StatusCode::CREATED);
        self.token(name).await
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}

/// A client of the server, with an identity.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    identity: Identity,
}

#[derive(Clone)]
enum Identity {
    Anonymous,
    Cookie(String),
    Token(String),
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// A header that must be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {self:?}")).to_str().unwrap()
    }

    /// A text in the body that must be there.
    #[track_caller]
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let value = self.body.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no text {pointer}: {}", self.body))
    }

    /// Requires a status.
    #[track_caller]
    pub(crate) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Requires a problem with everything that a problem has.
    #[track_caller]
    pub(crate) fn expect_problem(self, code: &str) -> Self {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.body);
        assert_eq!(self.text("/code"), code, "{}", self.body);
        assert_eq!(self.body["status"], self.status.as_u16(), "{}", self.body);
        assert_eq!(self.text("/request_id"), self.header("x-request-id"));
        assert!(!self.text("/title").is_empty() && !self.text("/detail").is_empty(), "{}", self.body);
        self
    }
}

impl Client {
    /// The same client with another identity.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { identity: Identity::Token(token.to_owned()), ..self.clone() }
    }

    /// A request below `/api/v1`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.plain(method, &format!("/api/v1{path}"))
    }

    /// A request for any path.
    pub(crate) fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        match &self.identity {
            Identity::Anonymous => request,
            Identity::Cookie(cookie) if method.is_safe() => request.header(header::COOKIE, cookie),
            Identity::Cookie(cookie) => request.header(header::COOKIE, cookie).header("X-Imprint-Csrf", "1"),
            Identity::Token(token) => request.bearer_auth(token),
        }
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).header("Idempotency-Key", key).json(&body)).await
    }

    pub(crate) async fn act(&self, path: &str) -> Answer {
        self.send(self.request(Method::POST, path)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Asks until `wanted` holds.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let answer = self.get(path).await.expect(StatusCode::OK);
            if wanted(&answer.body) {
                return answer.body;
            }
            assert!(tokio::time::Instant::now() < deadline, "{path} stays {}", answer.body);
            tokio::task::yield_now().await;
        }
    }
}
