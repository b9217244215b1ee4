//! The storage's functions.

use imprint_plugin_sdk::{
    debug,
    error::{Error, Result},
    host::{HttpStorageHost, Space},
    http::{
        Body, HttpSource,
        objects::{decode, encode, features, is_key, iso_date},
    },
    storage::{Features, Listing, Object, Storage, WriteRequest},
    types::{Props, ReadLocator},
};

use crate::{
    bucket::Bucket,
    failure::S3Error,
    key::check_key,
    settings::Settings,
    upload::{PARTS, S3Upload},
    xml,
};

/// The most objects of one page of a listing, and the most bytes of its document.
const PAGE: u32 = 1000;
const PAGE_BYTES: u32 = 1 << 20;
/// The number of bytes that one read asks for.
const READ: u32 = 8 << 20;
/// The keys that one request deletes.
const DELETED: usize = 500;

/// A bucket as a storage.
#[derive(Debug)]
pub struct S3Volume {
    bucket: Bucket,
}

/// A page of a listing as S3 answers it.
#[derive(Default)]
struct Page {
    objects: Vec<Object>,
    truncated: bool,
    /// The last key of the page, with the prefix, whatever it is.
    last: Option<String>,
    is_listing: bool,
}

impl S3Volume {
    fn page(&self, body: &[u8]) -> Result<Page> {
        let prefix = &self.bucket.settings.prefix;
        let mut page = Page::default();
        let mut entry = (String::new(), None, None, None);
        xml::read(body, |path, text| match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ListBucketResult"] => page.is_listing = true,
            ["ListBucketResult", "IsTruncated"] => page.truncated = text.trim() == "true",
            ["ListBucketResult", "Contents", "Key"] => entry.0 = decode(text).unwrap_or_default(),
            ["ListBucketResult", "Contents", "Size"] => entry.1 = text.trim().parse().ok(),
            ["ListBucketResult", "Contents", "LastModified"] => entry.2 = iso_date(text.trim()),
            ["ListBucketResult", "Contents", "ETag"] => entry.3 = Some(text.trim().to_owned()),
            ["ListBucketResult", "Contents"] => {
                let (whole, size, modified_ms, etag) = std::mem::take(&mut entry);
                let key = whole.strip_prefix(prefix.as_str()).unwrap_or_default();
                match size {
                    Some(size) if is_key(key) => page.objects.push(Object {
                        key: key.to_owned(),
                        size,
                        stored: Some(size),
                        modified_ms,
                        etag,
                        extra: Props::new(),
                    }),
                    _ => debug!("an object with the key {whole:?} is left out of the listing"),
                }
                page.last = Some(whole);
            }
            _ => {}
        })?;
        if page.is_listing { Ok(page) } else { Err(xml::not_s3("a listing is none")) }
    }

    fn delete_one(&self, host: &dyn HttpStorageHost, key: &str) -> Result<()> {
        check_key(key, &self.bucket.settings.prefix)?;
        let request = self.bucket.object_request("DELETE", key, "");
        match self.bucket.send(host, &request, &[200, 202, 204]) {
            Err(error) if error.code == "s3.not-found" => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Deletes many objects by one request, and returns those that could not be deleted.
    fn delete_many(&self, host: &dyn HttpStorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        let prefix = &self.bucket.settings.prefix;
        let mut body =
            String::from("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
        for key in keys {
            body.push_str(&format!("<Object><Key>{}</Key></Object>", xml::escape(&format!("{prefix}{key}"))));
        }
        body.push_str("</Delete>");
        let request = self
            .bucket
            .request("POST", "?delete")
            .header("content-type", "application/xml")
            .computed("content-md5", "md5-b64")
            .body(Body::Inline(body.into_bytes()))
            .max_response(PAGE_BYTES);
        let answer = self.bucket.send(host, &request, &[200])?;
        if let Some(error) = S3Error::parse(&answer.body) {
            return Err(Error::transient("s3.busy", format!("objects were not deleted: {}", error.code)));
        }
        let mut failed = Vec::new();
        let mut entry = (String::new(), String::new(), String::new());
        xml::read(
            &answer.body,
            |path, text| match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["DeleteResult", "Error", "Key"] => text.clone_into(&mut entry.0),
                ["DeleteResult", "Error", "Code"] => text.clone_into(&mut entry.1),
                ["DeleteResult", "Error", "Message"] => text.clone_into(&mut entry.2),
                ["DeleteResult", "Error"] => {
                    let (whole, code, message) = std::mem::take(&mut entry);
                    let key = whole.strip_prefix(prefix.as_str()).unwrap_or(&whole).to_owned();
                    if code != "NoSuchKey" {
                        let text = format!("{key:?} was not deleted: {code} ({message})");
                        failed.push((key, Error::transient("s3.delete", text)));
                    }
                }
                _ => {}
            },
        )?;
        Ok(failed)
    }
}

impl Storage for S3Volume {
    type Host = dyn HttpStorageHost;
    type Upload = S3Upload;

    fn open(_host: &dyn HttpStorageHost, settings: &Props) -> Result<Self> {
        Ok(Self { bucket: Bucket { settings: Settings::parse(settings)? } })
    }

    fn features(&self, _host: &dyn HttpStorageHost) -> Result<Features> {
        Ok(features(PARTS.max_object))
    }

    fn space(&self, host: &dyn HttpStorageHost) -> Result<Option<Space>> {
        // A bucket has no size of its own. That it can be listed is what health is about: a web
        // server that is no S3 answers everything with a page.
        let request = self.bucket.request("GET", "?list-type=2&max-keys=1").max_response(PAGE_BYTES);
        self.page(&self.bucket.send(host, &request, &[200])?.body)?;
        Ok(None)
    }

    fn stat(&self, host: &dyn HttpStorageHost, key: &str) -> Result<Object> {
        self.bucket.get(host, key)
    }

    fn list(
        &self,
        host: &dyn HttpStorageHost,
        prefix: &str,
        resume: Option<&str>,
        max: u32,
    ) -> Result<Listing> {
        let own = &self.bucket.settings.prefix;
        let mut after = resume.map(|key| format!("{own}{key}"));
        loop {
            let mut query = format!(
                "?encoding-type=url&list-type=2&max-keys={}&prefix={}",
                max.clamp(1, PAGE),
                encode(&format!("{own}{prefix}"), false)
            );
            if let Some(after) = &after {
                query.push_str(&format!("&start-after={}", encode(after, false)));
            }
            let request = self.bucket.request("GET", &query).max_response(PAGE_BYTES);
            let page = self.page(&self.bucket.send(host, &request, &[200])?.body)?;
            if !page.truncated {
                return Ok(Listing { objects: page.objects, prefixes: Vec::new(), resume: None });
            }
            // A page that leads nowhere must not pass for the last one: objects would be missing.
            let goes_on = |last: &String| {
                last.starts_with(own.as_str()) && after.as_ref().is_none_or(|after| last > after)
            };
            let last = page.last.filter(goes_on);
            let last = last.ok_or_else(|| xml::not_s3("a listing makes no progress"))?;
            if !page.objects.is_empty() {
                let resume = last.strip_prefix(own.as_str()).map(str::to_owned);
                return Ok(Listing { objects: page.objects, prefixes: Vec::new(), resume });
            }
            // A page with nothing but names that are no keys is no page.
            after = Some(last);
        }
    }

    fn open_read(&self, host: &dyn HttpStorageHost, key: &str) -> Result<ReadLocator> {
        let object = self.bucket.get(host, key)?;
        let mut request = self.bucket.object_request("GET", key, "").max_response(0);
        if self.bucket.settings.direct_downloads {
            request.auth = request.auth.client_scheme("sigv4-query");
        }
        Ok(ReadLocator::Http(Box::new(HttpSource {
            request,
            size: object.size,
            etag: object.etag,
            max_parallel: self.bucket.settings.parallel,
            preferred_chunk: READ,
            valid_for_s: None,
        })))
    }

    fn delete(&self, host: &dyn HttpStorageHost, keys: &[String]) -> Result<Vec<(String, Error)>> {
        if let [key] = keys {
            let outcome = self.delete_one(host, key);
            return Ok(outcome.err().map(|error| (key.clone(), error)).into_iter().collect());
        }
        let (good, mut failed): (Vec<_>, Vec<_>) =
            keys.iter().cloned().partition(|key| check_key(key, &self.bucket.settings.prefix).is_ok());
        let mut all: Vec<_> =
            failed.drain(..).filter_map(|key| Some((key.clone(), check_key(&key, "").err()?))).collect();
        for page in good.chunks(DELETED) {
            all.extend(self.delete_many(host, page)?);
        }
        Ok(all)
    }

    fn begin_upload(&self, host: &dyn HttpStorageHost, request: &WriteRequest) -> Result<S3Upload> {
        S3Upload::begin(self.bucket.clone(), host, request)
    }

    fn resume_upload(&self, _host: &dyn HttpStorageHost, token: &[u8]) -> Result<S3Upload> {
        S3Upload::parse(self.bucket.clone(), token)
    }

    fn cleanup(&self, host: &dyn HttpStorageHost, token: &[u8]) -> Result<()> {
        S3Upload::parse(self.bucket.clone(), token)?.discard(host)
    }
}
