//! The secrets of image storages: set, removed, and opened for an agent.

use std::collections::{BTreeMap, BTreeSet};

use imprint_domain::{
    Error,
    id::StorageId,
    secret::{SecretText, Secrets},
    time::Timestamp,
};
use imprint_store::{Conn, secret::SealedSecret, secret::of_storage, storage::StorageRecord};
use serde::{Deserialize, Serialize};

use crate::{Service, catalogue::storage_kind, change::Change, db_result::DbResult, secrets::seal};

/// A secret of a storage, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSecretView {
    /// The name of the setting.
    pub name: String,
    /// When its value was set.
    pub changed_at: Timestamp,
}

/// Returns which secrets a storage has.
pub(crate) async fn views(conn: &Conn<'_>, id: StorageId) -> Result<Vec<StorageSecretView>, Error> {
    let secrets = of_storage::list(conn, id).await.db()?;
    let view = |secret: SealedSecret| StorageSecretView { name: secret.name, changed_at: secret.changed_at };
    Ok(secrets.into_iter().map(view).collect())
}

/// Returns the names of a storage's secrets.
pub(crate) async fn names(conn: &Conn<'_>, id: StorageId) -> Result<BTreeSet<String>, Error> {
    Ok(views(conn, id).await?.into_iter().map(|secret| secret.name).collect())
}

/// Seals the secrets of a storage and writes them.
pub(crate) async fn put(change: &Change<'_>, id: StorageId, secrets: &Secrets) -> Result<(), Error> {
    for (name, secret) in secrets {
        let sealed = seal::seal(change, &id, name, secret)?;
        of_storage::put(&change.tx, id, &sealed).await.db()?;
    }
    Ok(())
}

/// Opens the secrets of a storage, for its agent.
pub(crate) async fn open(service: &Service, conn: &Conn<'_>, id: StorageId) -> Result<Secrets, Error> {
    let sealed = of_storage::list(conn, id).await.db()?;
    seal::open_all(&service.settings().secret_keys, &id, &sealed)
}

/// Writes and removes secrets of a storage whose settings are checked together with them. The
/// agents of its hypervisors fetch them again when the record is stored.
pub(crate) async fn apply(
    change: &Change<'_>,
    record: &mut StorageRecord,
    changes: &BTreeMap<String, Option<SecretText>>,
) -> Result<(), Error> {
    let id = record.storage.id;
    let mut given = Secrets::new();
    let mut kept = names(&change.conn(), id).await?;
    for (name, secret) in changes {
        kept.remove(name);
        match secret {
            Some(secret) => {
                given.insert(name.clone(), secret.clone());
            }
            None => of_storage::delete(&change.tx, id, name).await.db()?,
        }
    }
    let (kind, settings) = (&record.storage.kind, &record.storage.settings);
    record.storage.settings =
        storage_kind::check_settings(&change.conn(), kind, settings, &given, &kept).await?;
    put(change, id, &given).await?;
    record.storage.secrets_version += 1;
    Ok(())
}
