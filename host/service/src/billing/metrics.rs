//! The figures of metering for monitoring.

use imprint_domain::{
    Error,
    billing::calendar::{hour_of, start_of_hour},
    time::Timestamp,
};
use imprint_store::billing::{
    interval::{self, OpenIntervals},
    state,
};

use crate::{Service, db_result::DbResult};

/// How far the hours are metered, and what is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillingMetrics {
    /// The time until which all hours are metered; `None` before the first one.
    pub metered_until: Option<Timestamp>,
    /// The hours that are over and not metered yet.
    pub hours_behind: u64,
    /// What costs at the moment.
    pub open: OpenIntervals,
}

impl Service {
    /// Returns the figures of metering.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn billing_metrics(&self) -> Result<BillingMetrics, Error> {
        let conn = self.read();
        let metered = state::get(&conn).await.db()?.map(|found| found.metered_until);
        let behind = metered.map_or(0, |hour| hour_of(self.now()).saturating_sub(hour));
        Ok(BillingMetrics {
            metered_until: metered.map(start_of_hour),
            hours_behind: u64::try_from(behind).unwrap_or(0),
            open: interval::count_open(&conn).await.db()?,
        })
    }
}
