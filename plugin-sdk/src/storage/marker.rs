//! The marker: the file by which a storage is recognised.

use crate::{error::Error, host::Config};

/// The key of the host's configuration with the name of the marker.
const NAME: &str = "imprint.marker";
/// The key that says whether the marker has been written before.
const REQUIRED: &str = "imprint.marker-required";

/// The marker of a storage that only its plugin reaches: a file in the top of the storage, by which
/// it is known from another one at the same address. In granted directories the host looks
/// after it by itself.
///
/// Look for it whenever the storage is opened. Where it is missing and required, return
/// [`Marker::missing`]; where it is missing and not required, write it. It is no object: listings
/// leave it out.
///
/// ```
/// use imprint_plugin_sdk::{mock::MockHost, storage::Marker};
///
/// let host = MockHost::new();
/// assert_eq!(Marker::of(&host), None);
/// host.set_config("imprint.marker", ".imprint-storage.1");
/// host.set_config("imprint.marker-required", "true");
/// let marker = Marker::of(&host).unwrap();
/// assert!(marker.is_required);
/// assert_eq!(marker.missing("server:/images", "touch ...").code, "storage.marker");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The name of the file.
    pub name: String,
    /// Whether it has been written before: a storage without it is another one.
    pub is_required: bool,
}

impl Marker {
    /// Returns the marker that the host wants; `None` where none is needed, as in a connection
    /// test.
    pub fn of(host: &(impl Config + ?Sized)) -> Option<Self> {
        let is_required = host.config(REQUIRED).as_deref() == Some("true");
        host.config(NAME).map(|name| Self { name, is_required })
    }

    /// Returns the text of the file, which is there to be read when it is found.
    pub fn text(&self) -> String {
        format!(
            "This is an image storage of Imprint. Without the file {} Imprint refuses it, because nothing else shows \
             that it is the right one.\n",
            self.name
        )
    }

    /// Returns the error for a storage without its marker, with the code `storage.marker` of the
    /// host. `place` is what was looked at, `command` is what makes the file there.
    pub fn missing(&self, place: &str, command: &str) -> Error {
        let message = format!(
            "{place} is not this storage: it has no file {}; put back what belongs there. If it is the right one, because it \
             was restored or moved, make the file with `{command}`",
            self.name
        );
        Error::conflict("storage.marker", message)
    }
}
