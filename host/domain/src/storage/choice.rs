//! Which image storage takes a new image. Pure, so that the same facts always choose the same one.
//!
//! Of the storages that are bound to the hypervisor, those take part that are active, that their
//! agent can write to, and that have room for the image beside what is reserved. Those that are not
//! nearly full come first. Of these the one with the largest product of weight and free space wins;
//! the older one of equals. A storage that reports no free space, as object stores do, counts as
//! having as much as the best of the others: otherwise it would never win, or always.

use std::cmp::Reverse;

use super::{HealthClass, ImageStorage, StorageHealth, StorageState, Weight};
use crate::{
    error::{Code, Error},
    id::StorageId,
    size::ByteSize,
    time::Timestamp,
};

/// The free space in bytes that storages count as having where none reports any: 1 TiB.
const NOMINAL_FREE: u64 = 1 << 40;

/// An image storage that is bound to the hypervisor, with the facts that decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The storage.
    pub storage: ImageStorage,
    /// What the hypervisor's agent reported last; `None` before its first report.
    pub health: Option<StorageHealth>,
    /// The bytes that are reserved for work that has not written them yet.
    pub reserved: ByteSize,
}

impl Candidate {
    fn class(&self, now: Timestamp) -> HealthClass {
        self.health
            .as_ref()
            .map_or(HealthClass::Unknown, |health| health.class(&self.storage, self.reserved, now))
    }

    /// Returns the free space that is not reserved; `None` if it is not known.
    pub fn free(&self) -> Option<ByteSize> {
        let available = self.health.as_ref().and_then(|health| health.available)?;
        Some(available.saturating_sub(self.reserved))
    }

    fn takes_images(&self, now: Timestamp) -> bool {
        let writable = match self.class(now) {
            HealthClass::Healthy | HealthClass::Unknown | HealthClass::NearlyFull => true,
            HealthClass::ReadOnly | HealthClass::Unreachable => false,
        };
        let active = match self.storage.state {
            StorageState::Active => true,
            StorageState::ReadOnly | StorageState::Draining => false,
        };
        writable && active
    }

    /// Returns whether so many bytes fit beside what is reserved; a storage that does not say how
    /// much is free takes any.
    pub fn has_room(&self, needed: ByteSize) -> bool {
        self.free().is_none_or(|free| free >= needed)
    }
}

/// Chooses the storage of a new image that takes at most `needed` bytes. `asked` is the storage
/// that the request names, also one of weight 0.
///
/// # Errors
///
/// [`Code::NoImageStorageBound`] without candidates; [`Code::StorageUnavailable`] when none takes
/// images at the moment; [`Code::InsufficientStorage`] when none has room (S100, S129).
pub fn choose(
    candidates: &[Candidate],
    needed: ByteSize,
    asked: Option<StorageId>,
    now: Timestamp,
) -> Result<&Candidate, Error> {
    let among: Vec<_> =
        candidates.iter().filter(|candidate| asked.is_none_or(|id| candidate.storage.id == id)).collect();
    if among.is_empty() {
        let detail = match asked {
            Some(_) => "bind the storage that the request names to it, or name another one",
            None => "ask the provider to bind an image storage to it",
        };
        return Err(Error::new(Code::NoImageStorageBound, detail));
    }
    let taking: Vec<_> = among
        .into_iter()
        .filter(|candidate| candidate.takes_images(now))
        .filter(|candidate| asked.is_some() || candidate.storage.weight > Weight(0))
        .collect();
    if taking.is_empty() {
        return Err(Error::new(
            Code::StorageUnavailable,
            "the image storages of this hypervisor take no images at the moment; try again later, or ask the provider",
        ));
    }
    let roomy: Vec<_> = taking.iter().copied().filter(|candidate| candidate.has_room(needed)).collect();
    let spare = |candidate: &&Candidate| candidate.class(now) != HealthClass::NearlyFull;
    let preferred = if roomy.iter().any(spare) { roomy.into_iter().filter(spare).collect() } else { roomy };
    best(&preferred).ok_or_else(|| {
        let largest = taking.iter().filter_map(|candidate| candidate.free()).max();
        no_room(largest.unwrap_or(ByteSize::ZERO), needed)
    })
}

/// Builds the refusal of an image that does not fit (S100, S129).
fn no_room(available: ByteSize, needed: ByteSize) -> Error {
    Error::new(
        Code::InsufficientStorage,
        "insufficient storage space on the image storage backend; delete unused images or ask the provider for more room",
    )
    .with("available", available.bytes())
    .with("needed", needed.bytes())
}

fn best<'a>(candidates: &[&'a Candidate]) -> Option<&'a Candidate> {
    let known = candidates.iter().filter_map(|candidate| candidate.free()).map(ByteSize::bytes).max();
    let nominal = known.unwrap_or(NOMINAL_FREE);
    let free = |candidate: &Candidate| {
        candidate.free().map_or_else(|| nominal.saturating_sub(candidate.reserved.bytes()), ByteSize::bytes)
    };
    let score = |candidate: &Candidate| {
        // The least score that is not nothing keeps the order by age for storages without room to
        // compare.
        u128::from(candidate.storage.weight.number().max(1)) * u128::from(free(candidate).max(1))
    };
    candidates.iter().copied().max_by_key(|candidate| (score(candidate), Reverse(candidate.storage.id)))
}
