//! Image storages and their bindings to hypervisors.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::{
    Code, Error,
    id::{HypervisorId, StorageId},
    size::ByteSize,
    storage::Weight,
};
use imprint_service as service;

use crate::{
    dto::{
        page::Page,
        storage::{ImageStorage, ImageStorageCreate, ImageStoragePatch, StorageListQuery, UnbindQuery},
    },
    extract::{
        Admin, Caller, Id, IdempotencyKey, Ids, IfMatch, JsonBody, Query, bytes, changed, etag, name,
        page_request, parse,
    },
    problem::ApiError,
    state::ApiState,
};

/// List image storages
#[utoipa::path(
    get, path = "/admin/image-storages", tag = "admin",
    params(StorageListQuery),
    responses((status = 200, description = "A page of image storages", body = Page<ImageStorage>)),
)]
pub(crate) async fn admin_storage_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<StorageListQuery>,
) -> Result<Json<Page<ImageStorage>>, ApiError> {
    let list = service::StorageList {
        role: query.role,
        state: query.state,
        kind: query.kind.as_deref().map(|kind| parse(kind, "?kind")).transpose()?,
        hypervisor_id: query.hypervisor_id,
        page: page_request(query.limit, query.page_token)?,
    };
    Ok(Json(state.service().storage_list(&op, &list).await?.into()))
}

/// Show an image storage
#[utoipa::path(
    get, path = "/admin/image-storages/{id}", tag = "admin",
    params(("id" = StorageId, Path, description = "The image storage")),
    responses((status = 200, description = "The image storage", body = ImageStorage,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn admin_storage_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
) -> Result<Response, ApiError> {
    Ok(tagged(state.service().storage_show(&op, id).await?))
}

fn tagged(view: service::StorageView) -> Response {
    let etag = etag(view.version);
    ([(header::ETAG, etag)], Json(ImageStorage::from(view))).into_response()
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
        secrets: body.secrets,
        weight: body.weight.map(weight).transpose()?,
        shared_path: body.shared_path,
        min_free: body.min_free_bytes.map(min_free).transpose()?,
        ..service::StorageCreate::new(
            name(&body.name, "/name")?,
            body.role,
            parse(&body.kind, "/kind")?,
            body.settings,
        )
    };
    let storage = state.service().storage_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(ImageStorage::from(storage))).into_response())
}

/// Change an image storage
///
/// `draining` moves its images to other storages in the background; they stay usable.
#[utoipa::path(
    patch, path = "/admin/image-storages/{id}", tag = "admin",
    params(
        ("id" = StorageId, Path, description = "The image storage"),
        IfMatch,
    ),
    request_body(content((ImageStoragePatch = "application/merge-patch+json"), (ImageStoragePatch = "application/json"))),
    responses((status = 200, description = "The changed image storage", body = ImageStorage,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn admin_storage_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    if_match: IfMatch,
    body: JsonBody<ImageStoragePatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let body = body.value;
    let patch = service::StoragePatch {
        name: body.name.as_deref().map(|text| name(text, "/name")).transpose()?,
        settings: body.settings,
        state: body.state,
        drain_to: body.drain_to,
        weight: body.weight.map(weight).transpose()?,
        shared_path: body.shared_path,
        min_free: changed(body.min_free_bytes, min_free)?,
    };
    Ok(tagged(state.service().storage_update(&op, id, patch, version).await?))
}

fn weight(number: u32) -> Result<Weight, Error> {
    Weight::new(number).map_err(|error| Error::new(Code::InvalidRequest, error).at("/weight"))
}

fn min_free(number: u64) -> Result<ByteSize, Error> {
    bytes(number, "/min_free_bytes")
}

/// Delete an image storage
///
/// Only one without images that no task needs. Files are not touched.
#[utoipa::path(
    delete, path = "/admin/image-storages/{id}", tag = "admin",
    params(
        ("id" = StorageId, Path, description = "The image storage"),
        IfMatch,
    ),
    responses((status = 204, description = "The image storage is deleted")),
)]
pub(crate) async fn admin_storage_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    state.service().storage_delete(&op, id, version).await?;
    Ok(StatusCode::NO_CONTENT)
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

/// Unbind an image storage from a hypervisor
///
/// Refused while a task of the hypervisor needs the storage, and for the last hypervisor of a
/// storage with images unless `force` is given: nothing could reach them any more.
#[utoipa::path(
    delete, path = "/admin/image-storages/{id}/hypervisors/{hypervisor_id}", tag = "admin",
    params(
        ("id" = StorageId, Path, description = "The image storage"),
        ("hypervisor_id" = HypervisorId, Path, description = "The hypervisor"),
        UnbindQuery,
    ),
    responses((status = 200, description = "The image storage with its bindings", body = ImageStorage)),
)]
pub(crate) async fn admin_storage_unbind(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Ids(id, hypervisor_id): Ids<StorageId, HypervisorId>,
    Query(query): Query<UnbindQuery>,
) -> Result<Json<ImageStorage>, ApiError> {
    Ok(Json(state.service().storage_unbind(&op, id, hypervisor_id, query.force).await?.into()))
}
