//! Uploads in segments.

use std::collections::BTreeMap;

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::{Body, Request, objects::Parts},
    storage::{
        Object, Part, PartResult, Upload, WriteRequest, WriteTarget, no_token, object_exists, read_token,
    },
    types::Digest,
};
use serde::{Deserialize, Serialize};

use crate::{
    account::{Account, container_path, object_path},
    container::{Found, Kind, UPLOAD},
    failure::{failure, not_swift},
    manifest::Segment,
    segments::{is_id, segments_folder},
};

/// The segments of an object.
pub(crate) const PARTS: Parts =
    Parts { largest: 1 << 30, usual: 64 << 20, most: 10_000, max_object: 10_000 << 30 };
/// The version of the token.
const VERSION: u32 = 1;

/// An upload in progress.
#[derive(Debug)]
pub struct SwiftUpload {
    account: Account,
    token: Token,
    /// The entity tag of each segment.
    segments: BTreeMap<u32, String>,
}

/// What identifies an upload, as JSON: version 1, which later versions keep reading.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Token {
    version: u32,
    key: String,
    id: String,
    part_size: u64,
    if_absent: bool,
    /// The upload of the object that is replaced: its segments go when this one is there.
    replaces: Option<String>,
}

impl SwiftUpload {
    pub(crate) fn begin(
        account: Account,
        host: &dyn HttpStorageHost,
        request: &WriteRequest,
    ) -> Result<Self> {
        account.check_key(&request.key)?;
        let bound = request.size.or(request.upper_bound);
        let size = PARTS.size(account.settings.segment_size, bound);
        let part_size = size.ok_or_else(|| too_large(bound.unwrap_or_default()))?;
        let before = account.find(host, &request.key)?;
        if request.if_absent && before.is_some() {
            return Err(object_exists("swift", &request.key));
        }
        account.remove_left_over(host);
        let id = account.make_segments_container(host)?;
        account.mark(host, &request.key, &id)?;
        let token = Token {
            version: VERSION,
            key: request.key.clone(),
            id,
            part_size,
            if_absent: request.if_absent,
            replaces: before.and_then(|found| found.upload).filter(|id| is_id(id)),
        };
        Ok(Self { account, token, segments: BTreeMap::new() })
    }

    /// Reads a token, which may be anything.
    pub(crate) fn parse(account: Account, token: &[u8]) -> Result<Self> {
        let token = read_token("swift", VERSION, token, |bytes| {
            let token: Token = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            Ok((token.version, token))
        })?;
        if !is_id(&token.id) || !token.replaces.as_deref().is_none_or(is_id) || token.part_size == 0 {
            return Err(no_token("swift", "its id"));
        }
        account.check_key(&token.key)?;
        Ok(Self { account, token, segments: BTreeMap::new() })
    }

    /// Removes the segments, unless they are those of the object.
    pub(crate) fn discard(&self, host: &dyn HttpStorageHost) -> Result<()> {
        match self.account.find(host, &self.token.key)? {
            Some(found) if found.upload.as_deref() == Some(&self.token.id) => self.after_commit(host, &found),
            Some(_) | None => {
                self.remove(host, &self.token.id)?;
                self.unmark(host)
            }
        }
    }

    /// Removes what the object of this upload has no use for.
    fn after_commit(&self, host: &dyn HttpStorageHost, found: &Found) -> Result<()> {
        if let Some(before) = self.token.replaces.as_deref().filter(|id| *id != self.token.id) {
            self.remove(host, before)?;
        }
        // An object without bytes has no segments, and the upload had one.
        if found.kind == Kind::Plain {
            self.remove(host, &self.token.id)?;
        }
        self.unmark(host)
    }

    fn unmark(&self, host: &dyn HttpStorageHost) -> Result<()> {
        self.account.unmark(host, &self.token.key, &self.token.id)
    }

    fn remove(&self, host: &dyn HttpStorageHost, id: &str) -> Result<()> {
        self.account.delete_below(host, &self.account.settings.segments, &self.folder(id))
    }

    fn folder(&self, id: &str) -> String {
        segments_folder(&self.account.settings, &self.token.key, id)
    }

    fn segment(&self, number: u32) -> String {
        format!("{}{number:08}", self.folder(&self.token.id))
    }

    /// Returns the segments of an object of that size, which all have to be there.
    fn whole(&self, total: u64) -> Result<Vec<Segment>> {
        let count = total.div_ceil(self.token.part_size);
        let there = u64::try_from(self.segments.len()).unwrap_or(u64::MAX);
        let mut segments = Vec::new();
        for (number, etag) in &self.segments {
            let start = u64::from(number - 1) * self.token.part_size;
            segments.push(Segment {
                name: self.segment(*number),
                etag: etag.clone(),
                size: total.saturating_sub(start).min(self.token.part_size),
            });
        }
        let last = self.segments.last_key_value().map_or(0, |(number, _)| u64::from(*number));
        if there != count || last != count {
            let message = format!(
                "{there} segments were sent and {count} make {total} bytes of {:?}; upload it again",
                self.token.key
            );
            return Err(Error::corrupt("swift.incomplete", message));
        }
        Ok(segments)
    }

