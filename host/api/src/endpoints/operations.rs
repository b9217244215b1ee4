//! Health, metrics, and the document of the API.

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};

use crate::{metrics::METRICS_TEXT, openapi::openapi_json, state::ApiState};

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether requests can be served
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses(
        (status = 200, description = "The database answers", body = String, content_type = "text/plain"),
        (status = 503, description = "It does not, or the server is stopping", body = String, content_type = "text/plain"),
    ))]
pub(crate) async fn readyz(State(state): State<ApiState>) -> (StatusCode, &'static str) {
    if state.options().shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match state.service().ready().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, cause = error.internal, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}

/// Figures for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<ApiState>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, METRICS_TEXT)], state.metrics().text(state.open_streams()))
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operations", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json")))]
pub(crate) async fn openapi() -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json())
}
