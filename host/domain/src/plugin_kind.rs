//! The names of plugins that rows refer to, such as the driver `qemu` and the storage kind `local`.

use crate::checked_text::checked_text;

/// The longest name, in bytes.
const MAX_BYTES: usize = 64;

/// The text is not the name of a kind of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name the kind of plugin in lower-case letters, digits and hyphens, such as `qemu` or `local`")]
pub struct InvalidPluginKind;

fn check(text: &str) -> Result<(), InvalidPluginKind> {
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if text.is_empty() || text.len() > MAX_BYTES || !plain { Err(InvalidPluginKind) } else { Ok(()) }
}

checked_text! {
    check, InvalidPluginKind;

    /// The hypervisor plugin that controls a hypervisor: `qemu`.
    DriverKind;
    /// The storage plugin that reaches an image storage: `local`, later `nfs`, `s3`.
    StorageKind;
}

impl StorageKind {
    /// The kind of storages that are a folder on the hypervisor's machine.
    pub const LOCAL: &'static str = "local";

    /// Returns the kind of storages that are a folder on the hypervisor's machine.
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }

    /// Returns whether storages of this kind are a folder on the hypervisor's machine.
    pub fn is_local(&self) -> bool {
        self.0 == Self::LOCAL
    }

    /// Returns whether the same settings mean another storage on another machine.
    pub fn is_machine_bound(&self) -> bool {
        self.is_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_plain_lower_case_name() {
        assert_eq!("qemu".parse::<DriverKind>().map(|kind| kind.to_string()).as_deref(), Ok("qemu"));
        assert!("local".parse::<StorageKind>().unwrap().is_local());
        for wrong in ["", "Qemu", "a_b", "a/b", "ä", &"a".repeat(65)] {
            assert_eq!(wrong.parse::<DriverKind>(), Err(InvalidPluginKind), "{wrong}");
        }
    }
}
