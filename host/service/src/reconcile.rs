//! Reconcilers: what makes reality match, whatever happened.

use imprint_domain::Error;

use crate::Service;

/// What a run found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Tasks whose lease had expired: queued again or failed.
    pub leases: u32,
    /// Tasks past their deadline.
    pub deadlines: u32,
    /// Failed deletions that got a new attempt.
    pub deletions: u32,
    /// Rows that were past their time: sessions, idempotency keys, events.
    pub rows: u32,
}

impl Service {
    /// One run of all reconcilers. Idempotent; the program calls it every few seconds. Takes no input: what changed is found
    /// out, never assumed.
    pub async fn reconcile_once(&self) -> Result<Reconciled, Error> {
        pending!()
    }
}
