//! The service itself.

use std::{path::PathBuf, sync::Arc};

use chrono::SubsecRound;
use imprint_domain::{
    Code, Error,
    error_chain::error_chain,
    time::{Environment, Timestamp},
};
use imprint_store::{Conn, Store, StoreError, Target};
use uuid::Uuid;

use crate::{hub::Hub, secret::Passwords, session::Attempts};

/// Which database.
#[derive(Clone)]
pub enum Database {
    /// A SQLite file; made if it is missing.
    SqliteFile(PathBuf),
    /// SQLite in memory, gone with the service.
    SqliteMemory,
    /// `postgres://...`.
    Postgres(String),
}

/// Settings with their defaults in code.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A session ends when it was not used for this long, in seconds (12 h).
    pub session_idle_s: i64,
    /// A session ends after this long, in seconds (7 days).
    pub session_absolute_s: i64,
    /// Memory of one password hash, in KiB (19456).
    pub password_memory_kib: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { session_idle_s: 12 * 3600, session_absolute_s: 7 * 24 * 3600, password_memory_kib: 19_456 }
    }
}

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
    attempts: Attempts,
    opened_at: Timestamp,
}

impl Service {
    /// Opens the database and brings its schema up to date.
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
        let attempts = Attempts::default();
        Ok(Self {
            inner: Arc::new(Inner { store, environment, settings, hub, passwords, attempts, opened_at }),
        })
    }

    /// Whether the database answers.
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

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.inner.attempts
    }

    /// When this control plane started: leases get a full term from then on, as nobody could
    /// prolong them before.
    pub(crate) fn opened_at(&self) -> Timestamp {
        self.inner.opened_at
    }

    /// Now, in microseconds: what both databases hold.
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.environment.now().trunc_subsecs(6)
    }

    pub(crate) fn new_uuid(&self) -> Uuid {
        self.inner.environment.new_uuid()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.inner.environment.fill_random(&mut bytes);
        bytes
    }
}

/// Turns what the store says into what use cases answer.
pub(crate) trait DbResult<T> {
    /// The value, or an error that tells the client nothing and the log everything.
    fn db(self) -> Result<T, Error>;
}

impl<T> DbResult<T> for Result<T, StoreError> {
    fn db(self) -> Result<T, Error> {
        self.map_err(|error| {
            let internal = Some(error_chain(&error));
            if error.is_unavailable() {
                return Error {
                    internal,
                    ..Error::new(Code::Unavailable, "the database does not answer; try again")
                };
            }
            Error { internal, ..Error::internal("") }
        })
    }
}
