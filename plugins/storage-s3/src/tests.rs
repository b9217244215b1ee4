//! The plugin against a bucket in memory.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use imprint_plugin_sdk::{
    error::ErrorClass,
    host::HttpStorageHost,
    http::{
        Body, Request, Response,
        objects::{decode, encode},
    },
    mock::MockHost,
    storage::{Part, PartResult, Storage as _, Upload as _, WriteRequest, WriteTarget},
    types::{Props, ReadLocator, props},
};

use crate::{S3Upload, S3Volume, xml};

/// A bucket: objects, and uploads with the parts that were completed.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, u64>,
    uploads: BTreeMap<String, String>,
    requests: Vec<String>,
    /// The next answer, instead of the right one.
    instead: Option<(u16, String)>,
}

const URL: &str = "http://s3.test:9000/images/";

fn answer(status: u16, body: String) -> Response {
    Response { status, headers: Props::new(), body: body.into_bytes() }
}

fn error(status: u16, code: &str) -> Response {
    answer(
        status,
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it is</Message><Region>eu-1</Region></Error>"
        ),
    )
}

impl Bucket {
    fn answer(&mut self, request: &Request) -> Response {
        let rest = request.url.strip_prefix(URL).expect("requests are for the bucket");
        self.requests.push(format!("{} {rest}", request.method));
        assert_eq!(request.auth.scheme, "sigv4");
        if let Some((status, body)) = self.instead.take() {
            return answer(status, body);
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let key = decode(path).unwrap();
        let query: BTreeMap<_, _> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), decode(value).unwrap()))
            .collect();
        let upload = query.get("uploadId").map(String::as_str);
        match (request.method.as_str(), key.as_str(), upload) {
            ("GET", "", _) if query.contains_key("uploads") => self.list_uploads(),
            ("GET", "", _) => self.list(&query),
            ("HEAD", key, _) => match self.objects.get(key) {
                Some(size) => {
                    let mut found = answer(200, String::new());
                    found.headers = props([
                        ("etag", "\"e1\""),
                        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                        ("content-length", &size.to_string()),
                    ]);
                    found
                }
                None => answer(404, String::new()),
            },
            ("POST", key, None) if query.contains_key("uploads") => {
                let id = format!("id&{}", self.uploads.len());
                self.uploads.insert(id.clone(), key.to_owned());
                let id = xml::escape(&id);
                answer(
                    200,
                    format!(
                        "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                    ),
                )
            }
            ("POST", key, Some(id)) => {
                if self.uploads.remove(id).is_none() {
                    return error(404, "NoSuchUpload");
                }
                let Body::Inline(body) = &request.body else { panic!("a completion has a body") };
                let body = String::from_utf8(body.clone()).unwrap();
                let parts = u64::try_from(body.matches("<PartNumber>").count()).unwrap();
                self.objects.insert(key.to_owned(), parts * 10);
                answer(200, "<CompleteMultipartUploadResult/>".to_owned())
            }
            ("DELETE", _, Some(id)) => {
                let there = self.uploads.remove(id).is_some();
                if there { answer(204, String::new()) } else { error(404, "NoSuchUpload") }
            }
            ("DELETE", key, None) => {
                self.objects.remove(key);
                answer(204, String::new())
            }
            (method, key, _) => panic!("{method} {key} {query:?}"),
        }
    }

    /// Every upload of a key with `old` in it was started nine days ago.
    fn list_uploads(&self) -> Response {
        let mut body = String::from("<ListMultipartUploadsResult>");
        for (id, key) in &self.uploads {
            let started =
                if key.contains("old") { "2024-03-01T00:00:00.000Z" } else { "2024-03-09T00:00:00.000Z" };
            let id = xml::escape(id);
            body.push_str(&format!(
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{started}</Initiated></Upload>"
            ));
        }
        let mut found = answer(200, body + "</ListMultipartUploadsResult>");
        found.headers = props([("date", "Sun, 10 Mar 2024 00:00:00 GMT")]);
        found
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Response {
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let after = query.get("start-after").cloned().unwrap_or_default();
        let max: usize = query["max-keys"].parse().unwrap();
        let all: Vec<_> =
            self.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after).collect();
        let mut body = format!("<ListBucketResult><IsTruncated>{}</IsTruncated>", all.len() > max);
        for (key, size) in all.into_iter().take(max) {
            body.push_str(&format!(
                "<Contents><Key>{}</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified><Size>{size}</Size></Contents>",
                encode(key, true)
            ));
        }
        answer(200, body + "</ListBucketResult>")
    }
}

