//! Objects without a name that is shown: the segments of uploads, listed and deleted by a prefix.

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::{
        Body,
        objects::{encode, http_date},
    },
};
use serde::Deserialize;

use crate::{
    account::{Account, container_path, object_path},
    failure::{failure, not_swift, text},
    settings::Settings,
};

/// The most names of one page of a listing, and the most bytes of its document.
pub(crate) const PAGE: u32 = 500;
pub(crate) const PAGE_BYTES: u32 = 1 << 20;

/// The folder of the marks of uploads in the container of the segments, below the prefix.
pub(crate) const MARKS: &str = ".uploads/";
/// The longest id of an upload, in bytes.
const MAX_ID: usize = 64;

/// Returns where the segments of an upload are. The first part keeps keys that begin alike apart.
pub(crate) fn segments_folder(settings: &Settings, key: &str, id: &str) -> String {
    format!("{}{key}/{id}/", settings.prefix)
}

/// Returns whether a text can be the id of an upload.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

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

/// A page of a listing.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// The time of the service, in milliseconds since 1970.
    pub(crate) now_ms: Option<u64>,
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
        Ok(self.page(host, container, prefix, marker, limit)?.map(|page| page.entries))
    }

    /// Returns the same as [`entries`](Self::entries), with the time of the service.
    pub(crate) fn page(
        &self,
        host: &dyn HttpStorageHost,
        container: &str,
        prefix: &str,
        marker: &str,
        limit: u32,
    ) -> Result<Option<Page>> {
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
            request.header("accept", "application/json").capture(&["date"]).max_response(PAGE_BYTES)
        })?;
        let now_ms = answer.headers.get("date").and_then(|text| http_date(text));
        match answer.status {
            200 => {
                let entries: Vec<Entry> =
                    serde_json::from_slice(&answer.body).map_err(|_| not_swift("a listing is none"))?;
                let entries = entries.into_iter().filter(|entry| !entry.name.is_empty()).collect();
                Ok(Some(Page { entries, now_ms }))
            }
            204 => Ok(Some(Page { entries: Vec::new(), now_ms })),
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
        self.each_page(host, container, prefix, &mut |entries| {
            let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
            self.delete_names(host, container, &names)
        })
    }

    /// Does something with every object of a container that begins with a prefix, page by page. A
    /// container that is not there has none.
    pub(crate) fn each_page(
        &self,
        host: &dyn HttpStorageHost,
        container: &str,
        prefix: &str,
        act: &mut dyn FnMut(&[Entry]) -> Result<()>,
    ) -> Result<()> {
        let mut marker = String::new();
        loop {
            let Some(entries) = self.entries(host, container, prefix, &marker, PAGE)? else { return Ok(()) };
            let last = entries.last().map(|entry| entry.name.clone());
            let Some(last) = last.filter(|last| *last > marker) else { return Ok(()) };
            act(&entries)?;
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
