//! Locations and the limits that hold in them.

use imprint_domain::{Error, id::LocationId, name::Name};
use serde::{Deserialize, Serialize};

use crate::{Op, Page, PageRequest, Service};

/// A location, as its visitor sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationView {
    /// Its id.
    pub id: LocationId,
    /// Its name.
    pub name: Name,
    /// Whether images may be created here (S124).
    pub images_enabled: bool,
    /// Images that the asking account may have here.
    pub image_limit: Option<u32>,
    /// Images that it has here.
    pub images_used: u32,
    /// The location's own default, before an account's own limit.
    pub default_image_limit: Option<u32>,
}

/// The asking account's limits in a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsView {
    /// The location.
    pub location_id: LocationId,
    /// Images that the account may have here.
    pub image_limit: Option<u32>,
    /// Images that it has here.
    pub images_used: u32,
}

/// A new location.
#[derive(Clone, Debug)]
pub struct LocationCreate {
    /// Unique.
    pub name: Name,
    /// Whether images may be created there.
    pub images_enabled: bool,
    /// The limit for accounts without their own.
    pub default_image_limit: Option<u32>,
}

/// A change of a location.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocationPatch {
    /// Whether images may be created there.
    pub images_enabled: Option<bool>,
    /// `Some(None)` removes the limit.
    pub default_image_limit: Option<Option<u32>>,
}

impl Service {
    /// All locations, oldest first.
    pub async fn location_list(&self, op: &Op, page: &PageRequest) -> Result<Page<LocationView>, Error> {
        pending!(op, page)
    }

    /// The asking account's limits in a location.
    pub async fn limits_show(&self, op: &Op, location_id: LocationId) -> Result<LimitsView, Error> {
        pending!(op, location_id)
    }

    /// Creates a location. Admins only; `name_taken`.
    pub async fn location_create(&self, op: &Op, request: LocationCreate) -> Result<LocationView, Error> {
        pending!(op, request)
    }

    /// Changes a location. Admins only.
    pub async fn location_update(
        &self,
        op: &Op,
        id: LocationId,
        patch: LocationPatch,
    ) -> Result<LocationView, Error> {
        pending!(op, id, patch)
    }
}
