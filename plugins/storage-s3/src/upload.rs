//! Multipart uploads.

use std::collections::BTreeMap;

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::{
        Body, Request,
        objects::{Parts, encode},
    },
    storage::{Object, Part, PartResult, Upload, WriteRequest, WriteTarget, object_exists, read_token},
    types::Digest,
};
use serde::{Deserialize, Serialize};

use crate::{
    bucket::{Bucket, is_missing},
    failure::{S3Error, failure},
    key::check_key,
    settings::Checksums,
    xml,
};

/// The parts of S3, of which an object has at most 5 TiB.
pub(crate) const PARTS: Parts =
    Parts { largest: 525 * MIB, usual: 64 * MIB, most: 10_000, max_object: 5 << 40 };
const MIB: u64 = 1 << 20;
/// The version of the token.
const VERSION: u32 = 1;

/// An upload in progress.
#[derive(Debug)]
pub struct S3Upload {
    bucket: Bucket,
    token: Token,
    /// The entity tag and the checksum of each part.
    parts: BTreeMap<u32, (String, Option<String>)>,
}

/// What identifies an upload, as JSON: version 1, which later versions keep reading.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Token {
    version: u32,
    key: String,
    upload_id: String,
    part_size: u64,
    /// The name of the algorithm that parts are checked by.
    checksums: Option<String>,
    if_absent: bool,
}

impl S3Upload {
    pub(crate) fn begin(bucket: Bucket, host: &dyn HttpStorageHost, request: &WriteRequest) -> Result<Self> {
        check_key(&request.key, &bucket.settings.prefix)?;
        let bound = request.size.or(request.upper_bound);
        let part_size = PARTS
            .size(bucket.settings.part_size, bound)
            .ok_or_else(|| too_large(bound.unwrap_or_default()))?;
        // Conditional writes are not relied upon: keys of images are unique.
        if request.if_absent && bucket.find(host, &request.key)?.is_some() {
            return Err(object_exists("s3", &request.key));
        }
        bucket.abort_left_over(host);
        let mut create = bucket
            .object_request("POST", &request.key, "?uploads=")
            .header("content-type", "application/octet-stream");
        if let Some(algorithm) = bucket.settings.checksums.algorithm() {
            create = create.header("x-amz-checksum-algorithm", algorithm);
        }
        let answer = bucket.send(host, &create, &[200])?;
        let mut upload_id = String::new();
        xml::read(&answer.body, |path, text| {
            if path.iter().map(String::as_str).eq(["InitiateMultipartUploadResult", "UploadId"]) {
                text.trim().clone_into(&mut upload_id);
            }
        })?;
        if upload_id.is_empty() || upload_id.len() > 2048 {
            return Err(xml::not_s3("a new upload has no id"));
        }
        let token = Token {
            version: VERSION,
            key: request.key.clone(),
            upload_id,
            part_size,
            checksums: bucket.settings.checksums.algorithm().map(str::to_owned),
            if_absent: request.if_absent,
        };
        Ok(Self { bucket, token, parts: BTreeMap::new() })
    }

    /// Reads a token, which may be anything.
    pub(crate) fn parse(bucket: Bucket, token: &[u8]) -> Result<Self> {
        let token = read_token("s3", VERSION, token, |bytes| {
            let token: Token = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            Ok((token.version, token))
        })?;
        check_key(&token.key, &bucket.settings.prefix)?;
        Ok(Self { bucket, token, parts: BTreeMap::new() })
    }

