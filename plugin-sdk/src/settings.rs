//! The operator's settings, as a storage reads them. The host has checked them against the schema
//! in the manifest; a plugin checks them again, as they may be older than the schema.

use std::ops::RangeInclusive;

use crate::{
    error::{Error, Result},
    types::Props,
};

/// Reads settings, and says which one is wrong.
///
/// ```
/// use imprint_plugin_sdk::{settings::Reader, types::props};
///
/// let settings = props([("endpoint", " https://x "), ("parallel", "none")]);
/// let reader = Reader::new(&settings, "example.settings");
/// assert_eq!(reader.needed("endpoint").unwrap(), "https://x");
/// let error = reader.number("parallel", 4, 1..=6).unwrap_err();
/// assert_eq!(error.code, "example.settings.setting.parallel");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    settings: &'a Props,
    code: &'a str,
}

impl<'a> Reader<'a> {
    /// Returns a reader; its errors have this code, with the name of the setting behind it.
    pub fn new(settings: &'a Props, code: &'a str) -> Self {
        Self { settings, code }
    }

    /// Returns a setting without the spaces around it; `None` where it is missing or empty.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.settings.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns a setting that has to be there.
    ///
    /// # Errors
    ///
    /// `invalid-input` about the setting when it is missing or empty.
    pub fn needed(&self, name: &str) -> Result<&'a str> {
        self.text(name).ok_or_else(|| self.wrong(name, "is missing; set it"))
    }

    /// Returns a number.
    ///
    /// # Errors
    ///
    /// `invalid-input` about the setting when it is no number of the range.
    pub fn number(&self, name: &str, default: u64, range: RangeInclusive<u64>) -> Result<u64> {
        let value = self.text(name).map_or(Ok(default), str::parse).ok();
        value.filter(|value| range.contains(value)).ok_or_else(|| {
            self.wrong(name, &format!("is a number from {} to {}", range.start(), range.end()))
        })
    }

    /// Returns what the keys of a storage have in front: the setting without the slashes around it,
    /// and with one behind it; empty where the setting is.
    ///
    /// ```
    /// use imprint_plugin_sdk::{settings::Reader, types::props};
    ///
    /// let settings = props([("prefix", "/images/own")]);
    /// assert_eq!(Reader::new(&settings, "example.settings").prefix("prefix"), "images/own/");
    /// assert_eq!(Reader::new(&settings, "example.settings").prefix("other"), "");
    /// ```
    pub fn prefix(&self, name: &str) -> String {
        match self.text(name).unwrap_or_default().trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    /// Returns the error about a setting: `what` follows its name.
    pub fn wrong(&self, name: &str, what: &str) -> Error {
        Error::invalid_input(self.code, format!("the setting {name:?} {what}")).about_setting(name)
    }
}
