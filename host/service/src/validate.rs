//! Checks of requests that several use cases share.

use std::collections::BTreeMap;

use imprint_domain::{Code, Error, id::InstanceId, task::Task};
use imprint_store::{Conn, StoreError, task};

use crate::db_result::{DbResult, db_error};

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1024;
/// The most settings of a plugin, and the longest name and value of one, in bytes.
const MAX_SETTINGS: usize = 64;
const MAX_SETTING: usize = 4096;
/// The longest key of an object in a storage of a customer, in bytes.
const MAX_KEY: usize = 512;

/// Maps the failure of an insertion whose name may be taken.
pub(crate) fn name_taken(what: &str) -> impl Fn(StoreError) -> Error {
    move |error| match error {
        StoreError::Duplicate(_) => {
            Error::new(Code::NameTaken, format!("choose another name for the {what}")).at("/name")
        }
        StoreError::Database(_) | StoreError::Corrupt { .. } | StoreError::File(_) => db_error(&error),
    }
}

/// Refuses a description that is too long or has control characters.
pub(crate) fn check_description(text: &str) -> Result<(), Error> {
    let control = text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    if text.chars().count() > MAX_DESCRIPTION || control {
        return Err(Error::new(
            Code::InvalidRequest,
            format!("a description has at most {MAX_DESCRIPTION} characters and no control characters"),
        )
        .at("/description"));
    }
    Ok(())
}

/// Refuses settings that are too many or too long.
pub(crate) fn check_settings(settings: &BTreeMap<String, String>, pointer: &str) -> Result<(), Error> {
    let too_long = settings.iter().any(|(key, value)| key.len() > MAX_SETTING || value.len() > MAX_SETTING);
    if settings.len() > MAX_SETTINGS || too_long {
        return Err(Error::new(
            Code::InvalidRequest,
            format!("at most {MAX_SETTINGS} settings of at most {MAX_SETTING} bytes each"),
        )
        .at(pointer));
    }
    Ok(())
}

/// Refuses an instance that a task works on.
pub(crate) async fn require_idle(conn: &Conn<'_>, id: InstanceId) -> Result<(), Error> {
    let active = task::active_of_instance(conn, id).await.db()?;
    active.first().map_or(Ok(()), |record| Err(busy_with(&record.task)))
}

/// Returns the refusal of an instance that a task works on.
pub(crate) fn busy_with(task: &Task) -> Error {
    Error::new(
        Code::InstanceBusy,
        format!("the task {} works on it; wait until it is over, or cancel it", task.kind),
    )
    .with("task_id", task.id)
}

/// Refuses to remove what others refer to; `references` are names of resources and their numbers.
pub(crate) fn require_unreferenced(what: &str, references: &[(&'static str, u64)]) -> Result<(), Error> {
    let left: Vec<_> = references.iter().filter(|(_, count)| *count > 0).collect();
    if left.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = left.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let detail = format!("the {what} has {}; remove them first", list.join(" and "));
    let error = Error::new(Code::ResourceInUse, detail);
    Err(left.into_iter().fold(error, |error, (name, count)| error.with(name, count)))
}

/// Refuses a change of another version than the client saw.
pub(crate) fn require_version(if_match: Option<u32>, version: u32, what: &str) -> Result<(), Error> {
    if if_match.is_none_or(|seen| seen == version) {
        return Ok(());
    }
    let detail = format!("read the {what} again, then repeat the change");
    Err(Error::new(Code::PreconditionFailed, detail).with("version", version))
}

/// Returns the start of a text, at most `bytes` long.
pub(crate) fn truncate(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// Returns whether a storage takes an object of that key.
pub(crate) fn is_object_key(key: &str) -> bool {
    let sane = (1..=MAX_KEY).contains(&key.len()) && !key.chars().any(char::is_control);
    sane && key.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_nowhere_else() {
        for good in ["disk.vhd", "backups/2026/web 1.qcow2"] {
            assert!(is_object_key(good), "{good}");
        }
        for wrong in ["", "/disk", "a//b", "../disk", "a/./b", "a\nb", &"x".repeat(513)] {
            assert!(!is_object_key(wrong), "{wrong}");
        }
    }
}
