//! Locations: images live and are used in one place, with its own flags and limits.

use crate::{coalesce::CoalescePolicy, id::LocationId, name::Name};

/// A location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its id.
    pub id: LocationId,
    /// Its name; unique.
    pub name: Name,
    /// Whether customers may create images here (S124).
    pub images_enabled: bool,
    /// Images that an account may have, unless its own limit says otherwise; `None` is no limit
    /// (S122).
    pub default_image_limit: Option<u32>,
    /// How chains of layers behind disks are merged here.
    pub coalesce: CoalescePolicy,
}
