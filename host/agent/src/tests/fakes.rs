//! Fakes of what is around an agent: the control plane, and a plugin of each kind.

use std::time::Duration;

mod control_plane;
mod driver;
mod format;
mod inspector;
mod storage;
mod world;

pub(super) use self::{
    control_plane::object_key,
    format::{WRAPPED_AT, WRAPPER, identity_rules},
    storage::CommitFault,
    world::{DISK_SIZE, SystemEnvironment, World, assignment, image_ref, storage_ref},
};

/// The time for everything that a test waits for; long, as the machine may be busy.
pub(super) const SOON: Duration = Duration::from_secs(30);