    /// Aborts the upload. A completed object stays.
    pub(crate) fn discard(&self, host: &dyn HttpStorageHost) -> Result<()> {
        match self.bucket.send(host, &self.request("DELETE", ""), &[200, 204]) {
            Err(error) if is_missing(&error) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Returns a request about this upload; `query` comes first in its query.
    fn request(&self, method: &str, query: &str) -> Request {
        let id = encode(&self.token.upload_id, false);
        self.bucket.object_request(method, &self.token.key, &format!("?{query}uploadId={id}"))
    }

    fn checksums(&self) -> Checksums {
        match self.token.checksums.as_deref() {
            Some("CRC32C") => Checksums::Crc32c,
            Some("SHA256") => Checksums::Sha256,
            Some(_) | None => Checksums::Off,
        }
    }

    fn document(&self) -> String {
        let mut body =
            String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for (number, (etag, checksum)) in &self.parts {
            body.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag>",
                xml::escape(etag)
            ));
            if let (Some(checksum), Some(algorithm)) = (checksum, self.checksums().algorithm()) {
                body.push_str(&format!(
                    "<Checksum{algorithm}>{}</Checksum{algorithm}>",
                    xml::escape(checksum)
                ));
            }
            body.push_str("</Part>");
        }
        body.push_str("</CompleteMultipartUpload>");
        body
    }

    /// Returns the object if it is there in full. A completion whose answer was lost finds it here,
    /// too.
    fn committed(&self, host: &dyn HttpStorageHost, total: u64) -> Result<Object> {
        match self.bucket.find(host, &self.token.key)? {
            Some(object) if object.size == total => Ok(object),
            Some(object) => {
                let message = format!(
                    "{:?} has {} bytes instead of {total}; upload it again",
                    self.token.key, object.size
                );
                Err(Error::corrupt("s3.incomplete", message))
            }
            None => {
                let message = format!("the parts of {:?} are gone; upload it again", self.token.key);
                Err(Error::conflict("s3.upload-lost", message))
            }
        }
    }
}

impl Upload<dyn HttpStorageHost> for S3Upload {
    fn token(&self) -> Vec<u8> {
        serde_json::to_vec(&self.token).expect("strings and numbers are JSON")
    }

    fn target(&self) -> WriteTarget {
        PARTS.target(self.token.part_size, self.bucket.settings.parallel)
    }

    fn describe_parts(&mut self, _host: &dyn HttpStorageHost, parts: &[Part]) -> Result<Vec<Request>> {
        let describe = |part: &Part| {
            PARTS.check("s3", part.number)?;
            let query = format!("partNumber={}&", part.number);
            let mut request = self.request("PUT", &query).body(Body::Payload).expect(&[200]);
            let mut captured = vec!["etag"];
            if let Some((header, compute)) = self.checksums().header() {
                request = request.computed(header, compute);
                captured.push(header);
            }
            Ok(request.capture(&captured))
        };
        parts.iter().map(describe).collect()
    }

    fn completed(&mut self, _host: &dyn HttpStorageHost, results: &[PartResult]) -> Result<()> {
        for PartResult { number, response, .. } in results {
            if response.status != 200 {
                return Err(failure(response));
            }
            let etag = response.headers.get("etag").cloned();
            let etag = etag.ok_or_else(|| xml::not_s3("a part has no entity tag"))?;
            let checksum =
                self.checksums().header().and_then(|(name, _)| response.headers.get(name).cloned());
            self.parts.insert(*number, (etag, checksum));
        }
        Ok(())
    }

    fn commit(&mut self, host: &dyn HttpStorageHost, total: u64, _digests: &[Digest]) -> Result<Object> {
        let request = self
            .request("POST", "")
            .header("content-type", "application/xml")
            .body(Body::Inline(self.document().into_bytes()));
        if self.token.if_absent && self.bucket.find(host, &self.token.key)?.is_some_and(|o| o.size != total) {
            return Err(object_exists("s3", &self.token.key));
        }
        match self.bucket.send(host, &request, &[200]) {
            // The service answers at once and may find the error later.
            Ok(answer) => {
                if S3Error::parse(&answer.body).is_some() {
                    return Err(failure(&answer));
                }
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
        self.committed(host, total)
    }

    fn abort(&mut self, host: &dyn HttpStorageHost) -> Result<()> {
        self.discard(host)
    }
}

fn too_large(bound: u64) -> Error {
    let message = format!(
        "{bound} bytes do not fit into one object of this storage, which has at most {} TiB; use another storage, or \
         compress",
        PARTS.max_object >> 40
    );
    Error::limit("s3.too-large", message)
}
