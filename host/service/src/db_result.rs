//! Maps failures of the store to errors of use cases.

use imprint_domain::{Code, Error, error_chain::error_chain};
use imprint_store::StoreError;

/// Maps the result of a call of the store.
pub(crate) trait DbResult<T> {
    /// Returns the value, or an error whose cause only the log gets.
    fn db(self) -> Result<T, Error>;
}

impl<T> DbResult<T> for Result<T, StoreError> {
    fn db(self) -> Result<T, Error> {
        self.map_err(|error| db_error(&error))
    }
}

/// Maps a failure of the store.
pub(crate) fn db_error(error: &StoreError) -> Error {
    let cause = error_chain(error);
    if !error.is_unavailable() {
        return Error::internal(cause);
    }
    Error {
        internal: Some(cause),
        ..Error::new(Code::Unavailable, "the database does not answer; try again")
    }
}
