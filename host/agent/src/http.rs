//! The control plane over HTTP: the same shapes as JSON, with the hypervisor's token.

use std::time::Duration;

use async_trait::async_trait;
use imprint_agent_protocol::{
    ClaimRequest, ClaimResponse, ControlPlane, Finish, Heartbeat, HeartbeatResponse, ProgressReport,
    ProgressResponse, ProtocolError, Register, RegisterResponse,
};
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(15);
/// Longest answer that is read, in bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is not one.
    #[error("`{0}` is not an address of a control plane; write http://HOST:PORT")]
    Address(String),
    /// It wants TLS.
    #[error(
        "this agent speaks plain HTTP only; reach the control plane over a private network or a TLS tunnel, as http://HOST:PORT"
    )]
    Tls,
    /// The token holds what no header can.
    #[error("the agent's token holds characters that no token has; copy it again")]
    Token,
    /// The client's own set-up failed.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[source] reqwest::Error),
}

/// A control plane elsewhere.
pub struct HttpControlPlane {
    client: Client,
    base: Url,
}

/// What is read of a problem body.
#[derive(Default, Deserialize)]
struct Problem {
    protocol_error: Option<ProtocolError>,
    #[serde(default)]
    detail: String,
}

impl HttpControlPlane {
    /// `address` is what people open in a browser; `token` is the hypervisor's.
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
            .connect_timeout(CONNECT)
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
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(answer).await) }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, ProtocolError> {
        let answer = self.send(call, body, limit).await?;
        serde_json::from_slice(&bounded(answer).await?).map_err(|error| unavailable(&error))
    }
}

#[async_trait]
impl ControlPlane for HttpControlPlane {
    async fn register(&self, request: Register) -> Result<RegisterResponse, ProtocolError> {
        self.call("register", &request, ANSWER).await
    }

    async fn heartbeat(&self, request: Heartbeat) -> Result<HeartbeatResponse, ProtocolError> {
        self.call("heartbeat", &request, ANSWER).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<ClaimResponse, ProtocolError> {
        let limit = ANSWER + Duration::from_millis(u64::from(request.wait_ms));
        self.call("claim", &request, limit).await
    }

    async fn progress(&self, report: ProgressReport) -> Result<ProgressResponse, ProtocolError> {
        self.call("progress", &report, ANSWER).await
    }

    async fn finish(&self, report: Finish) -> Result<(), ProtocolError> {
        self.send("finish", &report, ANSWER).await.map(|_| ())
    }
}

/// What a refusal means: the body says it; without one, the status does.
async fn refusal(answer: Response) -> ProtocolError {
    let status = answer.status();
    let body = bounded(answer).await.unwrap_or_default();
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

async fn bounded(mut answer: Response) -> Result<Vec<u8>, ProtocolError> {
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

/// The error with its causes: the outermost one alone (`error sending request`) helps nobody.
fn unavailable(error: &dyn std::error::Error) -> ProtocolError {
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        detail.push_str(": ");
        detail.push_str(&inner.to_string());
        cause = inner.source();
    }
    ProtocolError::Unavailable { detail }
}

#[cfg(test)]
mod tests;
