//! What reports are made of.

use imprint_domain::{
    Code, Error,
    billing::{
        Adjustment, Currency, HourBucket, HourSubject, Line, Money, Month, Period, RateVersion, Report,
        ReportInput, UsageInterval, Zone, csv::Names, hour::HourCharge, report,
    },
    id::{AccountId, AdjustmentId, ImageId, InstanceId, LocationId, RateId},
    time::Timestamp,
};
use imprint_store::{
    Conn, account,
    billing::{
        adjustment,
        hour::{self, UsageHour},
        interval::{self, Within},
        month, rate,
    },
    location,
};

use crate::db_result::DbResult;

/// Who sends the invoices, as exported tables name it.
const PROVIDER: &str = "Imprint";
/// The most locations that have their names in a report.
const MAX_LOCATIONS: u32 = 10_000;

/// Parses a month of a request.
///
/// # Errors
///
/// [`Code::InvalidRequest`] at `pointer`.
pub(super) fn month_of(text: &str, pointer: &str) -> Result<Month, Error> {
    text.parse().map_err(|error| Error::new(Code::InvalidRequest, error).at(pointer))
}

/// Returns the time that the intervals of a period touch.
pub(super) const fn within(period: Period) -> Within {
    Within { from: period.from, until: period.to }
}

/// Reads the intervals of an account in a period.
pub(super) async fn intervals(
    conn: &Conn<'_>,
    account: AccountId,
    period: Period,
) -> Result<Vec<UsageInterval>, Error> {
    interval::of_account(conn, account, within(period)).await.db()
}

/// Reads all versions of rates.
pub(super) async fn rates(conn: &Conn<'_>) -> Result<Vec<RateVersion>, Error> {
    rate::list(conn, None).await.db()
}

/// Reads the adjustments of an account that are charged in a month.
pub(super) async fn adjustments(
    conn: &Conn<'_>,
    account: AccountId,
    month: Month,
) -> Result<Vec<Adjustment>, Error> {
    let rows = adjustment::charged_in(conn, Some(account), &month.to_string()).await.db()?;
    rows.iter().map(adjustment_of).collect()
}

/// Returns the adjustment of a row.
pub(super) fn adjustment_of(row: &adjustment::Adjustment) -> Result<Adjustment, Error> {
    let currency: Currency = row.currency.parse().map_err(Error::internal)?;
    Ok(Adjustment {
        id: AdjustmentId::new(row.id),
        account_id: row.account_id,
        charge: Money::parse(&row.amount, currency).map_err(Error::internal)?,
        reason: row.reason.clone(),
        corrects: row.corrects.parse().map_err(Error::internal)?,
        charged_in: row.charged_in.parse().map_err(Error::internal)?,
        created_at: row.created_at,
        created_by: row.created_by,
    })
}

/// Reads the frozen lines of an account in a closed month.
pub(super) async fn frozen(conn: &Conn<'_>, account: AccountId, month: Month) -> Result<Vec<Line>, Error> {
    let texts = month::lines(conn, &month.to_string(), account).await.db()?;
    texts.iter().map(|text| serde_json::from_str(text).map_err(Error::internal)).collect()
}

/// Returns when a month was closed.
pub(super) async fn closed_at(conn: &Conn<'_>, month: Option<Month>) -> Result<Option<Timestamp>, Error> {
    let Some(month) = month else { return Ok(None) };
    Ok(month::get(conn, &month.to_string()).await.db()?.map(|closed| closed.closed_at))
}

/// Computes the report of an account; that of a closed month is made of its frozen lines.
pub(super) async fn report_of(
    conn: &Conn<'_>,
    account: AccountId,
    (period, zone, now): (Period, Zone, Timestamp),
    rates: &[RateVersion],
) -> Result<Report, Error> {
    let adjustments = match period.month {
        Some(month) => adjustments(conn, account, month).await?,
        None => Vec::new(),
    };
    if let Some(month) = period.month
        && closed_at(conn, Some(month)).await?.is_some()
    {
        let lines = frozen(conn, account, month).await?;
        return Ok(Report::of_lines(lines, adjustments, period, zone, now));
    }
    let intervals = intervals(conn, account, period).await?;
    Ok(report(&ReportInput { intervals: &intervals, rates, adjustments: &adjustments, period, zone, now }))
}

/// Reads the names of accounts and of all locations.
pub(super) async fn names(conn: &Conn<'_>, accounts: &[AccountId]) -> Result<Names, Error> {
    let accounts = account::names(conn, accounts).await.db()?;
    let locations = location::list(conn, None, MAX_LOCATIONS).await.db()?;
    Ok(Names {
        accounts: accounts.into_iter().map(|(id, name)| (id, name.to_string())).collect(),
        locations: locations
            .into_iter()
            .map(|record| (record.location.id, record.location.name.to_string()))
            .collect(),
        provider: PROVIDER.to_owned(),
    })
}

/// Returns the row of a metered hour.
pub(super) fn hour_row(bucket: &HourBucket) -> UsageHour {
    let (kind, subject_id) = match bucket.subject {
        HourSubject::Image(id) => ("image", id.uuid()),
        HourSubject::Instance(id) => ("instance", id.uuid()),
        HourSubject::Allowance(id) => ("allowance", id.uuid()),
    };
    UsageHour {
        key: hour::HourKey { hour: bucket.hour, subject_id, location_id: bucket.location_id.uuid() },
        account_id: bucket.account_id,
        kind: kind.to_owned(),
        name: bucket.name.clone(),
        quantity: bucket.usage.to_string(),
        charge: bucket.charge.as_ref().map(|charge| hour::HourCharge {
            rate_id: charge.rate_id.uuid(),
            amount: charge.amount.to_string(),
            currency: charge.currency.to_string(),
        }),
    }
}

/// Returns the metered hour of a row.
pub(super) fn bucket_of(row: &UsageHour) -> Result<HourBucket, Error> {
    let id = row.key.subject_id;
    let subject = match row.kind.as_str() {
        "image" => HourSubject::Image(ImageId::new(id)),
        "instance" => HourSubject::Instance(InstanceId::new(id)),
        "allowance" => HourSubject::Allowance(AccountId::new(id)),
        other => return Err(Error::internal(format!("an hour of a `{other}`"))),
    };
    let charge = row.charge.as_ref().map(charge_of).transpose()?;
    Ok(HourBucket {
        hour: row.key.hour,
        subject,
        account_id: row.account_id,
        location_id: LocationId::new(row.key.location_id),
        name: row.name.clone(),
        usage: row.quantity.parse().map_err(Error::internal)?,
        charge,
    })
}

fn charge_of(charge: &hour::HourCharge) -> Result<HourCharge, Error> {
    Ok(HourCharge {
        rate_id: RateId::new(charge.rate_id),
        amount: charge.amount.parse().map_err(Error::internal)?,
        currency: charge.currency.parse().map_err(Error::internal)?,
    })
}
