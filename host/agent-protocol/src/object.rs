//! The objects of an agent's image storages, which it serves to other agents and to the control
//! plane: where the server is, and the tokens that it accepts.
//!
//! A token is for one object and one purpose, until a time. Whoever has the key of the agent makes
//! and checks it without asking anybody: the control plane makes it, the agent checks it.
//! Its form is `CLAIMS.MAC`, both in base64url: JSON of an [`ObjectGrant`], and its HMAC-SHA-256.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use imprint_domain::{id::StorageId, time::Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::upload::UploadGrant;

/// The bytes of a key, and of a fingerprint.
const BYTES: usize = 32;
/// The longest token in bytes: room for a key of 1024 bytes in JSON.
const MAX_TOKEN: usize = 8 << 10;

/// The SHA-256 of a certificate, in 64 hexadecimal digits, by which a server is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; BYTES]);

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 hexadecimal digits")]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// Wraps the digest of a certificate.
    pub const fn new(digest: [u8; BYTES]) -> Self {
        Self(digest)
    }

    /// Returns the digest.
    pub const fn bytes(&self) -> [u8; BYTES] {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let mut digest = [0; BYTES];
        hex::decode_to_slice(text, &mut digest).map_err(|_| InvalidFingerprint)?;
        Ok(Self(digest))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// Where an agent serves objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectServer {
    /// The address, `HOST:PORT`.
    pub address: String,
    /// The fingerprint of its certificate; no other server is sent a token.
    pub fingerprint: Fingerprint,
    /// Whether only the control plane reaches it, in whose process the agent is.
    #[serde(default)]
    pub internal: bool,
}

/// An object that an agent serves, and the permission to read it. The token is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSource {
    /// The server.
    pub server: ObjectServer,
    /// The token.
    pub token: String,
}

impl fmt::Debug for ObjectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectSource").field("server", &self.server).finish_non_exhaustive()
    }
}

impl ObjectSource {
    /// Returns the address of an object.
    pub fn url(&self, storage: StorageId, key: &str) -> String {
        format!("https://{}{}", self.server.address, object_path(storage, key))
    }

    /// Returns the value of the header `Authorization`.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// The start of the paths of objects.
const PATH: &str = "/v1/objects/";

/// Returns the path of an object in the URL of its server.
pub fn object_path(storage: StorageId, key: &str) -> String {
    format!("{PATH}{storage}/{}", BASE64.encode(key))
}

/// Returns the object of such a path; `None` for any other path.
pub fn object_of_path(path: &str) -> Option<(StorageId, String)> {
    let (storage, key) = path.strip_prefix(PATH)?.split_once('/')?;
    let key = String::from_utf8(BASE64.decode(key).ok()?).ok()?;
    Some((storage.parse().ok()?, key))
}

/// Returns a name for the file of an object that every system takes: the end of the key, with `_`
/// for all but letters, digits and a few marks of ASCII.
pub fn file_name(key: &str) -> String {
    let last = key.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' };
    let name: String = last.chars().take(200).map(safe).collect();
    match name.trim_start_matches('.') {
        "" => "object".to_owned(),
        visible => visible.to_owned(),
    }
}

/// What a token permits: to read one object until a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectGrant {
    /// The storage.
    pub storage: StorageId,
    /// The key of the object.
    pub key: String,
    /// What it is read for: the id of a task or of a download, for logs.
    pub purpose: String,
    /// The time after which the token is refused.
    pub until: Timestamp,
    /// For how many seconds an address of the storage itself may be valid that the reader is
    /// redirected to; `None` for a reader that gets the bytes from this server and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_s: Option<u32>,
    /// The name that the reader's file gets; `None` for the end of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
}

/// The reason why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was not made with this key, or was changed.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

/// The key that the tokens of one server are made with. It is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(Zeroizing<[u8; BYTES]>);

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        let mut key = Zeroizing::new([0; BYTES]);
        hex::decode_to_slice(text, key.as_mut_slice()).map_err(|_| InvalidFingerprint)?;
        Ok(Self(key))
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        hex::encode(key.0.as_slice())
    }
}

impl ObjectKey {
    /// Derives a key from another one, which does not follow from it: the HMAC-SHA-256 of
    /// `purpose`, which is the one block of HKDF-Expand (RFC 5869) that 32 bytes need.
    pub fn derive(from: &[u8; BYTES], purpose: &str) -> Self {
        let block = mac(from).chain_update(purpose).chain_update([1]).finalize();
        Self(Zeroizing::new(block.into_bytes().into()))
    }

    /// Makes a token for an object.
    pub fn token(&self, grant: &ObjectGrant) -> String {
        self.sign(grant)
    }

    /// Makes a token for an upload. Neither kind of token is accepted as the other one: their
    /// claims have no member in common that both need.
    pub fn upload_token(&self, grant: &UploadGrant) -> String {
        self.sign(grant)
    }

    fn sign(&self, grant: &impl Serialize) -> String {
        let claims = serde_json::to_vec(grant).expect("a grant has texts only");
        let claims = BASE64.encode(claims);
        let proof = mac(&self.0).chain_update(&claims).finalize().into_bytes();
        format!("{claims}.{}", BASE64.encode(proof))
    }

    /// Returns what a token permits at that time.
    ///
    /// # Errors
    ///
    /// [`TokenError`] for a token that was not made with this key, and for one that has expired.
    pub fn open(&self, token: &str, now: Timestamp) -> Result<ObjectGrant, TokenError> {
        let grant: ObjectGrant = self.verify(token)?;
        if grant.until < now { Err(TokenError::Expired) } else { Ok(grant) }
    }

