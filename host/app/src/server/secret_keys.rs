//! The file with the keys that secrets are sealed with.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use imprint_domain::{secret::SecretText, time::Environment as _};
use imprint_service::{KEY_BYTES, SecretKeys, SystemEnvironment};

use super::settings::ServerSettings;

/// The name of the file in the data directory, where none is configured.
const FILE: &str = "secrets.key";
/// The longest file, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Reads the key file. Without a configured one, it is in the data directory, and is made with a
/// new key when it does not exist.
///
/// # Errors
///
/// The file cannot be read or made, other users can read it, or its text is not valid. The error
/// names the file and has nothing of its content.
pub(super) fn load(settings: &ServerSettings) -> Result<SecretKeys> {
    let configured = settings.file.secrets.key_file.as_deref();
    let path = configured.map_or_else(|| settings.data_dir.join(FILE), PathBuf::from);
    if configured.is_none() && !path.exists() {
        make(&path).with_context(|| format!("cannot make the key file {}", path.display()))?;
    }
    let text = read(&path)?;
    SecretKeys::parse(text.expose()).with_context(|| format!("the key file {} is not valid", path.display()))
}

fn read(path: &Path) -> Result<SecretText> {
    let failed = || format!("cannot read the key file {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let metadata = file.metadata().with_context(failed)?;
    if metadata.mode() & 0o077 != 0 {
        let path = path.display();
        bail!("other users may read or write the key file {path}; close it with `chmod 600 {path}`");
    }
    if metadata.len() > MAX_FILE {
        bail!("the key file {} has more than {MAX_FILE} bytes; is it another file?", path.display());
    }
    Ok(SecretText::new(io::read_to_string(file).with_context(failed)?))
}

/// Makes the file with a new key, for this user only. It is durable when this returns: without it,
/// no secret can be opened again.
fn make(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES];
    SystemEnvironment.fill_random(&mut key);
    let text = SecretText::new(format!(
        "# The key that secrets in the database are sealed with. Keep a copy apart from the database's.\n{}\n",
        hex::encode(key)
    ));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{errors, server::config::FileConfig};

    fn settings(folder: &Path, key_file: Option<PathBuf>) -> ServerSettings {
        let mut file = FileConfig::default();
        file.secrets.key_file = key_file;
        ServerSettings { file, data_dir: folder.to_owned(), run_dir: folder.to_owned() }
    }

    #[test]
    fn a_key_file_is_made_once_and_only_where_none_is_configured() {
        let folder = tempfile::tempdir().unwrap();
        let made = format!("{:?}", load(&settings(folder.path(), None)).unwrap());
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(format!("{:?}", load(&settings(folder.path(), None)).unwrap()), made);
        let missing = folder.path().join("elsewhere.key");
        let error = errors::describe(&load(&settings(folder.path(), Some(missing.clone()))).unwrap_err());
        assert!(error.contains("elsewhere.key") && !missing.exists(), "{error}");
    }

    #[test]
    fn a_file_that_others_can_read_or_that_has_no_key_is_refused_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, "not a key but a password").unwrap();
        let refused = || errors::describe(&load(&settings(folder.path(), Some(path.clone()))).unwrap_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refused().contains("chmod 600"), "{}", refused());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(
            refused().contains("line 1 is not a key") && !refused().contains("password"),
            "{}",
            refused()
        );
    }
}
