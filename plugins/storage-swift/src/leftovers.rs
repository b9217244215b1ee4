//! Uploads that never became an object: their segments take room, and nothing shows them.
//!
//! Every upload has a mark, an empty object that names it, in the container of the segments. It is
//! put there before the first segment, and goes when the object is there or the upload is given up.
//! The uploads of old marks are swept when another upload begins. Segments of any other program
//! have no mark, and are never looked at.

use imprint_plugin_sdk::{debug, error::Result, host::HttpStorageHost, http::objects::iso_date, warn};
use serde::Deserialize;

use crate::{
    account::{Account, object_path},
    container::Kind,
    failure::{failure, not_swift},
    segments::{Entry, MARKS, PAGE, PAGE_BYTES, is_id, segments_folder},
};

/// The most uploads that are swept at once.
const MOST: usize = 20;

/// An upload that has a mark.
struct Marked {
    key: String,
    id: String,
}

/// The part of a manifest's entry that matters here.
#[derive(Deserialize)]
struct Referred {
    /// The path of a segment, with its container.
    name: String,
}

/// The decision about the segments of a marked upload.
enum Decision {
    /// An upload that may still be in progress.
    Wait,
    /// An object consists of them: only the mark goes.
    Keep,
    /// Nothing refers to them.
    Remove,
}

impl Account {
    /// Marks an upload that begins.
    pub(crate) fn mark(&self, host: &dyn HttpStorageHost, key: &str, id: &str) -> Result<()> {
        self.send(host, "PUT", &self.mark_path(key, id), &[201, 202], &|request| {
            request.header("content-type", "application/octet-stream")
        })
        .map(drop)
    }

    /// Removes the mark of an upload that has ended. Idempotent.
    pub(crate) fn unmark(&self, host: &dyn HttpStorageHost, key: &str, id: &str) -> Result<()> {
        self.send(host, "DELETE", &self.mark_path(key, id), &[200, 204, 404], &|request| request).map(drop)
    }

    fn mark_path(&self, key: &str, id: &str) -> String {
        object_path(&self.settings.segments, &format!("{}{MARKS}{id}/{key}", self.settings.prefix))
    }

    /// Removes the segments of uploads that are older than any upload takes. What fails is tried
    /// again when the next upload begins.
    pub(crate) fn remove_left_over(&self, host: &dyn HttpStorageHost) {
        let (uploads, before) = match self.left_over(host) {
            Ok(found) => found,
            Err(error) => return debug!("left-over uploads are not known: {error}"),
        };
        for upload in uploads.iter().take(MOST) {
            if let Err(error) = self.sweep(host, upload, before) {
                debug!("a left-over upload of {:?} stays: {error}", upload.key);
            }
        }
    }

    /// Returns the uploads with old marks, and since when they count as old, in milliseconds since
    /// 1970 by the clock of the service.
    fn left_over(&self, host: &dyn HttpStorageHost) -> Result<(Vec<Marked>, u64)> {
        let folder = format!("{}{MARKS}", self.settings.prefix);
        let Some(page) = self.page(host, &self.settings.segments, &folder, "", PAGE)? else {
            return Ok((Vec::new(), 0));
        };
        let before = page.now_ms.and_then(|now| now.checked_sub(self.settings.abort_after_ms));
        let before = before.ok_or_else(|| not_swift("an answer has no date"))?;
        // A mark is empty: what is not was put there by something else.
        let old = page.entries.into_iter().filter(|entry| entry.bytes == 0 && is_older(entry, before));
        let marked = old.filter_map(|entry| {
            let (id, key) = entry.name.strip_prefix(&folder)?.split_once('/')?;
            let marked = Marked { key: key.to_owned(), id: id.to_owned() };
            (is_id(id) && self.check_key(key).is_ok()).then_some(marked)
        });
        Ok((marked.collect(), before))
    }

    fn sweep(&self, host: &dyn HttpStorageHost, upload: &Marked, before: u64) -> Result<()> {
        let Marked { key, id } = upload;
        let folder = segments_folder(&self.settings, key, id);
        match self.decide(host, upload, &folder, before)? {
            Decision::Wait => return Ok(()),
            Decision::Keep => {}
            Decision::Remove => {
                self.delete_below(host, &self.settings.segments, &folder)?;
                warn!("what was left over of an upload of {key:?} was removed");
            }
        }
        self.unmark(host, key, id)
    }

    fn decide(
        &self,
        host: &dyn HttpStorageHost,
        upload: &Marked,
        folder: &str,
        before: u64,
    ) -> Result<Decision> {
        let object = self.find(host, &upload.key)?;
        if let Some(found) = object.filter(|found| found.upload.as_ref() == Some(&upload.id)) {
            // An object without bytes has no segments, and the upload had one.
            return Ok(if found.kind == Kind::Plain { Decision::Remove } else { Decision::Keep });
        }
        let mut total = 0;
        let mut is_young = false;
        self.each_page(host, &self.settings.segments, folder, &mut |entries| {
            let is_segment = |entry: &&Entry| {
                entry
                    .name
                    .strip_prefix(folder)
                    .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            };
            total += entries.iter().filter(is_segment).map(|entry| entry.bytes).sum::<u64>();
            is_young |= !entries.iter().all(|entry| is_older(entry, before));
            Ok(())
        })?;
        // An upload that continues with the parts that are there is older than its last segment.
        if is_young {
            return Ok(Decision::Wait);
        }
        let is_used = total > 0 && self.is_referred_to(host, folder, total)?;
        Ok(if is_used { Decision::Keep } else { Decision::Remove })
    }

    /// Returns whether a static large object of the container, whatever its name, has segments
    /// below that folder. An image may have been renamed or have lost its metadata; its size is
    /// still that of all of its segments.
    fn is_referred_to(&self, host: &dyn HttpStorageHost, folder: &str, total: u64) -> Result<bool> {
        let mut same_size = Vec::new();
        self.each_page(host, &self.settings.container, "", &mut |entries| {
            let alike = entries.iter().filter(|entry| entry.bytes == total);
            same_size.extend(alike.map(|entry| entry.name.clone()));
            Ok(())
        })?;
        let start = format!("/{}/{folder}", self.settings.segments);
        for name in same_size {
            let manifest = self.manifest(host, &name)?;
            if manifest.iter().any(|referred| referred.name.starts_with(&start)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns what a static large object consists of; nothing for any other object.
    fn manifest(&self, host: &dyn HttpStorageHost, name: &str) -> Result<Vec<Referred>> {
        let path = object_path(&self.settings.container, name);
        let head = self.ask(host, "HEAD", &path, &|request| {
            request.capture(&["x-static-large-object"]).max_response(0)
        })?;
        match head.status {
            200 | 204 => {}
            404 => return Ok(Vec::new()),
            _ => return Err(failure(&head)),
        }
        let is_static = head.headers.get("x-static-large-object");
        if !is_static.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Vec::new());
        }
        let path = format!("{path}?multipart-manifest=get");
        let answer = self.send(host, "GET", &path, &[200], &|request| request.max_response(PAGE_BYTES))?;
        serde_json::from_slice(&answer.body).map_err(|_| not_swift("a manifest is none"))
    }
}

/// Returns whether an entry was last written before that time; not where that is not known.
fn is_older(entry: &Entry, before: u64) -> bool {
    entry.last_modified.as_deref().and_then(iso_date).is_some_and(|modified| modified < before)
}
