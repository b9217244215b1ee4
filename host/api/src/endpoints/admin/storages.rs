//! Image storages and their bindings to hypervisors.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use imprint_domain::id::{HypervisorId, StorageId};
use imprint_service as service;

use crate::{
    dto::{
        page::{Page, PageQuery},
        storage::{ImageStorage, ImageStorageCreate},
    },
    extract::{Admin, Caller, IdempotencyKey, Ids, JsonBody, Query, name, page_request, parse},
    problem::ApiError,
    state::ApiState,
};

/// List image storages
#[utoipa::path(
    get, path = "/admin/image-storages", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of image storages", body = Page<ImageStorage>)),
)]
pub(crate) async fn admin_storage_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<ImageStorage>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().storage_list(&op, &page).await?.into()))
}

/// Register an image storage
#[utoipa::path(
    post, path = "/admin/image-storages", tag = "admin",
    params(IdempotencyKey),
    request_body = ImageStorageCreate,
    responses((status = 201, description = "The image storage", body = ImageStorage)),
)]
pub(crate) async fn admin_storage_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<ImageStorageCreate>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let body = body.value;
    let request = service::StorageCreate {
        name: name(&body.name, "/name")?,
        role: body.role,
        kind: parse(&body.kind, "/kind")?,
        settings: body.settings,
        secrets: body.secrets,
    };
    let storage = state.service().storage_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(ImageStorage::from(storage))).into_response())
}

/// Bind an image storage to a hypervisor
#[utoipa::path(
    put, path = "/admin/image-storages/{id}/hypervisors/{hypervisor_id}", tag = "admin",
    params(
        ("id" = StorageId, Path, description = "The image storage"),
        ("hypervisor_id" = HypervisorId, Path, description = "The hypervisor"),
    ),
    responses((status = 200, description = "The image storage with its bindings", body = ImageStorage)),
)]
pub(crate) async fn admin_storage_bind(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Ids(id, hypervisor_id): Ids<StorageId, HypervisorId>,
) -> Result<Json<ImageStorage>, ApiError> {
    Ok(Json(state.service().storage_bind(&op, id, hypervisor_id).await?.into()))
}
