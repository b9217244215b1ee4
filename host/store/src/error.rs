//! What can go wrong with rows.

use sea_orm::{DbErr, SqlErr};

/// Why rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique constraint says that it is there already.
    #[error("a row with the same unique value exists")]
    Duplicate(#[source] DbErr),
    /// The database did not do it.
    #[error("the database failed")]
    Database(#[source] DbErr),
    /// A row holds what this version does not understand.
    #[error("the {column} of a row is not understood: {value}")]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// Its value, shortened.
        value: String,
    },
    /// The file of the database cannot be used.
    #[error("the database file cannot be used: {0}")]
    File(String),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Duplicate(error),
            Some(_) | None => Self::Database(error),
        }
    }
}

impl StoreError {
    /// Whether the database could not be reached at all, so that trying later can help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Database(DbErr::ConnectionAcquire(_) | DbErr::Conn(_)))
    }
}
