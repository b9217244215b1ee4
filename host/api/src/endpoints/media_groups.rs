//! Media groups, as customers see them.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use imprint_domain::id::MediaGroupId;
use imprint_service as service;

use crate::{
    dto::media_group::{MediaGroup, MediaGroups},
    extract::{Caller, Id, Read, etag},
    problem::ApiError,
    state::ApiState,
};

/// List media groups in their order
///
/// Stock images are shown in these groups when an instance is created. Customers do not see hidden
/// groups.
#[utoipa::path(
    get, path = "/media-groups", tag = "catalogue",
    responses((status = 200, description = "All media groups, at most 100", body = MediaGroups)),
)]
pub(crate) async fn media_group_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
) -> Result<Json<MediaGroups>, ApiError> {
    let groups = state.service().media_group_list(&op).await?;
    Ok(Json(MediaGroups { items: groups.into_iter().map(Into::into).collect() }))
}

/// Show a media group
#[utoipa::path(
    get, path = "/media-groups/{id}", tag = "catalogue",
    params(("id" = MediaGroupId, Path, description = "The media group")),
    responses((status = 200, description = "The media group", body = MediaGroup,
        headers(("ETag" = String, description = "Its version, for `If-Match`")))),
)]
pub(crate) async fn media_group_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Id(id): Id<MediaGroupId>,
) -> Result<Response, ApiError> {
    Ok(tagged(StatusCode::OK, state.service().media_group_show(&op, id).await?))
}

pub(crate) fn tagged(status: StatusCode, view: service::MediaGroupView) -> Response {
    let etag = etag(view.version);
    (status, [(header::ETAG, etag)], Json(MediaGroup::from(view))).into_response()
}
