//! The client of a control plane in another process: the protocol as JSON over HTTP, with the
//! hypervisor's token.

use std::time::Duration;

use async_trait::async_trait;
use imprint_agent_protocol::{
    ClaimRequest, ClaimResponse, ControlPlane, Finish, Heartbeat, HeartbeatResponse, ProgressReport,
    ProgressResponse, ProtocolError, Register, RegisterResponse, ReserveRequest, ReserveResponse, ScanReport,
    ScanResponse, SecretsRequest, SecretsResponse,
};
use imprint_domain::error_chain::error_chain;
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The time for a connection to the control plane.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for a request, besides the time that a claim waits.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer that is read, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The reason why a client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is not one of a control plane.
    #[error("`{0}` is not an address of a control plane; write http://HOST:PORT")]
    Address(String),
    /// The address asks for TLS.
    #[error(
        "this agent speaks plain HTTP only; reach the control plane over a private network or a TLS tunnel, as http://HOST:PORT"
    )]
    Tls,
    /// The token holds characters that a header cannot hold.
    #[error("the agent's token holds characters that no token has; copy it again")]
    Token,
    /// The set-up of the HTTP client failed.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[source] reqwest::Error),
}

/// A control plane that is reached over HTTP.
pub struct HttpControlPlane {
    client: Client,
    base: Url,
}

/// The fields of a problem (RFC 9457) that are read.
#[derive(Default, Deserialize)]
struct Problem {
    protocol_error: Option<ProtocolError>,
    #[serde(default)]
    detail: String,
}

impl HttpControlPlane {
    /// Returns a client for the control plane at `address`, the one of the panel, with the token of
    /// the hypervisor.
    ///
    /// # Errors
    ///
    /// Fails when the address or the token is not valid.
    pub fn new(address: &str, token: &str) -> Result<Self, HttpError> {
        let wrong = || HttpError::Address(address.chars().take(200).collect());
        let mut base = Url::parse(address).map_err(|_| wrong())?;
        if base.scheme() == "https" {
            return Err(HttpError::Tls);
        }
        if base.scheme() != "http"
            || !base.has_host()
            || !base.username().is_empty()
            || base.password().is_some()
        {
            return Err(wrong());
        }
        base.set_query(None);
        base.set_fragment(None);
        let path = format!("{}/api/v1/agent/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        let mut bearer =
            header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| HttpError::Token)?;
        bearer.set_sensitive(true);
        let client = Client::builder()
            .default_headers(header::HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("imprint-agent/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(HttpError::Client)?;
        Ok(Self { client, base })
    }

    async fn send(
        &self,
        call: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<Response, ProtocolError> {
        let url = self.base.join(call).map_err(|error| unavailable(&error))?;
        let answer = self.client.post(url).json(body).timeout(limit).send().await;
        let answer = answer.map_err(|error| unavailable(&error.without_url()))?;
        if answer.status().is_success() { Ok(answer) } else { Err(error_of(answer).await) }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, ProtocolError> {
        let answer = self.send(call, body, limit).await?;
        serde_json::from_slice(&read_bounded(answer).await?).map_err(|error| unavailable(&error))
    }
}

#[async_trait]
impl ControlPlane for HttpControlPlane {
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError> {
        self.call("register", &request, REQUEST_TIMEOUT).await
    }

    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError> {
        self.call("heartbeat", &request, REQUEST_TIMEOUT).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError> {
        let limit = REQUEST_TIMEOUT + Duration::from_millis(u64::from(request.wait_ms));
        self.call("claim", &request, limit).await
    }

    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError> {
        self.call("progress", &report, REQUEST_TIMEOUT).await
    }

    async fn finish(&self, report: Finish) -> Result<(), ProtocolError> {
        self.send("finish", &report, REQUEST_TIMEOUT).await.map(|_| ())
    }

    async fn secrets(&self, request: SecretsRequest) -> Result<SecretsResponse, ProtocolError> {
        self.call("secrets", &request, REQUEST_TIMEOUT).await
    }

    async fn reserve(&self, request: ReserveRequest) -> Result<ReserveResponse, ProtocolError> {
        self.call("reserve", &request, REQUEST_TIMEOUT).await
    }

    async fn scanned(&self, report: ScanReport) -> Result<ScanResponse, ProtocolError> {
        self.call("scanned", &report, REQUEST_TIMEOUT).await
    }
}

/// Returns the error of a refusal: from the body, or from the status where the body has none.
async fn error_of(answer: Response) -> ProtocolError {
    let status = answer.status();
    let body = read_bounded(answer).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(error) = problem.protocol_error {
        return error;
    }
    let detail =
        format!("HTTP {}: {}", status.as_u16(), problem.detail.chars().take(500).collect::<String>());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProtocolError::Unauthenticated,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => ProtocolError::Refused { detail },
        _ => ProtocolError::Unavailable { detail },
    }
}

async fn read_bounded(mut answer: Response) -> Result<Vec<u8>, ProtocolError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unavailable(&error.without_url()))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ProtocolError::Unavailable {
                detail: format!("the answer is longer than {MAX_BODY} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Returns the error with its causes: the outermost one alone is `error sending request`.
fn unavailable(error: &dyn std::error::Error) -> ProtocolError {
    ProtocolError::Unavailable { detail: error_chain(error) }
}

#[cfg(test)]
mod tests;
