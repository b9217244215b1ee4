//! A Swift in memory: containers, large objects of both kinds, quotas, and both ways of signing in.

use std::collections::{BTreeMap, BTreeSet};

use imprint_plugin_sdk::{
    error::Result,
    http::{Body, Request, Response, objects::decode},
    mock::MockServer,
    types::props,
};
use serde_json::{Value, json};

/// The address of the account.
pub(crate) const ACCOUNT: &str = "http://swift.test:8080/v1/AUTH_test";

/// What is stored under one name.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Bytes(Vec<u8>),
    /// The names of the segments with their containers.
    Static(Vec<(String, String)>),
    /// A container and a prefix.
    Dynamic(String, String),
}

/// An object with its tag and the upload that made it.
#[derive(Clone, Debug)]
struct Entry {
    stored: Stored,
    etag: String,
    upload: Option<String>,
    /// The time at which it was stored: a day of October 2009.
    day: u32,
}

type Name = (String, String);

/// A Swift in memory.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) containers: BTreeSet<String>,
    objects: BTreeMap<Name, Entry>,
    /// Every request: its method and what follows the account's address.
    pub(crate) requests: Vec<String>,
    /// The next answer, instead of the right one.
    pub(crate) instead: Option<(u16, String)>,
    pub(crate) quota: Option<u64>,
    /// Whether the tokens of before are refused.
    pub(crate) expired: bool,
    /// The catalogue that Keystone answers.
    pub(crate) catalogue: Value,
    /// The projects in which the user has a role.
    pub(crate) project: String,
    /// The body of the last sign-in.
    pub(crate) signed_in: Value,
    pub(crate) has_bulk: bool,
    pub(crate) has_slo: bool,
    /// Today: a day of October 2009.
    pub(crate) day: u32,
    full: bool,
    sent: u64,
}

fn answer(status: u16, body: impl Into<String>) -> Response {
    Response { status, headers: props([]), body: body.into().into_bytes() }
}

/// A tag that differs where bytes differ. It is that of MD5 for nothing.
fn tag(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "d41d8cd98f00b204e9800998ecf8427e".to_owned();
    }
    let mix = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:032x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

impl Server {
    pub(crate) fn new() -> Self {
        let interface = |name: &str, url: &str| json!({"interface": name, "region_id": "one", "url": url});
        let endpoints = json!([interface("internal", "http://10.0.0.1/v1/x"), interface("public", ACCOUNT)]);
        Self {
            containers: BTreeSet::from(["images".to_owned()]),
            catalogue: json!([{"type": "object-store", "endpoints": endpoints}]),
            project: "shop".to_owned(),
            has_bulk: true,
            has_slo: true,
            day: 12,
            ..Self::default()
        }
    }

    /// Puts an object there, as another program does.
    pub(crate) fn put(&mut self, container: &str, name: &str, stored: Stored) {
        let etag = match &stored {
            Stored::Bytes(bytes) => tag(bytes),
            Stored::Static(names) => tag(format!("{names:?}").as_bytes()),
            Stored::Dynamic(..) => tag(b""),
        };
        self.containers.insert(container.to_owned());
        self.objects.insert(
            (container.to_owned(), name.to_owned()),
            Entry { stored, etag, upload: None, day: self.day },
        );
    }

    /// Gives an object another name and takes its metadata away, as another program does.
    pub(crate) fn rename(&mut self, container: &str, from: &str, to: &str) {
        let mut entry = self.objects.remove(&(container.to_owned(), from.to_owned())).unwrap();
        entry.upload = None;
        self.objects.insert((container.to_owned(), to.to_owned()), entry);
    }

    /// Returns the names of everything in a container.
    pub(crate) fn names(&self, container: &str) -> Vec<String> {
        let own = self.objects.keys().filter(|(other, _)| other == container);
        own.map(|(_, name)| name.clone()).collect()
    }

