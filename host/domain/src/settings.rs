//! The settings of a plugin: texts by name, and the schema that says which there are.
//!
//! The schema is a JSON Schema (draft 2020-12) of an object, in a profile that a form can be made
//! of and that every setting can be checked against: properties are strings, integers, booleans or
//! choices. What is outside of the profile is refused when the schema is read, so that no keyword
//! is silently without effect. docs/PLUGIN-AUTHOR.md describes the profile.
//!
//! Settings are texts. An integer is written in decimal digits with an optional `-`, a boolean as
//! `true` or `false`. A property with `"writeOnly": true` is a secret: it is not among the
//! settings, but has its own place.

mod check;
mod parse;

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::Value;

/// The longest text of a schema, in bytes.
pub const MAX_SCHEMA: usize = 32 << 10;
/// The most properties of a schema.
pub const MAX_PROPERTIES: usize = 64;
/// The longest name of a setting, in bytes.
pub const MAX_NAME: usize = 64;
/// The longest value of a setting, in bytes.
pub const MAX_VALUE: usize = 4096;

/// The schema of a plugin's settings.
#[derive(Clone, Debug)]
pub struct SettingsSchema {
    /// The schema as it was written, without insignificant spaces.
    text: String,
    properties: BTreeMap<String, Property>,
    /// The names that must be set.
    required: BTreeSet<String>,
    /// The names that must be set when another one is.
    dependent: BTreeMap<String, BTreeSet<String>>,
    /// Of these exactly one must hold; empty when there are none.
    alternatives: Vec<Alternative>,
}

/// One setting.
#[derive(Clone, Debug)]
struct Property {
    kind: ValueKind,
    secret: bool,
    default: Option<String>,
}

/// What a setting's text may be.
#[derive(Clone, Debug)]
enum ValueKind {
    Text(TextRules),
    Choice(Vec<String>),
    Integer { minimum: i64, maximum: i64 },
    Boolean,
}

#[derive(Clone, Debug, Default)]
struct TextRules {
    pattern: Option<Regex>,
    /// The lengths in characters.
    min_length: Option<usize>,
    max_length: Option<usize>,
}

/// One of several ways to fill in the settings.
#[derive(Clone, Debug)]
struct Alternative {
    /// The values that choose it.
    values: BTreeMap<String, String>,
    /// The names that must be set in it.
    required: BTreeSet<String>,
}

/// A schema that the host cannot use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {}: {problem}", if at.is_empty() { "the top" } else { at })]
pub struct InvalidSchema {
    /// A JSON pointer to the part of the schema.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the settings, which everybody who may see the storage can read.
    Settings,
    /// Among the secrets, which are sealed.
    Secrets,
}

/// A setting that is wrong or missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SettingProblem {
    /// Where it belongs.
    pub place: Place,
    /// The setting's name; empty when the problem is about several.
    pub setting: String,
    /// What is wrong, and what to do. It never repeats the value.
    pub detail: String,
}

impl SettingProblem {
    /// Returns a JSON pointer to the setting, in a request with the members `settings` and
    /// `secrets`.
    pub fn pointer(&self) -> String {
        let place = match self.place {
            Place::Settings => "/settings",
            Place::Secrets => "/secrets",
        };
        if self.setting.is_empty() {
            return place.to_owned();
        }
        format!("{place}/{}", self.setting.replace('~', "~0").replace('/', "~1"))
    }
}

impl SettingsSchema {
    /// Returns the schema as JSON text, without insignificant spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the schema as a JSON value.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Returns whether there is a setting of that name, and it is a secret.
    pub fn is_secret(&self, name: &str) -> bool {
        self.properties.get(name).is_some_and(|property| property.secret)
    }

    /// Returns the names of the secrets, in ascending order.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.properties.iter().filter(|(_, property)| property.secret).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests;
