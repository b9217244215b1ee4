//! Billing for admins: rates, months, adjustments, totals, the feed.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use imprint_domain::id::AccountId;
use imprint_service as service;

use crate::{
    dto::{
        billing::{
            Adjustment, AdjustmentCreate, BillingMonth, BillingMonths, BillingUsage, Feed, FeedQuery,
            MonthQuery, Rate, RateCreate, RateEnd, RatePreview, RatePreviewRequest, RateTerms, Rates,
            RatesQuery, Reconciliation,
        },
        page::{Page, PageQuery},
        usage::{Budget, BudgetUpdate},
    },
    extract::{Admin, Caller, Id, IdempotencyKey, JsonBody, Query, page_request, parse},
    problem::ApiError,
    state::ApiState,
};

fn terms_of(terms: RateTerms) -> service::RateTermsRequest {
    let RateTerms {
        kind,
        currency,
        gb_month,
        vcpu_hour,
        memory_gb_hour,
        disk_gb_hour,
        free_bytes,
        hours_per_month,
        gb,
        partial_hour,
    } = terms;
    service::RateTermsRequest {
        kind,
        currency,
        gb_month,
        vcpu_hour,
        memory_gb_hour,
        disk_gb_hour,
        free_bytes,
        hours_per_month,
        gb,
        partial_hour,
    }
}

/// List rates with their history
#[utoipa::path(
    get, path = "/admin/billing/rates", tag = "admin",
    params(RatesQuery),
    responses((status = 200, description = "The versions of all rates", body = Rates)),
)]
pub(crate) async fn admin_billing_rate_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<RatesQuery>,
) -> Result<Json<Rates>, ApiError> {
    let location = query.location_id.as_deref().map(|id| parse(id, "?location_id")).transpose()?;
    let found = state.service().rate_list(&op, location).await?;
    Ok(Json(Rates { items: found.into_iter().map(Rate::from).collect() }))
}

/// Add a version of a rate
///
/// It applies from a whole hour on that has not started, and never to what was before. A version
/// for the same hour is replaced.
#[utoipa::path(
    post, path = "/admin/billing/rates", tag = "admin",
    params(IdempotencyKey),
    request_body = RateCreate,
    responses((status = 201, description = "The version", body = Rate)),
)]
pub(crate) async fn admin_billing_rate_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<RateCreate>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let RateCreate { location_id, account_id, effective_from, terms } = body.value;
    let request = service::RateCreate { location_id, account_id, effective_from, terms: terms_of(terms) };
    let made = state.service().rate_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(Rate::from(made))).into_response())
}

/// End a rate
///
/// It applies until a whole hour that has not started. From then on an account pays the rate of its
/// location again, and a location charges nothing.
#[utoipa::path(
    post, path = "/admin/billing/rates/end", tag = "admin",
    params(IdempotencyKey),
    request_body = RateEnd,
    responses((status = 201, description = "The version that ends it", body = Rate)),
)]
pub(crate) async fn admin_billing_rate_end(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<RateEnd>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let RateEnd { location_id, account_id, kind, effective_from } = body.value;
    let request = service::RateEnd { location_id, account_id, kind, effective_from };
    let made = state.service().rate_end(&op, request).await?;
    Ok((StatusCode::CREATED, Json(Rate::from(made))).into_response())
}

/// Compare a rate with what a month has cost
///
/// Nothing is changed.
#[utoipa::path(
    post, path = "/admin/billing/rates/preview", tag = "admin",
    request_body = RatePreviewRequest,
    responses((status = 200, description = "What it would have cost", body = RatePreview)),
)]
pub(crate) async fn admin_billing_rate_preview(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    body: JsonBody<RatePreviewRequest>,
) -> Result<Json<RatePreview>, ApiError> {
    let RatePreviewRequest { month, location_id, account_id, terms } = body.value;
    let request = service::RatePreviewRequest { month, location_id, account_id, terms: terms_of(terms) };
    Ok(Json(state.service().rate_preview(&op, &request).await?.into()))
}

/// Sum up what all accounts used
#[utoipa::path(
    get, path = "/admin/billing/usage", tag = "admin",
    params(MonthQuery),
    responses((status = 200, description = "Totals of accounts and locations", body = BillingUsage)),
)]
pub(crate) async fn admin_billing_usage(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<MonthQuery>,
) -> Result<Json<BillingUsage>, ApiError> {
    Ok(Json(state.service().billing_usage(&op, query.period.as_deref()).await?.into()))
}

