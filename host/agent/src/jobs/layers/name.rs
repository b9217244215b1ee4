//! The names of layers in references from one layer to another.

/// The longest name of a file, in bytes.
const MAX_NAME: usize = 255;

/// Returns the file name in a reference, whichever system wrote it; `None` where there is none.
pub(crate) fn last_component(reference: &str) -> Option<&str> {
    let name = reference.rsplit(['/', '\\']).next()?;
    let plain = !name.is_empty()
        && name.len() <= MAX_NAME
        && !matches!(name, "." | "..")
        && !name.chars().any(char::is_control);
    plain.then_some(name)
}
