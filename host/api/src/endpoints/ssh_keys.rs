//! Saved SSH keys.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::id::SshKeyId;
use imprint_service as service;

use crate::{
    dto::{
        page::{Page, PageQuery},
        ssh_key::{SshKey, SshKeyCreate, SshKeyPatch},
    },
    extract::{Caller, Id, IdempotencyKey, IfMatch, JsonBody, Query, Read, Write, etag, name, page_request},
    problem::ApiError,
    state::ApiState,
};

/// List the account's SSH keys
#[utoipa::path(
    get, path = "/ssh-keys", tag = "saved",
    params(PageQuery),
    responses((status = 200, description = "A page of keys, oldest first", body = Page<SshKey>)),
)]
pub(crate) async fn ssh_key_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SshKey>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().ssh_key_list(&op, &page).await?.into()))
}

/// Save an SSH key for new instances
#[utoipa::path(
    post, path = "/ssh-keys", tag = "saved",
    params(IdempotencyKey),
    request_body = SshKeyCreate,
    responses((status = 201, description = "The key", body = SshKey,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn ssh_key_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    key: IdempotencyKey,
    body: JsonBody<SshKeyCreate>,
) -> Result<Response, ApiError> {
    let request =
        service::SshKeyCreate { name: name(&body.value.name, "/name")?, public_key: body.value.public_key };
    let op = op.with_idempotency(key.bind(body.digest));
    Ok(tagged(StatusCode::CREATED, state.service().ssh_key_create(&op, request).await?))
}

/// Show an SSH key
#[utoipa::path(
    get, path = "/ssh-keys/{id}", tag = "saved",
    params(("id" = SshKeyId, Path, description = "The key")),
    responses((status = 200, description = "The key", body = SshKey,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn ssh_key_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<SshKeyId>,
) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, state.service().ssh_key_show(&op, id).await?))
}

fn tagged(status: StatusCode, view: service::SshKeyView) -> Response {
    let etag = etag(view.version);
    (status, [(header::ETAG, etag)], Json(SshKey::from(view))).into_response()
}

/// Rename an SSH key
#[utoipa::path(
    patch, path = "/ssh-keys/{id}", tag = "saved",
    params(
        ("id" = SshKeyId, Path, description = "The key"),
        IfMatch,
    ),
    request_body(content((SshKeyPatch = "application/merge-patch+json"), (SshKeyPatch = "application/json"))),
    responses((status = 200, description = "The changed key", body = SshKey,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn ssh_key_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<SshKeyId>,
    if_match: IfMatch,
    body: JsonBody<SshKeyPatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let name = name(&body.value.name, "/name")?;
    Ok(tagged(StatusCode::OK, state.service().ssh_key_rename(&op, id, name, version).await?))
}

/// Delete an SSH key
///
/// Instances that have it keep it.
#[utoipa::path(
    delete, path = "/ssh-keys/{id}", tag = "saved",
    params(("id" = SshKeyId, Path, description = "The key")),
    responses((status = 204, description = "The key is deleted")),
)]
pub(crate) async fn ssh_key_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<SshKeyId>,
) -> Result<StatusCode, ApiError> {
    state.service().ssh_key_delete(&op, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
