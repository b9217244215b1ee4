//! Uploads of files to import: resumable in order (tus 1.0), or in parts.
//!
//! The bytes pass through to the agent that receives them, as they come. Nothing is kept here.

use std::{io, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use imprint_agent_protocol::UploadState;
use imprint_domain::{
    Code, Error,
    id::{ImageId, LocationId},
    import::ImportPolicy,
};
use imprint_service as service;
use serde::Deserialize;

use crate::{
    dto::import::{Upload, UploadSource},
    endpoints::images::{ImportText, upload_import},
    extract::{Caller, Id, Write},
    problem::ApiError,
    state::ApiState,
    upload_sender::{UploadAnswer, UploadRequest},
};

/// The version of tus that is spoken.
const TUS: &str = "1.0.0";
/// The extensions of tus.
const EXTENSIONS: &str = "creation,termination";
/// The media type of a body that continues an upload.
const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// How long a request waits until an agent receives its upload.
const RECEIVER_WAIT: Duration = Duration::from_secs(15);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// The longest pause of a client within a body.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest value of `Upload-Metadata`, in bytes.
const MAX_METADATA: usize = 8 << 10;

/// Learn what of tus is spoken here
///
/// The version and the extensions of the tus protocol, and the largest file that any location
/// takes by default.
#[utoipa::path(
    options, path = "/uploads", tag = "images",
    responses((status = 204, description = "The answer is in the fields of the head")),
    security(()),
)]
pub(crate) async fn upload_options() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert("tus-resumable", HeaderValue::from_static(TUS));
    headers.insert("tus-version", HeaderValue::from_static(TUS));
    headers.insert("tus-extension", HeaderValue::from_static(EXTENSIONS));
    headers.insert("tus-max-size", ImportPolicy::LARGEST_DISK.bytes().into());
    response
}

/// Begin an upload with a tus client
///
/// `Upload-Length` is the size of the file. `Upload-Metadata` names the image (`name`, or else
/// `filename`) and the location (`location_id`, where there are several); `format`, `digest`,
/// `description` and `stock` are as in `POST /images`, which begins the same upload. The answer's
/// `Location` takes the bytes.
#[utoipa::path(
    post, path = "/uploads", tag = "images",
    params(
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Length" = u64, Header, description = "The size of the file in bytes"),
        ("Upload-Metadata" = String, Header, description = "Pairs of a key and a value in Base64"),
    ),
    responses((status = 201, description = "The upload is started",
        headers(("Location" = String, description = "Where the bytes go")))),
)]
pub(crate) async fn upload_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    require_tus(&headers)?;
    let size_bytes = number(&headers, "upload-length")?;
    let about = metadata(text(&headers, "upload-metadata").unwrap_or(""))?;
    let of = |key: &str| about.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let file_name = of("filename");
    let name = of("name").or_else(|| file_name.clone()).unwrap_or_default();
    let location_id = match of("location_id") {
        Some(id) => id.parse().map_err(|_| bad("`location_id` is the id of a location"))?,
        None => only_location(&state, &op).await?,
    };
    let format = of("format").map(|text| text.parse().map_err(|_| bad("`format` is no format of disks")));
    let source = UploadSource { size_bytes, file_name, format: format.transpose()?, digest: of("digest") };
    let text = ImportText {
        name,
        description: of("description").unwrap_or_default(),
        tags: Vec::new(),
        location_id,
        stock: of("stock").is_some_and(|value| value == "true"),
    };
    let made = state.service().image_import(&op, upload_import(text, source)?).await?;
    let location = format!("/api/v1/images/{}/upload", made.image.id);
    let mut response = StatusCode::CREATED.into_response();
    let headers = response.headers_mut();
    headers.insert("tus-resumable", HeaderValue::from_static(TUS));
    if let Ok(value) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, value);
    }
    Ok(response)
}

async fn only_location(state: &ApiState, op: &service::Op) -> Result<LocationId, Error> {
    let page = service::PageRequest { limit: Some(2), page_token: None };
    let found = state.service().location_list(op, &page).await?;
    match found.items.as_slice() {
        [one] => Ok(one.id),
        [] | [_, ..] => Err(bad("say in `Upload-Metadata` which `location_id` the image is for")),
    }
}

/// Show an upload
///
/// `Upload-Offset` is where it continues, for clients of tus, which ask with `HEAD`.
#[utoipa::path(
    get, path = "/images/{id}/upload", tag = "images",
    params(("id" = ImageId, Path, description = "The image")),
    responses((status = 200, description = "The upload", body = Upload)),
)]
pub(crate) async fn upload_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ImageId>,
) -> Result<Response, ApiError> {
    let view = state.service().image_upload(&op, id).await?;
    let upload = current(&state, &op, view).await?;
    let (offset, size) = (upload.offset, upload.size_bytes);
    let mut response = with_offset(Json(upload).into_response(), offset);
    response.headers_mut().insert("upload-length", size.into());
    Ok(response)
}

