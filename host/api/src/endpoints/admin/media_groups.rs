//! Media groups.

use axum::{extract::State, http::StatusCode, response::Response};
use imprint_domain::{id::MediaGroupId, media_group::MediaGroupEdit};
use imprint_service as service;

use crate::{
    dto::media_group::{MediaGroup, MediaGroupCreate, MediaGroupPatch},
    endpoints::media_groups::tagged,
    extract::{Admin, Caller, Id, IdempotencyKey, IfMatch, JsonBody, description, int32, name},
    problem::ApiError,
    state::ApiState,
};

/// Add a media group
///
/// The media groups at its place and behind make room.
#[utoipa::path(
    post, path = "/admin/media-groups", tag = "admin",
    params(IdempotencyKey),
    request_body = MediaGroupCreate,
    responses((status = 201, description = "The media group", body = MediaGroup,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn admin_media_group_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<MediaGroupCreate>,
) -> Result<Response, ApiError> {
    let request = service::MediaGroupCreate {
        label: name(&body.value.label, "/label")?,
        description: description(&body.value.description, "/description")?,
        position: body.value.position.map(place).transpose()?,
        hidden: body.value.hidden,
    };
    let op = op.with_idempotency(key.bind(body.digest));
    Ok(tagged(StatusCode::CREATED, state.service().media_group_create(&op, request).await?))
}

/// Change a media group, or move it
#[utoipa::path(
    patch, path = "/admin/media-groups/{id}", tag = "admin",
    params(
        ("id" = MediaGroupId, Path, description = "The media group"),
        IfMatch,
    ),
    request_body(content((MediaGroupPatch = "application/merge-patch+json"), (MediaGroupPatch = "application/json"))),
    responses((status = 200, description = "The changed media group", body = MediaGroup,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn admin_media_group_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<MediaGroupId>,
    if_match: IfMatch,
    body: JsonBody<MediaGroupPatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let edit = MediaGroupEdit {
        label: body.value.label.as_deref().map(|text| name(text, "/label")).transpose()?,
        description: body
            .value
            .description
            .map(|text| description(text.as_deref().unwrap_or(""), "/description"))
            .transpose()?,
        position: body.value.position.map(place).transpose()?,
        hidden: body.value.hidden,
    };
    Ok(tagged(StatusCode::OK, state.service().media_group_update(&op, id, edit, version).await?))
}

/// Delete a media group
///
/// Only one without images: move them to another one first.
#[utoipa::path(
    delete, path = "/admin/media-groups/{id}", tag = "admin",
    params(
        ("id" = MediaGroupId, Path, description = "The media group"),
        IfMatch,
    ),
    responses((status = 204, description = "The media group is deleted")),
)]
pub(crate) async fn admin_media_group_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<MediaGroupId>,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    state.service().media_group_delete(&op, id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn place(number: u32) -> Result<u32, imprint_domain::Error> {
    int32(number, "/position")
}
