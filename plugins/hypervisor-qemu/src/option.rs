//! Options whose values are one of a few words.

use crate::error::Fault;

pub(crate) fn choice(key: &str, value: &str, allowed: &[&'static str]) -> Result<&'static str, Fault> {
    allowed.iter().find(|name| **name == value).copied().ok_or_else(|| Fault::Invalid {
        what: "option",
        problem: format!("`{key}` cannot be `{value}`; use {}", allowed.join(" or ")),
    })
}

pub(crate) fn switch(key: &str, value: &str) -> Result<bool, Fault> {
    Ok(choice(key, value, &["on", "off"])? == "on")
}
