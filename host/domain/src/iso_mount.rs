//! What is in the drive of an instance.

use crate::id::IsoId;

/// An ISO in the drive of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IsoMount {
    /// The ISO.
    pub iso_id: IsoId,
    /// Whether the machine boots from it first at each start.
    pub boot: bool,
}
