//! Hypervisors and the tokens of their agents.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::id::{HypervisorId, TokenId};
use imprint_service as service;

use crate::{
    dto::{
        account::Token,
        hypervisor::{AdminHypervisor, AgentToken, HypervisorCreate, HypervisorPatch},
        page::{Page, PageQuery},
    },
    extract::{
        Admin, Caller, Id, IdempotencyKey, Ids, IfMatch, JsonBody, Query, etag, name, page_request, parse,
    },
    problem::ApiError,
    state::ApiState,
};

/// List hypervisors with their settings
#[utoipa::path(
    get, path = "/admin/hypervisors", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of hypervisors", body = Page<AdminHypervisor>)),
)]
pub(crate) async fn admin_hypervisor_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<AdminHypervisor>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().admin_hypervisor_list(&op, &page).await?.into()))
}

/// Register a hypervisor
#[utoipa::path(
    post, path = "/admin/hypervisors", tag = "admin",
    params(IdempotencyKey),
    request_body = HypervisorCreate,
    responses((status = 201, description = "The hypervisor; create a token for its agent next", body = AdminHypervisor)),
)]
pub(crate) async fn admin_hypervisor_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<HypervisorCreate>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let body = body.value;
    let request = service::HypervisorCreate {
        name: name(&body.name, "/name")?,
        location_id: body.location_id,
        driver: parse(&body.driver, "/driver")?,
        driver_settings: body.driver_settings,
        max_work: body.max_work,
        max_captures: body.max_captures,
    };
    let hypervisor = state.service().hypervisor_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(AdminHypervisor::from(hypervisor))).into_response())
}

/// Show a hypervisor with its settings
#[utoipa::path(
    get, path = "/admin/hypervisors/{id}", tag = "admin",
    params(("id" = HypervisorId, Path, description = "The hypervisor")),
    responses((status = 200, description = "The hypervisor", body = AdminHypervisor,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn admin_hypervisor_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<HypervisorId>,
) -> Result<Response, ApiError> {
    Ok(tagged(state.service().admin_hypervisor_show(&op, id).await?))
}

fn tagged(view: service::AdminHypervisorView) -> Response {
    let etag = etag(view.version);
    ([(header::ETAG, etag)], Json(AdminHypervisor::from(view))).into_response()
}

/// Change a hypervisor
///
/// It has effect at once: waiting captures start, or wait for their turn; those that run go on.
#[utoipa::path(
    patch, path = "/admin/hypervisors/{id}", tag = "admin",
    params(
        ("id" = HypervisorId, Path, description = "The hypervisor"),
        IfMatch,
    ),
    request_body(content((HypervisorPatch = "application/merge-patch+json"), (HypervisorPatch = "application/json"))),
    responses((status = 200, description = "The changed hypervisor", body = AdminHypervisor,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn admin_hypervisor_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<HypervisorId>,
    if_match: IfMatch,
    body: JsonBody<HypervisorPatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let patch = service::HypervisorPatch {
        max_captures: body.value.max_captures,
        limited_bandwidth: body.value.limited_imaging_bandwidth,
    };
    Ok(tagged(state.service().hypervisor_update(&op, id, patch, version).await?))
}

/// Delete a hypervisor
///
/// Only one without instances and work, after its agent has been stopped. Its tasks of the past and
/// the tokens of its agent go with it.
#[utoipa::path(
    delete, path = "/admin/hypervisors/{id}", tag = "admin",
    params(("id" = HypervisorId, Path, description = "The hypervisor")),
    responses((status = 204, description = "The hypervisor is deleted")),
)]
pub(crate) async fn admin_hypervisor_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<HypervisorId>,
) -> Result<StatusCode, ApiError> {
    state.service().hypervisor_delete(&op, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the tokens of a hypervisor's agent
#[utoipa::path(
    get, path = "/admin/hypervisors/{id}/tokens", tag = "admin",
    params(
        ("id" = HypervisorId, Path, description = "The hypervisor"),
        PageQuery,
    ),
    responses((status = 200, description = "A page of tokens, without their secrets", body = Page<Token>)),
)]
pub(crate) async fn admin_hypervisor_token_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(hypervisor_id): Id<HypervisorId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Token>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().agent_token_list(&op, hypervisor_id, &page).await?.into()))
}

/// Revoke a token of a hypervisor's agent
#[utoipa::path(
    delete, path = "/admin/hypervisors/{id}/tokens/{token_id}", tag = "admin",
    params(
        ("id" = HypervisorId, Path, description = "The hypervisor"),
        ("token_id" = TokenId, Path, description = "The token"),
    ),
    responses((status = 204, description = "The token is revoked")),
)]
pub(crate) async fn admin_hypervisor_token_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Ids(hypervisor_id, id): Ids<HypervisorId, TokenId>,
) -> Result<StatusCode, ApiError> {
    state.service().agent_token_delete(&op, hypervisor_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Create a token for a hypervisor's agent
///
/// The secret is in this answer only.
#[utoipa::path(
    post, path = "/admin/hypervisors/{id}/tokens", tag = "admin",
    params(("id" = HypervisorId, Path, description = "The hypervisor")),
    responses((status = 201, description = "The token; its secret is not shown again", body = AgentToken)),
)]
pub(crate) async fn admin_hypervisor_token_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(hypervisor_id): Id<HypervisorId>,
) -> Result<Response, ApiError> {
    let created = state.service().agent_token_create(&op, hypervisor_id).await?;
    let token = AgentToken { id: created.view.id, hypervisor_id, token: created.token };
    Ok((StatusCode::CREATED, Json(token)).into_response())
}
