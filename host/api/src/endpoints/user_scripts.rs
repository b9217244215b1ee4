//! Saved user scripts.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::id::UserScriptId;
use imprint_service as service;

use crate::{
    dto::{
        page::{Page, PageQuery},
        user_script::{UserScript, UserScriptAndContent, UserScriptCreate, UserScriptPatch},
    },
    extract::{Caller, Id, IdempotencyKey, IfMatch, JsonBody, Query, Read, Write, etag, name, page_request},
    problem::ApiError,
    state::ApiState,
};

/// List the account's user scripts
#[utoipa::path(
    get, path = "/user-scripts", tag = "saved",
    params(PageQuery),
    responses((status = 200, description = "A page of scripts without their contents, oldest first",
        body = Page<UserScript>)),
)]
pub(crate) async fn user_script_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<UserScript>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().user_script_list(&op, &page).await?.into()))
}

/// Save a user script for new instances
#[utoipa::path(
    post, path = "/user-scripts", tag = "saved",
    params(IdempotencyKey),
    request_body = UserScriptCreate,
    responses((status = 201, description = "The script", body = UserScript,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn user_script_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    key: IdempotencyKey,
    body: JsonBody<UserScriptCreate>,
) -> Result<Response, ApiError> {
    let request =
        service::UserScriptCreate { name: name(&body.value.name, "/name")?, content: body.value.content };
    let op = op.with_idempotency(key.bind(body.digest));
    Ok(tagged(StatusCode::CREATED, state.service().user_script_create(&op, request).await?))
}

/// Show a user script with its content
#[utoipa::path(
    get, path = "/user-scripts/{id}", tag = "saved",
    params(("id" = UserScriptId, Path, description = "The script")),
    responses((status = 200, description = "The script and its content", body = UserScriptAndContent,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn user_script_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<UserScriptId>,
) -> Result<Response, ApiError> {
    let shown = state.service().user_script_show(&op, id).await?;
    let etag = etag(shown.script.version);
    let body = UserScriptAndContent { script: shown.script.into(), content: shown.content };
    Ok(([(header::ETAG, etag)], Json(body)).into_response())
}

fn tagged(status: StatusCode, view: service::UserScriptView) -> Response {
    let etag = etag(view.version);
    (status, [(header::ETAG, etag)], Json(UserScript::from(view))).into_response()
}

/// Change a user script
///
/// Instances that were made with it keep what they have.
#[utoipa::path(
    patch, path = "/user-scripts/{id}", tag = "saved",
    params(
        ("id" = UserScriptId, Path, description = "The script"),
        IfMatch,
    ),
    request_body(content((UserScriptPatch = "application/merge-patch+json"), (UserScriptPatch = "application/json"))),
    responses((status = 200, description = "The changed script", body = UserScript,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn user_script_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<UserScriptId>,
    if_match: IfMatch,
    body: JsonBody<UserScriptPatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let patch = service::UserScriptPatch {
        name: body.value.name.as_deref().map(|text| name(text, "/name")).transpose()?,
        content: body.value.content,
    };
    Ok(tagged(StatusCode::OK, state.service().user_script_update(&op, id, patch, version).await?))
}

/// Delete a user script
///
/// Instances that were made with it are not affected.
#[utoipa::path(
    delete, path = "/user-scripts/{id}", tag = "saved",
    params(("id" = UserScriptId, Path, description = "The script")),
    responses((status = 204, description = "The script is deleted")),
)]
pub(crate) async fn user_script_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<UserScriptId>,
) -> Result<StatusCode, ApiError> {
    state.service().user_script_delete(&op, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
