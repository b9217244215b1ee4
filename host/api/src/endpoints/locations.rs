//! Locations, and how many images an account may have there.

use axum::{Json, extract::State};

use crate::{
    dto::{
        location::{Limits, LimitsQuery, Location},
        page::{Page, PageQuery},
    },
    extract::{Caller, Query, Read, page_request},
    problem::ApiError,
    state::ApiState,
};

/// List locations
#[utoipa::path(
    get, path = "/locations", tag = "catalogue",
    params(PageQuery),
    responses((status = 200, description = "A page of locations", body = Page<Location>)),
)]
pub(crate) async fn location_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Location>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().location_list(&op, &page).await?.into()))
}

/// Show the image limit of a location
#[utoipa::path(
    get, path = "/limits", tag = "catalogue",
    params(LimitsQuery),
    responses((status = 200, description = "The limit of this account, and how much of it is used", body = Limits)),
)]
pub(crate) async fn limits_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<LimitsQuery>,
) -> Result<Json<Limits>, ApiError> {
    Ok(Json(state.service().limits_show(&op, query.location_id).await?.into()))
}
