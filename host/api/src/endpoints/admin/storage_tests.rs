//! Connection tests of image storages.

use axum::{extract::State, response::Response};
use imprint_domain::id::StorageId;
use imprint_service as service;

use crate::{
    dto::{
        storage_test::{StorageTestCreate, StoredStorageTest},
        task::Task,
    },
    endpoints::accepted::{Created, accepted},
    extract::{Admin, Caller, Id, IdempotencyKey, JsonBody, parse},
    problem::ApiError,
    state::ApiState,
};

/// Test the connection to an image storage before it is stored
///
/// The hypervisor's agent writes, lists, reads and deletes an object, as images do. Settings that
/// make no sense are refused at once. The task's `storage_test` has the result.
#[utoipa::path(
    post, path = "/admin/image-storages/actions/test", tag = "admin",
    params(IdempotencyKey),
    request_body = StorageTestCreate,
    responses((status = 202, description = "The task of the test", body = Task,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn admin_storage_test_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<StorageTestCreate>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let body = body.value;
    let request = service::StorageTestCreate {
        hypervisor_id: body.hypervisor_id,
        kind: parse(&body.kind, "/kind")?,
        role: body.role,
        settings: body.settings,
        secrets: body.secrets,
    };
    Ok(answer(state.service().storage_test(&op, request).await?))
}

/// Test the connection to a stored image storage
///
/// Without `settings` and `secrets` the stored ones are tested.
#[utoipa::path(
    post, path = "/admin/image-storages/{id}/actions/test", tag = "admin",
    params(
        ("id" = StorageId, Path, description = "The image storage"),
        IdempotencyKey,
    ),
    request_body = StoredStorageTest,
    responses((status = 202, description = "The task of the test", body = Task,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn admin_storage_test(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    key: IdempotencyKey,
    body: JsonBody<StoredStorageTest>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let body = body.value;
    let request = service::StoredStorageTest {
        hypervisor_id: body.hypervisor_id,
        settings: body.settings,
        secrets: body.secrets,
    };
    Ok(answer(state.service().stored_storage_test(&op, id, request).await?))
}

fn answer(queued: service::StorageTestTask) -> Response {
    let created = Created { location: None, task: queued.task.id, replayed: queued.replayed };
    accepted(created, Task::from(queued.task))
}