    fn bytes(&self, name: &Name) -> Vec<u8> {
        match self.objects.get(name).map(|entry| &entry.stored) {
            Some(Stored::Bytes(bytes)) => bytes.clone(),
            Some(Stored::Static(names)) => names.iter().flat_map(|name| self.bytes(name)).collect(),
            Some(Stored::Dynamic(container, prefix)) => {
                let inside = |name: &&Name| name.0 == *container && name.1.starts_with(prefix);
                self.objects
                    .keys()
                    .filter(inside)
                    .filter(|other| *other != name)
                    .flat_map(|n| self.bytes(n))
                    .collect()
            }
            None => Vec::new(),
        }
    }

    fn sign_in(&mut self, request: &Request) -> Response {
        self.expired = false;
        self.sent += 1;
        let token = format!("token-{}", self.sent);
        if request.url.ends_with("/auth/v1.0") {
            if request.headers.get("x-auth-user").map(String::as_str) != Some("test:tester") {
                return answer(401, "");
            }
            let mut found = answer(200, "");
            found.headers = props([("x-auth-token", token.as_str()), ("x-storage-url", ACCOUNT)]);
            return found;
        }
        assert_eq!((request.method.as_str(), request.auth.scheme.as_str()), ("POST", "json-body"));
        assert!(request.url.ends_with("/v3/auth/tokens"), "{}", request.url);
        let Body::Inline(body) = &request.body else { panic!("a sign-in has a body") };
        self.signed_in = serde_json::from_slice(body).unwrap();
        let auth = &self.signed_in["auth"];
        let user = &auth["identity"]["password"]["user"]["name"];
        let scope = &auth["scope"];
        let wrong_project = scope.is_object() && scope["project"]["name"] != self.project.as_str();
        if (user.is_string() && user != "tester") || wrong_project {
            return answer(401, r#"{"error":{"code":401}}"#);
        }
        let mut found = answer(201, json!({"token": {"catalog": self.catalogue}}).to_string());
        found.headers = props([("x-subject-token", token.as_str())]);
        found
    }

    fn list(&self, container: &str, query: &BTreeMap<String, String>) -> Response {
        let get = |name: &str| query.get(name).cloned().unwrap_or_default();
        let (prefix, marker) = (get("prefix"), get("marker"));
        let limit: usize = get("limit").parse().unwrap();
        let first = (container.to_owned(), prefix.clone().max(marker.clone()));
        let entries: Vec<Value> = self
            .objects
            .range(first..)
            .take_while(|(name, _)| name.0 == container && name.1.starts_with(&prefix))
            .filter(|(name, _)| name.1 > marker)
            .take(limit)
            .map(|(name, entry)| {
                let size = if let Stored::Dynamic(..) = entry.stored { 0 } else { self.bytes(name).len() };
                json!({
                    "name": name.1, "bytes": size, "hash": entry.etag, "content_type": "application/octet-stream",
                    "last_modified": format!("2009-10-{:02}T17:50:30.123456", entry.day),
                })
            })
            .collect();
        let mut page = answer(200, Value::from(entries).to_string());
        page.headers = props([("date", format!("Mon, {:02} Oct 2009 17:50:31 GMT", self.day).as_str())]);
        page
    }

    /// Returns the manifest of a static large object, as Swift does.
    fn manifest(&self, name: &Name) -> Response {
        let Some(Stored::Static(names)) = self.objects.get(name).map(|entry| &entry.stored) else {
            return self.head(name);
        };
        let entry = |segment: &Name| {
            json!({
                "name": format!("/{}/{}", segment.0, segment.1), "bytes": self.bytes(segment).len(),
                "hash": self.objects[segment].etag, "content_type": "application/octet-stream",
            })
        };
        answer(200, Value::from(names.iter().map(entry).collect::<Vec<_>>()).to_string())
    }

    fn head(&self, name: &Name) -> Response {
        let Some(entry) = self.objects.get(name) else { return answer(404, "") };
        let size = self.bytes(name).len().to_string();
        let mut found = answer(200, "");
        found.headers = props([
            ("content-length", size.as_str()),
            ("etag", entry.etag.as_str()),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ]);
        let mut set = |header: &str, value: String| found.headers.insert(header.to_owned(), value);
        match &entry.stored {
            Stored::Bytes(_) => None,
            Stored::Static(_) => set("x-static-large-object", "True".to_owned()),
            Stored::Dynamic(container, prefix) => set("x-object-manifest", format!("{container}/{prefix}")),
        };
        if let Some(upload) = &entry.upload {
            set("x-object-meta-imprint-upload", upload.clone());
        }
        found
    }

    fn get(&self, name: &Name, request: &Request) -> Response {
        let head = self.head(name);
        if head.status != 200 {
            return head;
        }
        let wanted = request.headers.get("if-match").map(|tag| tag.trim_matches('"').to_owned());
        if wanted.is_some_and(|tag| tag != self.objects[name].etag) {
            return answer(412, "");
        }
        let bytes = self.bytes(name);
        let Some(range) = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")) else {
            return Response { body: bytes, ..head };
        };
        let (first, last) = range.split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        match bytes.get(first..=last.min(bytes.len().saturating_sub(1))) {
            Some(part) if first < bytes.len() => Response { status: 206, body: part.to_vec(), ..head },
            Some(_) | None => answer(416, ""),
        }
    }

