//! The reconciliation: what is written, beside what the intervals and the rates say.

use chrono::TimeDelta;
use imprint_domain::{
    Error,
    billing::{
        Difference, Month, RateBook, ReportInput,
        calendar::{hour_of, start_of_hour},
        compare_hours, compare_lines, hour_buckets, report,
    },
    id::AccountId,
    time::Timestamp,
};
use imprint_store::{
    account,
    billing::{hour, state},
};

use super::read;
use crate::{Op, Service, db_result::DbResult};

/// The accounts that are read at once, and the most differences that are listed.
const ACCOUNTS_AT_ONCE: u32 = 500;
const MAX_LISTED: usize = 100;

/// What a reconciliation has found.
#[derive(Clone, Debug)]
pub struct ReconciliationView {
    /// The month.
    pub month: Month,
    /// When it was done.
    pub at: Timestamp,
    /// The hours that were compared.
    pub hours: u64,
    /// The frozen lines that were compared.
    pub lines: u64,
    /// The number of differences.
    pub differences: u64,
    /// The first of them.
    pub items: Vec<Difference>,
}

impl Service {
    /// Recomputes a month from its intervals and rates, and returns every difference to what was
    /// written. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::InvalidRequest`] for what is no month; an error of the database.
    pub async fn billing_reconcile(&self, op: &Op, month: Option<&str>) -> Result<ReconciliationView, Error> {
        op.require_admin()?;
        let month = self.reconciled_month(month)?;
        let mut view = ReconciliationView {
            month,
            at: self.now(),
            hours: 0,
            lines: 0,
            differences: 0,
            items: Vec::new(),
        };
        let mut after: Option<AccountId> = None;
        loop {
            let accounts = account::ids_after(&self.read(), after, ACCOUNTS_AT_ONCE).await.db()?;
            let Some(last) = accounts.last().copied() else { return Ok(view) };
            for account in accounts {
                self.reconcile_account(account, &mut view).await?;
            }
            after = Some(last);
        }
    }

    async fn reconcile_account(
        &self,
        account: AccountId,
        view: &mut ReconciliationView,
    ) -> Result<(), Error> {
        let (conn, zone) = (self.read(), self.settings().billing_zone);
        let period = view.month.period(zone);
        let Some(metered) = state::get(&conn).await.db()? else { return Ok(()) };
        let (first, end) = (hour_of(period.from), hour_of(period.to - TimeDelta::milliseconds(1)) + 1);
        let end = end.min(metered.metered_until);
        let rates = read::rates(&conn).await?;
        let mut whole = period;
        (whole.from, whole.to) = (start_of_hour(first), period.to.max(start_of_hour(end)));
        let intervals = read::intervals(&conn, account, whole).await?;
        let book = RateBook::new(&rates);
        let mut expected = Vec::new();
        if !intervals.is_empty() {
            let started = intervals.first().map_or(first, |found| hour_of(found.started_at)).max(first);
            for hour in started..end {
                expected.extend(hour_buckets(hour, &intervals, &book, zone));
            }
        }
        let rows = hour::of_account(&conn, account, (first, end)).await.db()?;
        let found = rows.iter().map(read::bucket_of).collect::<Result<Vec<_>, _>>()?;
        view.hours += count(found.len());
        note(view, compare_hours(&expected, &found));
        if read::closed_at(&conn, Some(view.month)).await?.is_none() {
            return Ok(());
        }
        let frozen = read::frozen(&conn, account, view.month).await?;
        let intervals = read::intervals(&conn, account, period).await?;
        let input = ReportInput {
            intervals: &intervals,
            rates: &rates,
            adjustments: &[],
            period,
            zone,
            now: view.at,
        };
        view.lines += count(frozen.len());
        note(view, compare_lines(&report(&input).lines, &frozen));
        Ok(())
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn note(view: &mut ReconciliationView, found: Vec<Difference>) {
    view.differences += count(found.len());
    let room = MAX_LISTED.saturating_sub(view.items.len());
    view.items.extend(found.into_iter().take(room));
}
