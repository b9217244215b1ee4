//! Where the file of an import comes from: what is checked, shown and sealed of it.

use std::collections::{BTreeMap, BTreeSet};

use imprint_agent_protocol::secret_name;
use imprint_domain::{
    Code, Error,
    export::DESTINATION_KINDS,
    id::{ImageId, TaskId},
    import::ImportKind,
    plugin_kind::StorageKind,
    secret::{SecretText, Secrets},
};
use imprint_store::{Conn, secret::of_task};

use crate::{
    catalogue::storage_kind,
    change::Change,
    db_result::DbResult,
    secrets::seal,
    tasks::owned_storage::{OwnedStorage, SourceObject},
    validate::{is_object_key, truncate},
};

/// The longest address of a file, and the longest value of a head field, in bytes.
const MAX_URL: usize = 8 << 10;
/// The most head fields, and the longest name of one.
const MAX_FIELDS: usize = 16;
const MAX_FIELD_NAME: usize = 64;
/// The longest text that says where a file came from, in bytes.
const MAX_ORIGIN: usize = 512;

/// Where the file of an import comes from.
#[derive(Clone, Debug)]
pub enum ImportFrom {
    /// A client sends it; the name is that of its file.
    Upload {
        /// The name of the file, for people.
        file_name: String,
    },
    /// It is read from a server.
    Url {
        /// The address, `http` or `https`, which may hold credentials.
        url: SecretText,
        /// Fields of the requests' heads, such as `Authorization`.
        headers: Vec<(String, SecretText)>,
    },
    /// It is an object in a storage of the customer's own (S76).
    StorageObject {
        /// The storage.
        storage: SourceStorage,
        /// The key of the object.
        key: String,
    },
    /// It is an image at another Imprint, which exports it (S73).
    Imprint {
        /// The address of that Imprint, `http` or `https`.
        server: String,
        /// The image there.
        image: ImageId,
        /// A token of an account there that may export the image.
        token: SecretText,
    },
}

/// A storage of a customer that an import is read from.
#[derive(Clone, Debug)]
pub struct SourceStorage {
    /// The kind of plugin that reaches it: one of those that exports go to.
    pub kind: StorageKind,
    /// The plugin's settings.
    pub settings: BTreeMap<String, String>,
    /// The plugin's secrets. They are stored sealed, and removed when the task ends.
    pub secrets: Secrets,
}

/// A source that was checked: what the task and the image's row say of it.
pub(super) struct Checked {
    /// How the file comes.
    pub(super) kind: ImportKind,
    /// Where it comes from, without anything secret.
    pub(super) origin: String,
    /// The object, with the complete settings of its storage.
    pub(super) object: Option<SourceObject>,
    /// The image at another Imprint.
    pub(super) elsewhere: Option<ImageId>,
}

/// Checks a source, and says where it is without anything secret.
pub(super) async fn check(conn: &Conn<'_>, source: &ImportFrom) -> Result<Checked, Error> {
    match source {
        ImportFrom::Upload { file_name } => {
            let shown: String = file_name.chars().filter(|c| !c.is_control()).collect();
            let origin = truncate(shown.trim(), MAX_ORIGIN);
            Ok(Checked { kind: ImportKind::Upload, origin, object: None, elsewhere: None })
        }
        ImportFrom::Url { url, headers } => {
            check_headers(headers)?;
            Ok(Checked {
                kind: ImportKind::Url,
                origin: shown_url(url.expose())?,
                object: None,
                elsewhere: None,
            })
        }
        ImportFrom::StorageObject { storage, key } => check_object(conn, storage, key).await,
        ImportFrom::Imprint { server, image, token } => {
            let origin = truncate(&format!("{}/images/{image}", shown_server(server)?), MAX_ORIGIN);
            check_token(token)?;
            Ok(Checked { kind: ImportKind::Imprint, origin, object: None, elsewhere: Some(*image) })
        }
    }
}

/// Returns the address of another Imprint as it is used: nothing of it is secret.
fn shown_server(server: &str) -> Result<String, Error> {
    let refuse = || {
        let detail = "give the address of the other Imprint as the browser shows it, such as https://cloud.example.com";
        Error::new(Code::InvalidRequest, detail).at("/source/server")
    };
    let shown = shown_url(server).map_err(|_| refuse())?;
    let typed = server.trim_end_matches('/');
    let same = shown.trim_end_matches('/').eq_ignore_ascii_case(typed);
    if same { Ok(typed.to_owned()) } else { Err(refuse()) }
}

fn check_token(token: &SecretText) -> Result<(), Error> {
    let text = token.expose();
    if text.is_empty() || text.len() > MAX_URL || !text.chars().all(|c| c.is_ascii_graphic()) {
        let detail = "give the token as the other Imprint showed it";
        return Err(Error::new(Code::InvalidRequest, detail).at("/source/token"));
    }
    Ok(())
}

