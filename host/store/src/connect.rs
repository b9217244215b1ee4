//! Connections: readers, and the one writer.

use std::{fmt, path::PathBuf, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection, DatabaseExecutor,
    DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use crate::StoreError;

/// The number of readers in the pool.
const READERS: u32 = 8;
/// The longest wait for a writer of another process.
const BUSY: Duration = Duration::from_secs(10);
/// The longest wait for a free connection.
const ACQUIRE: Duration = Duration::from_secs(30);
/// Keys of PostgreSQL's advisory locks: `imprint` with a number.
const LOCK_WRITE: i64 = 0x696d_7072_696e_7401;
const LOCK_MIGRATE: i64 = 0x696d_7072_696e_7402;

/// The database to open.
#[derive(Clone)]
pub enum Target {
    /// A SQLite file; created if it is missing.
    SqliteFile(PathBuf),
    /// SQLite in memory: one connection for everything.
    SqliteMemory,
    /// A PostgreSQL server, as `postgres://...`.
    Postgres(String),
}

/// An open database.
pub struct Store {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
}

/// A connection to read with: the pool, or a write transaction that sees its own changes.
pub struct Conn<'a>(pub(crate) DatabaseExecutor<'a>);

/// A write transaction. Dropping it without [`WriteTx::commit`] rolls it back.
pub struct WriteTx(pub(crate) DatabaseTransaction);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database and brings its schema up to date.
    pub(crate) async fn connect(target: &Target) -> Result<Self, StoreError> {
        let store = match target {
            Target::SqliteFile(path) => {
                let path = path.to_str().ok_or_else(|| {
                    StoreError::File(format!("{} is not valid UTF-8; choose another folder", path.display()))
                })?;
                let url = format!("sqlite://{}?mode=rwc", path.replace('%', "%25").replace('?', "%3f"));
                let writer = Database::connect(sqlite(&url, 1)).await?;
                Self { reader: Database::connect(sqlite(&url, READERS)).await?, writer }
            }
            Target::SqliteMemory => {
                let mut options = sqlite("sqlite::memory:", 1);
                // The database exists as long as its only connection.
                options.min_connections(1).idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
                let writer = Database::connect(options).await?;
                Self { reader: writer.clone(), writer }
            }
            Target::Postgres(url) => {
                let writer = Database::connect(postgres(url, 1)).await?;
                Self { reader: Database::connect(postgres(url, READERS)).await?, writer }
            }
        };
        store.migrate().await?;
        Ok(store)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        if self.backend() != DatabaseBackend::Postgres {
            return Ok(imprint_migrations::up(&self.writer).await?);
        }
        // Several control planes may start at once: one migrates, the others wait, on a connection
        // of their own.
        let lock = self.writer.begin().await?;
        lock.execute_unprepared(&format!("select pg_advisory_xact_lock({LOCK_MIGRATE})")).await?;
        imprint_migrations::up(&self.reader).await?;
        lock.commit().await?;
        Ok(())
    }

    fn backend(&self) -> DatabaseBackend {
        self.writer.get_database_backend()
    }

    /// Returns a connection to read with.
    pub fn read(&self) -> Conn<'_> {
        Conn(DatabaseExecutor::Connection(&self.reader))
    }

    /// Starts a write transaction; all others wait until it is over.
    pub async fn write_tx(&self) -> Result<WriteTx, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let tx = self.writer.begin_with_options(options).await?;
        if self.backend() == DatabaseBackend::Postgres {
            tx.execute_unprepared(&format!("select pg_advisory_xact_lock({LOCK_WRITE})")).await?;
        }
        Ok(WriteTx(tx))
    }

    /// Checks that the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.reader.execute_unprepared("select 1").await?;
        Ok(())
    }
}

impl WriteTx {
    /// Returns a connection that reads inside the transaction.
    pub fn conn(&self) -> Conn<'_> {
        Conn(DatabaseExecutor::Transaction(&self.0))
    }

    /// Commits the changes.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }
}

fn sqlite(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).acquire_timeout(ACQUIRE).sqlx_logging(false).map_sqlx_sqlite_opts(
        |options| {
            options
                .foreign_keys(true)
                .busy_timeout(BUSY)
                .pragma("journal_mode", "wal")
                // A committed row survives a power cut: it describes bytes that were made durable
                // before it.
                .pragma("synchronous", "full")
        },
    );
    options
}

fn postgres(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .sqlx_logging(false)
        .test_before_acquire(true);
    options
}