    /// Returns which upload a token permits to send at that time.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_upload(&self, token: &str, now: Timestamp) -> Result<UploadGrant, TokenError> {
        let grant: UploadGrant = self.verify(token)?;
        if grant.until < now { Err(TokenError::Expired) } else { Ok(grant) }
    }

    fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        let (claims, proof) =
            token.split_once('.').filter(|_| token.len() <= MAX_TOKEN).ok_or(TokenError::Invalid)?;
        let proof = BASE64.decode(proof).map_err(|_| TokenError::Invalid)?;
        // Compared in constant time, before anything of the claims is read.
        mac(&self.0).chain_update(claims).verify_slice(&proof).map_err(|_| TokenError::Invalid)?;
        let claims = BASE64.decode(claims).map_err(|_| TokenError::Invalid)?;
        serde_json::from_slice(&claims).map_err(|_| TokenError::Invalid)
    }
}

fn mac(key: &[u8; BYTES]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("keys have any length")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use imprint_domain::id::TaskId;
    use uuid::Uuid;

    use super::*;

    fn grant() -> ObjectGrant {
        ObjectGrant {
            storage: StorageId::new(Uuid::from_u128(7)),
            key: "a/\u{e4} \"b\".qcow2".to_owned(),
            purpose: "task".to_owned(),
            until: DateTime::from_timestamp(1000, 0).unwrap(),
            direct_s: Some(900),
            file_name: None,
        }
    }

    #[test]
    fn a_token_of_before_redirects_nowhere() {
        let mut claims = serde_json::to_value(grant()).unwrap();
        assert_eq!(claims.as_object_mut().unwrap().remove("direct_s"), Some(900.into()));
        let read: ObjectGrant = serde_json::from_value(claims.clone()).unwrap();
        assert_eq!(read, ObjectGrant { direct_s: None, ..grant() });
        assert_eq!(serde_json::to_value(read).unwrap(), claims, "and is written as before");
    }

    #[test]
    fn a_token_is_for_one_object_one_key_and_a_time() {
        let (key, now) = (ObjectKey::derive(&[1; 32], "a"), grant().until);
        let token = key.token(&grant());
        assert_eq!(key.open(&token, now), Ok(grant()));
        let later = DateTime::from_timestamp(1001, 0).unwrap();
        assert_eq!(key.open(&token, later), Err(TokenError::Expired));
        for other in [ObjectKey::derive(&[1; 32], "b"), ObjectKey::derive(&[2; 32], "a")] {
            assert_eq!(other.open(&token, now), Err(TokenError::Invalid));
        }
        let (claims, proof) = token.split_once('.').unwrap();
        let changed =
            BASE64.encode(serde_json::to_vec(&ObjectGrant { key: "b".to_owned(), ..grant() }).unwrap());
        for wrong in [
            format!("{changed}.{proof}"),
            format!("{claims}."),
            format!("{claims}.{}", &proof[1..]),
            claims.to_owned(),
            String::new(),
            format!("{claims}.{}", "A".repeat(MAX_TOKEN)),
        ] {
            assert_eq!(key.open(&wrong, now), Err(TokenError::Invalid), "{wrong}");
        }
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let key = ObjectKey::derive(&[1; 32], "a");
        let token = key.token(&grant());
        for index in 0..token.len() - 1 {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(key.open(&changed, grant().until), Err(TokenError::Invalid), "{index}");
        }
    }

    #[test]
    fn tokens_of_objects_and_uploads_are_not_each_others() {
        let (key, now) = (ObjectKey::derive(&[1; 32], "a"), grant().until);
        let upload = UploadGrant { upload: TaskId::new(Uuid::from_u128(9)), until: now };
        let token = key.upload_token(&upload);
        assert_eq!(key.open_upload(&token, now), Ok(upload));
        assert_eq!(key.open(&token, now), Err(TokenError::Invalid));
        assert_eq!(key.open_upload(&key.token(&grant()), now), Err(TokenError::Invalid));
        let later = DateTime::from_timestamp(1001, 0).unwrap();
        assert_eq!(key.open_upload(&token, later), Err(TokenError::Expired));
    }

    #[test]
    fn a_path_names_any_key() {
        let ObjectGrant { storage, key, .. } = grant();
        let path = object_path(storage, &key);
        assert!(path.is_ascii() && !path.contains(['"', ' ', '%']), "{path}");
        assert_eq!(object_of_path(&path), Some((storage, key)));
        for wrong in ["/", "/v1/objects/x/YQ", "/v1/objects/", &format!("/v1/objects/{storage}/a b")] {
            assert_eq!(object_of_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_of_files_are_harmless() {
        for (key, name) in [
            ("img_1.qcow2", "img_1.qcow2"),
            ("a/b/disk.raw", "disk.raw"),
            ("a/b/", "b"),
            ("../..", "object"),
            (".hidden", "hidden"),
            ("x\"; filename=\"evil.exe", "x___filename__evil.exe"),
            ("\u{e4}\r\nSet-Cookie: a", "___Set-Cookie__a"),
            ("", "object"),
        ] {
            assert_eq!(file_name(key), name, "{key:?}");
        }
        assert_eq!(file_name(&"x".repeat(500)).len(), 200);
    }

    #[test]
    fn keys_and_tokens_are_not_printed() {
        let key = ObjectKey::derive(&[1; 32], "a");
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<ObjectKey>(&json).unwrap(), key);
        assert_eq!(format!("{key:?}"), "(secret)");
        let source = ObjectSource {
            server: ObjectServer {
                address: "h:1".to_owned(),
                fingerprint: Fingerprint::new([3; 32]),
                internal: false,
            },
            token: "precious".to_owned(),
        };
        assert!(!format!("{source:?}").contains("precious"));
        assert!("00".parse::<Fingerprint>().is_err());
    }
}