async fn check_object(conn: &Conn<'_>, asked: &SourceStorage, key: &str) -> Result<Checked, Error> {
    let invalid = |detail: &str, at: &str| Error::new(Code::InvalidRequest, detail).at(at);
    let kind = &asked.kind;
    if !DESTINATION_KINDS.contains(&kind.as_str()) {
        let detail = format!("imports come from storages of the kinds {}", DESTINATION_KINDS.join(" and "));
        return Err(invalid(&detail, "/source/kind"));
    }
    if !is_object_key(key) {
        let detail = "the key has 1 to 512 bytes, no control characters, and parts between `/` that are neither empty nor `.` or `..`";
        return Err(invalid(detail, "/source/key"));
    }
    let kept = BTreeSet::new();
    let checked = storage_kind::check_settings(conn, kind, &asked.settings, &asked.secrets, &kept);
    let settings = checked.await.map_err(|error| match error.pointer.clone() {
        Some(pointer) => error.at(format!("/source{pointer}")),
        None => error,
    })?;
    let place = ["bucket", "container"].into_iter().find_map(|name| settings.get(name));
    let prefix = settings.get("prefix").map(|prefix| prefix.trim_matches('/')).unwrap_or_default();
    let parts = [place.map(String::as_str).unwrap_or_default(), prefix, key];
    let path = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let origin = truncate(&format!("{kind}://{path}"), MAX_ORIGIN);
    let storage = OwnedStorage { kind: kind.clone(), settings };
    let object = Some(SourceObject { storage, key: key.to_owned() });
    Ok(Checked { kind: ImportKind::StorageObject, origin, object, elsewhere: None })
}

fn check_headers(headers: &[(String, SecretText)]) -> Result<(), Error> {
    let at = |text: &str| Err(Error::new(Code::InvalidRequest, text).at("/source/headers"));
    if headers.len() > MAX_FIELDS {
        return at("at most 16 head fields are sent");
    }
    for (name, value) in headers {
        let token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > MAX_FIELD_NAME || !name.chars().all(token) {
            return at("the name of a head field has letters, digits and `-`");
        }
        let reserved = ["host", "range", "content-length", "connection", "transfer-encoding"];
        if reserved.contains(&name.to_ascii_lowercase().as_str()) {
            return at("the head fields of the transfer itself cannot be set");
        }
        if value.expose().len() > MAX_URL || value.expose().chars().any(char::is_control) {
            return at("the value of a head field has at most 8 KiB, and no control characters");
        }
    }
    Ok(())
}

/// Returns an address without what only its server may know: user, query and fragment.
fn shown_url(url: &str) -> Result<String, Error> {
    let refuse = || {
        let detail = "give the address of the file, which begins with https:// or http://";
        Error::new(Code::InvalidRequest, detail).at("/source/url")
    };
    if url.len() > MAX_URL || url.chars().any(|c| c.is_control() || c == ' ') {
        return Err(refuse());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(refuse)?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(refuse());
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() {
        return Err(refuse());
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Ok(truncate(&format!("{scheme}://{host}{path}"), MAX_ORIGIN))
}

/// Seals the secrets of a source until the task is over: the address and the head fields of a
/// server, or those of a storage.
pub(super) async fn seal_source(change: &Change<'_>, task: TaskId, source: &ImportFrom) -> Result<(), Error> {
    let field = |name: &str| format!("{}{name}", secret_name::HEADER);
    let secrets: Vec<(String, SecretText)> = match source {
        ImportFrom::Upload { .. } => Vec::new(),
        ImportFrom::Url { url, headers } => {
            let named = headers.iter().map(|(name, value)| (field(name), value.clone()));
            std::iter::once((secret_name::URL.to_owned(), url.clone())).chain(named).collect()
        }
        ImportFrom::StorageObject { storage, .. } => {
            storage.secrets.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
        }
        ImportFrom::Imprint { server, token, .. } => {
            let bearer = SecretText::new(format!("Bearer {}", token.expose()));
            let server = SecretText::new(shown_server(server)?);
            vec![(secret_name::URL.to_owned(), server), (field("authorization"), bearer)]
        }
    };
    for (name, value) in secrets {
        let sealed = seal::seal(change, &task, &name, &value)?;
        of_task::put(&change.tx, task, &sealed).await.db()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let shown = |url: &str| shown_url(url).ok();
        assert_eq!(
            shown("HTTPS://user:pass@images.example:8443/a/disk.qcow2?sig=secret#part").as_deref(),
            Some("https://images.example:8443/a/disk.qcow2")
        );
        assert_eq!(shown("http://h?x=@/y").as_deref(), Some("http://h"));
        for wrong in [
            "",
            "ftp://h/x",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://u@/x",
            "http://h/a b",
            "disk.raw",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn another_imprint_is_named_by_its_address_alone() {
        let shown = |server: &str| shown_server(server).ok();
        assert_eq!(shown("https://cloud.example.com/").as_deref(), Some("https://cloud.example.com"));
        assert_eq!(shown("http://10.0.0.1:8080/at").as_deref(), Some("http://10.0.0.1:8080/at"));
        for wrong in
            ["cloud.example.com", "https://u:p@h", "https://h/?x", "https://h/#images", "ftp://h", ""]
        {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
        for (token, is_right) in [("imp_abc-1.2", true), ("", false), ("a b", false), ("a\r\nX: y", false)] {
            assert_eq!(check_token(&SecretText::new(token.to_owned())).is_ok(), is_right, "{token:?}");
        }
    }

    #[test]
    fn fields_of_the_transfer_are_not_set_by_customers() {
        let field = |name: &str, value: &str| vec![(name.to_owned(), SecretText::new(value.to_owned()))];
        assert!(check_headers(&field("Authorization", "Bearer x")).is_ok());
        for (name, value) in
            [("Host", "h"), ("range", "bytes=0-"), ("a b", "x"), ("", "x"), ("X", "a\r\nB: c")]
        {
            assert!(check_headers(&field(name, value)).is_err(), "{name}");
        }
        assert!(check_headers(&vec![field("X-A", "y").remove(0); 17]).is_err());
    }
}
