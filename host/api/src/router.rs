//! Every route of the server in one list, the layers around them, and their document.

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
    endpoints::{
        accounts, admin, agent, downloads, events, exports, hypervisors, images, instances, isos, locations,
        media_groups, operations, panel, problems, sessions, shares, ssh_keys, tasks, tokens, uploads, usage,
        user_scripts, webhooks,
    },
    openapi,
    problem::{self, ApiError},
    state::{ApiState, Options},
};

/// The size of the largest request body, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// The longest time until an answer begins; the longest wait of a request is 60 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// The routes whose requests have large bodies.
const UPLOAD: &str = "/api/v1/images/{id}/upload";
const UPLOAD_PART: &str = "/api/v1/images/{id}/upload/parts/{number}";
/// The longest time of one request of an upload. A client that pauses for longer than 30 s within a
/// body is disconnected.
const LONGEST_UPLOAD: Duration = Duration::from_secs(24 * 60 * 60);

/// Builds the whole server: API, agents' endpoints, health checks, panel.
pub fn router(service: Service, options: Options) -> Router {
    let (documented, document) = routes();
    let state = ApiState::new(service, options, openapi::to_json(&document));
    documented
        .nest("/api/v1", agent::routes())
        .route("/api/v1/openapi.json", get(operations::openapi))
        .route(problem::CATALOGUE_PATH, get(problems::page))
        .merge(panel_files(&state))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(state.clone(), around))
        .layer(middleware::from_fn_with_state(state.clone(), secure))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(problem::finish))
        .with_state(state)
}

/// Builds the routes of the panel's files. Only they are compressed: answers of the API can hold
/// secrets next to text that others choose (BREACH).
fn panel_files(state: &ApiState) -> Router<ApiState> {
    Router::new().fallback(panel::fallback).layer(CompressionLayer::new()).with_state(state.clone())
}

/// Returns the OpenAPI document as JSON, as the server serves it at `/openapi.json`.
pub fn openapi_json() -> String {
    openapi::to_json(&routes().1)
}

/// Builds the routes and their document.
fn routes() -> (Router<ApiState>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
        .nest("/api/v1", customer().merge(operator()))
        .split_for_parts();
    openapi::complete(&mut document);
    (router, document)
}

fn customer() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(sessions::session_create))
        .routes(routes!(sessions::session_delete))
        .routes(routes!(accounts::account_show))
        .routes(routes!(tokens::token_list, tokens::token_create))
        .routes(routes!(tokens::token_delete))
        .routes(routes!(ssh_keys::ssh_key_list, ssh_keys::ssh_key_create))
        .routes(routes!(ssh_keys::ssh_key_show, ssh_keys::ssh_key_update, ssh_keys::ssh_key_delete))
        .routes(routes!(webhooks::webhook_list, webhooks::webhook_create))
        .routes(routes!(webhooks::webhook_show, webhooks::webhook_update, webhooks::webhook_delete))
        .routes(routes!(webhooks::webhook_rotate_secret))
        .routes(routes!(webhooks::webhook_test))
        .routes(routes!(webhooks::webhook_redeliver))
        .routes(routes!(webhooks::webhook_delivery_list))
        .routes(routes!(user_scripts::user_script_list, user_scripts::user_script_create))
        .routes(routes!(
            user_scripts::user_script_show,
            user_scripts::user_script_update,
            user_scripts::user_script_delete
        ))
        .routes(routes!(locations::location_list))
        .routes(routes!(locations::limits_show))
        .routes(routes!(hypervisors::hypervisor_list))
        .routes(routes!(media_groups::media_group_list))
        .routes(routes!(media_groups::media_group_show))
        .routes(routes!(images::image_list, images::image_create))
        .routes(routes!(images::image_show, images::image_update, images::image_delete))
        .routes(routes!(uploads::upload_options, uploads::upload_create))
        .routes(routes!(uploads::upload_show, uploads::upload_continue, uploads::upload_delete))
        .routes(routes!(uploads::upload_part))
        .routes(routes!(exports::export_list, exports::export_create))
        .routes(routes!(exports::export_show, exports::export_delete))
        .routes(routes!(exports::export_content))
        .routes(routes!(shares::share_list, shares::share_create))
        .routes(routes!(shares::share_incoming))
        .routes(routes!(shares::share_show))
        .routes(routes!(shares::share_accept))
        .routes(routes!(shares::share_reject))
        .routes(routes!(shares::share_revoke))
        .routes(routes!(shares::share_leave))
        .routes(routes!(instances::instance_list, instances::instance_create))
        .routes(routes!(instances::instance_show, instances::instance_delete))
        .routes(routes!(images::capture_estimate))
        .routes(routes!(images::image_findings))
        .routes(routes!(instances::instance_start))
        .routes(routes!(instances::instance_stop))
        .routes(routes!(instances::instance_reinstall))
        .routes(routes!(images::instance_image_create))
        .routes(routes!(isos::iso_list))
        .routes(routes!(isos::instance_mount_iso))
        .routes(routes!(isos::instance_eject_iso))
        .routes(routes!(isos::instance_disk_attach))
        .routes(routes!(isos::instance_disk_detach))
        .routes(routes!(tasks::task_list))
        .routes(routes!(tasks::task_show))
        .routes(routes!(tasks::task_cancel))
        .routes(routes!(tasks::task_retry))
        .routes(routes!(usage::usage_show))
        .routes(routes!(usage::usage_days))
        .routes(routes!(usage::usage_explain))
        .routes(routes!(usage::usage_budget_show, usage::usage_budget_update))
        .routes(routes!(events::event_stream))
        .routes(routes!(events::task_event_stream))
}

