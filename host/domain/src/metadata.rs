//! Metadata of images: keys and values that say how a system wants to be started (S70, S84 to S87).
//!
//! An image has it, an instance takes it over when it is deployed, and an image of that instance
//! has it again. Any key may be set; [`KnownKey`] are those that a deployment acts upon.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{checked_text::checked_text, name::hides_or_controls, string_enum::string_enum};

/// The most keys of an image.
pub const MAX_KEYS: usize = 64;
/// The longest key, in characters.
pub const MAX_KEY_CHARS: usize = 64;
/// The longest value, in characters.
pub const MAX_VALUE_CHARS: usize = 255;
/// The longest name of a user, as Linux systems take it.
const MAX_USER_CHARS: usize = 32;

string_enum! {
    /// The keys that a deployment acts upon.
    pub enum KnownKey {
        /// The machine that the system is made for: a [`VmMode`].
        VmMode = "vm_mode",
        /// Whether an instance gets a config drive: a [`ConfigDrive`].
        ConfigDrive = "img_config_drive",
        /// The user that cloud-init gives the SSH keys to.
        SshUser = "ssh_user",
    }

    /// The machine that a system is made for.
    pub enum VmMode {
        /// A PC of which everything is emulated: its disk is on an IDE controller, so that a system
        /// without drivers for virtual hardware starts.
        Hvm = "hvm",
        /// A PC with virtio devices: faster, and what nothing else asks for.
        Virtio = "virtio",
    }

    /// Whether an instance gets a config drive beside the NoCloud seed.
    pub enum ConfigDrive {
        /// It gets one.
        Mandatory = "mandatory",
        /// The NoCloud seed is enough.
        Optional = "optional",
    }
}

/// Why a key, a value or a set of both is no metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The key has another form.
    #[error(
        "a key has 1 to {MAX_KEY_CHARS} letters, digits, `_`, `-`, `.` and `:`, and starts with a letter"
    )]
    Key,
    /// The value is too long.
    #[error("a value has at most {MAX_VALUE_CHARS} characters, this one has {0}")]
    TooLong(usize),
    /// The value has a control character, or one that hides or reorders text.
    #[error("a value must not contain control or invisible characters")]
    Character,
    /// The value of a known key is none that it may have.
    #[error("`{key}` cannot be `{value}`; use {allowed}")]
    Value {
        /// The key.
        key: KnownKey,
        /// The refused value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// More keys than [`MAX_KEYS`].
    #[error("an image has at most {MAX_KEYS} keys, these are {0}")]
    TooMany(usize),
}

fn check_key(text: &str) -> Result<(), MetadataError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let fits = (1..=MAX_KEY_CHARS).contains(&text.len()) && text.bytes().all(plain);
    if fits && text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        Ok(())
    } else {
        Err(MetadataError::Key)
    }
}

checked_text! {
    check_key, MetadataError;
    /// A key of metadata: 1 to 64 ASCII letters, digits, `_`, `-`, `.` and `:`, a letter first.
    MetadataKey;
}

/// The metadata of an image or an instance: at most 64 keys, each with a value that it may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<MetadataKey, String>")]
pub struct Metadata(BTreeMap<MetadataKey, String>);

/// A change of metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataEdit {
    /// Whether the keys that are not named are removed; they stay otherwise.
    pub clear: bool,
    /// The keys with their new values; `None` removes a key.
    pub keys: BTreeMap<MetadataKey, Option<String>>,
}

impl TryFrom<BTreeMap<MetadataKey, String>> for Metadata {
    type Error = MetadataError;

    fn try_from(entries: BTreeMap<MetadataKey, String>) -> Result<Self, MetadataError> {
        let mut metadata = Self::default();
        let keys = entries.into_iter().map(|(key, value)| (key, Some(value))).collect();
        metadata.edit(MetadataEdit { clear: true, keys }).map_err(|(_, error)| error)?;
        Ok(metadata)
    }
}

impl Metadata {
    /// Changes what the edit names; an edit with an error changes nothing.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] with the key that it is about: for a value that the key may not have, or
    /// for the last key where there are too many.
    pub fn edit(&mut self, edit: MetadataEdit) -> Result<(), (MetadataKey, MetadataError)> {
        let mut changed = if edit.clear { BTreeMap::new() } else { self.0.clone() };
        let mut last = None;
        for (key, value) in edit.keys {
            let Some(value) = value else {
                changed.remove(&key);
                continue;
            };
            check_value(&key, &value).map_err(|error| (key.clone(), error))?;
            last = Some(key.clone());
            changed.insert(key, value);
        }
        match last {
            Some(key) if changed.len() > MAX_KEYS => Err((key, MetadataError::TooMany(changed.len()))),
            Some(_) | None => {
                self.0 = changed;
                Ok(())
            }
        }
    }

    /// Returns the keys and values, in the order of the keys.
    pub const fn entries(&self) -> &BTreeMap<MetadataKey, String> {
        &self.0
    }

    /// Returns the same as texts.
    pub fn to_texts(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
    }

    fn known(&self, key: KnownKey) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.as_str() == key.as_str()).map(|(_, value)| value.as_str())
    }

    /// Returns the machine that the system is made for; `None` where the metadata does not say it.
    pub fn vm_mode(&self) -> Option<VmMode> {
        self.known(KnownKey::VmMode).and_then(|value| value.parse().ok())
    }

    /// Returns whether instances get a config drive.
    pub fn has_config_drive(&self) -> bool {
        self.known(KnownKey::ConfigDrive) == Some(ConfigDrive::Mandatory.as_str())
    }

    /// Returns the user that gets the SSH keys; `None` leaves that to the system.
    pub fn ssh_user(&self) -> Option<&str> {
        self.known(KnownKey::SshUser)
    }
}

