//! Deleting images, with their segments.

use imprint_plugin_sdk::{error::Result, host::HttpStorageHost, warn};

use crate::{
    account::Account,
    container::Kind,
    failure::failure,
    segments::{PAGE_BYTES, all_deleted},
};

impl Account {
    /// Deletes an object and what it consists of. Idempotent.
    pub(crate) fn delete(&self, host: &dyn HttpStorageHost, key: &str) -> Result<()> {
        let Some(found) = self.find(host, key)? else { return Ok(()) };
        match found.kind {
            Kind::Plain => self.delete_plain(host, key),
            Kind::Static => self.delete_static(host, key),
            Kind::Dynamic { container, prefix } => {
                self.delete_plain(host, key)?;
                // Others than these segments may have names that begin alike.
                let whole = format!("{}{key}", self.settings.prefix);
                let own = container != self.settings.container && prefix.len() > 1;
                if own || (prefix.starts_with(&whole) && prefix.len() > whole.len()) {
                    self.delete_below(host, &container, &prefix)
                } else {
                    warn!("the segments of {key:?} stay: others may have names that begin with {prefix:?}");
                    Ok(())
                }
            }
        }
    }

    fn delete_plain(&self, host: &dyn HttpStorageHost, key: &str) -> Result<()> {
        self.send(host, "DELETE", &self.path(key), &[200, 204, 404], &|request| request).map(drop)
    }

    /// Deletes a static large object: the object store deletes its segments first.
    fn delete_static(&self, host: &dyn HttpStorageHost, key: &str) -> Result<()> {
        let path = format!("{}?multipart-manifest=delete", self.path(key));
        let answer = self.ask(host, "DELETE", &path, &|request| {
            request.header("accept", "application/json").max_response(PAGE_BYTES)
        })?;
        match answer.status {
            200 => match all_deleted(&answer.body) {
                Some(outcome) => outcome,
                None => self.delete_plain(host, key),
            },
            204 | 404 => Ok(()),
            _ => Err(failure(&answer)),
        }
    }
}