fn settings(more: &[(&str, &str)]) -> Props {
    let mut settings = props([
        ("endpoint", "http://s3.test:9000/"),
        ("bucket", "images"),
        ("prefix", "own"),
        ("access-key", "AK"),
        ("part-size", "5"),
    ]);
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    settings
}

fn bucket() -> (MockHost, Rc<RefCell<Bucket>>, S3Volume) {
    let host = MockHost::new();
    host.set_secret("secret-key");
    let bucket = Rc::new(RefCell::new(Bucket::default()));
    let server = bucket.clone();
    host.serve_http(move |request| Ok(server.borrow_mut().answer(request)));
    let volume = S3Volume::open(&host, &settings(&[])).unwrap();
    (host, bucket, volume)
}

fn request(key: &str, upper_bound: Option<u64>) -> WriteRequest {
    WriteRequest {
        key: key.to_owned(),
        size: None,
        upper_bound,
        needs_random: false,
        if_absent: false,
        extra: Props::new(),
    }
}

fn complete(host: &MockHost, upload: &mut S3Upload, parts: u32) {
    let results: Vec<_> = (1..=parts)
        .map(|number| {
            let headers = props([("etag", "\"p\""), ("x-amz-checksum-crc32c", "AAAA")]);
            PartResult {
                number,
                response: Response { status: 200, headers, body: Vec::new() },
                digests: Vec::new(),
            }
        })
        .collect();
    upload.completed(host, &results).unwrap();
}

#[test]
fn an_upload_is_described_completed_and_found() {
    let (host, bucket, volume) = bucket();
    let mut upload = volume.begin_upload(&host, &request("a/b c.qcow2", Some(30))).unwrap();
    let WriteTarget::Multipart(target) = upload.target() else { panic!("parts") };
    assert_eq!((target.part_size, target.max_parts, target.unordered), (5 << 20, 10_000, true));
    let parts: Vec<_> = (1..=3).map(|number| Part { number, length: 10 }).collect();
    let described = upload.describe_parts(&host, &parts).unwrap();
    assert_eq!(described[2].url, format!("{URL}own/a/b%20c.qcow2?partNumber=3&uploadId=id%260"));
    assert_eq!((&described[2].body, described[2].computed.len()), (&Body::Payload, 1));
    assert!(volume.stat(&host, "a/b c.qcow2").is_err(), "nothing is visible before the commit");
    // After a crash, another instance continues from the token.
    let mut upload = volume.resume_upload(&host, &upload.token()).unwrap();
    complete(&host, &mut upload, 3);
    assert_eq!(upload.commit(&host, 30, &[]).unwrap().size, 30);
    // The answer to the completion was lost: it is made again.
    assert_eq!(upload.commit(&host, 30, &[]).unwrap().size, 30);
    volume.cleanup(&host, &upload.token()).unwrap();
    assert_eq!(volume.stat(&host, "a/b c.qcow2").unwrap().modified_ms, Some(784_111_777_000));
    let ReadLocator::Http(source) = volume.open_read(&host, "a/b c.qcow2").unwrap() else { panic!("http") };
    assert_eq!((source.size, source.etag.as_deref()), (30, Some("\"e1\"")));
    assert_eq!(bucket.borrow().objects.keys().collect::<Vec<_>>(), ["own/a/b c.qcow2"]);
    assert_eq!(volume.delete(&host, &["a/b c.qcow2".to_owned()]).unwrap(), []);
    assert_eq!(volume.delete(&host, &["a/b c.qcow2".to_owned()]).unwrap(), []);
    assert!(bucket.borrow().objects.is_empty());
}

