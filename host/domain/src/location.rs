//! Locations: where images are stored and used, each with its own flags and limits.

use crate::{coalesce::CoalescePolicy, id::LocationId, name::Name};

/// A location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The location's id.
    pub id: LocationId,
    /// The unique name.
    pub name: Name,
    /// Whether customers may create images here (S124).
    pub images_enabled: bool,
    /// The number of images that an account without its own limit may have here; `None` is no limit
    /// (S122).
    pub default_image_limit: Option<u32>,
    /// How the layers of disks are merged here.
    pub coalesce: CoalescePolicy,
}
