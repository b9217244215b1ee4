//! Stock images.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use imprint_domain::{
    Error,
    id::ImageId,
    image::{
        ImageEdit,
        catalogue::{self, CatalogueEdit, GuestSystem, OsType},
    },
};
use imprint_service as service;

use crate::{
    dto::{
        image::{Image, ImageAndTask},
        stock_image::{Deprecation, StockImageCreate, StockImagePatch},
    },
    endpoints::accepted::{Created, accepted},
    extract::{
        Admin, Caller, Id, IdempotencyKey, IfMatch, JsonBody, changed, description, etag, name, parse,
    },
    problem::ApiError,
    state::ApiState,
};

/// Register a stock image
///
/// The file is in a storage of role `stock`. A task reads its sizes and digests; the file itself is
/// not copied.
#[utoipa::path(
    post, path = "/admin/stock-images", tag = "admin",
    params(IdempotencyKey),
    request_body = StockImageCreate,
    responses((status = 202, description = "The image and the task that reads its file", body = ImageAndTask)),
)]
pub(crate) async fn admin_stock_image_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<StockImageCreate>,
) -> Result<Response, ApiError> {
    let wanted = body.value;
    let family = wanted.family.map(|text| parse(&text, "/family")).transpose()?;
    let version = wanted.family_version.map(|text| parse(&text, "/family_version")).transpose()?;
    let request = service::StockImageCreate {
        name: name(&wanted.name, "/name")?,
        description: description(&wanted.description, "/description")?,
        storage_id: wanted.storage_id,
        key: wanted.key,
        format: parse(&wanted.format, "/format")?,
        location_id: wanted.location_id,
        guest: GuestSystem {
            os_type: wanted.os_type.unwrap_or(OsType::Other),
            cloud_init: wanted.cloud_init,
        },
        catalogue: CatalogueEdit {
            media_group_id: wanted.media_group_id.map(Some),
            family: family.map(Some),
            version,
            hidden: Some(wanted.hidden),
            ..CatalogueEdit::default()
        },
    };
    let op = op.with_idempotency(key.bind(body.digest));
    let made = state.service().stock_image_create(&op, request).await?;
    let created = Created {
        location: Some(format!("/api/v1/images/{}", made.image.id)),
        task: made.task.id,
        replayed: made.replayed,
    };
    Ok(accepted(created, ImageAndTask::from(made)))
}

/// Change a stock image and how it is offered
///
/// Tags, metadata and the delete protection of a stock image are changed as those of any image, by
/// `PATCH /images/{id}`.
#[utoipa::path(
    patch, path = "/admin/stock-images/{id}", tag = "admin",
    params(
        ("id" = ImageId, Path, description = "The stock image"),
        IfMatch,
    ),
    request_body(content((StockImagePatch = "application/merge-patch+json"), (StockImagePatch = "application/json"))),
    responses((status = 200, description = "The changed image", body = Image,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn admin_stock_image_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<ImageId>,
    if_match: IfMatch,
    body: JsonBody<StockImagePatch>,
) -> Result<Response, ApiError> {
    let version = if_match.require_from_sessions(&op)?;
    let image = state.service().stock_image_update(&op, id, edit(body.value)?, version).await?;
    let etag = etag(image.version);
    Ok(([(header::ETAG, etag)], Json(Image::from(image))).into_response())
}

fn edit(patch: StockImagePatch) -> Result<ImageEdit, Error> {
    Ok(ImageEdit {
        name: patch.name.as_deref().map(|text| name(text, "/name")).transpose()?,
        description: patch
            .description
            .map(|text| description(text.as_deref().unwrap_or(""), "/description"))
            .transpose()?,
        os_type: patch.os_type,
        cloud_init: patch.cloud_init,
        catalogue: CatalogueEdit {
            media_group_id: patch.media_group_id,
            family: changed(patch.family, |text| parse(&text, "/family"))?,
            version: patch.family_version.map(|text| parse(&text, "/family_version")).transpose()?,
            deprecation: changed(patch.deprecation, deprecation)?,
            hidden: patch.hidden,
        },
        ..ImageEdit::default()
    })
}

fn deprecation(wanted: Deprecation) -> Result<catalogue::Deprecation, Error> {
    catalogue::Deprecation::new(&wanted.notice, wanted.replacement_id)
        .map_err(|error| error.at("/deprecation/notice"))
}
