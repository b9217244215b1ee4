//! Requests that must not happen twice: the answer is stored in the transaction of the change.

use chrono::TimeDelta;
use imprint_domain::{Code, Error};
use imprint_store::idempotency::{self, KeyRecord, KeyScope};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    Op,
    change::Change,
    db_result::DbResult,
    secrets::keys::{SecretKey, SecretKeys},
};

/// How long an answer is kept, in hours.
pub(crate) const KEPT_H: i64 = 24;

/// The longest key.
const MAX_KEY: usize = 255;

fn scope(op: &Op) -> Result<Option<(KeyScope, [u8; 32])>, Error> {
    let Some(key) = &op.idempotency else { return Ok(None) };
    let visible = key.key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.key.is_empty() || key.key.len() > MAX_KEY || !visible {
        return Err(Error::new(
            Code::InvalidRequest,
            format!("Idempotency-Key has 1 to {MAX_KEY} visible ASCII characters"),
        ));
    }
    let scope = KeyScope {
        account_id: op.account_id(),
        method: key.method.clone(),
        path: key.path.clone(),
        key: key.key.clone(),
    };
    Ok(Some((scope, key.body_hash)))
}

/// Returns the digest of a request's body as it is stored. A body may hold secrets that can be
/// guessed, so the digest is made with the server's key, where it has one.
fn stored_digest(key: Option<&SecretKey>, body_hash: &[u8; 32]) -> Vec<u8> {
    let Some(key) = key else { return body_hash.to_vec() };
    let digest =
        Sha256::new().chain_update(b"imprint: digest of a request\0").chain_update(key.bytes.as_slice());
    digest.chain_update(body_hash).finalize().to_vec()
}

/// Returns whether a stored digest is that of a body: with any key, or as versions before this one
/// stored it.
fn is_digest_of(keys: &SecretKeys, stored: &[u8], body_hash: &[u8; 32]) -> bool {
    let with_key = |key: &SecretKey| stored_digest(Some(key), body_hash) == stored;
    stored == body_hash || keys.all().iter().any(with_key)
}

/// The answer that an earlier request with the same key got.
pub(crate) async fn replay<T: DeserializeOwned>(change: &Change<'_>, op: &Op) -> Result<Option<T>, Error> {
    let Some((scope, body_hash)) = scope(op)? else { return Ok(None) };
    let Some(record) = idempotency::get(&change.conn(), &scope).await.db()? else { return Ok(None) };
    if record.created_at + TimeDelta::hours(KEPT_H) <= change.now {
        idempotency::delete(&change.tx, &scope).await.db()?;
        return Ok(None);
    }
    if !is_digest_of(&change.service.settings().secret_keys, &record.body_hash, &body_hash) {
        return Err(Error::new(
            Code::IdempotencyKeyReused,
            "the first request with this key had another body; use a new key",
        ));
    }
    serde_json::from_str(&record.answer).map(Some).map_err(Error::internal)
}

/// Keeps the answer for the key.
pub(crate) async fn remember<T: Serialize>(change: &Change<'_>, op: &Op, answer: &T) -> Result<(), Error> {
    let Some((scope, body_hash)) = scope(op)? else { return Ok(()) };
    let record = KeyRecord {
        body_hash: stored_digest(change.service.settings().secret_keys.current(), &body_hash),
        answer: serde_json::to_string(answer).map_err(Error::internal)?,
        created_at: change.now,
    };
    idempotency::insert(&change.tx, &scope, &record).await.db()
}
