//! The settings of a server: its command-line flags, overlaid on its configuration file.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use clap::Args;
use imprint_service::{Database, SecretKeys, Service, SystemEnvironment};

use super::config::{self, FileConfig};
use crate::{errors, plugin_ports::PluginFolders};

/// Arguments that `serve`, `agent`, `migrate` and `doctor` share.
#[derive(Args, Clone)]
pub(crate) struct SettingsArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the database, images and instances [default: /var/lib/imprint for root, else
    /// below the home directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Directory of the sockets; a short path
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

impl SettingsArgs {
    /// Reads the configuration file and lays the flags over it.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is not a valid configuration, or the current directory is needed
    /// and unknown.
    pub(crate) fn read(&self) -> Result<ServerSettings> {
        let file = FileConfig::read(self.config.as_deref())?;
        let data_dir = self.data_dir.clone().or_else(|| file.server.data_dir.clone());
        let data_dir = std::path::absolute(data_dir.unwrap_or_else(config::default_data_dir))?;
        let run_dir = self.run_dir.clone().or_else(|| file.agent.run_dir.clone());
        let run_dir = run_dir.unwrap_or_else(|| config::default_run_dir(&data_dir));
        Ok(ServerSettings { file, data_dir, run_dir })
    }
}

/// The settings of a server, from its flags and its configuration file.
pub(crate) struct ServerSettings {
    /// The configuration file.
    pub(crate) file: FileConfig,
    /// The directory of the database, images and instances; absolute.
    pub(crate) data_dir: PathBuf,
    /// The directory of the sockets.
    pub(crate) run_dir: PathBuf,
}

impl ServerSettings {
    /// Returns where compiled plugins are cached, and the operator's folder of plugins.
    pub(crate) fn plugin_folders(&self) -> PluginFolders {
        PluginFolders { cache: self.data_dir.join("cache/plugins"), more: self.file.plugins.dir.clone() }
    }

    /// Makes the data directory, readable for this user only.
    ///
    /// # Errors
    ///
    /// The directory or one above it cannot be made.
    pub(crate) fn make_data_dir(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.data_dir).with_context(|| {
            format!("cannot make {}; choose another with --data-dir", self.data_dir.display())
        })
    }

    /// Opens the database and brings its schema up to date. Without `secret_keys`, secrets can be
    /// neither stored nor read.
    ///
    /// # Errors
    ///
    /// The database cannot be opened, or was written by a newer version. The error names the
    /// database, without its password.
    pub(crate) async fn service(&self, secret_keys: SecretKeys) -> Result<Service> {
        let (database, shown) = self.database()?;
        let defaults = imprint_service::Settings::default();
        let storage_scan_h = self.file.storages.scan_hours.unwrap_or(defaults.storage_scan_h);
        let storage_deep_scan_d = self.file.storages.deep_scan_days.unwrap_or(defaults.storage_deep_scan_d);
        let captures = &self.file.captures;
        let capture_seconds_per_gib =
            captures.seconds_per_gib.map_or(defaults.capture_seconds_per_gib, NonZeroU32::get);
        let settings = imprint_service::Settings {
            secret_keys,
            storage_scan_h,
            storage_deep_scan_d,
            capture_seconds_per_gib,
            capture_limit_h: captures.time_limit_hours.map_or(defaults.capture_limit_h, NonZeroU32::get),
            capture_room_retry_min: captures.room_retry_minutes.unwrap_or(defaults.capture_room_retry_min),
            upload_idle_h: self
                .file
                .imports
                .upload_idle_hours
                .map_or(defaults.upload_idle_h, NonZeroU32::get),
            export_kept_h: self.file.exports.kept_hours.map_or(defaults.export_kept_h, NonZeroU32::get),
            export_limit: self.file.exports.at_once.map_or(defaults.export_limit, NonZeroU32::get),
            export_to_private_networks: self.file.exports.private_networks,
            billing_zone: match &self.file.billing.time_zone {
                Some(name) => name.parse().context("billing.time_zone is not valid")?,
                None => defaults.billing_zone,
            },
            billing_close_after_d: self
                .file
                .billing
                .close_after_days
                .unwrap_or(defaults.billing_close_after_d),
            ..defaults
        };
        let opened = Service::open(&database, settings, Arc::new(SystemEnvironment)).await;
        opened.map_err(errors::to_anyhow).with_context(|| format!("cannot open the database {shown}"))
    }

    /// Returns the database, and how messages name it.
    fn database(&self) -> Result<(Database, String)> {
        Ok(match self.file.database_url()? {
            Some(url) => {
                let shown = without_password(&url);
                (Database::Postgres(url), shown)
            }
            None => {
                let path = self.data_dir.join("imprint.db");
                let shown = path.display().to_string();
                (Database::SqliteFile(path), shown)
            }
        })
    }
}

/// Returns a database's URL without its user, password and options.
fn without_password(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => {
            let host = url.host_str().unwrap_or("localhost");
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}{}", url.scheme(), url.path())
        }
        Err(_) => "of database.url".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_without_its_password() {
        assert_eq!(
            without_password("postgres://user:secret@db.example:5433/imprint?sslmode=require"),
            "postgres://db.example:5433/imprint"
        );
        assert_eq!(without_password("no url: secret"), "of database.url");
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ServerSettings {
            file: FileConfig::default(),
            data_dir: folder.path().join("missing"),
            run_dir: PathBuf::from("/run"),
        };
        let error = errors::describe(&settings.service(SecretKeys::default()).await.err().unwrap());
        let path = settings.data_dir.join("imprint.db");
        assert!(error.starts_with(&format!("cannot open the database {}: ", path.display())), "{error}");
    }
}
