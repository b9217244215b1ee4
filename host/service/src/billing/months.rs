//! Months: listed, and closed. The lines of a closed month are frozen.

use chrono::TimeDelta;
use imprint_domain::{
    Code, Error,
    billing::{Line, Month, Period, RateVersion, Report, calendar::hour_of},
    event::EventKind,
    id::AccountId,
    time::Timestamp,
};
use imprint_store::{
    account,
    billing::{interval, month as closed, state},
};

use super::read;
use crate::{Op, Service, change::Change, db_result::DbResult};

/// The accounts that are read at once.
const ACCOUNTS_AT_ONCE: u32 = 500;
/// The most months that are listed, and that are looked at for one to close.
const MAX_MONTHS: u32 = 120;

/// A month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonthView {
    /// The month.
    pub month: Month,
    /// The name of the time zone that it is a month of.
    pub time_zone: String,
    /// Its period.
    pub period: Period,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// The admin that closed it.
    pub closed_by: Option<AccountId>,
}

impl Service {
    /// Returns the months since the first usage, the latest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn month_list(&self, op: &Op) -> Result<Vec<MonthView>, Error> {
        op.require_admin()?;
        self.months().await
    }

    async fn months(&self) -> Result<Vec<MonthView>, Error> {
        let (conn, zone) = (self.read(), self.settings().billing_zone);
        let current = zone.month_of(self.now());
        let Some(first) = interval::earliest(&conn).await.db()? else { return Ok(Vec::new()) };
        let first = zone.month_of(first);
        let closed = closed::list(&conn, MAX_MONTHS).await.db()?;
        let (mut months, mut month) = (Vec::new(), current);
        for _ in 0..MAX_MONTHS {
            let found = closed.iter().find(|found| found.month == month.to_string());
            months.push(MonthView {
                month,
                time_zone: found.map_or_else(|| zone.to_string(), |found| found.time_zone.clone()),
                period: month.period(zone),
                closed_at: found.map(|found| found.closed_at),
                closed_by: found.and_then(|found| found.closed_by),
            });
            if month <= first {
                break;
            }
            month = month.previous();
        }
        Ok(months)
    }

    /// Closes a month that is over and metered: freezes its lines. A closed one stays as it is.
    /// Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::InvalidRequest`] for what is no
    /// month; [`Code::InvalidTransition`] for one that is not over, or not metered yet; an error
    /// of the database.
    pub async fn month_close(&self, op: &Op, month: &str) -> Result<MonthView, Error> {
        op.require_admin()?;
        let month = read::month_of(month, "/month")?;
        let period = month.period(self.settings().billing_zone);
        if period.to > self.now() {
            let detail = format!("{month} is not over; close it after its end");
            return Err(Error::new(Code::InvalidTransition, detail));
        }
        if !self.is_metered(period).await? {
            let detail = format!("not every hour of {month} is metered yet; try again in a minute");
            return Err(Error::new(Code::InvalidTransition, detail));
        }
        self.close(month, Some(op)).await?;
        let (zone, conn) = (self.settings().billing_zone, self.read());
        let found = closed::get(&conn, &month.to_string()).await.db()?;
        let found = found.ok_or_else(|| Error::internal(format!("{month} was not closed")))?;
        Ok(MonthView {
            month,
            time_zone: found.time_zone,
            period: month.period(zone),
            closed_at: Some(found.closed_at),
            closed_by: found.closed_by,
        })
    }

    /// Closes the oldest month whose time to be corrected is over. Returns how many were closed.
    pub(super) async fn close_months(&self) -> Result<u32, Error> {
        let days = self.settings().billing_close_after_d;
        if days == 0 {
            return Ok(0);
        }
        let due = self.now() - TimeDelta::days(days.into());
        let months = self.months().await?;
        let oldest = months.into_iter().rev().find(|month| month.closed_at.is_none());
        let Some(oldest) = oldest.filter(|month| month.period.to <= due) else { return Ok(0) };
        if !self.is_metered(oldest.period).await? {
            return Ok(0);
        }
        self.close(oldest.month, None).await?;
        Ok(1)
    }

    async fn is_metered(&self, period: Period) -> Result<bool, Error> {
        let found = state::get(&self.read()).await.db()?;
        // The end of a month need not be that of an hour.
        let needed = hour_of(period.to - TimeDelta::milliseconds(1)) + 1;
        Ok(found.is_some_and(|found| found.metered_until >= needed))
    }

    /// Writes the lines of each account, then the month: interrupted, it is repeated, and the lines
    /// that are there are those that it computes.
    async fn close(&self, month: Month, op: Option<&Op>) -> Result<(), Error> {
        let conn = self.read();
        let rates = read::rates(&conn).await?;
        let mut after: Option<AccountId> = None;
        loop {
            let accounts = account::ids_after(&conn, after, ACCOUNTS_AT_ONCE).await.db()?;
            let Some(last) = accounts.last().copied() else { break };
            for account in accounts {
                self.freeze(month, account, &rates).await?;
            }
            after = Some(last);
        }
        let mut change = Change::begin(self).await?;
        if closed::get(&change.conn(), &month.to_string()).await.db()?.is_some() {
            return Ok(());
        }
        let row = closed::ClosedMonth {
            month: month.to_string(),
            time_zone: self.settings().billing_zone.to_string(),
            closed_at: change.now,
            closed_by: op.map(Op::account_id),
        };
        closed::insert(&change.tx, &row).await.db()?;
        change.billing_changed(EventKind::BillingMonthClosed, None).await?;
        if let Some(op) = op {
            change.audit(op, "billing.month_close", month).await?;
        }
        change.commit().await
    }

    async fn freeze(&self, month: Month, account: AccountId, rates: &[RateVersion]) -> Result<(), Error> {
        let zone = self.settings().billing_zone;
        let conn = self.read();
        let period = month.period(zone);
        let found: Report = read::report_of(&conn, account, (period, zone, self.now()), rates).await?;
        if found.lines.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = found.lines.iter().map(text_of).collect::<Result<_, _>>()?;
        let change = Change::begin(self).await?;
        if closed::get(&change.conn(), &month.to_string()).await.db()?.is_none() {
            closed::insert_lines(&change.tx, &month.to_string(), account, &texts).await.db()?;
            change.commit().await?;
        }
        Ok(())
    }
}

fn text_of(line: &Line) -> Result<String, Error> {
    serde_json::to_string(line).map_err(Error::internal)
}
