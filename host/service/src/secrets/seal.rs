//! Seals and opens secrets.

use std::fmt::Display;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use imprint_domain::{Code, Error, secret::SecretText, secret::Secrets};
use imprint_store::secret::SealedSecret;

use super::keys::{SecretKey, SecretKeys};
use crate::change::Change;

/// The bytes of a nonce, which are in front of the ciphertext.
const NONCE_BYTES: usize = 24;

fn cipher(key: &SecretKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new((&*key.bytes).into())
}

/// Returns what a sealed secret is bound to: its owner's id and its name.
fn bound_to(owner: &dyn Display, name: &str) -> Vec<u8> {
    format!("{owner}\0{name}").into_bytes()
}

/// Seals a secret of that owner with the current key, by a fresh nonce.
pub(crate) fn seal(
    change: &Change<'_>,
    owner: &dyn Display,
    name: &str,
    secret: &SecretText,
) -> Result<SealedSecret, Error> {
    let key = change.service.settings().secret_keys.current().ok_or_else(no_key)?;
    let nonce: [u8; NONCE_BYTES] = change.service.random();
    let payload = Payload { msg: secret.expose().as_bytes(), aad: &bound_to(owner, name) };
    let ciphertext = cipher(key)
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| Error::internal("a secret could not be sealed"))?;
    let sealed = [nonce.as_slice(), &ciphertext].concat();
    Ok(SealedSecret { name: name.to_owned(), sealed, key_id: key.id.clone(), changed_at: change.now })
}

/// Opens a sealed secret of that owner.
pub(crate) fn open(
    keys: &SecretKeys,
    owner: &dyn Display,
    secret: &SealedSecret,
) -> Result<SecretText, Error> {
    let key = keys.get(&secret.key_id).ok_or_else(|| missing_key(&secret.key_id))?;
    let damaged = || {
        let name = &secret.name;
        Error::internal(format!(
            "the secret `{name}` of {owner} cannot be opened: its row was changed; set it again"
        ))
    };
    let (nonce, ciphertext) = secret.sealed.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| damaged())?;
    let payload = Payload { msg: ciphertext, aad: &bound_to(owner, &secret.name) };
    let text = cipher(key).decrypt(&XNonce::from(nonce), payload).map_err(|_| damaged())?;
    // The text is moved, not copied: its memory is overwritten with the secret.
    String::from_utf8(text).map(SecretText::new).map_err(|_| damaged())
}

/// Opens the secrets of one owner.
pub(crate) fn open_all(
    keys: &SecretKeys,
    owner: &dyn Display,
    sealed: &[SealedSecret],
) -> Result<Secrets, Error> {
    sealed.iter().map(|secret| Ok((secret.name.clone(), open(keys, owner, secret)?))).collect()
}

/// Returns the error of a server without any key.
pub(super) fn no_key() -> Error {
    Error::new(
        Code::Unavailable,
        "the server has no key to seal secrets with; set `key_file` in `[secrets]` of its configuration",
    )
}

/// Returns the error of a key that the server does not have.
pub(super) fn missing_key(id: &str) -> Error {
    Error::new(
        Code::Unavailable,
        format!("a secret is sealed with the key {id}, which is not in the server's key file; put the key back, and start the server again"),
    )
    .with("key_id", id)
}
