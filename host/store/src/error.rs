//! Failures of the store.

use sea_orm::{DbErr, SqlErr};

/// A failure to read or write rows.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique constraint refuses the row.
    #[error("a row with the same unique value exists")]
    Duplicate(#[source] DbErr),
    /// The database reported an error.
    #[error("the database failed")]
    Database(#[source] DbErr),
    /// A row contains a value that this version does not know.
    #[error("the {column} of a row has an unknown value: {value}")]
    Corrupt {
        /// The name of the column.
        column: &'static str,
        /// The value, truncated.
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
    /// Returns whether the database could not be reached, so that a later attempt can succeed.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Database(DbErr::ConnectionAcquire(_) | DbErr::Conn(_)))
    }
}
