//! The plugin against a Swift in memory.

mod leftovers;
pub(crate) mod server;

use std::{cell::RefCell, rc::Rc};

use imprint_plugin_sdk::{
    error::ErrorClass,
    http::Response,
    mock::MockHost,
    storage::{Part, PartResult, Storage as _, Upload as _, WriteRequest, WriteTarget},
    types::{Props, ReadLocator, props},
};
use serde_json::json;

use self::server::{ACCOUNT, Server, Stored};
use crate::{SwiftUpload, SwiftVolume, failure::text, segments::all_deleted};

/// The settings of a container whose user signs in with Keystone.
pub(crate) fn settings(more: &[(&str, &str)]) -> Props {
    let mut settings = props([
        ("auth-url", "http://swift.test:5000/v3/"),
        ("user", "tester"),
        ("project", "shop"),
        ("container", "images"),
        ("prefix", "own"),
        ("segment-size", "1"),
    ]);
    settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    settings
}

fn storage(more: &[(&str, &str)]) -> (MockHost, Rc<RefCell<Server>>, SwiftVolume) {
    let host = MockHost::new();
    for secret in ["password", "application-credential-secret"] {
        host.set_secret(secret);
    }
    let server = Rc::new(RefCell::new(Server::new()));
    host.serve(server.clone());
    let volume = SwiftVolume::open(&host, &settings(more)).unwrap();
    (host, server, volume)
}

fn request(key: &str, upper_bound: Option<u64>) -> WriteRequest {
    let (key, size, extra) = (key.to_owned(), None, Props::new());
    WriteRequest { key, size, upper_bound, needs_random: false, if_absent: false, extra }
}

/// Sends the parts of an upload as the host does.
fn send(host: &MockHost, upload: &mut SwiftUpload, parts: &[&[u8]]) -> Vec<PartResult> {
    let numbered =
        |(number, bytes): (u32, &&[u8])| Part { number, length: u64::try_from(bytes.len()).unwrap() };
    let described: Vec<Part> = (1..).zip(parts).map(numbered).collect();
    let requests = upload.describe_parts(host, &described).unwrap();
    (1..)
        .zip(requests.iter().zip(parts))
        .map(|(number, (request, bytes))| {
            let response = host.send_part(request, bytes).unwrap();
            PartResult { number, response, digests: Vec::new() }
        })
        .collect()
}

fn put(host: &MockHost, volume: &SwiftVolume, key: &str, parts: &[&[u8]]) {
    let mut upload = volume.begin_upload(host, &request(key, Some(3 << 20))).unwrap();
    let answers = send(host, &mut upload, parts);
    upload.completed(host, &answers).unwrap();
    let total = parts.iter().map(|part| u64::try_from(part.len()).unwrap()).sum();
    upload.commit(host, total, &[]).unwrap();
}

fn read(host: &MockHost, volume: &SwiftVolume, key: &str) -> Vec<u8> {
    let ReadLocator::Http(source) = volume.open_read(host, key).unwrap() else { panic!("http") };
    host.read_range(&source, 0, u32::try_from(source.size).unwrap()).unwrap()
}

fn keys(host: &MockHost, volume: &SwiftVolume, max: u32) -> Vec<String> {
    let mut keys = Vec::new();
    let mut resume: Option<String> = None;
    loop {
        let page = volume.list(host, "", resume.as_deref(), max).unwrap();
        assert!(page.objects.len() <= usize::try_from(max).unwrap());
        keys.extend(page.objects.into_iter().map(|object| object.key));
        assert!(page.resume.is_none() || page.resume > resume, "{:?}", page.resume);
        resume = page.resume;
        if resume.is_none() {
            return keys;
        }
    }
}

#[test]
fn segments_become_one_object_and_go_with_it() {
    let (host, server, volume) = storage(&[]);
    let mib = vec![7; 1 << 20];
    put(&host, &volume, "a/b c.qcow2", &[&mib, &mib, b"end"]);
    assert_eq!(server.borrow().names("images"), ["own/a/b c.qcow2"]);
    let segments = server.borrow().names("images_segments");
    assert_eq!(segments.len(), 3);
    assert!(segments.iter().all(|name| name.starts_with("own/a/b c.qcow2/tx")), "{segments:?}");
    assert_eq!(volume.stat(&host, "a/b c.qcow2").unwrap().size, (2 << 20) + 3);
    assert_eq!(keys(&host, &volume, 10), ["a/b c.qcow2"]);
    assert_eq!(volume.delete(&host, &["a/b c.qcow2".to_owned()]).unwrap(), []);
    assert_eq!(volume.delete(&host, &["a/b c.qcow2".to_owned()]).unwrap(), []);
    assert!(server.borrow().names("images_segments").is_empty());
}