fn check_value(key: &MetadataKey, value: &str) -> Result<(), MetadataError> {
    let length = value.chars().count();
    if length > MAX_VALUE_CHARS {
        return Err(MetadataError::TooLong(length));
    }
    if value.chars().any(hides_or_controls) {
        return Err(MetadataError::Character);
    }
    let Ok(known) = key.as_str().parse::<KnownKey>() else { return Ok(()) };
    let (fits, allowed) = match known {
        KnownKey::VmMode => (value.parse::<VmMode>().is_ok(), choices(VmMode::NAMES)),
        KnownKey::ConfigDrive => (value.parse::<ConfigDrive>().is_ok(), choices(ConfigDrive::NAMES)),
        KnownKey::SshUser => (is_user(value), USER_RULE.to_owned()),
    };
    if fits {
        return Ok(());
    }
    Err(MetadataError::Value { key: known, value: value.to_owned(), allowed })
}

const USER_RULE: &str =
    "1 to 32 lower-case letters, digits, `_` and `-`, starting with a letter or `_`, such as `debian`";

fn choices(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}

/// Returns whether Linux systems take a name for a user (useradd(8), "Caveats"): such a name needs
/// no quotes in YAML either.
pub fn is_user(name: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    (1..=MAX_USER_CHARS).contains(&name.len())
        && name.starts_with(first)
        && name.chars().all(|c| first(c) || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> MetadataKey {
        text.parse().unwrap()
    }

    fn edit(entries: &[(&str, Option<&str>)]) -> MetadataEdit {
        let keys = entries.iter().map(|(name, value)| (key(name), value.map(str::to_owned))).collect();
        MetadataEdit { clear: false, keys }
    }

    #[test]
    fn an_edit_sets_and_removes_keys_and_keeps_the_others() {
        let mut metadata = Metadata::default();
        let set =
            edit(&[("vm_mode", Some("hvm")), ("img_config_drive", Some("mandatory")), ("team", Some("a b"))]);
        metadata.edit(set).unwrap();
        assert_eq!(metadata.vm_mode(), Some(VmMode::Hvm));
        assert!(metadata.has_config_drive());
        assert_eq!(metadata.ssh_user(), None);
        let change = edit(&[("vm_mode", None), ("ssh_user", Some("debian")), ("missing", None)]);
        metadata.edit(change).unwrap();
        let shown: Vec<_> = metadata.entries().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(shown, ["img_config_drive=mandatory", "ssh_user=debian", "team=a b"]);
        assert_eq!((metadata.vm_mode(), metadata.ssh_user()), (None, Some("debian")));
        metadata.edit(MetadataEdit { clear: true, ..edit(&[("os", Some("debian"))]) }).unwrap();
        assert_eq!(metadata.entries().len(), 1);
    }

    /// S84 to S86: the known keys take what they mean, and nothing else.
    #[test]
    fn known_keys_have_their_values() {
        for (name, value, works) in [
            ("vm_mode", "hvm", true),
            ("vm_mode", "virtio", true),
            ("vm_mode", "HVM", false),
            ("vm_mode", "xen", false),
            ("img_config_drive", "mandatory", true),
            ("img_config_drive", "optional", true),
            ("img_config_drive", "true", false),
            ("ssh_user", "admin", true),
            ("ssh_user", "_deploy-2", true),
            ("ssh_user", "", false),
            ("ssh_user", "Administrator", false),
            ("ssh_user", "a b", false),
            ("ssh_user", "-x", false),
            ("hw_anything", "Any value: it is only kept", true),
        ] {
            let mut metadata = Metadata::default();
            let outcome = metadata.edit(edit(&[(name, Some(value))]));
            assert_eq!(outcome.is_ok(), works, "{name}={value}: {outcome:?}");
        }
        let refused = Metadata::default().edit(edit(&[("vm_mode", Some("xen"))])).unwrap_err();
        assert_eq!(refused.0, key("vm_mode"));
        assert_eq!(refused.1.to_string(), "`vm_mode` cannot be `xen`; use `hvm` or `virtio`");
    }

    #[test]
    fn keys_and_values_are_bounded_and_a_refused_edit_changes_nothing() {
        for wrong in ["", "1st", "a b", "a/b", "ä", &"k".repeat(65)] {
            assert_eq!(wrong.parse::<MetadataKey>(), Err(MetadataError::Key), "{wrong:?}");
        }
        let mut metadata = Metadata::default();
        metadata.edit(edit(&[("os", Some("debian"))])).unwrap();
        let before = metadata.clone();
        let long = "v".repeat(256);
        for (value, expected) in
            [(long.as_str(), MetadataError::TooLong(256)), ("a\nb", MetadataError::Character)]
        {
            let refused = metadata.edit(edit(&[("a", Some("1")), ("os", Some(value))])).unwrap_err();
            assert_eq!(refused, (key("os"), expected));
            assert_eq!(metadata, before);
        }
        let many = |count: usize| -> MetadataEdit {
            let keys = (0..count).map(|number| (key(&format!("k{number:02}")), Some(String::new())));
            MetadataEdit { clear: false, keys: keys.collect() }
        };
        assert_eq!(metadata.edit(many(64)).unwrap_err(), (key("k63"), MetadataError::TooMany(65)));
        metadata.edit(many(63)).unwrap();
        assert!(serde_json::from_str::<Metadata>(r#"{"vm_mode":"xen"}"#).is_err());
        assert!(serde_json::from_str::<Metadata>(r#"{"a b":"c"}"#).is_err());
    }
}
