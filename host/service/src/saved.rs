//! What an account saves for its new instances: SSH keys and user scripts. They belong to the
//! account alone; also admins do not see those of others.

pub(crate) mod ssh_key;
pub(crate) mod user_script;

use imprint_domain::{Code, Error};

/// The most keys, and the most scripts, of one account.
const MAX_SAVED: u64 = 100;

/// Refuses one more; `have` is counted in the transaction that adds it.
fn require_room(have: u64, what: &str) -> Result<(), Error> {
    if have < MAX_SAVED {
        return Ok(());
    }
    let detail = format!("an account has at most {MAX_SAVED} saved {what}; delete one first");
    Err(Error::new(Code::SavedLimitReached, detail).with("limit", MAX_SAVED).with("used", have))
}

/// Refuses a change of another version than the client saw.
fn require_version(if_match: Option<u32>, version: u32, what: &str) -> Result<(), Error> {
    if if_match.is_none_or(|seen| seen == version) {
        return Ok(());
    }
    let detail = format!("read the {what} again, then repeat the change");
    Err(Error::new(Code::PreconditionFailed, detail).with("version", version))
}