/// Continue an upload
///
/// The body continues the file at `Upload-Offset` (tus 1.0). What arrived of a body that was cut
/// off counts.
#[utoipa::path(
    patch, path = "/images/{id}/upload", tag = "images",
    params(
        ("id" = ImageId, Path, description = "The image"),
        ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "Where the body continues the file"),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "The bytes have arrived",
        headers(("Upload-Offset" = u64, description = "Where the upload continues")))),
)]
pub(crate) async fn upload_continue(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ImageId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    state.service().image_upload(&op, id).await?;
    require_tus(&headers)?;
    let kind = text(&headers, header::CONTENT_TYPE.as_str()).unwrap_or("");
    if kind.split(';').next().is_none_or(|essence| !essence.trim().eq_ignore_ascii_case(OFFSET_STREAM)) {
        let detail = format!("send the bytes with `Content-Type: {OFFSET_STREAM}`");
        return Err(ApiError::new(Code::UnsupportedMediaType, detail));
    }
    let offset = number(&headers, "upload-offset")?;
    let request = UploadRequest {
        method: "PATCH",
        fields: vec![("upload-offset", offset.to_string())],
        body: Some(bytes_of(&state, body)),
    };
    let sent = send(&state, &op, id, request).await?;
    Ok(with_offset(StatusCode::NO_CONTENT.into_response(), sent.offset))
}

/// Send a part of an upload
///
/// Parts have `part_size` bytes, the last one what is left, and are sent in any order and beside
/// each other. With `Content-Digest` (RFC 9530; `sha-256` or `sha-512`) a part that was damaged on
/// its way is refused.
#[utoipa::path(
    put, path = "/images/{id}/upload/parts/{number}", tag = "images",
    params(
        ("id" = ImageId, Path, description = "The image"),
        ("number" = u32, Path, description = "The number of the part, from 1"),
        ("Content-Digest" = Option<String>, Header, description = "The digest of the part"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "The part has arrived", body = Upload)),
)]
pub(crate) async fn upload_part(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Path((id, number)): Path<(ImageId, u32)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Upload>, ApiError> {
    let mut fields = vec![("upload-part", number.to_string())];
    if let Some(digest) = text(&headers, "content-digest") {
        fields.push(("content-digest", digest.to_owned()));
    }
    let request = UploadRequest { method: "PUT", fields, body: Some(bytes_of(&state, body)) };
    Ok(Json(send(&state, &op, id, request).await?))
}

/// Give an upload up
///
/// Cancels its task; what has arrived is removed (tus 1.0, termination).
#[utoipa::path(
    delete, path = "/images/{id}/upload", tag = "images",
    params(("id" = ImageId, Path, description = "The image")),
    responses((status = 204, description = "The upload is given up")),
)]
pub(crate) async fn upload_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ImageId>,
) -> Result<Response, ApiError> {
    let view = state.service().image_upload(&op, id).await?;
    state.service().task_cancel(&op, view.task_id).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert("tus-resumable", HeaderValue::from_static(TUS));
    Ok(response)
}

/// Returns the state of an upload, as its agent knows it.
async fn current(state: &ApiState, op: &service::Op, view: service::UploadView) -> Result<Upload, ApiError> {
    if view.complete {
        return Ok(complete(&view));
    }
    let request = UploadRequest { method: "GET", fields: Vec::new(), body: None };
    send(state, op, view.image_id, request).await
}

/// Returns an upload whose file is not needed any more.
fn complete(view: &service::UploadView) -> Upload {
    let size = view.size.bytes();
    Upload {
        image_id: view.image_id,
        task_id: view.task_id,
        size_bytes: size,
        offset: size,
        received_bytes: size,
        part_size: size,
        missing_parts: Vec::new(),
        complete: true,
    }
}

