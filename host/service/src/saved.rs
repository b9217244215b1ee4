//! What an account saves for its new instances: SSH keys and user scripts. They belong to the
//! account alone; also admins do not see those of others.

pub(crate) mod ssh_key;
pub(crate) mod user_script;

use imprint_domain::{Code, Error};

/// The most keys, and the most scripts, of one account.
const MAX_SAVED: u64 = 100;

/// Refuses one more; `have` is counted in the transaction that adds it.
pub(crate) fn require_room(have: u64, what: &str) -> Result<(), Error> {
    if have < MAX_SAVED {
        return Ok(());
    }
    let detail = format!("an account has at most {MAX_SAVED} saved {what}; delete one first");
    Err(Error::new(Code::SavedLimitReached, detail).with("limit", MAX_SAVED).with("used", have))
}
