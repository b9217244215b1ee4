//! Sealing everything again with the current key.

use std::collections::BTreeSet;

use imprint_domain::Error;
use imprint_store::{
    Conn,
    secret::{SealedSecret, of_storage, of_task, of_webhook},
};

use super::seal;
use crate::{Op, Service, change::Change, db_result::DbResult};

/// The number of secrets that one transaction seals again.
const BATCH: u32 = 100;

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsRotated {
    /// The number of secrets that were sealed again. Those under the current key are left alone.
    pub resealed: u64,
    /// The id of the current key.
    pub key_id: String,
}

async fn used_keys(conn: &Conn<'_>) -> Result<BTreeSet<String>, Error> {
    let mut used = BTreeSet::from_iter(of_storage::key_ids(conn).await.db()?);
    used.extend(of_task::key_ids(conn).await.db()?);
    used.extend(of_webhook::key_ids(conn).await.db()?);
    Ok(used)
}

impl Service {
    /// Checks that every secret of the database is sealed with a key that the server has. The
    /// program calls it at its start.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Unavailable`] for a missing key; an error of the database.
    pub async fn secrets_check(&self) -> Result<(), Error> {
        let used = used_keys(&self.read()).await?;
        match used.iter().find(|id| self.settings().secret_keys.get(id).is_none()) {
            None => Ok(()),
            Some(id) => Err(seal::missing_key(id)),
        }
    }

    /// Seals every secret with the current key that is sealed with an older one. Admins only.
    /// Calling it again continues after a failure.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::Unavailable`] when a key is missing; an error of the database.
    pub async fn secrets_rotate(&self, op: &Op) -> Result<SecretsRotated, Error> {
        op.require_admin()?;
        let keys = &self.settings().secret_keys;
        let key_id = keys.current().map(|key| key.id.clone()).ok_or_else(seal::no_key)?;
        let mut resealed = 0;
        loop {
            let change = Change::begin(self).await?;
            let done = reseal_batch(&change, &key_id).await?;
            if done == 0 {
                change.audit(op, "secrets.rotate", &key_id).await?;
                change.commit().await?;
                return Ok(SecretsRotated { resealed, key_id });
            }
            change.commit().await?;
            resealed += done;
        }
    }
}

/// Seals the next secrets again, and returns their number.
async fn reseal_batch(change: &Change<'_>, key_id: &str) -> Result<u64, Error> {
    let mut done = 0;
    for (owner, secret) in of_storage::of_other_keys(&change.conn(), key_id, BATCH).await.db()? {
        let again = reseal(change, &owner, &secret)?;
        of_storage::put(&change.tx, owner, &again).await.db()?;
        done += 1;
    }
    for (owner, secret) in of_task::of_other_keys(&change.conn(), key_id, BATCH).await.db()? {
        let again = reseal(change, &owner, &secret)?;
        of_task::put(&change.tx, owner, &again).await.db()?;
        done += 1;
    }
    for (owner, secret) in of_webhook::of_other_keys(&change.conn(), key_id, BATCH).await.db()? {
        let again = reseal(change, &owner, &secret)?;
        of_webhook::put(&change.tx, owner, &again).await.db()?;
        done += 1;
    }
    Ok(done)
}

fn reseal(
    change: &Change<'_>,
    owner: &dyn std::fmt::Display,
    secret: &SealedSecret,
) -> Result<SealedSecret, Error> {
    let text = seal::open(&change.service.settings().secret_keys, owner, secret)?;
    let again = seal::seal(change, owner, &secret.name, &text)?;
    Ok(SealedSecret { changed_at: secret.changed_at, ..again })
}
