//! Scans of image storages: Browse and Reconcile.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use imprint_domain::{Code, Error, id::StorageId, storage_scan::ObjectClass};
use imprint_service as service;

use crate::{
    dto::{
        download::{StorageDownload, StorageDownloadCreate},
        image::ImageAndTask,
        page::Page,
        storage_scan::{
            StorageObject, StorageObjectAdopt, StorageObjectChange, StorageObjectListQuery, StorageReconcile,
            StorageReconcileReport, StorageScanCreate, StorageScans,
        },
        task::Task,
    },
    endpoints::accepted::{Created, accepted},
    extract::{
        Admin, Caller, Id, IdempotencyKey, JsonBody, Query, description, name, page_request, parse, values,
    },
    problem::ApiError,
    state::ApiState,
};

/// The most changes of one request.
const MAX_CHANGES: usize = 100;

/// Scan an image storage
///
/// An agent lists everything on it, and each object is compared with the images. While a scan has
/// not ended, its task is the answer.
#[utoipa::path(
    post, path = "/admin/image-storages/{id}/scans", tag = "admin",
    params(("id" = StorageId, Path, description = "The image storage")),
    request_body = StorageScanCreate,
    responses((status = 202, description = "The task of the scan", body = Task,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn admin_storage_scan_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    body: JsonBody<StorageScanCreate>,
) -> Result<Response, ApiError> {
    let StorageScanCreate { deep, hypervisor_id } = body.value;
    let queued = state.service().storage_scan(&op, id, deep, hypervisor_id).await?;
    let created = Created { location: None, task: queued.task.id, replayed: queued.replayed };
    Ok(accepted(created, Task::from(queued.task)))
}

/// List the latest scans of an image storage
#[utoipa::path(
    get, path = "/admin/image-storages/{id}/scans", tag = "admin",
    params(("id" = StorageId, Path, description = "The image storage")),
    responses((status = 200, description = "The latest scans, latest first", body = StorageScans)),
)]
pub(crate) async fn admin_storage_scan_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
) -> Result<Json<StorageScans>, ApiError> {
    let scans = state.service().storage_scans(&op, id).await?;
    Ok(Json(StorageScans { items: scans.into_iter().map(Into::into).collect() }))
}

/// Browse an image storage
///
/// The objects as the last scan found them, in byte order of their keys, with what they are.
#[utoipa::path(
    get, path = "/admin/image-storages/{id}/objects", tag = "admin",
    params(
        ("id" = StorageId, Path, description = "The image storage"),
        StorageObjectListQuery,
    ),
    responses((status = 200, description = "A page of objects", body = Page<StorageObject>)),
)]
pub(crate) async fn admin_storage_object_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    Query(query): Query<StorageObjectListQuery>,
) -> Result<Json<Page<StorageObject>>, ApiError> {
    let classes = match (query.fault, values(query.class.as_deref(), "?class")?) {
        (None, classes) => classes,
        (Some(fault), classes) if classes.is_empty() => {
            ObjectClass::ALL.iter().copied().filter(|class| class.is_fault() == fault).collect()
        }
        (Some(_), _) => {
            let detail = "name either classes or whether they are faults";
            return Err(Error::new(Code::InvalidRequest, detail).at("?fault").into());
        }
    };
    let list = service::ObjectList {
        storage_id: id,
        classes,
        prefix: query.prefix.unwrap_or_default(),
        page: page_request(query.limit, query.page_token)?,
    };
    Ok(Json(state.service().storage_objects(&op, &list).await?.into()))
}

/// Reconcile an image storage
///
/// With `dry_run` the answer is the plan, and nothing is changed. Every object is compared again
/// first: what changed since the scan is left alone, with the reason.
#[utoipa::path(
    post, path = "/admin/image-storages/{id}/actions/reconcile", tag = "admin",
    params(("id" = StorageId, Path, description = "The image storage")),
    request_body = StorageReconcile,
    responses((status = 200, description = "What was done, or would be done", body = StorageReconcileReport)),
)]
pub(crate) async fn admin_storage_reconcile(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    body: JsonBody<StorageReconcile>,
) -> Result<Json<StorageReconcileReport>, ApiError> {
    let StorageReconcile { scan_id, changes, dry_run } = body.value;
    if changes.len() > MAX_CHANGES {
        let detail = format!("name at most {MAX_CHANGES} changes at once");
        return Err(Error::new(Code::InvalidRequest, detail).at("/changes").into());
    }
    let changes = changes.into_iter().enumerate().map(change).collect::<Result<_, _>>()?;
    let request = service::ReconcileRequest { scan_id, changes, dry_run };
    Ok(Json(state.service().storage_reconcile(&op, id, request).await?.into()))
}

fn change((index, change): (usize, StorageObjectChange)) -> Result<service::ObjectChange, Error> {
    let objects = match (change.class, change.keys) {
        (Some(class), None) => service::ObjectSelection::Class(class),
        (None, Some(keys)) => service::ObjectSelection::Keys(keys),
        (Some(_), Some(_)) | (None, None) => {
            let detail = "name either a class or keys";
            return Err(Error::new(Code::InvalidRequest, detail).at(format!("/changes/{index}")));
        }
    };
    Ok(service::ObjectChange { action: change.action, objects })
}

/// Make an image of an object
///
/// Only of one that nothing refers to. A task reads its sizes and digests; the file itself stays
/// where it is.
#[utoipa::path(
    post, path = "/admin/image-storages/{id}/actions/adopt", tag = "admin",
    params(
        ("id" = StorageId, Path, description = "The image storage"),
        IdempotencyKey,
    ),
    request_body = StorageObjectAdopt,
    responses((status = 202, description = "The image and the task that reads its file", body = ImageAndTask)),
)]
pub(crate) async fn admin_storage_object_adopt(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    key: IdempotencyKey,
    body: JsonBody<StorageObjectAdopt>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let body = body.value;
    let request = service::ObjectAdopt {
        storage_id: id,
        key: body.key,
        name: name(&body.name, "/name")?,
        description: description(&body.description, "/description")?,
        format: parse(&body.format, "/format")?,
        location_id: body.location_id,
        account_id: body.account_id,
    };
    let made = state.service().object_adopt(&op, request).await?;
    let created = Created {
        location: Some(format!("/api/v1/images/{}", made.image.id)),
        task: made.task.id,
        replayed: made.replayed,
    };
    Ok(accepted(created, ImageAndTask::from(made)))
}

/// Make a link to an object of an image storage
///
/// Everybody who has the link can download the object, with a browser or with any other program,
/// until it expires. It may be any object, one of an image or not.
#[utoipa::path(
    post, path = "/admin/image-storages/{id}/downloads", tag = "admin",
    params(("id" = StorageId, Path, description = "The image storage")),
    request_body = StorageDownloadCreate,
    responses((status = 201, description = "The link", body = StorageDownload)),
)]
pub(crate) async fn admin_storage_download_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    body: JsonBody<StorageDownloadCreate>,
) -> Result<(StatusCode, Json<StorageDownload>), ApiError> {
    let route = match body.value.through_server {
        true => service::DownloadRoute::Server,
        false => service::DownloadRoute::Any,
    };
    let link = state.service().storage_download(&op, id, &body.value.key, route).await?;
    let url = format!("/api/v1/downloads/{}", link.token);
    Ok((StatusCode::CREATED, Json(StorageDownload { url, expires_at: link.expires_at })))
}