    fn put_manifest(&mut self, name: Name, request: &Request, body: &[u8]) -> Response {
        let entries: Vec<Value> = serde_json::from_slice(body).unwrap();
        let mut names = Vec::new();
        for entry in &entries {
            let path = entry["path"].as_str().unwrap().strip_prefix('/').unwrap();
            let (container, segment) = path.split_once('/').unwrap();
            let segment = (container.to_owned(), segment.to_owned());
            let there = self.objects.get(&segment).map(|found| found.etag.clone());
            let size = u64::try_from(self.bytes(&segment).len()).unwrap();
            if there.as_deref() != entry["etag"].as_str() || entry["size_bytes"] != size || size == 0 {
                return answer(400, format!("<html><p>Errors: {path}, Etag Mismatch</p></html>"));
            }
            names.push(segment);
        }
        assert!((1..=1000).contains(&names.len()), "a manifest has 1 to 1000 segments");
        self.store(name, Stored::Static(names), request)
    }

    fn store(&mut self, name: Name, stored: Stored, request: &Request) -> Response {
        let (container, object) = (name.0.clone(), name.1.clone());
        self.put(&container, &object, stored);
        let entry = self.objects.get_mut(&name).unwrap();
        entry.upload = request.headers.get("x-object-meta-imprint-upload").cloned();
        let mut done = answer(201, "");
        done.headers = props([("etag", entry.etag.as_str())]);
        done
    }

    pub(crate) fn delete(&mut self, name: &Name, with_segments: bool) -> u32 {
        let Some(entry) = self.objects.remove(name) else { return 0 };
        let Stored::Static(segments) = entry.stored else { return 1 };
        if with_segments {
            return 1 + segments.iter().map(|segment| self.delete(segment, true)).sum::<u32>();
        }
        1
    }

    fn bulk(&mut self, body: &[u8]) -> Response {
        let mut deleted = 0;
        for line in String::from_utf8(body.to_vec()).unwrap().lines() {
            let path = decode(line).unwrap();
            let (container, name) = path.strip_prefix('/').unwrap().split_once('/').unwrap();
            deleted += self.delete(&(container.to_owned(), name.to_owned()), false);
        }
        answer(
            200,
            format!("  {{\"Response Status\":\"200 OK\",\"Errors\":[],\"Number Deleted\":{deleted}}}"),
        )
    }

