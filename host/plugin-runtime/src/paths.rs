//! Relative paths of plugins.

use crate::text::truncate;

const MAX_PATH: usize = 1024;
const MAX_PARTS: usize = 32;

/// A path that is not below its start by its form.
#[derive(Debug, thiserror::Error)]
#[error(
    "path {:?} must be relative, without empty, `.` or `..` parts, at most {MAX_PATH} bytes and {MAX_PARTS} parts",
    truncate(.0, 200)
)]
pub(crate) struct InvalidPath(String);

/// Checks that a path is relative and stays below its start by its form. Links are followed only
/// below the directory's handle.
pub(crate) fn check_relative(path: &str) -> Result<(), InvalidPath> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if path.is_empty()
        || path.len() > MAX_PATH
        || path.split('/').count() > MAX_PARTS
        || path.split('/').any(bad_part)
    {
        return Err(InvalidPath(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_path_is_checked() {
        for good in ["a", "a/b", "a/b.c/..d", ".hidden"] {
            check_relative(good).unwrap();
        }
        let long = "x".repeat(MAX_PATH + 1);
        let deep = vec!["x"; MAX_PARTS + 1].join("/");
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b", &long, &deep] {
            assert!(check_relative(bad).is_err(), "{bad:?}");
        }
    }
}
