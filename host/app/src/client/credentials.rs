//! The credentials that `imprint login` keeps: one file that only its owner can read.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use imprint_domain::id::TokenId;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::terminal::note;

/// The size of the largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The version of the file's format; others are refused.
const VERSION: u32 = 1;

/// A kept token and its server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The version of this format.
    version: u32,
    /// The server that the token is for.
    pub(crate) server: String,
    /// The name of the account.
    pub(crate) account: String,
    /// The id of the token, for revoking it.
    pub(crate) token_id: TokenId,
    /// The token with its secret.
    pub(crate) token: String,
}

impl Credentials {
    /// Returns the credentials of a token.
    pub(crate) fn new(server: String, account: String, token_id: TokenId, token: String) -> Self {
        Self { version: VERSION, server, account, token_id, token }
    }

    /// Returns the path of the file: `IMPRINT_CREDENTIALS`, or `imprint/credentials.json` in the
    /// user's configuration directory.
    ///
    /// # Errors
    ///
    /// The home directory is unknown.
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

    /// Reads the file. `None` without one. Warns if other users can read it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not one that `imprint login` wrote.
    pub(crate) fn read() -> Result<Option<Self>, Failure> {
        Self::read_from(&Self::path()?)
    }

    fn read_from(path: &Path) -> Result<Option<Self>, Failure> {
        let wrong = |cause: io::Error| Failure::local(format!("cannot read {}", path.display()), cause);
        let (text, mode) = match read_bounded(path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error)),
        };
        if mode & 0o077 != 0 {
            note(&format!(
                "warning: other users can access {}, which holds a token; run `chmod 600` on it and sign in again",
                path.display()
            ));
        }
        let broken = |why: &str| {
            Failure::NotSignedIn(format!(
                "{} {why}: remove it and sign in again with `imprint login`",
                path.display()
            ))
        };
        let kept: Self = serde_json::from_str(&text)
            .map_err(|_| broken("is not a credentials file of `imprint login`"))?;
        if kept.version != VERSION {
            return Err(broken("was written by another version of `imprint login`"));
        }
        Ok(Some(kept))
    }

    /// Writes the file to a temporary name and renames it. Only its owner can read it from the
    /// start.
    ///
    /// # Errors
    ///
    /// The file or its directory cannot be made.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let path = Self::path()?;
        self.write_to(&path)
            .map_err(|cause| Failure::local(format!("cannot write {}", path.display()), cause))
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let result = (|| {
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        })();
        if result.is_err() {
            // The first error is the one to report. A file that cannot be removed is readable for
            // its owner only.
            drop(fs::remove_file(&temporary));
        }
        result
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    ///
    /// The file cannot be removed.
    pub(crate) fn remove() -> Result<(), Failure> {
        let path = Self::path()?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Failure::local(format!("cannot remove {}", path.display()), error)),
        }
    }
}

/// Returns the text of a file and its permission bits.
fn read_bounded(path: &Path) -> io::Result<(String, u32)> {
    let metadata = fs::metadata(path)?;
    if metadata.len() > MAX_BYTES {
        return Err(io::Error::other("it is too large for a credentials file"));
    }
    Ok((fs::read_to_string(path)?, metadata.permissions().mode() & 0o777))
}

/// Returns a server's address in one form: `http://host:port`, without a slash or `/api/v1` at the
/// end.
pub(crate) fn normalize(server: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        Failure::Usage(format!(
            "`{server}` is not the address of a server: {why}; use one such as http://127.0.0.1:8080"
        ))
    };
    let url: reqwest::Url = server.parse().map_err(|_| wrong("it is not a URL"))?;
    if url.scheme() != "http" {
        return Err(wrong("this command supports http only; for https run a proxy on this machine"));
    }
    if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must have a host and no user"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must not have a query"));
    }
    Ok(url.as_str().trim_end_matches('/').trim_end_matches("/api/v1").to_owned())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(read_bounded(&path).unwrap().1, 0o600);
        let read = Credentials::read_from(&path).unwrap().unwrap();
        assert_eq!((read.server.as_str(), read.token.as_str()), ("http://a", "imp_x"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_broken_file_says_how_to_sign_in_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.json");
        assert!(Credentials::read_from(&path).unwrap().is_none());
        for broken in ["", "{", "{}", r#"{"version": 9}"#] {
            fs::write(&path, broken).unwrap();
            let failure = Credentials::read_from(&path).err().unwrap();
            assert!(matches!(failure, Failure::NotSignedIn(_)), "{broken}: {failure}");
            assert!(failure.to_string().contains("imprint login"), "{broken}: {failure}");
        }
    }
}
