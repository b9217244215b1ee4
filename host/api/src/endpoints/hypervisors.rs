//! Hypervisors, as customers see them.

use axum::{Json, extract::State};

use crate::{
    dto::{
        hypervisor::Hypervisor,
        page::{Page, PageQuery},
    },
    extract::{Caller, Query, Read, page_request},
    problem::ApiError,
    state::ApiState,
};

/// List hypervisors
#[utoipa::path(
    get, path = "/hypervisors", tag = "catalogue",
    params(PageQuery),
    responses((status = 200, description = "A page of hypervisors", body = Page<Hypervisor>)),
)]
pub(crate) async fn hypervisor_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Hypervisor>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().hypervisor_list(&op, &page).await?.into()))
}
