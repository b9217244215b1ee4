//! Image storages: back ends that hold image files (S5), apart from where stock images and ISOs are
//! (S6).

mod choice;
mod health;

use std::collections::BTreeMap;

pub use self::{
    choice::{Candidate, choose},
    health::{HealthClass, StorageHealth, StorageSummary},
};
use crate::{
    error::{Code, Error},
    id::{HypervisorId, StorageId},
    name::Name,
    plugin_kind::StorageKind,
    size::ByteSize,
    string_enum::string_enum,
};

string_enum! {
    /// The purpose of an image storage (D5). It never changes.
    pub enum StorageRole {
        /// Images captured or imported by customers.
        Customer = "customer",
        /// The operator's stock images.
        Stock = "stock",
        /// ISO files.
        Iso = "iso",
    }

    /// What an image storage takes. The operator changes it at any time.
    pub enum StorageState {
        /// New images, and reads.
        Active = "active",
        /// Reads only.
        ReadOnly = "read_only",
        /// Reads only, while its images move to other storages.
        Draining = "draining",
    }
}

/// How much an image storage is preferred for new images, among those with the same free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

/// The number is not a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a weight is a whole number from 0 to {max}; 0 takes images only when the storage is asked for", max = Weight::MAX)]
pub struct InvalidWeight;

impl Weight {
    /// The largest weight.
    pub const MAX: u32 = 1000;
    /// The weight of a storage that was given none.
    pub const DEFAULT: Self = Self(100);

    /// Checks a number.
    ///
    /// # Errors
    ///
    /// [`InvalidWeight`] above [`Self::MAX`].
    pub fn new(number: u32) -> Result<Self, InvalidWeight> {
        if number <= Self::MAX { Ok(Self(number)) } else { Err(InvalidWeight) }
    }

    /// Returns the number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// An image storage. It is bound to the hypervisors that use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStorage {
    /// The storage's id.
    pub id: StorageId,
    /// The unique name.
    pub name: Name,
    /// The purpose of the storage.
    pub role: StorageRole,
    /// The plugin that reaches it.
    pub kind: StorageKind,
    /// The plugin's settings; for `local`: `path`, a folder on the hypervisor's machine.
    pub settings: BTreeMap<String, String>,
    /// Grows with every change of the secrets, so that agents fetch them again; 0 when there never
    /// were any.
    pub secrets_version: u64,
    /// What the storage takes.
    pub state: StorageState,
    /// How much it is preferred for new images.
    pub weight: Weight,
    /// Whether the operator says that the path is the same storage on every machine that it is
    /// bound to. Only for kinds that are a folder of one machine.
    pub shared_path: bool,
    /// The free space below which it is nearly full; `None` takes [`default_min_free`].
    pub min_free: Option<ByteSize>,
    /// Where its images move while it is drained; `None` chooses for each image.
    pub drain_to: Option<StorageId>,
    /// Increases with every change by an operator; the `ETag`.
    pub version: u32,
}

/// The share of a storage that is kept free by default, as a divisor: 5 %.
const MIN_FREE_DIVISOR: u64 = 20;
/// The most bytes that are kept free by default.
const MAX_MIN_FREE: u64 = 10 << 30;

/// Returns the free space in bytes below which a storage of that size is nearly full by default:
/// 5 % of it, at most 10 GiB.
pub fn default_min_free(total: ByteSize) -> ByteSize {
    ByteSize::new((total.bytes() / MIN_FREE_DIVISOR).min(MAX_MIN_FREE)).unwrap_or(ByteSize::ZERO)
}

impl ImageStorage {
    /// Builds a storage that takes images, with the defaults of everything that can be changed.
    pub fn new(
        id: StorageId,
        name: Name,
        role: StorageRole,
        kind: StorageKind,
        settings: BTreeMap<String, String>,
    ) -> Self {
        Self {
            id,
            name,
            role,
            kind,
            settings,
            secrets_version: 0,
            state: StorageState::Active,
            weight: Weight::DEFAULT,
            shared_path: false,
            min_free: None,
            drain_to: None,
            version: 1,
        }
    }

    /// Returns the free space in bytes below which a storage of that size is nearly full.
    pub fn min_free(&self, total: Option<ByteSize>) -> Option<ByteSize> {
        self.min_free.or_else(|| total.map(default_min_free))
    }

    /// Counts a change by an operator.
    pub fn count_version(&mut self) {
        self.version = self.version.saturating_add(1);
    }

    /// Refuses what can be said of the storage's path, where it makes no sense.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for `shared_path` of a kind that is not a folder of one machine.
    pub fn check_shared_path(&self) -> Result<(), Error> {
        if self.shared_path && !self.kind.is_machine_bound() {
            return Err(Error::new(
                Code::InvalidRequest,
                format!("a storage of the kind `{}` is on no machine; leave `shared_path` out", self.kind),
            )
            .at("/shared_path"));
        }
        Ok(())
    }

    /// Decides whether the storage can be bound to all of those hypervisors at once. A folder of
    /// one machine is another folder on the next machine, so that images of one would be missing on
    /// the other.
    ///
    /// # Errors
    ///
    /// [`Code::StorageNotShared`] for several hypervisors, unless the operator says that the path
    /// is shared.
    pub fn require_shared(&self, hypervisors: &[HypervisorId]) -> Result<(), Error> {
        let [first, _, ..] = hypervisors else { return Ok(()) };
        if self.shared_path || !self.kind.is_machine_bound() {
            return Ok(());
        }
        Err(Error::new(
            Code::StorageNotShared,
            "its folder is on the machine of the hypervisor that it is bound to; make a storage for each machine, or set `shared_path` if the path is the same shared folder on all of them",
        )
        .with("hypervisor_id", first))
    }

    /// Changes what the storage takes. `drain_to` goes with `draining` only.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for a storage that is not for customers' images, for a target
    /// without draining, and for a storage that is its own target.
    pub fn set_state(&mut self, state: StorageState, drain_to: Option<StorageId>) -> Result<(), Error> {
        let refuse = |pointer: &str, text: &str| Err(Error::new(Code::InvalidRequest, text).at(pointer));
        match (state, drain_to) {
            (StorageState::Draining, _) if self.role != StorageRole::Customer => {
                return refuse(
                    "/state",
                    "only a storage for customers' images can be drained: files of the other roles belong to the operator, who moves them",
                );
            }
            (StorageState::Draining, Some(target)) if target == self.id => {
                return refuse("/drain_to", "a storage cannot be drained to itself; choose another one");
            }
            (StorageState::Active | StorageState::ReadOnly, Some(_)) => {
                return refuse("/drain_to", "`drain_to` goes with the state `draining`; leave it out");
            }
            (StorageState::Draining, _) | (StorageState::Active | StorageState::ReadOnly, None) => {}
        }
        self.state = state;
        self.drain_to = drain_to;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
