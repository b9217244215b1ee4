//! The figures of webhooks for monitoring.

use imprint_domain::Error;
use imprint_store::webhook::{self, WebhookCounts};

use crate::{Service, db_result::DbResult};

impl Service {
    /// Returns how many webhooks work, fail and were given up.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn webhook_metrics(&self) -> Result<WebhookCounts, Error> {
        webhook::counts(&self.read()).await.db()
    }
}
