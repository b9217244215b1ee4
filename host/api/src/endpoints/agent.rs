//! The agents' endpoints: `agent-protocol` over HTTP. They are not in the OpenAPI document, because
//! their shapes belong to that crate and its version. A refusal is a problem whose member
//! `protocol_error` is the protocol's own error.

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use imprint_agent_protocol::{
    ClaimRequest, ClaimResponse, Finish, Heartbeat, HeartbeatResponse, ProgressReport, ProgressResponse,
    ProtocolError, Register, RegisterResponse, ReserveRequest, ReserveResponse, ScanReport, ScanResponse,
    SecretsRequest, SecretsResponse,
};

use crate::{
    extract::{Agent, JsonBody},
    problem::ApiError,
    state::ApiState,
};

/// The size of the largest report in bytes: a heartbeat lists every instance of its hypervisor.
const MAX_REPORT: usize = 8 << 20;

pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/agent/register", post(register))
        .route("/agent/heartbeat", post(heartbeat))
        .route("/agent/claim", post(claim))
        .route("/agent/progress", post(progress))
        .route("/agent/finish", post(finish))
        .route("/agent/secrets", post(secrets))
        .route("/agent/scanned", post(scanned))
        .route("/agent/reserve", post(reserve))
        .layer(DefaultBodyLimit::max(MAX_REPORT))
}

async fn register(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<Register>,
) -> Result<Json<RegisterResponse>, ApiError> {
    Ok(Json(state.service().control_plane(peer).register(body.value).await?))
}

async fn heartbeat(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<Heartbeat>,
) -> Result<Json<HeartbeatResponse>, ApiError> {
    Ok(Json(state.service().control_plane(peer).heartbeat(body.value).await?))
}

async fn claim(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<ClaimRequest>,
) -> Result<Json<ClaimResponse>, ApiError> {
    // The wait ends when the server stops: the agent sends the request again, to the next server.
    let control_plane = state.service().control_plane(peer);
    tokio::select! {
        answer = control_plane.claim(body.value) => Ok(Json(answer?)),
        () = state.options().shutdown.cancelled() => {
            Err(ProtocolError::Unavailable { detail: "the control plane is stopping".to_owned() }.into())
        }
    }
}

async fn progress(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<ProgressReport>,
) -> Result<Json<ProgressResponse>, ApiError> {
    Ok(Json(state.service().control_plane(peer).progress(body.value).await?))
}

async fn finish(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<Finish>,
) -> Result<StatusCode, ApiError> {
    state.service().control_plane(peer).finish(body.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn secrets(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<SecretsRequest>,
) -> Result<Json<SecretsResponse>, ApiError> {
    Ok(Json(state.service().control_plane(peer).secrets(body.value).await?))
}

async fn reserve(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<ReserveRequest>,
) -> Result<Json<ReserveResponse>, ApiError> {
    Ok(Json(state.service().control_plane(peer).reserve(body.value).await?))
}

async fn scanned(
    State(state): State<ApiState>,
    Agent(peer): Agent,
    body: JsonBody<ScanReport>,
) -> Result<Json<ScanResponse>, ApiError> {
    Ok(Json(state.service().control_plane(peer).scanned(body.value).await?))
}