#[test]
fn a_replaced_object_takes_its_segments_with_it() {
    let (host, server, volume) = storage(&[]);
    for bytes in [b"old".as_slice(), b"new one", b""] {
        put(&host, &volume, "a", &[bytes]);
        assert_eq!(read(&host, &volume, "a"), bytes);
        assert_eq!(server.borrow().names("images_segments").len(), usize::from(!bytes.is_empty()));
    }
}

#[test]
fn more_segments_than_a_manifest_has_are_listed_by_manifests() {
    let (host, server, volume) = storage(&[]);
    let mut upload = volume.begin_upload(&host, &request("a", None)).unwrap();
    let WriteTarget::Multipart(target) = upload.target() else { panic!("parts") };
    assert_eq!((target.part_size, target.max_parts, target.unordered), (64 << 20, 10_000, true));
    let token = String::from_utf8(upload.token()).unwrap().replace("67108864", "2");
    let mut upload_of_small = volume.resume_upload(&host, token.as_bytes()).unwrap();
    let bytes: Vec<u8> = (0..2501_u32).flat_map(|number| number.to_le_bytes()).take(4002).collect();
    let parts: Vec<&[u8]> = bytes.chunks(2).collect();
    let answers = send(&host, &mut upload_of_small, &parts);
    upload_of_small.completed(&host, &answers).unwrap();
    upload_of_small.commit(&host, 4002, &[]).unwrap();
    assert_eq!(read(&host, &volume, "a"), bytes);
    assert_eq!(server.borrow().names("images_segments").len(), 2001 + 3);
    upload.abort(&host).unwrap();
    assert_eq!(read(&host, &volume, "a"), bytes, "the upload of a live object has no left-overs");
    volume.delete(&host, &["a".to_owned()]).unwrap();
    assert!(server.borrow().names("images_segments").is_empty());
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing_with_and_without_bulk_requests() {
    for has_bulk in [true, false] {
        let (host, server, volume) = storage(&[]);
        server.borrow_mut().has_bulk = has_bulk;
        put(&host, &volume, "a", &[b"kept"]);
        let mut upload = volume.begin_upload(&host, &request("a", Some(10))).unwrap();
        let answers = send(&host, &mut upload, &[b"one", b"two"]);
        upload.completed(&host, &answers).unwrap();
        volume.cleanup(&host, &upload.token()).unwrap();
        assert_eq!(server.borrow().names("images_segments").len(), 1);
        assert_eq!(read(&host, &volume, "a"), b"kept");
        let gone = upload.commit(&host, (1 << 20) + 3, &[]).unwrap_err();
        assert_eq!((gone.class, gone.code.as_str()), (ErrorClass::Corrupt, "swift.incomplete"));
    }
}

#[test]
fn large_objects_of_others_are_one_file() {
    let (host, server, volume) = storage(&[]);
    {
        let mut server = server.borrow_mut();
        for (name, bytes) in [("big/1", b"one".as_slice()), ("big/2", b"two")] {
            server.put("other", name, Stored::Bytes(bytes.to_vec()));
            server.put("images", &format!("own/{name}"), Stored::Bytes(bytes.to_vec()));
        }
        server.put("images", "own/dlo", Stored::Dynamic("other".to_owned(), "big/".to_owned()));
        server.put("images", "own/big", Stored::Dynamic("images".to_owned(), "own/big/".to_owned()));
        let segment = |name: &str| ("other".to_owned(), name.to_owned());
        server.put("images", "own/slo", Stored::Static(vec![segment("big/2"), segment("big/1")]));
        server.put("images", "own/rclone/.file-segments/slo/1", Stored::Bytes(b"x".to_vec()));
        server.put("images", "own/swift_segments/slo/1", Stored::Bytes(b"x".to_vec()));
        server.put("images", "own/zero", Stored::Bytes(Vec::new()));
    }
    for (key, bytes) in [("dlo", b"onetwo"), ("big", b"onetwo"), ("slo", b"twoone")] {
        assert_eq!(volume.stat(&host, key).unwrap().size, 6, "{key}");
        assert_eq!(read(&host, &volume, key), bytes, "{key}");
    }
    for max in [1, 2, 3, 100] {
        assert_eq!(keys(&host, &volume, max), ["big", "dlo", "slo", "zero"], "pages of {max}");
    }
    let sizes: Vec<u64> = volume.list(&host, "", None, 10).unwrap().objects.iter().map(|o| o.size).collect();
    assert_eq!(sizes, [6, 6, 6, 0]);
    assert_eq!(volume.delete(&host, &["big".to_owned(), "dlo".to_owned()]).unwrap(), []);
    assert_eq!(server.borrow().names("other"), Vec::<String>::new());
}

#[test]
fn segments_that_others_may_need_stay() {
    let (host, server, volume) = storage(&[]);
    server.borrow_mut().put("images", "own/img_1", Stored::Bytes(b"live".to_vec()));
    server.borrow_mut().put("images", "own/all", Stored::Dynamic("images".to_owned(), "own/img".to_owned()));
    assert_eq!(volume.delete(&host, &["all".to_owned()]).unwrap(), []);
    assert_eq!(server.borrow().names("images"), ["own/img_1"]);
}

#[test]
fn an_expired_token_is_replaced_in_every_call() {
    let (host, server, volume) = storage(&[]);
    put(&host, &volume, "a", &[b"bytes"]);
    let signed_in =
        |server: &Server| server.requests.iter().filter(|line| line.ends_with("/auth/tokens")).count();
    assert_eq!(signed_in(&server.borrow()), 1);
    server.borrow_mut().expired = true;
    assert_eq!(volume.stat(&host, "a").unwrap().size, 5);
    assert_eq!(signed_in(&server.borrow()), 2);
    server.borrow_mut().instead = Some((401, String::new()));
    assert_eq!(keys(&host, &volume, 10), ["a"]);
    assert_eq!(signed_in(&server.borrow()), 3);
}

#[test]
fn the_sign_in_says_what_the_settings_say() {
    let (host, server, volume) = storage(&[("project", "0123456789abcdef0123456789ABCDEF")]);
    server.borrow_mut().instead = None;
    volume.space(&host).unwrap_err();
    assert_eq!(
        server.borrow().signed_in["auth"]["scope"],
        json!("unscoped"),
        "a refused sign-in is tried without the project"
    );
    let (host, server, volume) =
        storage(&[("sign-in", "application-credential"), ("application-credential-id", "c1")]);
    volume.space(&host).unwrap();
    let identity = server.borrow().signed_in["auth"]["identity"].clone();
    assert_eq!(identity["methods"], json!(["application_credential"]));
    assert_eq!(identity["application_credential"], json!({"id": "c1", "secret": ""}));
    let v1 = [("sign-in", "v1"), ("auth-url", "http://swift.test:8080/auth/v1.0"), ("user", "test:tester")];
    let (host, _, volume) = storage(&v1);
    assert_eq!(volume.space(&host).unwrap(), None);
    put(&host, &volume, "a", &[b"bytes"]);
}

#[test]
fn the_catalogue_is_searched_by_region_and_interface() {
    let endpoint = |region: &str, interface: &str, url: &str| json!({"region_id": region, "interface": interface, "url": url});
    let stores = json!([
        endpoint("one", "public", "http://wrong.test/v1/x"),
        endpoint("two", "public", ACCOUNT),
        endpoint("two", "internal", "http://wrong.test/v1/x"),
    ]);
    let both = json!([{"type": "identity", "endpoints": []}, {"type": "object-store", "endpoints": stores}]);
    let cases = [
        (json!([]), "", "public", "swift.no-object-store.setting.endpoint"),
        (both.clone(), "", "public", "swift.region.setting.region"),
        (both.clone(), "three", "public", "swift.region.setting.region"),
        (both.clone(), "two", "admin", "swift.interface.setting.interface"),
        (both, "two", "public", ""),
    ];
    for (catalogue, region, interface, expected) in cases {
        let (host, server, volume) = storage(&[("region", region), ("interface", interface)]);
        server.borrow_mut().catalogue = catalogue;
        let code = volume.space(&host).err().map(|error| error.code).unwrap_or_default();
        assert_eq!(code, expected, "{region} {interface}");
    }
    let (host, server, volume) = storage(&[("endpoint", "http://swift.test:8080")]);
    let moved = ACCOUNT.replace("swift.test:8080", "inside.test:1");
    server.borrow_mut().catalogue =
        json!([{"type": "object-store", "endpoints": [endpoint("r", "public", &moved)]}]);
    volume.space(&host).unwrap();
}

#[test]
fn failures_name_the_setting() {
    for (more, expected) in [
        (("user", "other"), "swift.credentials.setting.password"),
        (("project", "other"), "swift.project.setting.project"),
        (("container", "other"), "swift.no-container.setting.container"),
        (("auth-url", "http://swift.test:8080/auth/v1.0"), "swift.sign-in.setting.auth-url"),
    ] {
        let (host, _, volume) = storage(&[more]);
        if more.0 == "auth-url" {
            host.serve_http(|_| Ok(Response { status: 300, headers: Props::new(), body: Vec::new() }));
            let web = Rc::new(RefCell::new(Web));
            host.serve(web);
        }
        let error = volume.space(&host).unwrap_err();
        assert_eq!(error.code, expected, "{more:?}: {error}");
        assert_eq!(volume.stat(&host, "a").unwrap_err().code, expected, "{more:?}");
    }
    let (host, server, volume) = storage(&[]);
    for (status, expected) in [
        (403, "swift.access-denied.setting.container"),
        (413, "swift.no-space"),
        (507, "swift.no-space"),
        (503, "swift.busy"),
        (412, "swift.name.setting.endpoint"),
        (302, "swift.not-swift.setting.endpoint"),
        (200, "swift.not-swift.setting.endpoint"),
    ] {
        server.borrow_mut().instead = Some((status, "<html><p>so it is</p></html>".to_owned()));
        let listed = volume.list(&host, "", None, 1).unwrap_err();
        assert_eq!(listed.code, expected, "{status}");
        assert_eq!(listed.message.contains("so it is"), !matches!(status, 200 | 302), "{listed}");
    }
    host.fail_next("http", imprint_plugin_sdk::error::Error::denied("net.address", "not permitted"));
    assert_eq!(volume.space(&host).unwrap_err().code, "net.address.setting.endpoint");
    let refused = volume.begin_upload(&host, &request("a", Some(1 << 44))).unwrap_err();
    assert_eq!(refused.code, "swift.too-large");
}

/// A web server that answers everything with a page.
struct Web;

impl imprint_plugin_sdk::mock::MockServer for Web {
    fn answer(
        &mut self,
        _: &imprint_plugin_sdk::http::Request,
        _: &[u8],
    ) -> imprint_plugin_sdk::error::Result<Response> {
        Ok(Response { status: 200, headers: props([("x-subject-token", "no")]), body: b"<html>".to_vec() })
    }

    fn stored(&self) -> Vec<String> {
        Vec::new()
    }

    fn set_full(&mut self, _: bool) {}

    fn halve_objects(&mut self) {}
}

#[test]
fn a_service_without_large_objects_is_found_at_the_first_commit() {
    let (host, server, volume) = storage(&[]);
    server.borrow_mut().has_slo = false;
    let mut upload = volume.begin_upload(&host, &request("a", Some(10))).unwrap();
    let answers = send(&host, &mut upload, &[b"bytes"]);
    upload.completed(&host, &answers).unwrap();
    assert_eq!(upload.commit(&host, 5, &[]).unwrap_err().code, "swift.no-slo");
    upload.abort(&host).unwrap();
    assert!(
        server.borrow().names("images").is_empty() && server.borrow().names("images_segments").is_empty()
    );
}

#[test]
fn quotas_are_the_room_of_the_storage() {
    let (host, server, volume) = storage(&[]);
    assert_eq!(volume.space(&host).unwrap(), None);
    server.borrow_mut().quota = Some(100);
    let space = volume.space(&host).unwrap().unwrap();
    assert_eq!((space.total, space.available), (100, 70));
    server.borrow_mut().quota = Some(10);
    assert_eq!(volume.space(&host).unwrap().unwrap().available, 0);
    let mut upload = volume.begin_upload(&host, &request("a", Some(10))).unwrap();
    server.borrow_mut().instead = Some((413, "<html><p>Upload exceeds quota.</p></html>".to_owned()));
    let refused = send(&host, &mut upload, &[b"bytes"]);
    let error = upload.completed(&host, &refused).unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::LimitExceeded, "swift.no-space"));
}

