//! What all accounts used in a month, and what another rate would have cost.

use std::collections::BTreeMap;

use imprint_domain::{
    Error,
    billing::{
        Exact, Line, Month, RateVersion, ReportInput, Totals,
        calendar::{hour_of, start_of_hour},
        report,
    },
    id::{AccountId, LocationId, RateId},
    time::Timestamp,
};
use imprint_store::{Conn, account};

use super::{rates::RateTermsRequest, read};
use crate::{Op, Service, auth::account as accounts, catalogue::location, db_result::DbResult};

/// The accounts that are read at once, and the most that are listed.
const ACCOUNTS_AT_ONCE: u32 = 500;
const MAX_LISTED: usize = 1000;

/// What all accounts used in a month.
#[derive(Clone, Debug)]
pub struct BillingUsage {
    /// The month.
    pub month: Month,
    /// The name of its time zone.
    pub time_zone: String,
    /// When the figures were made.
    pub generated_at: Timestamp,
    /// What all accounts are charged.
    pub totals: Totals,
    /// The accounts, those that are charged most first.
    pub accounts: Vec<AccountUsage>,
    /// The locations.
    pub locations: Vec<LocationUsage>,
}

/// What an account used.
#[derive(Clone, Debug)]
pub struct AccountUsage {
    /// The account.
    pub account_id: AccountId,
    /// The name of the account.
    pub name: String,
    /// Its images over time in GiB-hours.
    pub gib_hours: Exact,
    /// What it is charged.
    pub totals: Totals,
}

/// What was used in a location.
#[derive(Clone, Debug)]
pub struct LocationUsage {
    /// The location.
    pub location_id: LocationId,
    /// Its name; `None` once it is deleted.
    pub name: Option<String>,
    /// Images over time in GiB-hours.
    pub gib_hours: Exact,
    /// What is charged.
    pub totals: Totals,
}

/// A rate to compare with what a month has cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatePreviewRequest {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The location.
    pub location_id: LocationId,
    /// The account, if it applies to one only.
    pub account_id: Option<AccountId>,
    /// The terms.
    pub terms: RateTermsRequest,
}

/// What a rate would have cost.
#[derive(Clone, Debug)]
pub struct PreviewView {
    /// The month.
    pub month: Month,
    /// The name of its time zone.
    pub time_zone: String,
    /// What was charged, by currency.
    pub charged: Totals,
    /// What the rate would have charged, by currency.
    pub would_be: Totals,
    /// The accounts.
    pub accounts: Vec<PreviewAccount>,
}

/// The same of one account.
#[derive(Clone, Debug)]
pub struct PreviewAccount {
    /// The account.
    pub account_id: AccountId,
    /// The name of the account.
    pub name: String,
    /// What was charged, by currency.
    pub charged: Totals,
    /// What the rate would have charged, by currency.
    pub would_be: Totals,
}

fn gib_hours(byte_ms: u128) -> Exact {
    Exact::quotient(&[(byte_ms, 1)], &[1 << 30, 3_600_000])
}

fn stored<'a>(lines: impl IntoIterator<Item = &'a Line>) -> u128 {
    let used = lines.into_iter().filter(|line| line.measure.is_some());
    used.map(|line| line.usage.byte_ms()).sum()
}

fn sum(totals: &mut Totals, more: &Totals) {
    more.iter().for_each(|money| totals.add(money));
}

