//! Accounts.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use imprint_domain::{Error, id::AccountId, size::ByteSize};
use imprint_service as service;

use crate::{
    dto::{
        account::{Account, AccountCreate, AccountPatch},
        page::{Page, PageQuery},
    },
    extract::{Admin, Caller, Id, JsonBody, Query, bytes, changed, int32, name, page_request},
    problem::ApiError,
    state::ApiState,
};

/// List accounts
#[utoipa::path(
    get, path = "/admin/accounts", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of accounts", body = Page<Account>)),
)]
pub(crate) async fn admin_account_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Account>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().account_list(&op, &page).await?.into()))
}

/// Create an account
///
/// Idempotency keys are not supported, because a stored request would reveal the password. Names
/// are unique.
#[utoipa::path(
    post, path = "/admin/accounts", tag = "admin",
    request_body = AccountCreate,
    responses((status = 201, description = "The account", body = Account)),
)]
pub(crate) async fn admin_account_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    body: JsonBody<AccountCreate>,
) -> Result<Response, ApiError> {
    let request = service::AccountCreate {
        name: name(&body.value.name, "/name")?,
        password: body.value.password,
        role: body.value.role,
        image_limit: body.value.image_limit.map(image_limit).transpose()?,
        image_bytes_limit: body.value.image_bytes_limit.map(image_bytes_limit).transpose()?,
    };
    let account = state.service().account_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(Account::from(account))).into_response())
}

/// Change an account's limits
#[utoipa::path(
    patch, path = "/admin/accounts/{id}", tag = "admin",
    params(("id" = AccountId, Path, description = "The account")),
    request_body(content((AccountPatch = "application/merge-patch+json"), (AccountPatch = "application/json"))),
    responses((status = 200, description = "The changed account", body = Account)),
)]
pub(crate) async fn admin_account_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<AccountId>,
    body: JsonBody<AccountPatch>,
) -> Result<Json<Account>, ApiError> {
    let patch = service::AccountPatch {
        image_limit: changed(body.value.image_limit, image_limit)?,
        image_bytes_limit: changed(body.value.image_bytes_limit, image_bytes_limit)?,
    };
    Ok(Json(state.service().account_update(&op, id, patch).await?.into()))
}

fn image_limit(number: u32) -> Result<u32, Error> {
    int32(number, "/image_limit")
}

fn image_bytes_limit(number: u64) -> Result<ByteSize, Error> {
    bytes(number, "/image_bytes_limit")
}
