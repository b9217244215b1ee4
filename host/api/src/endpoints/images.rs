//! Images: create, list, show, change, delete.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use imprint_agent_protocol::InvalidFileDigest;
use imprint_domain::{
    Code, Error,
    consistency::Consistency,
    id::{ImageId, InstanceId, LocationId},
    image::{ImageEdit, ImageFormat},
    metadata::MetadataEdit,
    search::Search,
    secret::SecretText,
    size::ByteSize,
    tag::Tag,
};
use imprint_service as service;

use super::accepted::{Created, accepted};
use crate::{
    dto::{
        image::{
            CaptureEstimate, ConsistencyRequirement, EstimateQuery, Image, ImageAndTask, ImageCreate,
            ImageFindings, ImageListQuery, ImagePatch, ImageScope, InstanceImageCreate,
        },
        import::{ImageSource, ImprintSource, StorageObjectSource, UploadSource, UrlSource},
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
/// The image exists at once with the status `creating`; the task has its progress. An instance
/// keeps running. A file that this client uploads goes to `/images/{id}/upload`, with a tus client
/// or in parts.
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
    let op = op.with_idempotency(key.bind(body.digest));
    let id = match &body.value.source {
        ImageSource::Instance { id } => *id,
        ImageSource::Upload(_)
        | ImageSource::Url(_)
        | ImageSource::StorageObject(_)
        | ImageSource::Imprint(_) => {
            return Ok(created(state.service().image_import(&op, import(body.value)?).await?));
        }
    };
    let ImageCreate {
        source: _,
        name,
        description,
        tags,
        format,
        compression,
        consistency,
        storage_id,
        domain_controller,
        location_id,
        stock,
    } = body.value;
    refuse_given(&[("/location_id", location_id.is_some()), ("/stock", stock)], "imports")?;
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
    let request = capture(id, body)?;
    Ok(created(state.service().image_capture(&op, request).await?))
}

/// Refuses what a request says that only others have.
fn refuse_given(given: &[(&str, bool)], of: &str) -> Result<(), Error> {
    match given.iter().find(|(_, given)| *given) {
        Some((pointer, _)) => {
            let detail = format!("only {of} have this; leave it out");
            Err(Error::new(Code::InvalidRequest, detail).at(*pointer))
        }
        None => Ok(()),
    }
}

/// What a request says about an imported image.
pub(super) struct ImportText {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) location_id: LocationId,
    pub(super) stock: bool,
}

fn import(body: ImageCreate) -> Result<service::ImportCreate, Error> {
    let given = [
        ("/format", body.format.is_some()),
        ("/compression", body.compression.is_some()),
        ("/consistency", body.consistency.is_some()),
        ("/domain_controller", body.domain_controller.is_some()),
        ("/storage_id", body.storage_id.is_some()),
    ];
    refuse_given(&given, "images of instances")?;
    let location_id = body.location_id.ok_or_else(|| {
        Error::new(Code::InvalidRequest, "say which location the image is for").at("/location_id")
    })?;
    let text = ImportText {
        name: body.name,
        description: body.description.unwrap_or_default(),
        tags: body.tags,
        location_id,
        stock: body.stock,
    };
    match body.source {
        ImageSource::Instance { .. } => Err(Error::internal("an instance is captured and not imported")),
        ImageSource::Upload(source) => upload_import(text, source),
        ImageSource::Url(source) => url_import(text, source),
        ImageSource::StorageObject(source) => object_import(text, source),
        ImageSource::Imprint(ImprintSource { server, image_id, token }) => {
            let token = SecretText::new(token);
            let from = service::ImportFrom::Imprint { server, image: image_id, token };
            import_of(text, from, (None, None, None))
        }
    }
}

/// Returns the request to import a file that the client uploads.
pub(super) fn upload_import(text: ImportText, source: UploadSource) -> Result<service::ImportCreate, Error> {
    let size = bytes(source.size_bytes, "/source/size_bytes")?;
    let from = service::ImportFrom::Upload { file_name: source.file_name.unwrap_or_default() };
    import_of(text, from, (source.format, Some(size), source.digest))
}

fn url_import(text: ImportText, source: UrlSource) -> Result<service::ImportCreate, Error> {
    let size = source.size_bytes.map(|size| bytes(size, "/source/size_bytes")).transpose()?;
    let headers = source.headers.into_iter().map(|(name, value)| (name, SecretText::new(value)));
    let from = service::ImportFrom::Url { url: SecretText::new(source.url), headers: headers.collect() };
    import_of(text, from, (source.format, size, source.digest))
}

fn object_import(text: ImportText, source: StorageObjectSource) -> Result<service::ImportCreate, Error> {
    let size = source.size_bytes.map(|size| bytes(size, "/source/size_bytes")).transpose()?;
    let kind = source.kind.parse();
    let kind = kind.map_err(|error| Error::new(Code::InvalidRequest, error).at("/source/kind"))?;
    let storage = service::SourceStorage { kind, settings: source.settings, secrets: source.secrets };
    let from = service::ImportFrom::StorageObject { storage, key: source.key };
    import_of(text, from, (source.format, size, source.digest))
}

fn import_of(
    text: ImportText,
    source: service::ImportFrom,
    (format, size, digest): (Option<ImageFormat>, Option<ByteSize>, Option<String>),
) -> Result<service::ImportCreate, Error> {
    let digest = digest.map(|digest| digest.parse());
    let digest = digest
        .transpose()
        .map_err(|error: InvalidFileDigest| Error::new(Code::InvalidRequest, error).at("/source/digest"))?;
    Ok(service::ImportCreate {
        name: name(&text.name, "/name")?,
        description: description(&text.description, "/description")?,
        tags: tags(&text.tags, "/tags")?,
        location_id: text.location_id,
        source,
        format,
        size,
        digest,
        stock: text.stock,
    })
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

/// Show what was found inside of an image's disk
///
/// An inspector reads the disk's own metadata when the image is made. What it found is advice: a
/// disk may be forged.
#[utoipa::path(
    get, path = "/images/{id}/findings", tag = "images",
    params(("id" = ImageId, Path, description = "The image")),
    responses((status = 200, description = "What was found", body = ImageFindings)),
)]
pub(crate) async fn image_findings(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<ImageId>,
) -> Result<Json<ImageFindings>, ApiError> {
    let view = state.service().image_findings(&op, id).await?;
    let service::ImageFindingsView { inspected_at, findings, notices } = view;
    Ok(Json(ImageFindings { inspected_at, findings, notices }))
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
