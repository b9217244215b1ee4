//! Storages of the account's own, as they are named on the command line.

use std::collections::BTreeMap;

use imprint_domain::secret::{SecretText, Secrets};

use super::{failure::Failure, storage_test};

/// The variables of the environment that the settings and secrets of a storage are read from, as
/// other clients of these storages do.
const FROM_ENVIRONMENT: [(&str, &str, &str, bool); 7] = [
    ("s3", "access-key", "AWS_ACCESS_KEY_ID", false),
    ("s3", "secret-key", "AWS_SECRET_ACCESS_KEY", true),
    ("s3", "session-token", "AWS_SESSION_TOKEN", true),
    ("swift", "auth-url", "OS_AUTH_URL", false),
    ("swift", "user", "OS_USERNAME", false),
    ("swift", "project", "OS_PROJECT_NAME", false),
    ("swift", "password", "OS_PASSWORD", true),
];

/// An object in a storage of the account's own, or a place for one.
pub(super) struct OwnedStorage {
    pub(super) kind: String,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) secrets: Secrets,
    pub(super) key: Option<String>,
}

impl OwnedStorage {
    /// Returns the storage that a URL, settings, files of secrets and the environment describe;
    /// `option` is that of the URL.
    pub(super) fn of(
        option: &str,
        url: &str,
        given: &[(String, String)],
        files: &[(String, String)],
    ) -> Result<Self, Failure> {
        let invalid =
            || Failure::Usage(format!("write {option} as s3://BUCKET/KEY or swift://CONTAINER/KEY"));
        let (kind, rest) = url.split_once("://").ok_or_else(invalid)?;
        let place = match kind {
            "s3" => "bucket",
            "swift" => "container",
            _ => return Err(invalid()),
        };
        let (name, key) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(invalid());
        }
        let mut settings = BTreeMap::from([(place.to_owned(), name.to_owned())]);
        let mut secrets = Secrets::new();
        for (_, setting, variable, is_secret) in FROM_ENVIRONMENT.iter().filter(|found| found.0 == kind) {
            let value = std::env::var_os(variable).and_then(|value| value.into_string().ok());
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            if *is_secret {
                secrets.insert((*setting).to_owned(), SecretText::new(value));
            } else {
                settings.insert((*setting).to_owned(), value);
            }
        }
        settings.extend(given.iter().cloned());
        secrets.extend(storage_test::secrets(files)?);
        let key = (!key.is_empty()).then(|| key.to_owned());
        Ok(Self { kind: kind.to_owned(), settings, secrets, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_kind_place_and_key() {
        let of = |url: &str| OwnedStorage::of("--from", url, &[], &[]);
        let bucket = of("s3://disks/backups/web.qcow2").ok().unwrap();
        assert_eq!((bucket.kind.as_str(), bucket.key.as_deref()), ("s3", Some("backups/web.qcow2")));
        assert_eq!(bucket.settings["bucket"], "disks");
        let container = of("swift://disks").ok().unwrap();
        assert_eq!((container.settings["container"].as_str(), container.key), ("disks", None));
        for wrong in ["disks/web", "s3://", "https://disks/web", "s3:///web"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
