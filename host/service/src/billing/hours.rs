//! The hourly job. An hour is sealed, then its rows are written, then it counts as metered: each in
//! a transaction of its own, and each repeatable. Killed, run twice, run late, run by two control
//! planes at once, it leaves the same rows.

use imprint_domain::{
    Error,
    billing::{
        RateBook,
        calendar::{hour_of, start_of_hour},
        hour_buckets,
    },
    event::EventKind,
    id::AccountId,
};
use imprint_store::{
    account,
    billing::{
        hour,
        interval::{self, Within},
        rate,
        state::{self, BillingState},
    },
};

use super::read;
use crate::{Service, change::Change, db_result::DbResult};

/// The accounts that are read at once.
const ACCOUNTS_AT_ONCE: u32 = 500;

/// What one run of the jobs of billing has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    /// Hours that were metered.
    pub hours: u32,
    /// Months that were closed.
    pub months: u32,
}

impl Service {
    /// One run of the jobs of billing: meters the hours that are over, and closes the oldest month
    /// that is due. Idempotent; the program calls it every few seconds, beside the reconcilers, so
    /// that many hours at once do not hold up those.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn bill_once(&self) -> Result<Billed, Error> {
        Ok(Billed { hours: self.meter_hours().await?, months: self.close_months().await? })
    }

    /// Meters the hours that are over. Returns how many.
    async fn meter_hours(&self) -> Result<u32, Error> {
        let mut done = 0;
        loop {
            let Some(found) = self.billing_state().await? else { break };
            let hour = found.metered_until;
            if self.now() < start_of_hour(hour + 1) {
                break;
            }
            self.seal_hour(hour).await?;
            self.write_hour(hour).await?;
            self.end_hour(hour).await?;
            done += 1;
        }
        if done > 0 {
            let mut change = Change::begin(self).await?;
            change.billing_changed(EventKind::BillingHoursMetered, None).await?;
            change.commit().await?;
            self.check_budgets().await?;
        }
        Ok(done)
    }

    /// Reads how far the hours are; the first run starts with the first interval. `None` while
    /// there is nothing to meter.
    async fn billing_state(&self) -> Result<Option<BillingState>, Error> {
        if let Some(found) = state::get(&self.read()).await.db()? {
            return Ok(Some(found));
        }
        let change = Change::begin(self).await?;
        if let Some(found) = state::get(&change.conn()).await.db()? {
            return Ok(Some(found));
        }
        let Some(first) = interval::earliest(&change.conn()).await.db()? else { return Ok(None) };
        let hour = hour_of(first.min(change.now));
        let first = BillingState { sealed_until: hour, metered_until: hour };
        state::put(&change.tx, first).await.db()?;
        change.commit().await?;
        Ok(Some(first))
    }

    /// From now on no interval changes inside of the hour.
    async fn seal_hour(&self, hour: i64) -> Result<(), Error> {
        let change = Change::begin(self).await?;
        let Some(found) = state::get(&change.conn()).await.db()? else { return Ok(()) };
        if found.sealed_until <= hour {
            state::put(&change.tx, BillingState { sealed_until: hour + 1, ..found }).await.db()?;
            change.commit().await?;
        }
        Ok(())
    }

    /// Writes the rows of a sealed hour that are not there yet.
    async fn write_hour(&self, hour: i64) -> Result<(), Error> {
        let conn = self.read();
        let rates = rate::list(&conn, None).await.db()?;
        let book = RateBook::new(&rates);
        let within = Within { from: start_of_hour(hour), until: start_of_hour(hour + 1) };
        let mut after: Option<AccountId> = None;
        loop {
            let accounts = account::ids_after(&conn, after, ACCOUNTS_AT_ONCE).await.db()?;
            let Some(last) = accounts.last().copied() else { return Ok(()) };
            let intervals = interval::of_accounts(&conn, after, last, within).await.db()?;
            let buckets = hour_buckets(hour, &intervals, &book, self.settings().billing_zone);
            if !buckets.is_empty() {
                let rows: Vec<_> = buckets.iter().map(read::hour_row).collect();
                let change = Change::begin(self).await?;
                hour::insert_missing(&change.tx, &rows).await.db()?;
                change.commit().await?;
            }
            after = Some(last);
        }
    }

    async fn end_hour(&self, hour: i64) -> Result<(), Error> {
        let change = Change::begin(self).await?;
        let Some(found) = state::get(&change.conn()).await.db()? else { return Ok(()) };
        if found.metered_until == hour {
            state::put(&change.tx, BillingState { metered_until: hour + 1, ..found }).await.db()?;
            change.commit().await?;
        }
        Ok(())
    }
}
