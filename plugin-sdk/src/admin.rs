//! The check that a plugin makes of its settings before it is used: optional for every kind.

use crate::{error::Result, types::Props};

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFinding {
    /// The plugin cannot be used with it; otherwise it is a warning.
    pub is_error: bool,
    /// The name of the setting or secret, as the schema has it.
    pub setting: String,
    /// What is wrong and what to do about it: a lowercase fragment.
    pub message: String,
}

impl SettingFinding {
    /// Returns a finding with which the plugin cannot be used.
    pub fn error(setting: &str, message: impl Into<String>) -> Self {
        Self { is_error: true, setting: setting.to_owned(), message: message.into() }
    }

    /// Returns a finding that the operator should know of.
    pub fn warning(setting: &str, message: impl Into<String>) -> Self {
        Self { is_error: false, setting: setting.to_owned(), message: message.into() }
    }
}

/// A plugin that checks its settings. Exported with [`export_admin!`](crate::export_admin), besides
/// what the plugin is.
///
/// The host has checked the settings against the schema of the manifest before: what is left are
/// rules that a schema cannot say.
pub trait Administered: 'static {
    /// Checks settings, without anything outside of the plugin.
    fn check_settings(settings: &Props) -> Vec<SettingFinding>;

    /// Checks the plugin itself: cheap, and without side effects.
    ///
    /// # Errors
    ///
    /// What keeps the plugin from working.
    fn self_test() -> Result<()> {
        Ok(())
    }
}
