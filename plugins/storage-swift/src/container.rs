//! The container with the images: its objects, one at a time.

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::{
        Response,
        objects::{MAX_KEY, decode, http_date, is_key},
    },
    storage::{Object, no_object},
    types::Props,
};

use crate::{
    account::{Account, container_path, object_path},
    failure::{failure, not_swift},
    segments::MARKS,
};

/// The longest name of an object in Swift, in bytes, less what names of segments need.
const MAX_NAME: usize = 1024 - 100;
/// The header in which an object of ours names its upload.
pub(crate) const UPLOAD: &str = "x-object-meta-imprint-upload";

/// How an object is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// A static large object.
    Static,
    /// A dynamic large object: every object of a container whose name begins with a prefix.
    Dynamic {
        container: String,
        prefix: String,
    },
}

/// An object that is there.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) object: Object,
    pub(crate) kind: Kind,
    /// The upload that made it, where it is one of ours.
    pub(crate) upload: Option<String>,
}

/// Returns whether other programs keep segments under a name: `NAME_segments/...` (the command
/// `swift`) and `.file-segments/...` (rclone).
pub(crate) fn is_foreign_segment(key: &str) -> bool {
    let folders = key.rsplit_once('/').map(|(folders, _)| folders).unwrap_or_default();
    folders.split('/').any(|folder| folder.ends_with("_segments") || folder == ".file-segments")
}

impl Account {
    /// Checks a key that is about to be used.
    pub(crate) fn check_key(&self, key: &str) -> Result<()> {
        let is_reserved = is_foreign_segment(key) || key.starts_with(MARKS);
        if is_key(key) && self.settings.prefix.len() + key.len() <= MAX_NAME && !is_reserved {
            return Ok(());
        }
        let message = format!(
            "the key {key:?} cannot be stored: use 1 to {MAX_KEY} bytes, no empty, `.` or `..` parts, and no folder \
             for segments or uploads (`..._segments`, `.uploads`)"
        );
        Err(Error::invalid_input("swift.key", message))
    }

    /// Returns the path of an object of ours.
    pub(crate) fn path(&self, key: &str) -> String {
        object_path(&self.settings.container, &format!("{}{key}", self.settings.prefix))
    }

    /// Returns an object; `None` when there is none.
    pub(crate) fn find(&self, host: &dyn HttpStorageHost, key: &str) -> Result<Option<Found>> {
        self.check_key(key)?;
        let answer = self.ask(host, "HEAD", &self.path(key), &|request| {
            let headers =
                ["content-length", "etag", "last-modified", "x-static-large-object", "x-object-manifest"];
            request.capture(&[headers.as_slice(), &[UPLOAD]].concat()).max_response(0)
        })?;
        match answer.status {
            200 | 204 => found(key, &answer).map(Some),
            404 => self.check_container(host).map(|()| None),
            _ => Err(failure(&answer)),
        }
    }

    /// Returns an object that has to be there.
    pub(crate) fn get(&self, host: &dyn HttpStorageHost, key: &str) -> Result<Found> {
        self.find(host, key)?.ok_or_else(|| no_object("swift", key))
    }

    /// Checks that the container is there.
    pub(crate) fn check_container(&self, host: &dyn HttpStorageHost) -> Result<()> {
        let answer = self.head_container(host, &self.settings.container)?;
        answer.map(drop).ok_or_else(|| self.no_container())
    }

    /// Returns what the object store says about a container; `None` when there is none.
    pub(crate) fn head_container(
        &self,
        host: &dyn HttpStorageHost,
        container: &str,
    ) -> Result<Option<Response>> {
        let headers = ["x-container-object-count", "x-container-bytes-used", "x-container-meta-quota-bytes"];
        let answer = self.ask(host, "HEAD", &container_path(container), &|request| {
            request.capture(&headers).max_response(0)
        })?;
        match answer.status {
            200 | 204 if answer.headers.contains_key("x-container-object-count") => Ok(Some(answer)),
            200 | 204 => Err(not_swift("a container has no number of objects")),
            404 => Ok(None),
            _ => Err(failure(&answer)),
        }
    }

    /// Returns the error for a container that is not there.
    pub(crate) fn no_container(&self) -> Error {
        let message = format!(
            "there is no container {:?} in the account; create it, or correct its name",
            self.settings.container
        );
        Error::not_found("swift.no-container", message).about_setting("container")
    }
}

fn found(key: &str, answer: &Response) -> Result<Found> {
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    let kind = match header("x-object-manifest") {
        Some(manifest) => dynamic(manifest),
        None if header("x-static-large-object").is_some_and(|value| value.eq_ignore_ascii_case("true")) => {
            Kind::Static
        }
        None => Kind::Plain,
    };
    let size = header("content-length").and_then(|text| text.parse().ok());
    let Some(size) = size else {
        if matches!(kind, Kind::Dynamic { .. }) {
            let message = format!(
                "{key:?} is a dynamic large object of more segments than the object store lists at once; copy it into a \
                 static one"
            );
            return Err(Error::unsupported("swift.too-many-segments", message));
        }
        return Err(not_swift("an object has no size"));
    };
    Ok(Found {
        object: Object {
            key: key.to_owned(),
            size,
            stored: Some(size),
            modified_ms: header("last-modified").and_then(http_date),
            etag: header("etag").map(quoted),
            extra: Props::new(),
        },
        kind,
        upload: header(UPLOAD).map(str::to_owned),
    })
}

/// Parses the header that makes an object a dynamic one: `CONTAINER/PREFIX`, encoded.
fn dynamic(manifest: &str) -> Kind {
    let (container, prefix) = manifest.trim_start_matches('/').split_once('/').unwrap_or((manifest, ""));
    // A plus sign is one in paths.
    let plain = |text: &str| decode(&text.replace('+', "%2B")).unwrap_or_else(|| text.to_owned());
    Kind::Dynamic { container: plain(container), prefix: plain(prefix) }
}

/// Returns an entity tag with the quotation marks that Swift leaves out for plain objects.
pub(crate) fn quoted(etag: &str) -> String {
    if etag.starts_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}
