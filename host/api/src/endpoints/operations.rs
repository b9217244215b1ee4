//! Health checks, metrics, and the document of the API.

use std::borrow::Cow;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderName, StatusCode, header},
};

use crate::{
    metrics::{
        METRICS_TEXT, billing_metrics, capture_metrics, export_metrics, storage_metrics, webhook_metrics,
    },
    state::ApiState,
};

/// Liveness check
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, description = "The process is running", body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Readiness check
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses(
        (status = 200, description = "The server can use its database; the text has the number of findings that its operator should look into", body = String, content_type = "text/plain"),
        (status = 503, description = "The database does not answer, or the server is stopping", body = String, content_type = "text/plain"),
    ))]
pub(crate) async fn readyz(State(state): State<ApiState>) -> (StatusCode, Cow<'static, str>) {
    if state.options().shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into());
    }
    match state.service().ready().await {
        Ok(()) => match state.options().findings {
            0 => (StatusCode::OK, "ready\n".into()),
            findings => {
                (StatusCode::OK, format!("ready, findings: {findings}; see `imprint doctor`\n").into())
            }
        },
        Err(error) => {
            tracing::warn!(%error, cause = error.internal, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n".into())
        }
    }
}

/// Prometheus metrics
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "Metrics in the text format of Prometheus", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<ApiState>) -> ([(HeaderName, &'static str); 1], String) {
    let mut text = state.metrics().text(state.open_streams());
    match state.service().storage_metrics().await {
        Ok(storages) => storage_metrics::append(&mut text, &storages),
        // The others are still worth reading.
        Err(error) => tracing::warn!(%error, cause = error.internal, "no metrics of image storages"),
    }
    match state.service().capture_metrics().await {
        Ok(captures) => capture_metrics::append(&mut text, captures),
        Err(error) => tracing::warn!(%error, cause = error.internal, "no metrics of captures"),
    }
    match state.service().export_metrics().await {
        Ok(exports) => export_metrics::append(&mut text, &exports),
        Err(error) => tracing::warn!(%error, cause = error.internal, "no metrics of exports"),
    }
    match state.service().billing_metrics().await {
        Ok(billing) => billing_metrics::append(&mut text, billing),
        Err(error) => tracing::warn!(%error, cause = error.internal, "no metrics of metering"),
    }
    match state.service().webhook_metrics().await {
        Ok(webhooks) => webhook_metrics::append(&mut text, webhooks),
        Err(error) => tracing::warn!(%error, cause = error.internal, "no metrics of webhooks"),
    }
    ([(header::CONTENT_TYPE, METRICS_TEXT)], text)
}

/// OpenAPI document
#[utoipa::path(get, path = "/openapi.json", tag = "operations", security(()),
    responses((status = 200, description = "This document (OpenAPI 3.1)", body = Object, content_type = "application/json")))]
pub(crate) async fn openapi(State(state): State<ApiState>) -> ([(HeaderName, &'static str); 1], Bytes) {
    ([(header::CONTENT_TYPE, "application/json")], state.openapi())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::extract::State;
    use imprint_service::{Database, Service, Settings, SystemEnvironment};
    use tokio_util::sync::CancellationToken;

    use super::openapi;
    use crate::state::{ApiState, Options};

    #[tokio::test]
    async fn the_document_is_built_once_and_not_for_every_request() {
        let context = Arc::new(SystemEnvironment);
        let service = Service::open(&Database::SqliteMemory, Settings::default(), context).await.unwrap();
        let options = Options {
            assets: None,
            https: false,
            findings: 0,
            objects: None,
            uploads: None,
            shutdown: CancellationToken::new(),
        };
        let state = ApiState::new(service, options, "{}".to_owned());
        let (_, first) = openapi(State(state.clone())).await;
        let (_, second) = openapi(State(state)).await;
        assert_eq!(first, "{}");
        assert_eq!(first.as_ptr(), second.as_ptr(), "both requests get the same bytes");
    }
}
