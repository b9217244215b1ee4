//! Uploads whose agent never came back: they take room, and nothing shows them.

use imprint_plugin_sdk::{
    debug,
    error::Result,
    host::HttpStorageHost,
    http::objects::{encode, http_date, iso_date},
    warn,
};

use crate::{bucket::Bucket, xml};

/// The most uploads that are looked at, and the most bytes of their list.
const PAGE: u32 = 1000;
const PAGE_BYTES: u32 = 1 << 20;
/// The most uploads that are aborted at once.
const MOST: usize = 20;

impl Bucket {
    /// Aborts uploads below the prefix that are older than any upload takes. What fails is tried
    /// again when the next upload begins: some services cannot list uploads.
    pub(crate) fn abort_left_over(&self, host: &dyn HttpStorageHost) {
        match self.left_over(host) {
            Ok(uploads) => uploads.iter().take(MOST).for_each(|(key, id)| {
                let path = encode(key, true);
                let query = format!("?uploadId={}", encode(id, false));
                let request = self.plain_request("DELETE", &path, &query);
                match self.send(host, &request, &[200, 204, 404]) {
                    Ok(_) => warn!("a left-over upload of {key:?} was aborted"),
                    Err(error) => debug!("a left-over upload of {key:?} stays: {error}"),
                }
            }),
            Err(error) => debug!("left-over uploads are not known: {error}"),
        }
    }

    /// Returns the keys and ids of old uploads. Their age is by the clock of the service.
    fn left_over(&self, host: &dyn HttpStorageHost) -> Result<Vec<(String, String)>> {
        let prefix = encode(&self.settings.prefix, false);
        let request = self.request("GET", &format!("?max-uploads={PAGE}&prefix={prefix}&uploads="));
        let answer = self.send(host, &request.capture(&["date"]).max_response(PAGE_BYTES), &[200])?;
        let now = answer.headers.get("date").and_then(|text| http_date(text));
        let before = now.and_then(|now| now.checked_sub(self.settings.abort_after_ms));
        let Some(before) = before else { return Err(xml::not_s3("an answer has no date")) };
        let mut found = Vec::new();
        let mut entry = (String::new(), String::new(), None);
        xml::read(
            &answer.body,
            |path, text| match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["ListMultipartUploadsResult", "Upload", "Key"] => text.clone_into(&mut entry.0),
                ["ListMultipartUploadsResult", "Upload", "UploadId"] => text.trim().clone_into(&mut entry.1),
                ["ListMultipartUploadsResult", "Upload", "Initiated"] => entry.2 = iso_date(text.trim()),
                ["ListMultipartUploadsResult", "Upload"] => {
                    let (key, id, started) = std::mem::take(&mut entry);
                    if self.is_ours(&key) && started.is_some_and(|started| started < before) {
                        found.push((key, id));
                    }
                }
                _ => {}
            },
        )?;
        Ok(found)
    }

    /// Returns whether only Imprint uploads under that name. In a bucket without a prefix that is
    /// so for the names of images and exports alone.
    fn is_ours(&self, key: &str) -> bool {
        let prefix = &self.settings.prefix;
        let is_named_by_us = ["img_", "exp_"].iter().any(|start| key.starts_with(start));
        key.starts_with(prefix) && (!prefix.is_empty() || is_named_by_us)
    }
}
