//! The manifests that make segments one object.

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::Body,
};
use serde_json::{Value, json};

use crate::{
    account::{Account, object_path},
    container::{UPLOAD, quoted},
    failure::{failure, not_swift, text},
};

/// The segments of one manifest that every service takes. With more of them, a manifest lists
/// manifests.
pub(crate) const SEGMENTS: usize = 1000;

/// A segment, or a manifest that is one for another manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The name in the container of the segments.
    pub(crate) name: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
}

impl Segment {
    fn entry(&self, container: &str) -> Value {
        json!({
            "path": format!("/{container}/{}", self.name),
            "etag": self.etag.trim_matches('"'),
            "size_bytes": self.size,
        })
    }
}

impl Account {
    /// Makes the segments the object at `path`, by one manifest or by manifests of manifests, which
    /// are put below `folder`. The object store compares tag and size of every segment.
    pub(crate) fn put_manifest(
        &self,
        host: &dyn HttpStorageHost,
        path: &str,
        folder: &str,
        segments: &[Segment],
        upload: &str,
    ) -> Result<()> {
        if segments.len() <= SEGMENTS {
            return self.put_one(host, path, segments, upload).map(drop);
        }
        let mut parts = Vec::new();
        for (index, group) in segments.chunks(SEGMENTS).enumerate() {
            let name = format!("{folder}manifest-{index:05}");
            let at = object_path(&self.settings.segments, &name);
            let etag = self.put_one(host, &at, group, upload)?;
            parts.push(Segment { name, etag, size: group.iter().map(|segment| segment.size).sum() });
        }
        self.put_one(host, path, &parts, upload).map(drop)
    }

    /// Puts one manifest and returns its entity tag.
    fn put_one(
        &self,
        host: &dyn HttpStorageHost,
        path: &str,
        segments: &[Segment],
        upload: &str,
    ) -> Result<String> {
        let entries: Vec<Value> =
            segments.iter().map(|segment| segment.entry(&self.settings.segments)).collect();
        let body = Value::from(entries).to_string().into_bytes();
        let path = format!("{path}?multipart-manifest=put");
        let answer = self.ask(host, "PUT", &path, &|request| {
            request
                .header("content-type", "application/octet-stream")
                .header("accept", "application/json")
                .header(UPLOAD, upload)
                .body(Body::Inline(body.clone()))
                .capture(&["etag"])
        })?;
        match answer.status {
            201 | 202 => {
                let etag = answer.headers.get("etag").map(|etag| quoted(etag));
                etag.ok_or_else(|| not_swift("a manifest has no entity tag"))
            }
            // It lists the segments that are not there, or not what they were.
            400 | 409 => {
                let said = text(&answer.body);
                let message =
                    format!("the object store does not accept the segments ({said}); upload it again");
                Err(Error::corrupt("swift.incomplete", message))
            }
            _ => Err(failure(&answer)),
        }
    }
}
