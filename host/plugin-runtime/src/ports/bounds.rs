//! Bounds of what plugins return: texts, lists and property bags.

use imprint_ports::{PortError, Props};

use crate::codes::Code;

const MAX_PROPS: usize = 256;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 64 << 10;

/// Returns a property bag of a plugin, if it is within bounds.
pub(super) fn props_from_plugin(what: &str, pairs: Vec<(String, String)>) -> Result<Props, PortError> {
    let fits = |(key, value): &(String, String)| key.len() <= MAX_KEY && value.len() <= MAX_VALUE;
    if pairs.len() > MAX_PROPS || !pairs.iter().all(fits) {
        let message = format!("{what} has more than {MAX_PROPS} entries or an entry that is too long");
        return Err(Code::BadProps.error(message));
    }
    Ok(pairs.into_iter().collect())
}

/// Returns a property bag for a plugin.
pub(super) fn props_to_plugin(props: &Props) -> Vec<(String, String)> {
    props.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Returns a text of a plugin, if it has at most `max` bytes.
pub(super) fn bounded_text(what: &str, text: String, max: usize) -> Result<String, PortError> {
    if text.len() > max {
        return Err(Code::BadText.error(format!("{what} of {} bytes is longer than {max}", text.len())));
    }
    Ok(text)
}

/// Returns a list of a plugin, if it has at most `max` entries.
pub(super) fn bounded_list<T>(what: &str, list: Vec<T>, max: usize) -> Result<Vec<T>, PortError> {
    check_length(what, list.len(), max).map(|()| list)
}

/// Checks that a list has at most `max` entries.
pub(super) fn check_length(what: &str, length: usize, max: usize) -> Result<(), PortError> {
    if length > max {
        let message = format!("{what} has {length} entries, at most {max} were requested");
        return Err(Code::BadList.error(message));
    }
    Ok(())
}

/// Converts a count of the contract.
pub(super) fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
