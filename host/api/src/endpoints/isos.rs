//! ISOs, and the drive and the disks of an instance.

use axum::{Json, extract::State, response::Response};
use imprint_domain::id::{DiskId, InstanceId};

use super::instances::answer;
use crate::{
    dto::{
        byte_size,
        instance::InstanceAndTask,
        iso::{DiskAttach, Iso, IsoListQuery, IsoMountRequest},
        page::Page,
    },
    extract::{Caller, Id, IdempotencyKey, Ids, JsonBody, Query, Read, Write, page_request},
    problem::ApiError,
    state::ApiState,
};

/// List the ISOs that can be mounted
#[utoipa::path(
    get, path = "/isos", tag = "isos",
    params(IsoListQuery),
    responses((status = 200, description = "A page of ISOs, oldest first", body = Page<Iso>)),
)]
pub(crate) async fn iso_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<IsoListQuery>,
) -> Result<Json<Page<Iso>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().iso_list(&op, query.location_id, &page).await?.into()))
}

/// Put an ISO into the drive of an instance
///
/// It takes the place of the one in the drive. A running instance gets it at once, a stopped one at
/// its next start.
#[utoipa::path(
    post, path = "/instances/{id}/actions/mount-iso", tag = "isos",
    params(("id" = InstanceId, Path, description = "The instance"), IdempotencyKey),
    request_body = IsoMountRequest,
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_mount_iso(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<InstanceId>,
    key: IdempotencyKey,
    body: JsonBody<IsoMountRequest>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let IsoMountRequest { iso_id, boot_from_cd } = body.value;
    Ok(answer(state.service().instance_mount_iso(&op, id, iso_id, boot_from_cd).await?))
}

/// Take the ISO out of the drive of an instance
#[utoipa::path(
    post, path = "/instances/{id}/actions/eject-iso", tag = "isos",
    params(("id" = InstanceId, Path, description = "The instance"), IdempotencyKey),
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_eject_iso(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<InstanceId>,
    key: IdempotencyKey,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind_empty());
    Ok(answer(state.service().instance_eject_iso(&op, id).await?))
}

/// Attach an empty disk to an instance
///
/// A running instance gets it at once, a stopped one at its next start. Images of the instance do
/// not contain it.
#[utoipa::path(
    post, path = "/instances/{id}/disks", tag = "isos",
    params(("id" = InstanceId, Path, description = "The instance"), IdempotencyKey),
    request_body = DiskAttach,
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_disk_attach(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<InstanceId>,
    key: IdempotencyKey,
    body: JsonBody<DiskAttach>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let size = byte_size(body.value.size_bytes, "/size_bytes")?;
    Ok(answer(state.service().instance_attach_disk(&op, id, size).await?))
}

/// Detach a disk from an instance and remove it with its content
#[utoipa::path(
    delete, path = "/instances/{id}/disks/{disk_id}", tag = "isos",
    params(
        ("id" = InstanceId, Path, description = "The instance"),
        ("disk_id" = DiskId, Path, description = "The disk, which is not the primary one"),
    ),
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_disk_detach(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Ids(id, disk_id): Ids<InstanceId, DiskId>,
) -> Result<Response, ApiError> {
    Ok(answer(state.service().instance_detach_disk(&op, id, disk_id).await?))
}
