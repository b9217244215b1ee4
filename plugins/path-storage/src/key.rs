//! Which keys are names below a folder.

use imprint_plugin_sdk::error::{Error, Result};

/// Longest key, in bytes.
const MAX_KEY: usize = 512;
/// The longest name that file systems hold, in bytes.
pub const MAX_NAME: usize = 255;
/// Deepest nesting; it bounds the recursion of a listing.
pub(crate) const MAX_DEPTH: usize = 16;

/// Accepts a key that is a path below the folder: relative, `/`-separated, without empty, hidden,
/// `.` or `..` parts. `code` is the code of the refusal.
///
/// # Errors
///
/// `invalid-input` for any other key.
pub fn check_key(key: &str, code: &str) -> Result<()> {
    let problem = if key.is_empty() || key.len() > MAX_KEY {
        Some(format!("use 1 to {MAX_KEY} bytes"))
    } else if key.split('/').count() > MAX_DEPTH {
        Some(format!("use at most {MAX_DEPTH} parts"))
    } else {
        key.split('/').find_map(name_problem)
    };
    match problem {
        None => Ok(()),
        Some(problem) => {
            Err(Error::invalid_input(code, format!("the key {key:?} cannot be stored: {problem}")))
        }
    }
}

/// Returns whether a directory entry can be a part of a key.
pub fn is_name(name: &str) -> bool {
    name_problem(name).is_none()
}

fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("no part may be empty".to_owned());
    }
    if name.starts_with('.') {
        return Some("no part may begin with a dot".to_owned());
    }
    if name.len() > MAX_NAME {
        return Some(format!("no part may be longer than {MAX_NAME} bytes"));
    }
    let bad = |c: char| c.is_control() || c == '\\';
    name.contains(bad).then(|| "no part may hold control characters or backslashes".to_owned())
}
