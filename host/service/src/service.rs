//! The service itself.

use std::{path::PathBuf, sync::Arc};

use chrono::SubsecRound;
use imprint_domain::{
    Code, Error,
    billing::Zone,
    error_chain::error_chain,
    estimate::DEFAULT_SECONDS_PER_GIB,
    id::AccountId,
    time::{Environment, Timestamp},
};
use imprint_store::{Conn, Store, Target};
use uuid::Uuid;

use crate::{
    auth::secret::Passwords, db_result::DbResult, environment::EnvironmentRng, rate_limit::AttemptCounter,
    secrets::keys::SecretKeys, tasks::hub::Hub,
};

/// The database to open.
#[derive(Clone)]
pub enum Database {
    /// A SQLite file; created if it is missing.
    SqliteFile(PathBuf),
    /// SQLite in memory, removed with the service.
    SqliteMemory,
    /// A PostgreSQL server, as `postgres://...`.
    Postgres(String),
}

/// Settings with their defaults in code.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The time without use after which a session ends, in seconds (12 h).
    pub session_idle_s: i64,
    /// The longest life of a session, in seconds (7 days).
    pub session_absolute_s: i64,
    /// The memory of one password hash, in KiB (19456).
    pub password_memory_kib: u32,
    /// The keys that secrets are sealed with. Without any, no secret can be stored.
    pub secret_keys: SecretKeys,
    /// The time between two scans of an image storage, in hours (24); 0 for none that start by
    /// themselves.
    pub storage_scan_h: u32,
    /// The time after which one of these scans is deep, in days (30), at most as long as scans are
    /// remembered (90); 0 for none that are deep by themselves.
    pub storage_deep_scan_d: u32,
    /// The seconds for each GiB of a disk that an estimate assumes where nothing was captured
    /// before (120).
    pub capture_seconds_per_gib: u32,
    /// The time that the work of a capture may take, in hours (24), at least 1 (S29).
    pub capture_limit_h: u32,
    /// The time after which a capture is tried again that failed because of too little room on the
    /// image storage, in minutes (30); 0 for not by itself (S32).
    pub capture_room_retry_min: u32,
    /// The time without a byte after which an upload ends, in hours (48), at least 1.
    pub upload_idle_h: u32,
    /// The time for which the file of an export is kept, in hours (72), at least 1.
    pub export_kept_h: u32,
    /// The number of exports of an account that are made at the same time (3), at least 1.
    pub export_limit: u32,
    /// Whether customers may export to storages of theirs in private networks (no).
    pub export_to_private_networks: bool,
    /// The time zone that months and days of billing are of (UTC).
    pub billing_zone: Zone,
    /// The days after which a month is closed by itself (3); 0 for by an admin only.
    pub billing_close_after_d: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_idle_s: 12 * 3600,
            session_absolute_s: 7 * 24 * 3600,
            password_memory_kib: 19_456,
            secret_keys: SecretKeys::default(),
            storage_scan_h: 24,
            storage_deep_scan_d: 30,
            capture_seconds_per_gib: DEFAULT_SECONDS_PER_GIB,
            capture_limit_h: 24,
            capture_room_retry_min: 30,
            upload_idle_h: 48,
            export_kept_h: 72,
            export_limit: 3,
            export_to_private_networks: false,
            billing_zone: Zone::UTC,
            billing_close_after_d: 3,
        }
    }
}

/// How long failed sign-ins count, in seconds.
const SIGN_IN_WINDOW_S: i64 = 300;

/// How long names of accounts that do not exist count, in seconds.
const UNKNOWN_NAMES_WINDOW_S: i64 = 900;

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    environment: Arc<dyn Environment>,
    settings: Settings,
    hub: Hub,
    passwords: Passwords,
    sign_in_failures: AttemptCounter<String>,
    /// Names of accounts that do not exist, which an account has tried to share images with.
    unknown_names: AttemptCounter<AccountId>,
    opened_at: Timestamp,
}

impl Service {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the database cannot be opened.
    pub async fn open(
        database: &Database,
        settings: Settings,
        environment: Arc<dyn Environment>,
    ) -> Result<Self, Error> {
        let target = match database {
            Database::SqliteFile(path) => Target::SqliteFile(path.clone()),
            Database::SqliteMemory => Target::SqliteMemory,
            Database::Postgres(url) => Target::Postgres(url.clone()),
        };
        let store = Store::open(&target).await.map_err(|error| {
            let what = "the database cannot be opened; the log has the cause";
            Error { internal: Some(error_chain(&error)), ..Error::new(Code::Unavailable, what) }
        })?;
        let passwords = Passwords::new(settings.password_memory_kib)?;
        let opened_at = environment.now().trunc_subsecs(6);
        let hub = Hub::default();
        let sign_in_failures = AttemptCounter::new(SIGN_IN_WINDOW_S);
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                environment,
                settings,
                hub,
                passwords,
                sign_in_failures,
                unknown_names: AttemptCounter::new(UNKNOWN_NAMES_WINDOW_S),
                opened_at,
            }),
        })
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when it does not.
    pub async fn ready(&self) -> Result<(), Error> {
        self.store().ping().await.db()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn read(&self) -> Conn<'_> {
        self.inner.store.read()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    pub(crate) fn sign_in_failures(&self) -> &AttemptCounter<String> {
        &self.inner.sign_in_failures
    }

    pub(crate) fn unknown_names(&self) -> &AttemptCounter<AccountId> {
        &self.inner.unknown_names
    }

    /// Returns when the service was opened: leases get a full term from then on, as it could not
    /// extend them before.
    pub fn opened_at(&self) -> Timestamp {
        self.inner.opened_at
    }

    /// Returns the current time, in microseconds as both databases store it.
    pub fn now(&self) -> Timestamp {
        self.inner.environment.now().trunc_subsecs(6)
    }

    pub(crate) fn new_uuid(&self) -> Uuid {
        self.inner.environment.new_uuid()
    }

    pub(crate) fn rng(&self) -> EnvironmentRng<'_> {
        EnvironmentRng(self.inner.environment.as_ref())
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.inner.environment.fill_random(&mut bytes);
        bytes
    }
}