#[test]
fn downloads_are_signed_where_there_is_a_key() {
    let (host, server, volume) = storage(&[]);
    put(&host, &volume, "a b", &[b"bytes"]);
    host.set_secret("temp-url-key");
    let ReadLocator::Http(source) = volume.open_read(&host, "a b").unwrap() else { panic!("http") };
    assert_eq!(source.request.auth.scheme, "temp-url");
    assert_eq!(source.request.auth.params["path"], "/v1/AUTH_test/images/own/a b");
    assert_eq!(source.request.url, format!("{ACCOUNT}/images/own/a%20b"));
    // The object store is asked first, so that it is the second answer that is refused.
    for (refusals, expected) in [(1, "swift.clock"), (2, "swift.temp-url")] {
        let server = server.clone();
        let mut left = refusals;
        let refusing = move |request: &imprint_plugin_sdk::http::Request| {
            use imprint_plugin_sdk::mock::MockServer as _;
            if request.auth.scheme == "temp-url" && left > 0 {
                left -= 1;
                return Ok(Response { status: 401, headers: Props::new(), body: Vec::new() });
            }
            server.borrow_mut().answer(request, &[])
        };
        let host = MockHost::new();
        ["password", "temp-url-key"].iter().for_each(|name| host.set_secret(name));
        host.serve_http(refusing);
        let error = volume.open_read(&host, "a b").unwrap_err();
        assert_eq!(error.code, format!("{expected}.setting.temp-url-key"));
    }
}

