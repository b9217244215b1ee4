//! API tokens.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use imprint_domain::{Code, Error, id::TokenId};
use imprint_service as service;

use crate::{
    dto::{
        account::{Token, TokenCreate, TokenCreated},
        page::{Page, PageQuery},
    },
    extract::{Caller, Id, JsonBody, Query, Read, Write, name, page_request},
    problem::ApiError,
    state::ApiState,
};

/// Create an API token
///
/// The secret is in this answer only.
#[utoipa::path(
    post, path = "/api-tokens", tag = "tokens",
    request_body = TokenCreate,
    responses((status = 201, description = "The token with its secret", body = TokenCreated)),
)]
pub(crate) async fn token_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    body: JsonBody<TokenCreate>,
) -> Result<Response, ApiError> {
    let TokenCreate { name: text, scopes, expires_at } = body.value;
    if scopes.is_empty() {
        return Err(Error::new(Code::InvalidRequest, "a token needs at least one scope")
            .at("/scopes")
            .into());
    }
    let request = service::TokenCreate {
        name: name(&text, "/name")?,
        scopes: scopes.into_iter().collect(),
        expires_at,
    };
    let created = state.service().token_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(TokenCreated::from(created))).into_response())
}

/// List the account's API tokens
#[utoipa::path(
    get, path = "/api-tokens", tag = "tokens",
    params(PageQuery),
    responses((status = 200, description = "A page of tokens, without their secrets", body = Page<Token>)),
)]
pub(crate) async fn token_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Token>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().token_list(&op, &page).await?.into()))
}

/// Revoke an API token
#[utoipa::path(
    delete, path = "/api-tokens/{id}", tag = "tokens",
    params(("id" = TokenId, Path, description = "The token")),
    responses((status = 204, description = "The token is revoked")),
)]
pub(crate) async fn token_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<TokenId>,
) -> Result<StatusCode, ApiError> {
    state.service().token_delete(&op, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
