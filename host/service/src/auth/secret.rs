//! Passwords and random secrets: what is stored is never what is shown.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash::phc::PasswordHash,
};
use imprint_domain::{Code, Error, id::TokenId};
use rand::{Rng, seq::IndexedRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Hashes that are computed at once: each takes a core and its memory.
const AT_ONCE: usize = 2;
/// Sign-ins that may wait for their turn.
const WAITING: usize = 64;
/// Bounds of a password, in bytes.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// Hashes and checks passwords, off the async threads and not too many at once.
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    turn: Arc<Semaphore>,
    queue: Semaphore,
    /// Checked when the account does not exist, so that both answers take as long.
    decoy: String,
}

impl Passwords {
    /// With that much memory a hash.
    pub(crate) fn new(memory_kib: u32) -> Result<Self, Error> {
        let params = Params::new(memory_kib, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST, None)
            .map_err(Error::internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hash(&argon2, "decoy", &[0; 16])?;
        let turn = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { argon2, turn, queue: Semaphore::new(WAITING), decoy })
    }

    /// Hashes a new password.
    pub(crate) async fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String, Error> {
        if !PASSWORD_BYTES.contains(&password.len()) {
            return Err(Error::new(
                Code::InvalidRequest,
                format!("a password has {} to {} bytes", PASSWORD_BYTES.start(), PASSWORD_BYTES.end()),
            )
            .at("/password"));
        }
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        self.run(move || hash(&argon2, &password, &salt)).await?
    }

    /// Whether a password belongs to a hash; without one it takes as long and is `false`.
    pub(crate) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, Error> {
        if password.len() > *PASSWORD_BYTES.end() {
            return Ok(false);
        }
        let known = hash.is_some();
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        self.run(move || {
            let parsed = PasswordHash::new(&hash).map_err(Error::internal)?;
            Ok(known & argon2.verify_password(password.as_bytes(), &parsed).is_ok())
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let _place = self.queue.try_acquire().map_err(|_| {
            Error::new(Code::RateLimited, "too many sign-ins at once; try again in a few seconds")
                .with("retry_after_s", 5)
        })?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(Error::internal)?;
        // The turn ends with the work, even when the caller has gone.
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(Error::internal)
    }
}

fn hash(argon2: &Argon2<'_>, password: &str, salt: &[u8; 16]) -> Result<String, Error> {
    let hash = argon2.hash_password_with_salt(password.as_bytes(), salt).map_err(Error::internal)?;
    Ok(hash.to_string())
}

/// The letters and digits that are hard to confuse: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The length of generated passwords: 100 bits.
const PASSWORD_CHARS: usize = 20;

/// Generates a random password.
pub(crate) fn random_password(mut rng: impl Rng) -> String {
    (0..PASSWORD_CHARS).filter_map(|_| ALPHABET.choose(&mut rng).copied().map(char::from)).collect()
}

/// SHA-256 of a secret of 256 random bits: a fast hash is enough for what cannot be guessed.
pub(crate) fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Whether two digests are the same, in constant time.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// A token's text: `imp_<id>_<secret>`.
pub(crate) fn token_text(id: TokenId, secret: &[u8; 32]) -> String {
    format!("imp_{}_{}", id.uuid().simple(), hex::encode(secret))
}

/// A token's id and the digest of its secret.
pub(crate) fn parse_token(text: &str) -> Option<(TokenId, [u8; 32])> {
    let (id, secret) = text.strip_prefix("imp_")?.split_once('_')?;
    if id.len() != 32 || secret.len() != 64 {
        return None;
    }
    let id = Uuid::try_parse(id).ok()?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(secret, &mut bytes).ok()?;
    Some((TokenId::new(id), digest(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SystemEnvironment, environment::EnvironmentRng};

    #[test]
    fn generated_passwords_are_long_and_differ() {
        let generate = || random_password(EnvironmentRng(&SystemEnvironment));
        let (first, second) = (generate(), generate());
        assert_eq!(first.len(), PASSWORD_CHARS);
        assert!(first.bytes().all(|byte| ALPHABET.contains(&byte)), "{first}");
        assert_ne!(first, second);
    }
}