    fn on_container(&mut self, method: &str, container: &str, query: &BTreeMap<String, String>) -> Response {
        let there = self.containers.contains(container);
        self.sent += 1;
        match method {
            "PUT" => {
                self.containers.insert(container.to_owned());
                let mut made = answer(if there { 202 } else { 201 }, "");
                made.headers = props([("x-trans-id", format!("tx{:021x}", self.sent).as_str())]);
                made
            }
            _ if !there => answer(404, ""),
            "GET" => self.list(container, query),
            _ => {
                let mut found = answer(204, "");
                found.headers = props([("x-container-object-count", "7"), ("x-container-bytes-used", "30")]);
                if let Some(quota) = self.quota {
                    found.headers.insert("x-container-meta-quota-bytes".to_owned(), quota.to_string());
                }
                found
            }
        }
    }

    fn on_object(
        &mut self,
        request: &Request,
        name: Name,
        query: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Response {
        if !self.containers.contains(&name.0) {
            return answer(404, "");
        }
        let mode = query.get("multipart-manifest").map(String::as_str).filter(|_| self.has_slo);
        match (request.method.as_str(), mode) {
            ("HEAD", _) => self.head(&name),
            ("GET", Some("get")) => self.manifest(&name),
            ("GET", _) => self.get(&name, request),
            ("PUT", _) if self.full => {
                answer(413, "<html><h1>Request Entity Too Large</h1><p>Upload exceeds quota.</p></html>")
            }
            ("PUT", Some("put")) => self.put_manifest(name, request, body),
            ("PUT", _) => self.store(name, Stored::Bytes(body.to_vec()), request),
            ("DELETE", Some("delete")) => {
                let deleted = self.delete(&name, true);
                answer(
                    200,
                    format!("{{\"Response Status\":\"200 OK\",\"Errors\":[],\"Number Deleted\":{deleted}}}"),
                )
            }
            ("DELETE", _) => {
                let there = self.delete(&name, false) > 0;
                answer(if there { 204 } else { 404 }, "")
            }
            (method, _) => panic!("{method} {name:?}"),
        }
    }
}

impl MockServer for Server {
    fn answer(&mut self, request: &Request, body: &[u8]) -> Result<Response> {
        let Some(rest) = request.url.strip_prefix(ACCOUNT) else {
            self.requests.push(format!("{} {}", request.method, request.url));
            return Ok(self.sign_in(request));
        };
        self.requests.push(format!("{} {rest}", request.method));
        if let Some((status, body)) = self.instead.take() {
            return Ok(answer(status, body));
        }
        match request.auth.scheme.as_str() {
            "temp-url" => {}
            scheme => {
                assert_eq!((scheme, request.auth.secrets["x-auth-token"].as_str()), ("headers", "token"))
            }
        }
        if self.expired {
            return Ok(answer(401, "<html><h1>Unauthorized</h1></html>"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let query: BTreeMap<String, String> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), decode(value).unwrap()))
            .collect();
        let path = decode(path).unwrap();
        Ok(match path.strip_prefix('/').map(|path| path.split_once('/').ok_or(path)) {
            None if query.contains_key("bulk-delete") && self.has_bulk => self.bulk(body),
            None if request.method == "HEAD" => answer(204, ""),
            None => answer(400, "<html>no</html>"),
            Some(Err(container)) => self.on_container(&request.method, container, &query),
            Some(Ok((container, name))) => {
                self.on_object(request, (container.to_owned(), name.to_owned()), &query, body)
            }
        })
    }

    fn stored(&self) -> Vec<String> {
        self.objects.keys().map(|(container, name)| format!("{container}/{name}")).collect()
    }

    fn set_full(&mut self, full_now: bool) {
        self.full = full_now;
    }

    fn halve_objects(&mut self) {
        for entry in self.objects.values_mut() {
            if let Stored::Bytes(bytes) = &mut entry.stored {
                bytes.truncate(bytes.len() / 2);
            }
        }
    }
}
