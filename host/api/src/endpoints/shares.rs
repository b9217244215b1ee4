//! Shares: images that are offered to other accounts.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use imprint_domain::id::{ImageId, ShareId};
use imprint_service as service;

use crate::{
    dto::{
        page::{Page, PageQuery},
        share::{IncomingSharesQuery, Share, ShareCreate},
    },
    extract::{Caller, Id, IdempotencyKey, JsonBody, Query, Read, Write, name, page_request, values},
    problem::ApiError,
    state::ApiState,
};

/// List the shares of an image
///
/// For the owner of the image. Shares that are over are listed for 30 days.
#[utoipa::path(
    get, path = "/images/{id}/shares", tag = "shares",
    params(("id" = ImageId, Path, description = "The image"), PageQuery),
    responses((status = 200, description = "A page of shares, latest first", body = Page<Share>)),
)]
pub(crate) async fn share_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(image): Id<ImageId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Share>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().share_list(&op, image, &page).await?.into()))
}

/// Share an image
///
/// Offers the image to another account, which may deploy it in the image's location once it has
/// accepted. Nothing is copied; the image stays its owner's, who pays for it.
#[utoipa::path(
    post, path = "/images/{id}/shares", tag = "shares",
    params(("id" = ImageId, Path, description = "The image"), IdempotencyKey),
    request_body = ShareCreate,
    responses((status = 201, description = "The share, now `offered`", body = Share)),
)]
pub(crate) async fn share_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(image_id): Id<ImageId>,
    key: IdempotencyKey,
    body: JsonBody<ShareCreate>,
) -> Result<Response, ApiError> {
    let request = service::ShareOffer {
        image_id,
        account: name(&body.value.account, "/account")?,
        expires_at: body.value.expires_at,
    };
    let op = op.with_idempotency(key.bind(body.digest));
    let share = state.service().share_offer(&op, request).await?;
    Ok((StatusCode::CREATED, Json(Share::from(share))).into_response())
}

/// List the images that are offered to this account or shared with it
#[utoipa::path(
    get, path = "/shares", tag = "shares",
    params(IncomingSharesQuery),
    responses((status = 200, description = "A page of open shares, latest first", body = Page<Share>)),
)]
pub(crate) async fn share_incoming(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<IncomingSharesQuery>,
) -> Result<Json<Page<Share>>, ApiError> {
    let list = service::IncomingShares {
        state: values(query.state.as_deref(), "?state")?,
        page: page_request(query.limit, query.page_token)?,
    };
    Ok(Json(state.service().share_incoming(&op, &list).await?.into()))
}

/// Show a share
#[utoipa::path(
    get, path = "/shares/{id}", tag = "shares",
    params(("id" = ShareId, Path, description = "The share")),
    responses((status = 200, description = "The share", body = Share)),
)]
pub(crate) async fn share_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<ShareId>,
) -> Result<Json<Share>, ApiError> {
    Ok(Json(state.service().share_show(&op, id).await?.into()))
}

/// Accept an image that is offered to this account
#[utoipa::path(
    post, path = "/shares/{id}/actions/accept", tag = "shares",
    params(("id" = ShareId, Path, description = "The share")),
    responses((status = 200, description = "The share, now `accepted`", body = Share)),
)]
pub(crate) async fn share_accept(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ShareId>,
) -> Result<Json<Share>, ApiError> {
    Ok(Json(state.service().share_accept(&op, id).await?.into()))
}

/// Reject an image that is offered to this account
#[utoipa::path(
    post, path = "/shares/{id}/actions/reject", tag = "shares",
    params(("id" = ShareId, Path, description = "The share")),
    responses((status = 200, description = "The share, now `rejected`", body = Share)),
)]
pub(crate) async fn share_reject(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ShareId>,
) -> Result<Json<Share>, ApiError> {
    Ok(Json(state.service().share_reject(&op, id).await?.into()))
}

/// End a share of an image of this account
///
/// New deployments are refused from then on. Instances that were deployed before, and deployments
/// that were accepted before, are not affected.
#[utoipa::path(
    post, path = "/shares/{id}/actions/revoke", tag = "shares",
    params(("id" = ShareId, Path, description = "The share")),
    responses((status = 200, description = "The share, now `revoked`", body = Share)),
)]
pub(crate) async fn share_revoke(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ShareId>,
) -> Result<Json<Share>, ApiError> {
    Ok(Json(state.service().share_revoke(&op, id).await?.into()))
}

/// Give up an image that is shared with this account
#[utoipa::path(
    post, path = "/shares/{id}/actions/leave", tag = "shares",
    params(("id" = ShareId, Path, description = "The share")),
    responses((status = 200, description = "The share, now `left`", body = Share)),
)]
pub(crate) async fn share_leave(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ShareId>,
) -> Result<Json<Share>, ApiError> {
    Ok(Json(state.service().share_leave(&op, id).await?.into()))
}
