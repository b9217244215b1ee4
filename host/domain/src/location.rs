//! Locations: where images are stored and used, each with its own flags and limits.

use crate::{
    capture_format::CaptureFormat, coalesce::CoalescePolicy, id::LocationId, import::ImportPolicy,
    name::Name, size::ByteSize, support::Support, windows::WindowsBounds,
};

/// A location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The location's id.
    pub id: LocationId,
    /// The unique name.
    pub name: Name,
    /// Whether customers may create images here (S124).
    pub images_enabled: bool,
    /// Whether customers may share images here, and use shared ones (S72).
    pub sharing_enabled: bool,
    /// Whether customers may mount ISOs here (S111).
    pub iso_enabled: bool,
    /// Whether customers may export images here (S90).
    pub export_enabled: bool,
    /// The number of images that an account without its own limit may have here; `None` is no limit
    /// (S122).
    pub default_image_limit: Option<u32>,
    /// The bytes that the images of an account without its own limit may take here; `None` is no
    /// limit.
    pub default_image_bytes_limit: Option<ByteSize>,
    /// How the layers of disks are merged here.
    pub coalesce: CoalescePolicy,
    /// How long a capture may freeze a guest's file systems here.
    pub freeze_limit: FreezeLimit,
    /// What customers may import here.
    pub import: ImportPolicy,
    /// How long a capture waits here for the guest to give back unused space.
    pub reclaim_limit: ReclaimLimit,
    /// The format that captures are stored in here, unless a request names another one (S20).
    pub capture_format: CaptureFormat,
    /// The bounds of Windows disks that images are created of here.
    pub windows: WindowsBounds,
    /// How customers here reach the provider's support.
    pub support: Support,
    /// Increases with every change; the ETag.
    pub version: u32,
}

/// The longest time for which a capture freezes a guest's file systems (X11), in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FreezeLimit(u32);

/// The number of milliseconds is not a freeze limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} ms is not a freeze limit; give {min} to {max} milliseconds", min = FreezeLimit::MIN_MS, max = FreezeLimit::MAX_MS)]
pub struct InvalidFreezeLimit(pub u64);

impl FreezeLimit {
    /// The shortest limit, in milliseconds.
    pub const MIN_MS: u32 = 100;
    /// The longest limit, in milliseconds: guests notice longer freezes.
    pub const MAX_MS: u32 = 10_000;
    /// The default: two seconds.
    pub const DEFAULT: Self = Self(2_000);

    /// Checks a number of milliseconds.
    ///
    /// # Errors
    ///
    /// [`InvalidFreezeLimit`] when it is not within [`Self::MIN_MS`] and [`Self::MAX_MS`].
    pub fn new(milliseconds: u64) -> Result<Self, InvalidFreezeLimit> {
        u32::try_from(milliseconds)
            .ok()
            .filter(|milliseconds| (Self::MIN_MS..=Self::MAX_MS).contains(milliseconds))
            .map(Self)
            .ok_or(InvalidFreezeLimit(milliseconds))
    }

    /// Returns the number of milliseconds.
    pub const fn milliseconds(self) -> u32 {
        self.0
    }
}

impl Default for FreezeLimit {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The longest time that a capture waits for a guest that gives back the space which its file
/// systems do not use any more (S31), in seconds. Zero: it is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReclaimLimit(u32);

/// The number of seconds is not a reclaim limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} s is not a time to wait for reclaimed space; give at most {max} seconds, or 0 to ask for none", max = ReclaimLimit::MAX_S)]
pub struct InvalidReclaimLimit(pub u64);

impl ReclaimLimit {
    /// The longest limit, in seconds.
    pub const MAX_S: u32 = 3_600;
    /// The default: one minute.
    pub const DEFAULT: Self = Self(60);

    /// Checks a number of seconds.
    ///
    /// # Errors
    ///
    /// [`InvalidReclaimLimit`] when it is above [`Self::MAX_S`].
    pub fn new(seconds: u64) -> Result<Self, InvalidReclaimLimit> {
        u32::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds <= Self::MAX_S)
            .map(Self)
            .ok_or(InvalidReclaimLimit(seconds))
    }

    /// Returns the number of seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl Default for ReclaimLimit {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_space_is_bounded() {
        assert_eq!(ReclaimLimit::new(60), Ok(ReclaimLimit::default()));
        assert!(ReclaimLimit::new(0).is_ok() && ReclaimLimit::new(3_600).is_ok());
        assert_eq!(ReclaimLimit::new(3_601), Err(InvalidReclaimLimit(3_601)));
    }

    #[test]
    fn a_freeze_is_bounded() {
        assert_eq!(FreezeLimit::new(2_000), Ok(FreezeLimit::default()));
        for accepted in [100, 10_000] {
            assert!(FreezeLimit::new(accepted).is_ok());
        }
        for refused in [0, 99, 10_001, u64::MAX] {
            assert_eq!(FreezeLimit::new(refused), Err(InvalidFreezeLimit(refused)));
        }
    }
}