    fn put(&self, host: &dyn HttpStorageHost, total: u64) -> Result<()> {
        let path = self.account.path(&self.token.key);
        if total > 0 {
            let folder = self.folder(&self.token.id);
            return self.account.put_manifest(host, &path, &folder, &self.whole(total)?, &self.token.id);
        }
        // A manifest has at least one byte in each segment.
        if self.segments.len() > 1 {
            return Err(Error::corrupt(
                "swift.incomplete",
                "an object without bytes has one segment at most",
            ));
        }
        if self.segments.get(&1).is_some_and(|etag| etag.trim_matches('"') != EMPTY) {
            return Err(Error::corrupt("swift.incomplete", "bytes were sent for an object without any"));
        }
        self.account
            .send(host, "PUT", &path, &[201, 202], &|request| {
                request.header("content-type", "application/octet-stream").header(UPLOAD, &self.token.id)
            })
            .map(drop)
    }
}

/// The MD5 of nothing.
const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";

impl Account {
    /// Makes the container of the segments, which may be there, and returns an id for an upload.
    /// The object store names every request differently.
    fn make_segments_container(&self, host: &dyn HttpStorageHost) -> Result<String> {
        let names = ["x-trans-id", "x-openstack-request-id"];
        let answer = self
            .ask(host, "PUT", &container_path(&self.settings.segments), &|request| request.capture(&names))?;
        match answer.status {
            200..=204 => {
                let id = names.iter().find_map(|name| answer.headers.get(*name));
                id.filter(|id| is_id(id)).cloned().ok_or_else(|| not_swift("a request has no X-Trans-Id"))
            }
            403 => Err(Error { code: "swift.segments".to_owned(), ..failure(&answer) }
                .about_setting("segments-container")),
            _ => Err(failure(&answer)),
        }
    }
}

impl Upload<dyn HttpStorageHost> for SwiftUpload {
    fn token(&self) -> Vec<u8> {
        serde_json::to_vec(&self.token).expect("strings and numbers are JSON")
    }

    fn target(&self) -> WriteTarget {
        PARTS.target(self.token.part_size, self.account.settings.parallel)
    }

    fn describe_parts(&mut self, host: &dyn HttpStorageHost, parts: &[Part]) -> Result<Vec<Request>> {
        let url = self.account.url(host)?;
        let describe = |part: &Part| {
            PARTS.check("swift", part.number)?;
            let path = object_path(&self.account.settings.segments, &self.segment(part.number));
            let request = self.account.request(&url, "PUT", &path);
            let request = request
                .header("content-type", "application/octet-stream")
                .body(Body::Payload)
                .expect(&[201])
                .capture(&["etag"]);
            Ok(if self.account.settings.checksums { request.computed("etag", "md5-hex") } else { request })
        };
        parts.iter().map(describe).collect()
    }

    fn completed(&mut self, _host: &dyn HttpStorageHost, results: &[PartResult]) -> Result<()> {
        for PartResult { number, response, .. } in results {
            if response.status != 201 {
                return Err(failure(response));
            }
            let etag = response.headers.get("etag").cloned();
            let etag = etag.ok_or_else(|| not_swift("a segment has no entity tag"))?;
            self.segments.insert(*number, etag);
        }
        Ok(())
    }

    fn commit(&mut self, host: &dyn HttpStorageHost, total: u64, _digests: &[Digest]) -> Result<Object> {
        let before = self.account.find(host, &self.token.key)?;
        let ours = |found: &Found| found.upload.as_deref() == Some(self.token.id.as_str());
        if self.token.if_absent && before.as_ref().is_some_and(|found| !ours(found)) {
            return Err(object_exists("swift", &self.token.key));
        }
        // A commit whose answer was lost is there already.
        if !before.as_ref().is_some_and(ours) {
            self.put(host, total)?;
        }
        let found = self.account.get(host, &self.token.key)?;
        let right = found.object.size == total && (total == 0 || found.kind == Kind::Static);
        if !ours(&found) || !right {
            return Err(self.not_what_was_sent(host, &found, total));
        }
        self.after_commit(host, &found)?;
        Ok(found.object)
    }

    fn abort(&mut self, host: &dyn HttpStorageHost) -> Result<()> {
        self.discard(host)
    }
}

impl SwiftUpload {
    /// Returns why an object is not the one that was uploaded. A manifest that the service keeps as
    /// a file of its own is removed.
    fn not_what_was_sent(&self, host: &dyn HttpStorageHost, found: &Found, total: u64) -> Error {
        let mine = found.upload.as_deref() == Some(self.token.id.as_str());
        if mine && found.kind == Kind::Plain && total > 0 {
            let path = self.account.path(&self.token.key);
            let removed = self.account.send(host, "DELETE", &path, &[200, 204, 404], &|request| request);
            let message =
                "the object store has no static large objects (SLO); have its middleware `slo` turned on";
            return match removed {
                Ok(_) => Error::unsupported("swift.no-slo", message),
                Err(error) => error,
            };
        }
        let message = format!(
            "{:?} has {} bytes instead of {total}; upload it again",
            self.token.key, found.object.size
        );
        Error::corrupt("swift.incomplete", message)
    }
}

fn too_large(bound: u64) -> Error {
    let message = format!(
        "{bound} bytes do not fit into one object of this storage, which has at most {} segments of {} MiB; use \
         another storage, or compress",
        PARTS.most,
        PARTS.largest >> 20
    );
    Error::limit("swift.too-large", message)
}
