//! Objects without a name that is shown: the segments of uploads, listed and deleted by a prefix.

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::{Body, objects::encode},
};
use serde::Deserialize;

use crate::{
    account::{Account, container_path, object_path},
    failure::{failure, not_swift, text},
};

/// The most names of one page of a listing, and the most bytes of its document.
pub(crate) const PAGE: u32 = 500;
pub(crate) const PAGE_BYTES: u32 = 1 << 20;

/// One entry of a listing. Those of folders (`subdir`) have no name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) hash: Option<String>,
    pub(crate) slo_etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

/// What a request that deletes many objects answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Deleted {
    #[serde(rename = "Response Status")]
    status: String,
    #[serde(rename = "Response Body")]
    body: String,
    #[serde(rename = "Errors")]
    errors: Vec<(String, String)>,
}

/// Returns whether the answer of a request that deletes many says that all are gone. `None` for an
/// answer of something that cannot do that.
pub(crate) fn all_deleted(body: &[u8]) -> Option<Result<()>> {
    let answer: Deleted = serde_json::from_slice(body.trim_ascii()).ok()?;
    if answer.status.is_empty() {
        return None;
    }
    let gone = |status: &str| status.starts_with('2') || status.starts_with("404");
    if answer.errors.iter().all(|(_, status)| gone(status)) && gone(&answer.status) {
        return Some(Ok(()));
    }
    let what = match answer.errors.first() {
        Some((name, status)) => format!("{name}: {status}"),
        None => format!("{} {}", answer.status, text(answer.body.as_bytes())),
    };
    let message = format!("not everything was deleted ({what}); it is tried again");
    Some(Err(Error::transient("swift.delete", message)))
}

impl Account {
    /// Returns a page of the names of a container that begin with a prefix and come after `marker`;
    /// `None` when there is no such container.
    pub(crate) fn entries(
        &self,
        host: &dyn HttpStorageHost,
        container: &str,
        prefix: &str,
        marker: &str,
        limit: u32,
    ) -> Result<Option<Vec<Entry>>> {
        let mut path = format!(
            "{}?format=json&limit={}&prefix={}",
            container_path(container),
            limit.clamp(1, PAGE),
            encode(prefix, false)
        );
        if !marker.is_empty() {
            path.push_str(&format!("&marker={}", encode(marker, false)));
        }
        let answer = self.ask(host, "GET", &path, &|request| {
            request.header("accept", "application/json").max_response(PAGE_BYTES)
        })?;
        match answer.status {
            200 => {
                let entries: Vec<Entry> =
                    serde_json::from_slice(&answer.body).map_err(|_| not_swift("a listing is none"))?;
                Ok(Some(entries.into_iter().filter(|entry| !entry.name.is_empty()).collect()))
            }
            204 => Ok(Some(Vec::new())),
            404 => Ok(None),
            _ => Err(failure(&answer)),
        }
    }

    /// Deletes every object of a container that begins with a prefix. Idempotent.
    pub(crate) fn delete_below(
        &self,
        host: &dyn HttpStorageHost,
        container: &str,
        prefix: &str,
    ) -> Result<()> {
        let mut marker = String::new();
        loop {
            let Some(entries) = self.entries(host, container, prefix, &marker, PAGE)? else { return Ok(()) };
            let names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
            let Some(last) = names.last().filter(|last| **last > marker).cloned() else { return Ok(()) };
            self.delete_names(host, container, &names)?;
            marker = last;
        }
    }

    /// Deletes objects, by one request where the service can.
    fn delete_names(&self, host: &dyn HttpStorageHost, container: &str, names: &[String]) -> Result<()> {
        if names.len() > 1 {
            let lines: Vec<String> = names.iter().map(|name| object_path(container, name)).collect();
            let body = lines.join("\n").into_bytes();
            let answer = self.ask(host, "POST", "?bulk-delete", &|request| {
                request
                    .header("content-type", "text/plain")
                    .header("accept", "application/json")
                    .body(Body::Inline(body.clone()))
                    .max_response(PAGE_BYTES)
            })?;
            if answer.status == 200
                && let Some(outcome) = all_deleted(&answer.body)
            {
                return outcome;
            }
        }
        for name in names {
            self.send(host, "DELETE", &object_path(container, name), &[200, 204, 404], &|request| request)?;
        }
        Ok(())
    }
}