#[test]
fn clients_read_directly_only_with_the_key_and_where_the_operator_says_so() {
    let (host, server, volume) = storage(&[]);
    put(&host, &volume, "a", &[b"bytes"]);
    drop(server);
    let direct = settings(&[("direct-downloads", "true")]);
    let error = SwiftVolume::open(&host, &direct).unwrap_err();
    assert_eq!(error.code, "swift.settings.setting.temp-url-key", "{error}");
    host.set_secret("temp-url-key");
    for (settings, expected) in [(settings(&[]), None), (direct, Some("temp-url"))] {
        let volume = SwiftVolume::open(&host, &settings).unwrap();
        let ReadLocator::Http(source) = volume.open_read(&host, "a").unwrap() else { panic!("http") };
        assert_eq!(source.request.auth.scheme, "temp-url");
        assert_eq!(source.request.auth.params.get("client-scheme").map(String::as_str), expected);
        assert_eq!(source.request.headers, Props::new(), "a client sends none of them");
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let host = MockHost::new();
    for (name, value) in [
        ("auth-url", "ftp://x"),
        ("endpoint", "swift.test"),
        ("segment-size", "65"),
        ("parallel", "0"),
        ("interface", "other"),
        ("sign-in", "none"),
        ("container", ""),
        ("container", "a/b"),
        ("segments-container", "images"),
        ("temp-url-digest", "md5"),
        ("user", ""),
        ("project", ""),
    ] {
        let error = SwiftVolume::open(&host, &settings(&[(name, value)])).unwrap_err();
        assert_eq!(error.code, format!("swift.settings.setting.{name}"), "{value}");
    }
}

#[test]
fn tokens_may_be_anything() {
    let (host, _, volume) = storage(&[]);
    for token in [b"".as_slice(), b"{}", b"\xff", &[b'x'; 5000]] {
        assert_eq!(volume.resume_upload(&host, token).unwrap_err().code, "swift.token");
    }
    let upload = volume.begin_upload(&host, &request("a", None)).unwrap();
    for (from, to) in [("\"a\"", "\"../a\""), ("\"id\":\"tx", "\"id\":\"../"), ("67108864", "0")] {
        let other = String::from_utf8(upload.token()).unwrap().replace(from, to);
        assert!(volume.cleanup(&host, other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn answers_are_read_as_they_come() {
    assert_eq!(
        text(b"<html><h1>Forbidden</h1><p>Access\nwas denied.</p></html>"),
        "Forbidden Access was denied."
    );
    assert!(all_deleted(b"<html>").is_none() && all_deleted(b"{}").is_none());
    let failed = br#"{"Response Status": "400 Bad Request", "Errors": [["/c/x", "409 Conflict"]]}"#;
    assert_eq!(all_deleted(failed).unwrap().unwrap_err().class, ErrorClass::Transient);
    let missing = br#"{"Response Status": "200 OK", "Errors": [["/c/x", "404 Not Found"]]}"#;
    assert!(all_deleted(missing).unwrap().is_ok());
}
