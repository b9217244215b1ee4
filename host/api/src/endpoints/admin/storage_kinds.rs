//! Kinds of image storages.

use axum::{Json, extract::State};

use crate::{
    dto::storage_kind::StorageKinds,
    extract::{Admin, Caller},
    problem::ApiError,
    state::ApiState,
};

/// List the kinds of image storages that the hypervisors' plugins provide
#[utoipa::path(
    get, path = "/admin/storage-kinds", tag = "admin",
    responses((status = 200, description = "The kinds, with the schemas of their settings", body = StorageKinds)),
)]
pub(crate) async fn admin_storage_kind_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
) -> Result<Json<StorageKinds>, ApiError> {
    let kinds = state.service().storage_kind_list(&op).await?;
    Ok(Json(StorageKinds { items: kinds.into_iter().map(Into::into).collect() }))
}