#[test]
fn clients_read_directly_only_where_the_operator_says_so() {
    let (host, bucket, _) = bucket();
    bucket.borrow_mut().objects.insert("own/a".to_owned(), 5);
    for (more, expected) in [
        (vec![], None),
        (vec![("direct-downloads", "false")], None),
        (vec![("direct-downloads", "true")], Some("sigv4-query")),
    ] {
        let volume = S3Volume::open(&host, &settings(&more)).unwrap();
        let ReadLocator::Http(source) = volume.open_read(&host, "a").unwrap() else { panic!("http") };
        let auth = source.request.auth;
        assert_eq!(auth.params.get("client-scheme").map(String::as_str), expected, "{more:?}");
        assert_eq!(auth.scheme, "sigv4", "the host reads as ever");
    }
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let (host, bucket, volume) = bucket();
    let mut upload = volume.begin_upload(&host, &request("a", None)).unwrap();
    upload.abort(&host).unwrap();
    volume.cleanup(&host, &upload.token()).unwrap();
    assert!(bucket.borrow().uploads.is_empty());
    let lost = upload.commit(&host, 10, &[]).unwrap_err();
    assert_eq!((lost.class, lost.code.as_str()), (ErrorClass::Conflict, "s3.upload-lost"));
}

#[test]
fn uploads_that_are_never_ended_are_aborted_by_the_next_one() {
    let (host, bucket, volume) = bucket();
    for (id, key) in [("1", "own/old"), ("2", "own/young"), ("3", "other/old"), ("4", "own/a/older b")] {
        bucket.borrow_mut().uploads.insert(id.to_owned(), key.to_owned());
    }
    volume.begin_upload(&host, &request("a", None)).unwrap();
    let left: Vec<_> = bucket.borrow().uploads.values().cloned().collect();
    assert_eq!(left, ["own/young", "other/old", "own/a"]);
    // Without a prefix the bucket has uploads of others.
    let whole = S3Volume::open(&host, &settings(&[("prefix", "")])).unwrap();
    bucket.borrow_mut().uploads.insert("5".to_owned(), "img_old.qcow2".to_owned());
    whole.begin_upload(&host, &request("b", None)).unwrap();
    let left: Vec<_> = bucket.borrow().uploads.values().cloned().collect();
    assert_eq!(left, ["own/young", "other/old", "own/a", "b"]);
    // A service that cannot list uploads takes one all the same.
    host.fail_next("http", imprint_plugin_sdk::error::Error::unsupported("s3.unsupported", "no"));
    let started = volume.begin_upload(&host, &request("b", None));
    assert!(started.is_ok(), "{started:?}");
}

#[test]
fn parts_grow_with_the_object_up_to_a_bound() {
    let (host, _, volume) = bucket();
    for (bound, size) in [(1, 5), (50 << 30, 6), (625 << 30, 64), (1 << 40, 105), (5 << 40, 525)] {
        let upload = volume.begin_upload(&host, &request("a", Some(bound))).unwrap();
        let WriteTarget::Multipart(target) = upload.target() else { panic!("parts") };
        assert_eq!(target.part_size, size << 20, "{bound}");
        assert!(target.part_size * 10_000 >= bound);
    }
    let error = volume.begin_upload(&host, &request("a", Some((5 << 40) + 1))).unwrap_err();
    assert_eq!(error.code, "s3.too-large");
}

#[test]
fn listings_are_paged_by_keys_and_leave_out_what_is_no_key() {
    let (host, bucket, volume) = bucket();
    for key in ["own/a", "own/b/1", "own/b/2", "own/b//3", "own/", "other/x", "own/ä+ %", "own/z"] {
        bucket.borrow_mut().objects.insert(key.to_owned(), 1);
    }
    let mut keys = Vec::new();
    let mut resume: Option<String> = None;
    loop {
        let page = volume.list(&host, "", resume.as_deref(), 2).unwrap();
        keys.extend(page.objects.iter().map(|object| object.key.clone()));
        resume = page.resume;
        if resume.is_none() {
            break;
        }
    }
    assert_eq!(keys, ["a", "b/1", "b/2", "z", "ä+ %"]);
    let below: Vec<_> =
        volume.list(&host, "b/", None, 100).unwrap().objects.into_iter().map(|o| o.key).collect();
    assert_eq!(below, ["b/1", "b/2"]);
}

