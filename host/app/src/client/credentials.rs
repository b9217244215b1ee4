//! What `imprint login` keeps: one file that only its owner can read.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use imprint_domain::id::TokenId;
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The version of the file's shape; others are refused.
const VERSION: u32 = 1;

/// A kept token.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The version of this shape.
    version: u32,
    /// The server that the token is for.
    pub(crate) server: String,
    /// Whose it is.
    pub(crate) account: String,
    /// Its id, for revoking it.
    pub(crate) token_id: TokenId,
    /// The token.
    pub(crate) token: String,
}

impl Credentials {
    /// A token to keep.
    pub(crate) fn new(server: String, account: String, token_id: TokenId, token: String) -> Self {
        Self { version: VERSION, server, account, token_id, token }
    }

    /// Where they are kept: `IMPRINT_CREDENTIALS`, or `imprint/credentials.json` in the user's
    /// folder for configuration.
    pub(crate) fn path() -> Result<PathBuf, Failure> {
        if let Some(path) = env::var_os("IMPRINT_CREDENTIALS") {
            return Ok(path.into());
        }
        let folder = match env::var_os("XDG_CONFIG_HOME").filter(|value| Path::new(value).is_absolute()) {
            Some(folder) => PathBuf::from(folder),
            None => env::home_dir()
                .ok_or_else(|| Failure::Usage("set HOME or IMPRINT_CREDENTIALS".to_owned()))?
                .join(".config"),
        };
        Ok(folder.join("imprint").join("credentials.json"))
    }

    /// The kept ones, if there are any.
    pub(crate) fn read() -> Result<Option<Self>, Failure> {
        let path = Self::path()?;
        let wrong = |cause: io::Error| Failure::local(format!("cannot read {}", path.display()), cause);
        let text = match read_bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error)),
        };
        let kept: Self = serde_json::from_str(&text).map_err(|error| wrong(error.into()))?;
        if kept.version != VERSION {
            return Err(wrong(io::Error::other("it is of another version; sign in again")));
        }
        Ok(Some(kept))
    }

    /// Keeps them: written aside and renamed, readable for nobody else from the first moment.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let path = Self::path()?;
        self.write_to(&path)
            .map_err(|cause| Failure::local(format!("cannot write {}", path.display()), cause))
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let aside = path.with_extension(format!("{}.tmp", std::process::id()));
        let result = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&aside, path)
        })();
        if result.is_err() {
            // The first error is the one to tell; what cannot be removed holds a token of ours in a
            // folder of ours.
            drop(fs::remove_file(&aside));
        }
        result
    }

    /// Forgets them.
    pub(crate) fn remove() -> Result<(), Failure> {
        let path = Self::path()?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Failure::local(format!("cannot remove {}", path.display()), error)),
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::other("it is too large to be a credentials file"));
    }
    fs::read_to_string(path)
}

/// A server's address without what does not belong to it: `http://host:port`.
pub(crate) fn normalize(server: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        Failure::Usage(format!(
            "`{server}` is not a server's address: {why}; use one such as http://127.0.0.1:8080"
        ))
    };
    let url: reqwest::Url = server.parse().map_err(|_| wrong("it cannot be read"))?;
    if url.scheme() != "http" {
        return Err(wrong("this program speaks http; let a proxy on this machine speak https"));
    }
    if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it needs a host, and holds no user"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it holds no query"));
    }
    Ok(url.as_str().trim_end_matches('/').trim_end_matches("/api/v1").to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (typed, kept) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://EXAMPLE.org/imprint/api/v1/", "http://example.org/imprint"),
        ] {
            assert_eq!(normalize(typed).ok().as_deref(), Some(kept));
        }
        for wrong in ["", "127.0.0.1:8080", "ftp://a", "http://u:p@a", "http://a?b"] {
            assert!(matches!(normalize(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn the_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("credentials.json");
        let id = TokenId::new(uuid::Uuid::from_u128(7));
        let kept = Credentials::new("http://a".to_owned(), "demo".to_owned(), id, "imp_x".to_owned());
        kept.write_to(&path).unwrap();
        kept.write_to(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: Credentials = serde_json::from_str(&read_bounded(&path).unwrap()).unwrap();
        assert_eq!((read.server.as_str(), read.token.as_str()), ("http://a", "imp_x"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left aside");
    }
}
