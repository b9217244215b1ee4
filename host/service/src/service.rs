//! The service itself.

use std::{path::PathBuf, sync::Arc};

use imprint_domain::{Error, time::Context};

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
    context: Arc<dyn Context>,
    settings: Settings,
}

impl Service {
    /// Opens the database and brings its schema up to date.
    pub async fn open(
        database: &Database,
        settings: Settings,
        context: Arc<dyn Context>,
    ) -> Result<Self, Error> {
        pending!(database, settings, context)
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), Error> {
        pending!()
    }
}