#[test]
fn a_listing_that_cannot_be_continued_is_an_error_and_no_end() {
    let (host, bucket, volume) = bucket();
    for key in ["a", "other/x", "%ff", ""] {
        let body = format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>{key}</Key><Size>1</Size></Contents></ListBucketResult>"
        );
        bucket.borrow_mut().instead = Some((200, body));
        let resume = (key == "a").then_some("b");
        let error = volume.list(&host, "", resume, 10).unwrap_err();
        assert_eq!(error.code, "s3.not-s3.setting.endpoint", "{key}");
    }
}

#[test]
fn failures_name_the_setting() {
    let (host, bucket, volume) = bucket();
    for (status, code, expected) in [
        (403, "InvalidAccessKeyId", "s3.access-key.setting.access-key"),
        (403, "SignatureDoesNotMatch", "s3.signature.setting.secret-key"),
        (403, "AccessDenied", "s3.access-denied"),
        (403, "RequestTimeTooSkewed", "s3.clock"),
        (404, "NoSuchBucket", "s3.no-bucket.setting.bucket"),
        (301, "PermanentRedirect", "s3.region.setting.region"),
        (507, "InsufficientStorage", "s3.no-space"),
        (503, "SlowDown", "s3.busy"),
        (500, "Strange", "s3.busy"),
    ] {
        let body = String::from_utf8(error(status, code).body).unwrap();
        bucket.borrow_mut().instead = Some((status, body));
        let failed = volume.space(&host).unwrap_err();
        assert_eq!(failed.code, expected, "{code}");
        assert!(failed.message.contains(code), "{}", failed.message);
    }
    bucket.borrow_mut().instead = Some((200, "<html>hello</html>".to_owned()));
    assert_eq!(volume.list(&host, "", None, 1).unwrap_err().code, "s3.not-s3.setting.endpoint");
    bucket.borrow_mut().instead = Some((200, "no xml".to_owned()));
    assert_eq!(volume.list(&host, "", None, 1).unwrap_err().code, "s3.not-s3.setting.endpoint");
}

#[test]
fn what_garage_says_in_words_has_a_code() {
    let (host, bucket, volume) = bucket();
    for (message, expected) in [
        ("Forbidden: No such key: GK00", "s3.access-key.setting.access-key"),
        ("Forbidden: Invalid signature", "s3.signature.setting.secret-key"),
        ("Forbidden: Bucket size quota is reached, maximum total size", "s3.no-space"),
        ("Forbidden: Object quota is reached, maximum objects", "s3.no-space"),
        ("Forbidden: No permission", "s3.access-denied"),
    ] {
        let body = format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
        bucket.borrow_mut().instead = Some((403, body));
        assert_eq!(volume.space(&host).unwrap_err().code, expected, "{message}");
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let host = MockHost::new();
    for (name, value) in [
        ("endpoint", "ftp://x"),
        ("endpoint", "https://x/y"),
        ("part-size", "4"),
        ("part-size", "x"),
        ("parallel", "0"),
        ("addressing", "dns"),
        ("checksums", "md5"),
        ("bucket", ""),
    ] {
        let error = S3Volume::open(&host, &settings(&[(name, value)])).unwrap_err();
        assert_eq!(error.code, format!("s3.settings.setting.{name}"), "{value}");
    }
}

#[test]
fn tokens_may_be_anything() {
    let (host, _, volume) = bucket();
    for token in [b"".as_slice(), b"{}", b"\xff", &[b'x'; 5000]] {
        assert_eq!(volume.resume_upload(&host, token).unwrap_err().code, "s3.token");
    }
    let upload = volume.begin_upload(&host, &request("a", None)).unwrap();
    let other = String::from_utf8(upload.token()).unwrap().replace("\"a\"", "\"../a\"");
    assert!(volume.cleanup(&host, other.as_bytes()).is_err());
}

#[test]
fn the_host_is_what_the_plugin_needs_and_no_more() {
    fn needs<S: imprint_plugin_sdk::storage::Storage<Host = dyn HttpStorageHost>>() {}
    needs::<S3Volume>();
}

proptest::proptest! {
    #[test]
    fn encoded_keys_are_decoded(key in "\\PC{0,40}") {
        proptest::prop_assert_eq!(decode(&encode(&key, false)), Some(key.clone()));
        let pieces = encode(&key, true);
        proptest::prop_assert!(pieces.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
