//! Instances: what only operators do with them.

use axum::{extract::State, response::Response};
use imprint_domain::id::InstanceId;

use crate::{
    dto::instance::InstanceAndTask,
    endpoints::instances::answer,
    extract::{Admin, Id, IdempotencyKey},
    problem::ApiError,
    state::ApiState,
};

/// Merge the chain of layers behind an instance's disk
///
/// Outside of an image creation. The instance must be off. A disk that is one file already is left
/// as it is.
#[utoipa::path(
    post, path = "/admin/instances/{id}/actions/coalesce", tag = "admin",
    params(
        ("id" = String, Path, description = "The instance"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same answer for 24 hours"),
    ),
    responses((status = 202, description = "The instance and its task", body = InstanceAndTask,
        headers(("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn admin_instance_coalesce(
    State(state): State<ApiState>,
    Admin(op): Admin,
    Id(id): Id<InstanceId>,
    key: IdempotencyKey,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind_empty());
    Ok(answer(state.service().instance_coalesce(&op, id).await?))
}
