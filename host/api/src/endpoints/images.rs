//! Images: create, list, show, change, delete.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use imprint_domain::{
    Code, Error,
    consistency::Consistency,
    id::{ImageId, InstanceId},
    image::ImageEdit,
    metadata::MetadataEdit,
    search::Search,
    tag::Tag,
};
use imprint_service as service;

use super::accepted::{Created, accepted};
use crate::{
    dto::{
        image::{
            CaptureEstimate, ConsistencyRequirement, EstimateQuery, Image, ImageAndTask, ImageCreate,
            ImageListQuery, ImagePatch, ImageScope, ImageSourceType, InstanceImageCreate,
        },
        page::Page,
    },
    extract::{
        Caller, Id, IdempotencyKey, IfMatch, JsonBody, Query, Read, Write, bytes, description, etag, ids,
        name, page_request, tags, values,
    },
    problem::ApiError,
    state::ApiState,
};

/// List images
#[utoipa::path(
    get, path = "/images", tag = "images",
    params(ImageListQuery),
    responses((status = 200, description = "A page of images", body = Page<Image>)),
)]
pub(crate) async fn image_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<ImageListQuery>,
) -> Result<Json<Page<Image>>, ApiError> {
    let list = service::ImageList {
        scope: match query.scope {
            ImageScope::Own => service::ImageScope::Own,
            ImageScope::Stock => service::ImageScope::Stock,
            ImageScope::Shared => service::ImageScope::Shared,
            ImageScope::All => service::ImageScope::All,
        },
        ids: query.ids.as_deref().map(|text| ids(text, "?ids")).transpose()?,
        search: query.q.as_deref().map(search).transpose()?.flatten(),
        tags: wanted_tags(query.tag.as_deref().unwrap_or(""))?,
        status: values(query.status.as_deref(), "?status")?,
        kind: query.kind,
        source_instance_id: query.source_instance_id,
        location_id: query.location_id,
        storage_id: query.storage_id,
        sort: sort(query.sort.as_deref())?,
        page: page_request(query.limit, query.page_token)?,
    };
    Ok(Json(state.service().image_list(&op, &list).await?.into()))
}

fn search(text: &str) -> Result<Option<Search>, Error> {
    Search::parse(text).map_err(|error| Error::new(Code::InvalidRequest, error).at("?q"))
}

fn wanted_tags(list: &str) -> Result<Vec<Tag>, Error> {
    let given = list.split(',').filter(|text| !text.trim().is_empty());
    let parse = |text| Tag::parse(text).map_err(|error| Error::new(Code::InvalidRequest, error).at("?tag"));
    given.map(parse).collect()
}

fn sort(text: Option<&str>) -> Result<service::ImageSort, Error> {
    let Some(text) = text else { return Ok(service::ImageSort::default()) };
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let field = match name {
        "created_at" => service::ImageSortField::CreatedAt,
        "name" => service::ImageSortField::Name,
        "size_bytes" => service::ImageSortField::SizeBytes,
        _ => {
            return Err(Error::new(
                Code::InvalidRequest,
                format!(
                    "sort by created_at, name or size_bytes, not by `{}`",
                    name.chars().take(64).collect::<String>()
                ),
            )
            .at("?sort"));
        }
    };
    Ok(service::ImageSort { field, descending })
}

/// Create an image
///
/// The image exists at once with the status `creating`; the task has its progress. The instance
/// keeps running.
#[utoipa::path(
    post, path = "/images", tag = "images",
    params(IdempotencyKey),
    request_body = ImageCreate,
    responses((status = 202, description = "The image and its task", body = ImageAndTask,
        headers(("Location" = String, description = "The image"), ("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn image_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    key: IdempotencyKey,
    body: JsonBody<ImageCreate>,
) -> Result<Response, ApiError> {
    let digest = body.digest;
    let ImageCreate {
        source,
        name,
        description,
        tags,
        format,
        compression,
        consistency,
        storage_id,
        domain_controller,
    } = body.value;
    let instance_id = match source.kind {
        ImageSourceType::Instance => source.id,
    };
    let body = InstanceImageCreate {
        name,
        description,
        tags,
        format,
        compression,
        consistency,
        storage_id,
        domain_controller,
    };
    let op = op.with_idempotency(key.bind(digest));
    let request = capture(instance_id, body)?;
    Ok(created(state.service().image_capture(&op, request).await?))
}

fn capture(instance_id: InstanceId, body: InstanceImageCreate) -> Result<service::CaptureCreate, Error> {
    Ok(service::CaptureCreate {
        instance_id,
        name: name(&body.name, "/name")?,
        description: description(body.description.as_deref().unwrap_or(""), "/description")?,
        tags: tags(&body.tags, "/tags")?,
        format: body.format,
        compression: body.compression,
        consistency: body.consistency.map(requirement).transpose()?,
        storage_id: body.storage_id,
        domain_controller: body.domain_controller,
    })
}

fn requirement(wanted: ConsistencyRequirement) -> Result<service::ConsistencyRequirement, Error> {
    let minimum = wanted.minimum.unwrap_or(Consistency::Crash);
    let want = wanted.want.unwrap_or(Consistency::Application.max(minimum));
    if minimum > want {
        return Err(Error::new(Code::InvalidRequest, "`minimum` must not be stronger than `want`")
            .at("/consistency/minimum"));
    }
    Ok(service::ConsistencyRequirement { want, minimum })
}

fn created(made: service::ImageTask) -> Response {
    let created = Created {
        location: Some(format!("/api/v1/images/{}", made.image.id)),
        task: made.task.id,
        replayed: made.replayed,
    };
    accepted(created, ImageAndTask::from(made))
}

/// Create an image of an instance
///
/// The same as `POST /images` with this instance as the source.
#[utoipa::path(
    post, path = "/instances/{id}/images", tag = "images",
    params(
        ("id" = InstanceId, Path, description = "The instance"),
        IdempotencyKey,
    ),
    request_body = InstanceImageCreate,
    responses((status = 202, description = "The image and its task", body = ImageAndTask,
        headers(("Location" = String, description = "The image"), ("Task-Location" = String, description = "The task")))),
)]
pub(crate) async fn instance_image_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(instance_id): Id<InstanceId>,
    key: IdempotencyKey,
    body: JsonBody<InstanceImageCreate>,
) -> Result<Response, ApiError> {
    let request = capture(instance_id, body.value)?;
    let op = op.with_idempotency(key.bind(body.digest));
    Ok(created(state.service().image_capture(&op, request).await?))
}

