//! Secrets: those of image storages, and the keys that they are sealed with.

use axum::{Json, extract::State};
use imprint_domain::id::StorageId;

use crate::{
    dto::{
        secret::{SecretsRotated, StorageSecretsPatch},
        storage::ImageStorage,
    },
    extract::{Admin, Caller, Id, JsonBody},
    problem::ApiError,
    state::ApiState,
};

/// Set or remove secrets of an image storage
///
/// No answer has their values.
#[utoipa::path(
    patch, path = "/admin/image-storages/{id}/secrets", tag = "admin",
    params(("id" = StorageId, Path, description = "The image storage")),
    request_body = StorageSecretsPatch,
    responses((status = 200, description = "The image storage", body = ImageStorage)),
)]
pub(crate) async fn admin_storage_secrets_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<StorageId>,
    body: JsonBody<StorageSecretsPatch>,
) -> Result<Json<ImageStorage>, ApiError> {
    Ok(Json(state.service().storage_secrets_update(&op, id, body.value.secrets).await?.into()))
}

/// Seal every secret again with the current key
///
/// The key file of the server has the current key first, and the older ones after it.
#[utoipa::path(
    post, path = "/admin/secrets/actions/rotate", tag = "admin",
    responses((status = 200, description = "The number of secrets that were sealed again", body = SecretsRotated)),
)]
pub(crate) async fn admin_secrets_rotate(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
) -> Result<Json<SecretsRotated>, ApiError> {
    let done = state.service().secrets_rotate(&op).await?;
    Ok(Json(SecretsRotated { resealed: done.resealed, key_id: done.key_id }))
}
