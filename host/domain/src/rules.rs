//! The rules that decide whether a use case may begin. Pure: everything they need is handed in.

use crate::{
    account::Account,
    error::{Code, Error},
    hypervisor::Hypervisor,
    image::{Image, ImageKind},
    instance::{BootSource, Disk, Instance},
    location::Location,
    size::ByteSize,
    storage::ImageStorage,
    time::Timestamp,
};

/// What a capture is judged by.
#[derive(Debug)]
pub struct CaptureFacts<'a> {
    /// The instance.
    pub instance: &'a Instance,
    /// All of its disks.
    pub disks: &'a [Disk],
    /// Its location.
    pub location: &'a Location,
    /// Its hypervisor.
    pub hypervisor: &'a Hypervisor,
    /// The customer storages bound to that hypervisor.
    pub storages: &'a [ImageStorage],
    /// Now.
    pub now: Timestamp,
}

/// What a capture will read and where it will write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureChoice<'a> {
    /// The primary disk (S16).
    pub disk: &'a Disk,
    /// The bound storage with the most room (S21).
    pub storage: &'a ImageStorage,
}

/// Judges a capture: feature flag (S125), boot from volume (S23), primary disk (S16), busy
/// instance, agent online, storage bound (S21), space (S100, S129). The limit is not here: it is a
/// reservation in the transaction (see [`reserve_slot`]).
pub fn capture<'a>(facts: &CaptureFacts<'a>) -> Result<CaptureChoice<'a>, Error> {
    if !facts.location.images_enabled {
        return Err(Error::new(
            Code::ImageFeatureDisabled,
            "the provider has not enabled instance images for this location",
        ));
    }
    match facts.instance.boot_source {
        BootSource::Disk => {}
        BootSource::Volume => {
            return Err(Error::new(
                Code::BootFromVolumeNotSupported,
                "you cannot create an image of it; use snapshots and clones of the volume instead",
            ));
        }
    }
    facts.instance.require_ready()?;
    let disk = facts
        .disks
        .iter()
        .find(|disk| disk.primary)
        .ok_or_else(|| Error::new(Code::InstanceBusy, "the instance has no primary disk yet"))?;
    require_online(facts.hypervisor, facts.now)?;
    let storage = facts
        .storages
        .iter()
        .max_by_key(|storage| (storage.available, std::cmp::Reverse(storage.id)))
        .ok_or_else(|| {
            Error::new(Code::NoImageStorageBound, "ask the provider to bind an image storage to it")
        })?;
    require_space(storage, ByteSize::ZERO)?;
    Ok(CaptureChoice { disk, storage })
}

/// Room that stays free on a storage whatever happens, in bytes.
pub const RESERVED_SPACE: ByteSize = ByteSize::MIB;

/// Refuses a storage that is known to have no room for `needed` bytes.
pub fn require_space(storage: &ImageStorage, needed: ByteSize) -> Result<(), Error> {
    let wanted = needed.checked_add(RESERVED_SPACE).unwrap_or(needed);
    match storage.available {
        Some(available) if available < wanted => Err(Error::new(
            Code::InsufficientStorage,
            "insufficient storage space on the image storage backend; delete unused images or ask the provider for more room",
        )
        .with("available", available.bytes())
        .with("needed", wanted.bytes())),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a hypervisor whose agent is silent.
pub fn require_online(hypervisor: &Hypervisor, now: Timestamp) -> Result<(), Error> {
    if hypervisor.is_online(now) {
        return Ok(());
    }
    Err(Error::new(
        Code::HypervisorOffline,
        "its agent has not reported for a while; try again when it is back",
    ))
}

/// The number of images that an account may have in a location: its own limit, else the location's;
/// `None` is no limit.
pub fn image_limit(account: &Account, location: &Location) -> Option<u32> {
    account.image_limit.or(location.default_image_limit)
}

/// Takes one more slot, given the slots taken. Called inside the transaction that inserts the image
/// (S126, X7).
pub fn reserve_slot(limit: Option<u32>, taken: u32) -> Result<(), Error> {
    match limit {
        Some(limit) if taken >= limit => Err(Error::new(
            Code::ImageLimitReached,
            "delete unused images to free up a slot, or contact the provider",
        )
        .with("limit", limit)
        .with("used", taken)),
        Some(_) | None => Ok(()),
    }
}

/// What a deployment is judged by.
#[derive(Debug)]
pub struct DeployFacts<'a> {
    /// Who deploys.
    pub account: &'a Account,
    /// From which image.
    pub image: &'a Image,
    /// Onto which hypervisor.
    pub hypervisor: &'a Hypervisor,
    /// The wanted size of the new disk; `None` takes the image's.
    pub disk_size: Option<ByteSize>,
    /// Now.
    pub now: Timestamp,
}

/// Judges a deployment and answers the size of the new disk (D1: never smaller than the image's).
pub fn deploy(facts: &DeployFacts<'_>) -> Result<ByteSize, Error> {
    let visible = match facts.image.kind {
        ImageKind::Stock => true,
        ImageKind::Custom => facts.image.account_id == facts.account.id,
    };
    if !visible {
        return Err(Error::not_found("image"));
    }
    let stored = facts.image.require_available()?;
    if facts.image.location_id != facts.hypervisor.location_id {
        return Err(Error::new(
            Code::OtherLocation,
            "deploy it where it is, or export it and import it there",
        ));
    }
    require_online(facts.hypervisor, facts.now)?;
    let size = facts.disk_size.unwrap_or(stored.virtual_size);
    if size < stored.virtual_size {
        return Err(Error::new(
            Code::DiskTooSmall,
            format!("the image needs a disk of at least {}", stored.virtual_size),
        )
        .with("minimum", stored.virtual_size.bytes()));
    }
    Ok(size)
}
