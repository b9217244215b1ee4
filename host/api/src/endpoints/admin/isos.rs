//! ISOs, as operators manage them.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use imprint_domain::id::IsoId;
use imprint_service as service;

use crate::{
    dto::{
        iso::{AdminIso, IsoAndTask, IsoCreate, IsoPatch},
        page::{Page, PageQuery},
    },
    endpoints::accepted::{Created, accepted},
    extract::{Admin, Caller, Id, IdempotencyKey, JsonBody, Query, description, name, page_request},
    problem::ApiError,
    state::ApiState,
};

/// List all ISOs
#[utoipa::path(
    get, path = "/admin/isos", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of ISOs, oldest first", body = Page<AdminIso>)),
)]
pub(crate) async fn admin_iso_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<AdminIso>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().admin_iso_list(&op, &page).await?.into()))
}

/// Register an ISO
///
/// The file is in a storage of role `iso`. A task checks that it is the complete image of a CD, and
/// reads its digest; the file itself is not copied.
#[utoipa::path(
    post, path = "/admin/isos", tag = "admin",
    params(IdempotencyKey),
    request_body = IsoCreate,
    responses((status = 202, description = "The ISO and the task that reads its file", body = IsoAndTask)),
)]
pub(crate) async fn admin_iso_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<IsoCreate>,
) -> Result<Response, ApiError> {
    let request = service::IsoCreate {
        name: name(&body.value.name, "/name")?,
        description: description(&body.value.description, "/description")?,
        os_type: body.value.os_type,
        hidden: body.value.hidden,
        location_id: body.value.location_id,
        storage_id: body.value.storage_id,
        key: body.value.key,
    };
    let op = op.with_idempotency(key.bind(body.digest));
    let made = state.service().iso_create(&op, request).await?;
    let created = Created { location: None, task: made.task.id, replayed: made.replayed };
    Ok(accepted(created, IsoAndTask::from(made)))
}

/// Change an ISO
#[utoipa::path(
    patch, path = "/admin/isos/{id}", tag = "admin",
    params(("id" = IsoId, Path, description = "The ISO")),
    request_body(content((IsoPatch = "application/merge-patch+json"), (IsoPatch = "application/json"))),
    responses((status = 200, description = "The changed ISO", body = AdminIso)),
)]
pub(crate) async fn admin_iso_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<IsoId>,
    body: JsonBody<IsoPatch>,
) -> Result<Json<AdminIso>, ApiError> {
    let patch = service::IsoPatch {
        name: body.value.name.as_deref().map(|text| name(text, "/name")).transpose()?,
        description: body
            .value
            .description
            .as_deref()
            .map(|text| description(text, "/description"))
            .transpose()?,
        os_type: body.value.os_type,
        hidden: body.value.hidden,
    };
    Ok(Json(state.service().iso_update(&op, id, patch).await?.into()))
}

/// Remove an ISO
///
/// Its file stays on its storage. Refused while an instance has it in its drive.
#[utoipa::path(
    delete, path = "/admin/isos/{id}", tag = "admin",
    params(("id" = IsoId, Path, description = "The ISO")),
    responses((status = 204, description = "The ISO is removed")),
)]
pub(crate) async fn admin_iso_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<IsoId>,
) -> Result<StatusCode, ApiError> {
    state.service().iso_delete(&op, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
