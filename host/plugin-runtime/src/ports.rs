//! The ports of the data path, over components. Every answer is checked before it is handed on.

mod driver;
mod format;
mod storage;
mod stream;

pub(crate) use driver::ComponentDriver;
pub use driver::DriverGrants;
pub(crate) use format::ComponentFormat;
pub(crate) use storage::ComponentStorage;
pub use storage::StorageGrants;

use imprint_ports::{PortError, Props};

const MAX_PROPS: usize = 256;
const MAX_VALUE: usize = 64 << 10;

/// A bag of a plugin, within bounds.
fn props_in(what: &str, pairs: Vec<(String, String)>) -> Result<Props, PortError> {
    let fits = |(key, value): &(String, String)| key.len() <= 256 && value.len() <= MAX_VALUE;
    if pairs.len() > MAX_PROPS || !pairs.iter().all(fits) {
        let message = format!("{what} has more than {MAX_PROPS} entries or an entry that is too long");
        return Err(PortError::bad_answer("plugin.bad-answer.props", message));
    }
    Ok(pairs.into_iter().collect())
}

fn props_out(props: &Props) -> Vec<(String, String)> {
    props.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// A text of a plugin, within `max` bytes.
fn bounded(what: &str, text: String, max: usize) -> Result<String, PortError> {
    if text.len() > max {
        let message = format!("{what} of {} bytes is over {max}", text.len());
        return Err(PortError::bad_answer("plugin.bad-answer.text", message));
    }
    Ok(text)
}

/// A list of a plugin, within `max` entries.
fn at_most<T>(what: &str, list: Vec<T>, max: usize) -> Result<Vec<T>, PortError> {
    within(what, list.len(), max).map(|()| list)
}

fn within(what: &str, length: usize, max: usize) -> Result<(), PortError> {
    if length > max {
        let message = format!("{what} has {length} entries, at most {max} were asked for");
        return Err(PortError::bad_answer("plugin.bad-answer.list", message));
    }
    Ok(())
}

fn count(max: u32) -> usize {
    usize::try_from(max).unwrap_or(usize::MAX)
}