fn operator() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(admin::accounts::admin_account_list, admin::accounts::admin_account_create))
        .routes(routes!(admin::accounts::admin_account_update))
        .routes(routes!(
            admin::billing::admin_account_budget_show,
            admin::billing::admin_account_budget_update
        ))
        .routes(routes!(admin::billing::admin_billing_rate_list, admin::billing::admin_billing_rate_create))
        .routes(routes!(admin::billing::admin_billing_rate_end))
        .routes(routes!(admin::billing::admin_billing_rate_preview))
        .routes(routes!(admin::billing::admin_billing_usage))
        .routes(routes!(admin::billing::admin_billing_month_list))
        .routes(routes!(admin::billing::admin_billing_month_close))
        .routes(routes!(
            admin::billing::admin_billing_adjustment_list,
            admin::billing::admin_billing_adjustment_create
        ))
        .routes(routes!(admin::billing::admin_billing_reconciliation))
        .routes(routes!(admin::billing::admin_billing_feed))
        .routes(routes!(admin::locations::admin_location_list, admin::locations::admin_location_create))
        .routes(routes!(
            admin::locations::admin_location_show,
            admin::locations::admin_location_update,
            admin::locations::admin_location_delete
        ))
        .routes(routes!(
            admin::hypervisors::admin_hypervisor_list,
            admin::hypervisors::admin_hypervisor_create
        ))
        .routes(routes!(
            admin::hypervisors::admin_hypervisor_show,
            admin::hypervisors::admin_hypervisor_update,
            admin::hypervisors::admin_hypervisor_delete
        ))
        .routes(routes!(
            admin::hypervisors::admin_hypervisor_token_list,
            admin::hypervisors::admin_hypervisor_token_create
        ))
        .routes(routes!(admin::hypervisors::admin_hypervisor_token_delete))
        .routes(routes!(admin::instances::admin_instance_coalesce))
        .routes(routes!(admin::storages::admin_storage_list, admin::storages::admin_storage_create))
        .routes(routes!(
            admin::storages::admin_storage_show,
            admin::storages::admin_storage_update,
            admin::storages::admin_storage_delete
        ))
        .routes(routes!(admin::storages::admin_storage_bind, admin::storages::admin_storage_unbind))
        .routes(routes!(admin::storage_kinds::admin_storage_kind_list))
        .routes(routes!(admin::secrets::admin_storage_secrets_update))
        .routes(routes!(admin::secrets::admin_secrets_rotate))
        .routes(routes!(admin::storage_tests::admin_storage_test_create))
        .routes(routes!(admin::storage_tests::admin_storage_test))
        .routes(routes!(
            admin::storage_scans::admin_storage_scan_list,
            admin::storage_scans::admin_storage_scan_create
        ))
        .routes(routes!(admin::storage_scans::admin_storage_object_list))
        .routes(routes!(admin::storage_scans::admin_storage_download_create))
        .routes(routes!(downloads::download))
        .routes(routes!(admin::storage_scans::admin_storage_reconcile))
        .routes(routes!(admin::storage_scans::admin_storage_object_adopt))
        .routes(routes!(admin::stock_images::admin_stock_image_create))
        .routes(routes!(admin::isos::admin_iso_list, admin::isos::admin_iso_create))
        .routes(routes!(admin::isos::admin_iso_update, admin::isos::admin_iso_delete))
        .routes(routes!(admin::stock_images::admin_stock_image_update))
        .routes(routes!(admin::media_groups::admin_media_group_create))
        .routes(routes!(
            admin::media_groups::admin_media_group_update,
            admin::media_groups::admin_media_group_delete
        ))
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "the header `Allow` lists the methods of this resource")
}

/// Limits the time until an answer begins, and counts the request.
async fn around(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    // The answer to an upload begins when its body has ended, which has limits of its own.
    let limit = match route.as_ref().map(MatchedPath::as_str) {
        Some(UPLOAD | UPLOAD_PART) => LONGEST_UPLOAD,
        Some(_) | None => ANSWER_TIMEOUT,
    };
    let response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(Code::Unavailable, "the answer took too long; send the request again")
            .into_response(),
    };
    let status = response.status().as_u16();
    state.metrics().request(
        route.as_ref().map(MatchedPath::as_str),
        method.as_str(),
        status,
        started.elapsed(),
    );
    response
}

/// Adds the security headers of browsers.
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

#[cfg(test)]
mod tests {
    use super::openapi_json;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/openapi.json");

    #[test]
    fn the_document_is_the_golden_one() {
        if std::env::var_os("IMPRINT_GENERATE").is_some() {
            std::fs::write(GOLDEN, openapi_json()).unwrap();
        }
        let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
        assert!(
            golden == openapi_json(),
            "the HTTP API has changed: review the difference after `cargo xtask generate`, and commit it"
        );
    }
}
