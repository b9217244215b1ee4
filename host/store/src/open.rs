//! Opening a database, with what its rows need beyond the schema.

use crate::{Store, StoreError, Target, image};

impl Store {
    /// Opens the database, brings its schema up to date, and writes what earlier versions have not.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be opened or changed.
    pub async fn open(target: &Target) -> Result<Self, StoreError> {
        let store = Self::connect(target).await?;
        image::fill_missing(&store).await?;
        Ok(store)
    }
}
