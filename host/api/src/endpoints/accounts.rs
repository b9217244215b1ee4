//! The account that asks.

use axum::{Json, extract::State};

use crate::{dto::account::Account, extract::SignedInOp, problem::ApiError, state::ApiState};

/// Who am I
#[utoipa::path(
    get, path = "/account", tag = "sessions",
    responses((status = 200, description = "The account of this session or token", body = Account)),
)]
pub(crate) async fn account_show(
    State(state): State<ApiState>,
    SignedInOp(op): SignedInOp,
) -> Result<Json<Account>, ApiError> {
    Ok(Json(state.service().account_current(&op).await?.into()))
}