/// List months
#[utoipa::path(
    get, path = "/admin/billing/months", tag = "admin",
    responses((status = 200, description = "The months since the first usage", body = BillingMonths)),
)]
pub(crate) async fn admin_billing_month_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
) -> Result<Json<BillingMonths>, ApiError> {
    let found = state.service().month_list(&op).await?;
    Ok(Json(BillingMonths { items: found.into_iter().map(BillingMonth::from).collect() }))
}

/// Close a month
///
/// Its lines are frozen. Corrections are adjustments from then on. A month that is closed stays so.
#[utoipa::path(
    post, path = "/admin/billing/months/{month}/close", tag = "admin",
    params(("month" = String, Path, description = "The month, `YYYY-MM`, that is over")),
    responses((status = 200, description = "The closed month", body = BillingMonth)),
)]
pub(crate) async fn admin_billing_month_close(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Path(month): Path<String>,
) -> Result<Json<BillingMonth>, ApiError> {
    Ok(Json(state.service().month_close(&op, &month).await?.into()))
}

/// List adjustments
#[utoipa::path(
    get, path = "/admin/billing/adjustments", tag = "admin",
    params(PageQuery),
    responses((status = 200, description = "A page of adjustments, the latest first", body = Page<Adjustment>)),
)]
pub(crate) async fn admin_billing_adjustment_list(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Adjustment>>, ApiError> {
    let page = page_request(query.limit, query.page_token)?;
    Ok(Json(state.service().adjustment_list(&op, &page).await?.into()))
}

/// Correct a closed month
///
/// The amount is charged, or credited, in the current month.
#[utoipa::path(
    post, path = "/admin/billing/adjustments", tag = "admin",
    params(IdempotencyKey),
    request_body = AdjustmentCreate,
    responses((status = 201, description = "The adjustment", body = Adjustment)),
)]
pub(crate) async fn admin_billing_adjustment_create(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    key: IdempotencyKey,
    body: JsonBody<AdjustmentCreate>,
) -> Result<Response, ApiError> {
    let op = op.with_idempotency(key.bind(body.digest));
    let AdjustmentCreate { account_id, corrects, currency, amount, reason } = body.value;
    let request = service::AdjustmentCreate { account_id, corrects, currency, amount, reason };
    let made = state.service().adjustment_create(&op, request).await?;
    Ok((StatusCode::CREATED, Json(Adjustment::from(made))).into_response())
}

/// Recompute a month and list every difference
#[utoipa::path(
    get, path = "/admin/billing/reconciliation", tag = "admin",
    params(MonthQuery),
    responses((status = 200, description = "The differences", body = Reconciliation)),
)]
pub(crate) async fn admin_billing_reconciliation(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<MonthQuery>,
) -> Result<Json<Reconciliation>, ApiError> {
    Ok(Json(state.service().billing_reconcile(&op, query.period.as_deref()).await?.into()))
}

/// Read the hours that were metered
///
/// For billing systems: every hour of every image and instance once, in a fixed order, as soon as
/// it does not change any more. Keep `next_cursor` with what was read, and continue there.
#[utoipa::path(
    get, path = "/admin/billing/feed", tag = "admin",
    params(FeedQuery),
    responses((status = 200, description = "The next hours", body = Feed)),
)]
pub(crate) async fn admin_billing_feed(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Query(query): Query<FeedQuery>,
) -> Result<Json<Feed>, ApiError> {
    let page = page_request(query.limit, query.cursor)?;
    Ok(Json(state.service().billing_feed(&op, &page).await?.into()))
}

/// Show the budget of an account
#[utoipa::path(
    get, path = "/admin/accounts/{id}/budget", tag = "admin",
    params(("id" = AccountId, Path, description = "The account")),
    responses((status = 200, description = "The budget", body = Budget)),
)]
pub(crate) async fn admin_account_budget_show(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<AccountId>,
) -> Result<Json<Budget>, ApiError> {
    Ok(Json(state.service().budget_show(&op, id).await?.into()))
}

/// Set the amount at which new images of an account are refused
///
/// Its images stay, and cost as before.
#[utoipa::path(
    put, path = "/admin/accounts/{id}/budget", tag = "admin",
    params(("id" = AccountId, Path, description = "The account")),
    request_body = BudgetUpdate,
    responses((status = 200, description = "The budget", body = Budget)),
)]
pub(crate) async fn admin_account_budget_update(
    State(state): State<ApiState>,
    Caller(op, _): Caller<Admin>,
    Id(id): Id<AccountId>,
    body: JsonBody<BudgetUpdate>,
) -> Result<Json<Budget>, ApiError> {
    let BudgetUpdate { currency, amount } = body.value;
    Ok(Json(state.service().budget_stop(&op, id, &currency, amount.as_deref()).await?.into()))
}