/// Sends a request to the agent that receives an upload, once there is one.
async fn send(
    state: &ApiState,
    op: &service::Op,
    id: ImageId,
    request: UploadRequest,
) -> Result<Upload, ApiError> {
    let until = tokio::time::Instant::now() + RECEIVER_WAIT;
    let (view, target, sender) = loop {
        let view = state.service().image_upload(op, id).await?;
        if view.complete {
            return Ok(complete(&view));
        }
        let sender = state.options().uploads.as_ref().ok_or_else(|| {
            Error::new(Code::Unavailable, "this server takes no uploads; send them to another one")
        })?;
        if let Some(target) = view.target.clone() {
            break (view, target, sender);
        }
        if tokio::time::Instant::now() >= until {
            let detail =
                "no agent receives the upload yet: its task waits for its turn, or an agent restarts";
            return Err(ApiError::new(Code::Unavailable, detail).after(2));
        }
        tokio::time::sleep(LOOK).await;
    };
    let answer = sender.send(target, request).await.map_err(|why| {
        tracing::warn!(image = %id, why, "an upload cannot be passed on");
        let detail = "the upload was cut off on its way to the agent; ask for its state, and continue";
        ApiError::new(Code::Unavailable, detail).after(1)
    })?;
    let received = match answer.status {
        200 => serde_json::from_slice::<UploadState>(&answer.body).map_err(Error::internal)?,
        _ => return Err(refusal(&answer)),
    };
    Ok(Upload {
        image_id: id,
        task_id: view.task_id,
        size_bytes: received.size,
        offset: received.offset,
        received_bytes: received.received,
        part_size: received.part_size,
        complete: received.received == received.size,
        missing_parts: received.missing,
    })
}

/// The refusal of an agent.
#[derive(Deserialize)]
struct Refused {
    code: String,
    detail: String,
}

/// Returns what an agent's refusal means for the client.
fn refusal(answer: &UploadAnswer) -> ApiError {
    let Ok(Refused { code, detail }) = serde_json::from_slice(&answer.body) else {
        return Error::internal(format!("an agent answers an upload with {}", answer.status)).into();
    };
    match code.as_str() {
        "upload.offset" | "upload.superseded" => ApiError::new(Code::UploadOffset, detail),
        "upload.digest" => ApiError::new(Code::DigestMismatch, detail),
        "upload.too-large" => ApiError::new(Code::PayloadTooLarge, detail),
        "upload.part" | "upload.part-size" | "upload.header" | "upload.cut-off" => {
            ApiError::new(Code::InvalidRequest, detail)
        }
        "upload.io" => Error::internal(detail).into(),
        _ => {
            tracing::info!(code, detail, "an agent does not take an upload at the moment");
            ApiError::new(Code::Unavailable, "the agent does not take the upload at the moment").after(2)
        }
    }
}

/// Returns the bytes of a body, which ends with an error when the client pauses for too long.
fn bytes_of(state: &ApiState, body: Body) -> BoxStream<'static, io::Result<Bytes>> {
    let counted = state.clone();
    stream::try_unfold(body.into_data_stream(), |mut body| async move {
        match tokio::time::timeout(PAUSE, body.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some((piece, body))),
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Ok(None) => Ok(None),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    })
    .inspect_ok(move |piece| counted.metrics().uploaded(piece.len()))
    .boxed()
}

fn with_offset(mut response: Response, offset: u64) -> Response {
    let headers = response.headers_mut();
    headers.insert("tus-resumable", HeaderValue::from_static(TUS));
    headers.insert("upload-offset", offset.into());
    response
}

fn bad(detail: &str) -> Error {
    Error::new(Code::InvalidRequest, detail)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &'static str) -> Result<u64, Error> {
    let value = text(headers, HeaderName::from_static(name).as_str());
    value
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| bad(&format!("send `{name}` as a number")))
}

fn require_tus(headers: &HeaderMap) -> Result<(), Error> {
    match text(headers, "tus-resumable") {
        Some(TUS) => Ok(()),
        Some(_) => Err(Error::new(Code::PreconditionFailed, "this server speaks version 1.0.0 of tus")),
        None => Err(bad("send `Tus-Resumable: 1.0.0`")),
    }
}

/// Reads `Upload-Metadata`: pairs of a key and a value in Base64, with commas in between.
fn metadata(field: &str) -> Result<Vec<(String, String)>, Error> {
    if field.len() > MAX_METADATA {
        return Err(bad("`Upload-Metadata` has at most 8 KiB"));
    }
    let pairs = field.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = BASE64.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let value = value.ok_or_else(|| bad("the values of `Upload-Metadata` are texts in Base64"))?;
            Ok((key.to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_pairs_of_a_key_and_a_value_in_base64() {
        let read = |field: &str| metadata(field).ok();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read(""), Some(Vec::new()));
        assert_eq!(
            read("name d2Vi,is_public, filename ZGlzay5yYXc="),
            Some(vec![pair("name", "web"), pair("is_public", ""), pair("filename", "disk.raw")])
        );
        assert_eq!(read("name !!!"), None);
        assert_eq!(read("name /w=="), None);
    }
}
