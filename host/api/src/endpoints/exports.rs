//! Exports of images: asked for, listed, downloaded, deleted.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use imprint_domain::{
    Error,
    export::ExportForm,
    id::{ExportId, ImageId},
};
use imprint_service as service;

use super::{
    accepted::{Created, accepted},
    downloads::{self, Delivered, FileAnswer},
};
use crate::{
    dto::{
        export::{ExportAndTask, ExportCreate, ExportDestination, ImageExport},
        page::{Page, PageQuery},
    },
    extract::{Caller, Id, IdempotencyKey, Ids, JsonBody, Query, Read, Write, page_request, parse},
    problem::ApiError,
    state::ApiState,
};

/// The fields that say what the whole file, and what this answer hashes to (RFC 9530).
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Export an image
///
/// Writes its disk as a file of the format. An export that is there already, or that is being made,
/// is not made again: it is kept longer. With `destination` the file goes to a storage of your own.
#[utoipa::path(
    post, path = "/images/{id}/exports", tag = "exports",
    params(("id" = ImageId, Path, description = "The image"), IdempotencyKey),
    request_body = ExportCreate,
    responses((status = 202, description = "The export and its task", body = ExportAndTask,
        headers(("Location" = String, description = "The export"), ("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn export_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ImageId>,
    key: IdempotencyKey,
    body: JsonBody<ExportCreate>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let ExportCreate { format, options, destination } = body.value;
    let form = ExportForm::new(format, options.variant, options.compression)?;
    let destination = destination.map(destination_of).transpose()?;
    let made = state.service().export_create(&op, id, service::ExportCreate { form, destination }).await?;
    let created = Created {
        location: Some(format!("/api/v1/images/{id}/exports/{}", made.export.id)),
        task: made.task.id,
        replayed: made.replayed,
    };
    Ok(accepted(created, ExportAndTask::from(made)))
}

fn destination_of(body: ExportDestination) -> Result<service::DestinationCreate, Error> {
    let ExportDestination { kind, settings, secrets, key } = body;
    Ok(service::DestinationCreate { kind: parse(&kind, "/destination/kind")?, settings, secrets, key })
}

/// List the exports of an image
#[utoipa::path(
    get, path = "/images/{id}/exports", tag = "exports",
    params(("id" = ImageId, Path, description = "The image"), PageQuery),
    responses((status = 200, description = "A page of exports, oldest first", body = Page<ImageExport>)),
)]
pub(crate) async fn export_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<ImageId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<ImageExport>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().export_list(&op, id, &page).await?.into()))
}

/// Show an export
#[utoipa::path(
    get, path = "/images/{id}/exports/{export_id}", tag = "exports",
    params(
        ("id" = ImageId, Path, description = "The image"),
        ("export_id" = ExportId, Path, description = "The export"),
    ),
    responses((status = 200, description = "The export", body = ImageExport)),
)]
pub(crate) async fn export_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Ids(id, export_id): Ids<ImageId, ExportId>,
) -> Result<Json<ImageExport>, ApiError> {
    Ok(Json(state.service().export_show(&op, id, export_id).await?.into()))
}

/// Delete an export
///
/// What was written to a storage of your own stays there.
#[utoipa::path(
    delete, path = "/images/{id}/exports/{export_id}", tag = "exports",
    params(
        ("id" = ImageId, Path, description = "The image"),
        ("export_id" = ExportId, Path, description = "The export"),
    ),
    responses((status = 204, description = "The export is being removed")),
)]
pub(crate) async fn export_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Ids(id, export_id): Ids<ImageId, ExportId>,
) -> Result<StatusCode, ApiError> {
    state.service().export_delete(&op, id, export_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Download the file of an export
///
/// `Range`, `If-Range` and the other conditions resume a download; `Repr-Digest` has the SHA-256 of
/// the whole file. Where the storage's settings say that clients reach it themselves, the answer is
/// a redirect to the storage, by an address that is valid for a limited time.
#[utoipa::path(
    get, path = "/images/{id}/exports/{export_id}/content", tag = "exports",
    params(
        ("id" = ImageId, Path, description = "The image"),
        ("export_id" = ExportId, Path, description = "The export"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "A part of the file", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "The file has not changed"),
        (status = 307, description = "The storage itself has the file, at the address in `Location`"),
        (status = 416, description = "The file has no such part"),
    ),
)]
pub(crate) async fn export_content(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Ids(id, export_id): Ids<ImageId, ExportId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let content = state.service().export_content(&op, id, export_id).await?;
    let hash =
        format!("sha-256=:{}:", BASE64.encode(hex::decode(content.sha256.as_str()).unwrap_or_default()));
    let answer =
        FileAnswer { source: content.source, file_name: content.file_name, media_type: content.media_type };
    let Delivered { mut response, redirected } =
        downloads::deliver(&state, answer, &method, &headers).await?;
    let status = response.status();
    if let Ok(value) = HeaderValue::from_str(&hash) {
        response.headers_mut().insert(REPR_DIGEST, value.clone());
        // Of an answer with all of the file, and of none else.
        if status == StatusCode::OK && method == Method::GET {
            response.headers_mut().insert(CONTENT_DIGEST, value);
        }
    }
    let begins = status == StatusCode::OK || redirected;
    if begins && method == Method::GET && !headers.contains_key(header::RANGE) {
        state.service().export_downloaded(&op, export_id).await?;
    }
    Ok(response)
}
