//! Instances: endpoints for administrators.

use axum::{extract::State, response::Response};
use imprint_domain::id::InstanceId;

use crate::{
    dto::instance::InstanceAndTask,
    endpoints::instances::answer,
    extract::{Admin, Caller, Id, IdempotencyKey},
    problem::ApiError,
    state::ApiState,
};

/// Merge the layers of an instance's disk
///
/// Independently of an image creation. The instance must be off. A disk that is one file already is
/// not changed.
#[utoipa::path(
    post, path = "/admin/instances/{id}/actions/coalesce", tag = "admin",
    params(
        ("id" = InstanceId, Path, description = "The instance"),
        IdempotencyKey,
    ),
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn admin_instance_coalesce(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<InstanceId>,
    key: IdempotencyKey,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind_empty());
    Ok(answer(state.service().instance_coalesce(&op, id).await?))
}
