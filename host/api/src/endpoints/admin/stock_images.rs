//! Stock images.

use axum::{extract::State, response::Response};
use imprint_service as service;

use crate::{
    dto::{image::ImageAndTask, stock_image::StockImageCreate},
    endpoints::accepted::{Created, accepted},
    extract::{Admin, Caller, IdempotencyKey, JsonBody, description, name, parse},
    problem::ApiError,
    state::ApiState,
};

/// Register a stock image
///
/// The file is in a storage of role `stock`. A task reads its sizes and digests; the file itself is
/// not copied.
#[utoipa::path(
    post, path = "/admin/stock-images", tag = "admin",
    params(IdempotencyKey),
    request_body = StockImageCreate,
    responses((status = 202, description = "The image and the task that reads its file", body = ImageAndTask)),
)]
pub(crate) async fn admin_stock_image_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<StockImageCreate>,
) -> Result<Response, ApiError> {
    let StockImageCreate { name: text, description: about, storage_id, key: file, format, location_id } =
        body.value;
    let request = service::StockImageCreate {
        name: name(&text, "/name")?,
        description: description(&about, "/description")?,
        storage_id,
        key: file,
        format: parse(&format, "/format")?,
        location_id,
    };
    let op = op.with_idempotency(key.bind(body.digest));
    let made = state.service().stock_image_create(&op, request).await?;
    let created = Created {
        location: Some(format!("/api/v1/images/{}", made.image.id)),
        task: made.task.id,
        replayed: made.replayed,
    };
    Ok(accepted(created, ImageAndTask::from(made)))
}