/// Show an image
#[utoipa::path(
    get, path = "/images/{id}", tag = "images",
    params(("id" = ImageId, Path, description = "The image")),
    responses((status = 200, description = "The image", body = Image,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn image_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<ImageId>,
) -> Result<Response, ApiError> {
    Ok(tagged(state.service().image_show(&op, id).await?))
}

fn tagged(view: service::ImageView) -> Response {
    let etag = etag(view.version);
    ([(header::ETAG, etag)], Json(Image::from(view))).into_response()
}

/// Estimate what an image of an instance would take
#[utoipa::path(
    get, path = "/instances/{id}/capture-estimate", tag = "images",
    params(
        ("id" = InstanceId, Path, description = "The instance"),
        EstimateQuery,
    ),
    responses((status = 200, description = "The estimate", body = CaptureEstimate)),
)]
pub(crate) async fn capture_estimate(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<InstanceId>,
    Query(query): Query<EstimateQuery>,
) -> Result<Json<CaptureEstimate>, ApiError> {
    let request = service::EstimateRequest {
        format: query.format,
        compression: query.compression,
        used: query.used_bytes.map(|number| bytes(number, "?used_bytes")).transpose()?,
        largest_used: query
            .largest_used_bytes
            .map(|number| bytes(number, "?largest_used_bytes"))
            .transpose()?,
    };
    let estimate = state.service().capture_estimate(&op, id, request).await?;
    let notices = state.service().capture_notices(&op, id).await?;
    let notices = notices.into_iter().map(Into::into).collect();
    Ok(Json(CaptureEstimate { notices, ..estimate.into() }))
}

/// Change an image's name, description, tags, metadata, delete protection or what its system is
#[utoipa::path(
    patch, path = "/images/{id}", tag = "images",
    params(
        ("id" = ImageId, Path, description = "The image"),
        IfMatch,
    ),
    request_body(content((ImagePatch = "application/merge-patch+json"), (ImagePatch = "application/json"))),
    responses((status = 200, description = "The changed image", body = Image,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn image_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ImageId>,
    if_match: IfMatch,
    body: JsonBody<ImagePatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let patch = ImageEdit {
        name: body.value.name.as_deref().map(|text| name(text, "/name")).transpose()?,
        description: body
            .value
            .description
            .map(|text| description(text.as_deref().unwrap_or(""), "/description"))
            .transpose()?,
        tags: body.value.tags.map(|list| tags(&list.unwrap_or_default(), "/tags")).transpose()?,
        protected: body.value.protected,
        metadata: metadata_edit(body.value.metadata)?,
        os_type: body.value.os_type,
        cloud_init: body.value.cloud_init,
        ..ImageEdit::default()
    };
    Ok(tagged(state.service().image_update(&op, id, patch, version).await?))
}

fn metadata_edit(patch: Option<Option<BTreeMap<String, Option<String>>>>) -> Result<MetadataEdit, Error> {
    let clear = matches!(patch, Some(None));
    let keys = patch.flatten().unwrap_or_default().into_iter().map(|(key, value)| {
        let parsed = key.parse().map_err(|error| Error::new(Code::InvalidRequest, error).at("/metadata"))?;
        Ok((parsed, value))
    });
    Ok(MetadataEdit { clear, keys: keys.collect::<Result<_, Error>>()? })
}

/// Delete an image
///
/// Instances that were deployed from it are not affected. A protected image is refused. Deleting an
/// image again tries a removal again that has failed.
#[utoipa::path(
    delete, path = "/images/{id}", tag = "images",
    params(
        ("id" = ImageId, Path, description = "The image"),
        IfMatch,
    ),
    responses((status = 202, description = "The image, now `deleting`, and its task", body = ImageAndTask)),
)]
pub(crate) async fn image_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    Id(id): Id<ImageId>,
    if_match: IfMatch,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let made = state.service().image_delete(&op, id, version).await?;
    let created = Created { location: None, task: made.task.id, replayed: false };
    Ok(accepted(created, ImageAndTask::from(made)))
}
