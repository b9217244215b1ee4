//! Webhooks: where an account has its events sent to.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::id::WebhookId;
use imprint_service as service;

use crate::{
    dto::{
        page::{Page, PageQuery},
        webhook::{
            Webhook, WebhookAndSecret, WebhookCreate, WebhookDelivery, WebhookPatch, WebhookRedeliver,
        },
    },
    extract::{Caller, Id, IfMatch, JsonBody, Query, Read, Write, etag, name, page_request},
    problem::ApiError,
    state::ApiState,
};

fn tagged(status: StatusCode, view: service::WebhookView) -> Response {
    let etag = etag(view.version);
    (status, [(header::ETAG, etag)], Json(Webhook::from(view))).into_response()
}

/// List the account's webhooks
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks",
    params(PageQuery),
    responses((status = 200, description = "A page of webhooks, oldest first", body = Page<Webhook>)),
)]
pub(crate) async fn webhook_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Webhook>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().webhook_list(&op, &page).await?.into()))
}

/// Add a webhook
///
/// Events of the account from now on are sent, each once or more often, in their order. The secret
/// is shown once.
#[utoipa::path(
    post, path = "/webhooks", tag = "webhooks",
    request_body = WebhookCreate,
    responses((status = 201, description = "The webhook and its secret", body = WebhookAndSecret)),
)]
pub(crate) async fn webhook_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    body: JsonBody<WebhookCreate>,
) -> Result<Response, ApiError> {
    let WebhookCreate { name: text, url, events } = body.value;
    let request = service::WebhookCreate { name: name(&text, "/name")?, url, events };
    let made = state.service().webhook_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(WebhookAndSecret::from(made))).into_response())
}

/// Show a webhook
#[utoipa::path(
    get, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook", body = Webhook,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn webhook_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<WebhookId>,
) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, state.service().webhook_show(&op, id).await?))
}

/// Change a webhook, or switch it on or off
///
/// Switched on again, it continues after the last event that was delivered.
#[utoipa::path(
    patch, path = "/webhooks/{id}", tag = "webhooks",
    params(
        ("id" = WebhookId, Path, description = "The webhook"),
        IfMatch,
    ),
    request_body(content((WebhookPatch = "application/merge-patch+json"), (WebhookPatch = "application/json"))),
    responses((status = 200, description = "The changed webhook", body = Webhook,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn webhook_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<WebhookId>,
    if_match: IfMatch,
    body: JsonBody<WebhookPatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let WebhookPatch { name: text, url, events, enabled } = body.value;
    let new = text.as_deref().map(|text| name(text, "/name")).transpose()?;
    let patch = service::WebhookPatch { name: new, url, events, enabled };
    Ok(tagged(StatusCode::OK, state.service().webhook_update(&op, id, patch, version).await?))
}

/// Delete a webhook
#[utoipa::path(
    delete, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "The webhook")),
    responses((status = 204, description = "The webhook is deleted")),
)]
pub(crate) async fn webhook_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<WebhookId>,
) -> Result<StatusCode, ApiError> {
    state.service().webhook_delete(&op, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a webhook a new secret
///
/// Messages are signed with it from now on; the one before does not count any more.
#[utoipa::path(
    post, path = "/webhooks/{id}/actions/rotate-secret", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "The webhook")),
    responses((status = 200, description = "The webhook and its new secret", body = WebhookAndSecret)),
)]
pub(crate) async fn webhook_rotate_secret(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<WebhookId>,
) -> Result<Json<WebhookAndSecret>, ApiError> {
    Ok(Json(state.service().webhook_rotate_secret(&op, id).await?.into()))
}

/// Send a message that tests a webhook
///
/// It is sent once. Its deliveries say what came of it.
#[utoipa::path(
    post, path = "/webhooks/{id}/actions/test", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "The webhook")),
    responses((status = 202, description = "The webhook; the message is about to be sent", body = Webhook)),
)]
pub(crate) async fn webhook_test(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<WebhookId>,
) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::ACCEPTED, state.service().webhook_test(&op, id).await?))
}

/// Deliver events again, from one of them on
#[utoipa::path(
    post, path = "/webhooks/{id}/actions/redeliver", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "The webhook")),
    request_body = WebhookRedeliver,
    responses((status = 202, description = "The webhook; the events are about to be sent", body = Webhook)),
)]
pub(crate) async fn webhook_redeliver(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<WebhookId>,
    body: JsonBody<WebhookRedeliver>,
) -> Result<Response, ApiError> {
    let view = state.service().webhook_redeliver(&op, id, body.value.sequence).await?;
    Ok(tagged(StatusCode::ACCEPTED, view))
}

/// List the attempts to deliver messages
///
/// The latest 200 are kept.
#[utoipa::path(
    get, path = "/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = WebhookId, Path, description = "The webhook"), PageQuery),
    responses((status = 200, description = "A page of attempts, the latest first", body = Page<WebhookDelivery>)),
)]
pub(crate) async fn webhook_delivery_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<WebhookId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<WebhookDelivery>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().webhook_deliveries(&op, id, &page).await?.into()))
}
