//! The account of the caller.

use axum::{Json, extract::State};

use crate::{
    dto::account::Account,
    extract::{Caller, SignedIn},
    problem::ApiError,
    state::ApiState,
};

/// Show the current account
#[utoipa::path(
    get, path = "/account", tag = "sessions",
    responses((status = 200, description = "The account of this session or token", body = Account)),
)]
pub(crate) async fn account_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<SignedIn>,
) -> Result<Json<Account>, ApiError> {
    Ok(Json(state.service().account_current(&op).await?.into()))
}