async fn all_accounts(conn: &Conn<'_>) -> Result<Vec<AccountId>, Error> {
    let mut all: Vec<AccountId> = Vec::new();
    loop {
        let page = account::ids_after(conn, all.last().copied(), ACCOUNTS_AT_ONCE).await.db()?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

impl Service {
    fn billing_month(&self, month: Option<&str>) -> Result<Month, Error> {
        let current = self.settings().billing_zone.month_of(self.now());
        month.map_or(Ok(current), |month| read::month_of(month, "?period"))
    }

    /// Sums up what all accounts used in a month. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::InvalidRequest`] for what is no month; an error of the database.
    pub async fn billing_usage(&self, op: &Op, month: Option<&str>) -> Result<BillingUsage, Error> {
        op.require_admin()?;
        let (month, zone, now) = (self.billing_month(month)?, self.settings().billing_zone, self.now());
        let conn = self.read();
        let rates = read::rates(&conn).await?;
        let (mut totals, mut listed) = (Totals::default(), Vec::new());
        let mut places: BTreeMap<LocationId, (u128, Totals)> = BTreeMap::new();
        for account_id in all_accounts(&conn).await? {
            let found = read::report_of(&conn, account_id, (month.period(zone), zone, now), &rates).await?;
            if found.lines.is_empty() && found.adjustments.is_empty() {
                continue;
            }
            for line in &found.lines {
                let place = places.entry(line.location_id).or_default();
                place.0 += stored([line]);
                line.charge.into_iter().for_each(|charge| place.1.add(charge));
            }
            sum(&mut totals, &found.totals);
            listed.push((account_id, stored(&found.lines), found.totals));
        }
        listed.sort_by_key(|(_, byte_ms, totals)| {
            let most = totals.iter().map(|money| money.minor).max().unwrap_or(0);
            (std::cmp::Reverse(most), std::cmp::Reverse(*byte_ms))
        });
        listed.truncate(MAX_LISTED);
        let ids: Vec<AccountId> = listed.iter().map(|(id, ..)| *id).collect();
        let names = read::names(&conn, &ids).await?;
        let accounts = listed.into_iter().map(|(account_id, byte_ms, totals)| AccountUsage {
            account_id,
            name: names.accounts.get(&account_id).cloned().unwrap_or_default(),
            gib_hours: gib_hours(byte_ms),
            totals,
        });
        let locations = places.into_iter().map(|(location_id, (byte_ms, totals))| LocationUsage {
            location_id,
            name: names.locations.get(&location_id).cloned(),
            gib_hours: gib_hours(byte_ms),
            totals,
        });
        let (accounts, locations) = (accounts.collect(), locations.collect());
        Ok(BillingUsage {
            month,
            time_zone: zone.to_string(),
            generated_at: now,
            totals,
            accounts,
            locations,
        })
    }

    /// Computes what a rate would have cost in a month, beside what it did cost. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::NotFound`] for a location or an account that does not exist;
    /// [`imprint_domain::Code::InvalidRequest`]; an error of the database.
    pub async fn rate_preview(&self, op: &Op, request: &RatePreviewRequest) -> Result<PreviewView, Error> {
        op.require_admin()?;
        let (terms, month) = (request.terms.parse()?, read::month_of(&request.month, "/month")?);
        let (conn, zone, now) = (self.read(), self.settings().billing_zone, self.now());
        location::get(&conn, request.location_id).await.map_err(|error| error.at("/location_id"))?;
        let period = month.period(zone);
        let version = RateVersion {
            id: RateId::new(uuid::Uuid::nil()),
            location_id: request.location_id,
            account_id: None,
            effective_from: start_of_hour(hour_of(period.from)),
            terms,
            ends: false,
            created_at: now,
            created_by: None,
        };
        let ids = match request.account_id {
            Some(id) => {
                vec![accounts::get(&conn, id).await.map_err(|error| error.at("/account_id"))?.account.id]
            }
            None => all_accounts(&conn).await?,
        };
        let rates = read::rates(&conn).await?;
        let mut view = PreviewView {
            month,
            time_zone: zone.to_string(),
            charged: Totals::default(),
            would_be: Totals::default(),
            accounts: Vec::new(),
        };
        for account_id in ids {
            let is_meant =
                |location: LocationId, kind| location == request.location_id && kind == terms.kind();
            let mut intervals = read::intervals(&conn, account_id, period).await?;
            intervals.retain(|found| is_meant(found.location_id, found.subject.rate_kind()));
            if intervals.is_empty() {
                continue;
            }
            let was = read::report_of(&conn, account_id, (period, zone, now), &rates).await?;
            let was = was.lines.iter().filter(|line| line.location_id == request.location_id);
            let was =
                was.filter(|line| line.rate.as_ref().is_some_and(|rate| rate.terms.kind() == terms.kind()));
            let charged: Totals = was.filter_map(|line| line.charge).collect();
            let with = std::slice::from_ref(&version);
            let input =
                ReportInput { intervals: &intervals, rates: with, adjustments: &[], period, zone, now };
            let would_be = report(&input).totals;
            sum(&mut view.charged, &charged);
            sum(&mut view.would_be, &would_be);
            view.accounts.push(PreviewAccount { account_id, name: String::new(), charged, would_be });
        }
        view.accounts.truncate(MAX_LISTED);
        let ids: Vec<AccountId> = view.accounts.iter().map(|account| account.account_id).collect();
        let names = read::names(&conn, &ids).await?;
        for account in &mut view.accounts {
            account.name = names.accounts.get(&account.account_id).cloned().unwrap_or_default();
        }
        view.accounts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(view)
    }

    /// Returns the month that a reconciliation is about.
    pub(super) fn reconciled_month(&self, month: Option<&str>) -> Result<Month, Error> {
        self.billing_month(month)
    }
}
