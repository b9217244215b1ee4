//! The usage report of an account, and its budget.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use imprint_domain::{Code, Error};
use imprint_service as service;

use crate::{
    dto::usage::{Budget, BudgetUpdate, ExplainQuery, UsageDays, UsageExplanation, UsageQuery, UsageReport},
    extract::{Caller, JsonBody, Query, Read, Write, parse},
    problem::ApiError,
    state::ApiState,
};

/// The media type of tables of values separated by commas, with a line of headings.
const CSV: &str = "text/csv; charset=utf-8; header=present";

/// What a report is answered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    Focus,
}

/// Returns the format that the query names, else the one that `Accept` prefers.
fn format_of(query: &UsageQuery, headers: &HeaderMap) -> Result<Format, Error> {
    match query.format.as_deref() {
        Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some("focus") => Ok(Format::Focus),
        Some(_) => Err(Error::new(Code::InvalidRequest, "expected one of: json, csv, focus").at("?format")),
        None => {
            let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
            Ok(if accept.trim_start().starts_with("text/csv") { Format::Csv } else { Format::Json })
        }
    }
}

fn request_of(query: UsageQuery) -> Result<service::UsageRequest, Error> {
    Ok(service::UsageRequest {
        period: service::UsagePeriod::of_request(query.period.as_deref(), query.from, query.to)?,
        account_id: query.account_id.as_deref().map(|id| parse(id, "?account_id")).transpose()?,
        location_id: query.location_id.as_deref().map(|id| parse(id, "?location_id")).transpose()?,
        section: query.section.as_deref().map(section).transpose()?,
    })
}

fn section(text: &str) -> Result<service::UsageSectionKind, Error> {
    match text {
        "images" => Ok(service::UsageSectionKind::Images),
        "instances" => Ok(service::UsageSectionKind::Instances),
        _ => Err(Error::new(Code::InvalidRequest, "expected one of: images, instances").at("?section")),
    }
}

/// Report the usage of an account
///
/// The Cloud Usage report: each image with its size over time, its rate and its cost, deleted ones
/// included; instances likewise. The sum of the lines is the total. As CSV with `format=csv` or
/// `Accept: text/csv`, with the columns of FOCUS by `format=focus`.
#[utoipa::path(
    get, path = "/usage", tag = "usage",
    params(UsageQuery),
    responses(
        (status = 200, description = "The report", content(
            (UsageReport = "application/json"), (String = "text/csv"))),
    ),
)]
pub(crate) async fn usage_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    headers: HeaderMap,
    Query(query): Query<UsageQuery>,
) -> Result<Response, ApiError> {
    let format = format_of(&query, &headers)?;
    let request = request_of(query)?;
    let report = state.service().usage_report(&op, &request).await?;
    let table = match format {
        Format::Json => return Ok(Json(UsageReport::from(report)).into_response()),
        Format::Csv => report.to_csv(),
        Format::Focus => report.to_focus(),
    };
    let name = match format {
        Format::Focus => "usage-focus",
        Format::Json | Format::Csv => "usage",
    };
    let file = format!("attachment; filename=\"{name}-{}.csv\"", report.label());
    let mut response = table.into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(CSV));
    if let Ok(value) = HeaderValue::from_str(&file) {
        fields.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Report the days of a period
#[utoipa::path(
    get, path = "/usage/days", tag = "usage",
    params(UsageQuery),
    responses((status = 200, description = "Stored bytes and cost of each day", body = UsageDays)),
)]
pub(crate) async fn usage_days(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageDays>, ApiError> {
    let request = request_of(query)?;
    Ok(Json(state.service().usage_days(&op, &request).await?.into()))
}

/// Explain a line of a report
///
/// Every interval, version of a rate and rounding that its amount came about by.
#[utoipa::path(
    get, path = "/usage/explain", tag = "usage",
    params(ExplainQuery),
    responses((status = 200, description = "How the line came about", body = UsageExplanation)),
)]
pub(crate) async fn usage_explain(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<UsageExplanation>, ApiError> {
    let ExplainQuery { line, period, from, to, account_id } = query;
    let request = request_of(UsageQuery { period, from, to, account_id, ..UsageQuery::default() })?;
    Ok(Json(state.service().usage_explain(&op, &request, &line).await?.into()))
}

/// Show the budget of the account
#[utoipa::path(
    get, path = "/usage/budget", tag = "usage",
    responses((status = 200, description = "The budget", body = Budget)),
)]
pub(crate) async fn usage_budget_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Read>,
) -> Result<Json<Budget>, ApiError> {
    Ok(Json(state.service().budget_show(&op, op.account_id()).await?.into()))
}

/// Set the amount at which the account is notified
///
/// Once in a month, when its cost reaches the amount: by an event. Nothing stops.
#[utoipa::path(
    put, path = "/usage/budget", tag = "usage",
    request_body = BudgetUpdate,
    responses((status = 200, description = "The budget", body = Budget)),
)]
pub(crate) async fn usage_budget_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Write>,
    body: JsonBody<BudgetUpdate>,
) -> Result<Json<Budget>, ApiError> {
    let BudgetUpdate { currency, amount } = body.value;
    Ok(Json(state.service().budget_notify(&op, &currency, amount.as_deref()).await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_decides_before_accept_does() {
        let headers =
            |accept: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        let named = |name: &str| UsageQuery { format: Some(name.to_owned()), ..UsageQuery::default() };
        for (query, accept, expected) in [
            (UsageQuery::default(), "*/*", Format::Json),
            (UsageQuery::default(), "text/csv", Format::Csv),
            (named("json"), "text/csv", Format::Json),
            (named("focus"), "application/json", Format::Focus),
        ] {
            assert_eq!(format_of(&query, &headers(accept)).unwrap(), expected, "{accept}");
        }
        let refused = format_of(&named("pdf"), &HeaderMap::new()).unwrap_err();
        assert_eq!(refused.pointer.as_deref(), Some("?format"));
    }
}
