//! Locations.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::{
    Code, Error,
    coalesce::{CoalescePolicy, CoalesceTimeout},
    id::LocationId,
    location::{FreezeLimit, ReclaimLimit},
    size::ByteSize,
};
use imprint_service as service;

use crate::{
    dto::{
        location::{AdminLocation, LocationCreate, LocationPatch},
        page::{Page, PageQuery},
    },
    extract::{
        Admin, Caller, Id, IdempotencyKey, IfMatch, JsonBody, Query, bytes, changed, etag, int32, name,
        page_request, parse,
    },
    problem::ApiError,
    state::ApiState,
};

/// List locations with their settings
#[utoipa::path(
    get, path = "/admin/locations", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of locations", body = Page<AdminLocation>)),
)]
pub(crate) async fn admin_location_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<AdminLocation>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().location_list(&op, &page).await?.into()))
}

/// Create a location
#[utoipa::path(
    post, path = "/admin/locations", tag = "admin",
    params(IdempotencyKey),
    request_body = LocationCreate,
    responses((status = 201, description = "The location", body = AdminLocation)),
)]
pub(crate) async fn admin_location_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<LocationCreate>,
) -> Result<Response, ApiError> {
    let standard = CoalescePolicy::default();
    let request = service::LocationCreate {
        name: name(&body.value.name, "/name")?,
        images_enabled: body.value.images_enabled,
        sharing_enabled: body.value.sharing_enabled,
        iso_enabled: body.value.iso_enabled,
        import_enabled: body.value.import_enabled,
        export_enabled: body.value.export_enabled,
        default_image_limit: body.value.default_image_limit.map(limit).transpose()?,
        default_image_bytes_limit: body.value.default_image_bytes_limit.map(bytes_limit).transpose()?,
        coalesce: CoalescePolicy {
            before_capture: body.value.coalesce_before_capture.unwrap_or(standard.before_capture),
            timeout: coalesce_timeout(body.value.coalesce_timeout_s)?.unwrap_or(standard.timeout),
        },
        freeze_limit: freeze_limit(body.value.freeze_limit_ms)?.unwrap_or_default(),
    };
    let op = op.with_idempotency(key.bind(body.digest));
    let location = state.service().location_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(AdminLocation::from(location))).into_response())
}

/// Show a location with its settings
#[utoipa::path(
    get, path = "/admin/locations/{id}", tag = "admin",
    params(("id" = LocationId, Path, description = "The location")),
    responses((status = 200, description = "The location", body = AdminLocation,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn admin_location_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<LocationId>,
) -> Result<Response, ApiError> {
    Ok(tagged(state.service().admin_location_show(&op, id).await?))
}

fn tagged(view: service::LocationView) -> Response {
    let etag = etag(view.version);
    ([(header::ETAG, etag)], Json(AdminLocation::from(view))).into_response()
}

/// Change a location's settings
#[utoipa::path(
    patch, path = "/admin/locations/{id}", tag = "admin",
    params(
        ("id" = LocationId, Path, description = "The location"),
        IfMatch,
    ),
    request_body(content((LocationPatch = "application/merge-patch+json"), (LocationPatch = "application/json"))),
    responses((status = 200, description = "The changed location", body = AdminLocation,
        headers(("ETag" = String, description = "Its new version")))),
)]
pub(crate) async fn admin_location_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<LocationId>,
    if_match: IfMatch,
    body: JsonBody<LocationPatch>,
) -> Result<Response, ApiError> {
    let patch = service::LocationPatch {
        version: if_match.require_from_sessions(&op)?,
        images_enabled: body.value.images_enabled,
        sharing_enabled: body.value.sharing_enabled,
        iso_enabled: body.value.iso_enabled,
        export_enabled: body.value.export_enabled,
        default_image_limit: changed(body.value.default_image_limit, limit)?,
        default_image_bytes_limit: changed(body.value.default_image_bytes_limit, bytes_limit)?,
        coalesce_before_capture: body.value.coalesce_before_capture,
        coalesce_timeout: coalesce_timeout(body.value.coalesce_timeout_s)?,
        freeze_limit: freeze_limit(body.value.freeze_limit_ms)?,
        import_enabled: body.value.import_enabled,
        import_profile: body.value.import_profile,
        import_limit: windows(body.value.import_limit_bytes, "/import_limit_bytes")?,
        import_windows: body.value.import_windows,
        reclaim_limit: reclaim_limit(body.value.reclaim_limit_s)?,
        capture_format: body.value.capture_format,
        windows_limit: windows(body.value.windows_limit_bytes, "/windows_limit_bytes")?,
        windows_warning: windows(body.value.windows_warning_bytes, "/windows_warning_bytes")?,
        support_text: changed(body.value.support_text, |text| parse(&text, "/support_text"))?,
        support_url: changed(body.value.support_url, |text| parse(&text, "/support_url"))?,
        status_url: changed(body.value.status_url, |text| parse(&text, "/status_url"))?,
    };
    Ok(tagged(state.service().location_update(&op, id, patch).await?))
}

/// Delete a location
///
/// Only one without hypervisors, instances and images.
#[utoipa::path(
    delete, path = "/admin/locations/{id}", tag = "admin",
    params(("id" = LocationId, Path, description = "The location")),
    responses((status = 204, description = "The location is deleted")),
)]
pub(crate) async fn admin_location_delete(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<LocationId>,
) -> Result<StatusCode, ApiError> {
    state.service().location_delete(&op, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn limit(number: u32) -> Result<u32, Error> {
    int32(number, "/default_image_limit")
}

fn bytes_limit(number: u64) -> Result<ByteSize, Error> {
    bytes(number, "/default_image_bytes_limit")
}

fn windows(number: Option<u64>, pointer: &str) -> Result<Option<ByteSize>, Error> {
    number.map(|number| bytes(number, pointer)).transpose()
}

fn coalesce_timeout(seconds: Option<u32>) -> Result<Option<CoalesceTimeout>, Error> {
    seconds
        .map(|seconds| CoalesceTimeout::new(seconds.into()))
        .transpose()
        .map_err(|error| Error::new(Code::InvalidRequest, error).at("/coalesce_timeout_s"))
}

fn reclaim_limit(seconds: Option<u32>) -> Result<Option<ReclaimLimit>, Error> {
    seconds
        .map(|seconds| ReclaimLimit::new(seconds.into()))
        .transpose()
        .map_err(|error| Error::new(Code::InvalidRequest, error).at("/reclaim_limit_s"))
}

fn freeze_limit(milliseconds: Option<u32>) -> Result<Option<FreezeLimit>, Error> {
    milliseconds
        .map(|milliseconds| FreezeLimit::new(milliseconds.into()))
        .transpose()
        .map_err(|error| Error::new(Code::InvalidRequest, error).at("/freeze_limit_ms"))
}
