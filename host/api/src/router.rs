//! Every route of the server, in one list, and the layers around them.

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use imprint_domain::{Code, Error};
use imprint_service::Service;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    assets,
    endpoints::{
        accounts, admin, agent, events, hypervisors, images, instances, locations, operations, problems,
        sessions, tasks, tokens,
    },
    openapi,
    problem::{self, ApiError},
    state::{ApiState, Options},
};

/// The largest request body, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// An answer begins within this time, or the request fails; the longest wait is 60 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// The whole server: API, agents' side, health, panel.
pub fn router(service: Service, options: Options) -> Router {
    let state = ApiState::new(service, options);
    let (documented, _) = routes();
    documented
        .nest("/api/v1", agent::routes())
        .route("/api/v1/openapi.json", get(operations::openapi))
        .route(problems::PATH, get(problems::page))
        .merge(panel(&state))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), around))
        .layer(middleware::from_fn_with_state(state.clone(), secure))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(problem::finish))
        .with_state(state)
}

/// Only the panel's files are compressed: answers of the API can hold secrets beside text that
/// others choose.
fn panel(state: &ApiState) -> Router<ApiState> {
    Router::new().fallback(assets::fallback).layer(CompressionLayer::new()).with_state(state.clone())
}

/// The routes with their document.
pub(crate) fn routes() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
        .nest("/api/v1", customer().merge(operator()))
        .split_for_parts();
    openapi::declare_problems(&mut document);
    openapi::refer_to_items(&mut document);
    (router, document)
}

fn customer() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(sessions::session_create))
        .routes(routes!(sessions::session_delete))
        .routes(routes!(accounts::account_show))
        .routes(routes!(tokens::token_list, tokens::token_create))
        .routes(routes!(tokens::token_delete))
        .routes(routes!(locations::location_list))
        .routes(routes!(locations::limits_show))
        .routes(routes!(hypervisors::hypervisor_list))
        .routes(routes!(images::image_list, images::image_create))
        .routes(routes!(images::image_show, images::image_update, images::image_delete))
        .routes(routes!(instances::instance_list, instances::instance_create))
        .routes(routes!(instances::instance_show, instances::instance_delete))
        .routes(routes!(instances::instance_start))
        .routes(routes!(instances::instance_stop))
        .routes(routes!(images::instance_image_create))
        .routes(routes!(tasks::task_list))
        .routes(routes!(tasks::task_show))
        .routes(routes!(tasks::task_cancel))
        .routes(routes!(tasks::task_retry))
        .routes(routes!(events::event_stream))
        .routes(routes!(events::task_event_stream))
}

fn operator() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(admin::accounts::admin_account_list, admin::accounts::admin_account_create))
        .routes(routes!(admin::accounts::admin_account_update))
        .routes(routes!(admin::locations::admin_location_list, admin::locations::admin_location_create))
        .routes(routes!(admin::locations::admin_location_update))
        .routes(routes!(
            admin::hypervisors::admin_hypervisor_list,
            admin::hypervisors::admin_hypervisor_create
        ))
        .routes(routes!(admin::hypervisors::admin_hypervisor_token_create))
        .routes(routes!(admin::instances::admin_instance_coalesce))
        .routes(routes!(admin::storages::admin_storage_list, admin::storages::admin_storage_create))
        .routes(routes!(admin::storages::admin_storage_bind))
        .routes(routes!(admin::stock_images::admin_stock_image_create))
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "the header `Allow` names the methods that this resource knows")
}

/// Bounds the time until an answer begins, and counts it.
async fn around(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(Code::Unavailable, "the answer took too long; try again").into_response(),
    };
    let status = response.status().as_u16();
    state.metrics().request(
        route.as_ref().map(MatchedPath::as_str),
        method.as_str(),
        status,
        began.elapsed(),
    );
    response
}

/// Headers that browsers protect people by.
async fn secure(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if state.options().https {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        );
    }
    response
}

fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response<Body> {
    ApiError::from(Error::internal("a handler panicked")).into_response()
}
