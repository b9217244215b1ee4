//! The rules that decide whether a use case may start. They are pure: everything that they need is
//! an argument.

use crate::{
    account::Account,
    capture_format::CaptureFormat,
    error::{Code, Error},
    hypervisor::Hypervisor,
    id::{AccountId, StorageId},
    image::{Image, ImageKind},
    instance::{BootSource, Disk, Instance},
    location::Location,
    share::Share,
    size::ByteSize,
    storage::{Candidate, ImageStorage, choose},
    time::Timestamp,
    windows::WindowsFacts,
};

/// The facts that decide about a capture.
#[derive(Debug)]
pub struct CaptureFacts<'a> {
    /// The instance to capture.
    pub instance: &'a Instance,
    /// All disks of the instance.
    pub disks: &'a [Disk],
    /// The instance's location.
    pub location: &'a Location,
    /// The instance's hypervisor.
    pub hypervisor: &'a Hypervisor,
    /// The customer storages bound to that hypervisor.
    pub storages: &'a [Candidate],
    /// What the request asks for.
    pub asked: Asked,
    /// The current time.
    pub now: Timestamp,
}

/// What a request for a capture may ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// The storage, if it names one.
    pub storage: Option<StorageId>,
    /// The format of the file; `None` takes the location's.
    pub format: Option<CaptureFormat>,
    /// Whether it is a domain controller (S35); `None` where the request does not say.
    pub domain_controller: Option<bool>,
}

/// What a capture reads and where it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureChoice<'a> {
    /// The primary disk (S16).
    pub disk: &'a Disk,
    /// The chosen storage (S21).
    pub storage: &'a ImageStorage,
    /// The format of the file (S20).
    pub format: CaptureFormat,
    /// The bytes to reserve there until the capture has ended.
    pub reserve: ByteSize,
}

/// The bytes that an image may need beyond its own: tables, and what else is written at that time.
/// The agent adds the same before it starts to copy.
const OVERHEAD: ByteSize = match ByteSize::new(16 << 20) {
    Ok(size) => size,
    Err(_) => ByteSize::MIB,
};

/// Returns the most bytes that a file of that size takes while it is written.
pub fn stored_upper_bound(content: ByteSize) -> ByteSize {
    content.saturating_add(OVERHEAD)
}

/// Returns what decides about an image of an instance that may run Windows.
pub fn windows_facts(
    instance: &Instance,
    disk: &Disk,
    location: &Location,
    domain_controller: Option<bool>,
) -> WindowsFacts {
    WindowsFacts {
        os: instance.known_os(),
        largest: instance.largest.with(disk.observed()),
        bounds: location.windows,
        domain_controller,
    }
}

/// Decides whether an instance can be captured, and chooses disk and storage. The limit is not
/// here: it is a reservation in the transaction (see [`Quota::reserve`](crate::limits::Quota)).
///
/// # Errors
///
/// One code for each rule: feature flag (S125), boot from volume (S23), busy instance, primary disk
/// (S16), Windows (S33, S35), agent online, storage bound (S21), storage usable, free space (S100,
/// S129).
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
    windows_facts(facts.instance, disk, facts.location, facts.asked.domain_controller).check()?;
    require_online(facts.hypervisor, facts.now)?;
    // What the format may hold of it, where that is known (S100). Compression only makes it less.
    let format = facts.asked.format.unwrap_or(facts.location.capture_format);
    let reserve = stored_upper_bound(format.largest(disk.content(), disk.virtual_size));
    let chosen = choose(facts.storages, reserve, facts.asked.storage, facts.now)?;
    Ok(CaptureChoice { disk, storage: &chosen.storage, format, reserve })
}

/// Refuses a hypervisor whose agent is offline.
///
/// # Errors
///
/// [`Code::HypervisorOffline`].
pub fn require_online(hypervisor: &Hypervisor, now: Timestamp) -> Result<(), Error> {
    if hypervisor.is_online(now) {
        return Ok(());
    }
    Err(Error::new(
        Code::HypervisorOffline,
        "its agent has not reported for a while; try again when it is back",
    ))
}

/// The facts that decide about a deployment.
#[derive(Debug)]
pub struct DeployFacts<'a> {
    /// The account that deploys.
    pub account: &'a Account,
    /// The image to deploy.
    pub image: &'a Image,
    /// What permits to use an image of another account; `None` for others.
    pub shared: Option<SharedUse<'a>>,
    /// The hypervisor that will run the instance.
    pub hypervisor: &'a Hypervisor,
    /// The requested size of the new disk; `None` takes the image's.
    pub disk_size: Option<ByteSize>,
    /// The current time.
    pub now: Timestamp,
}

/// What decides about the use of another account's image.
#[derive(Clone, Copy, Debug)]
pub struct SharedUse<'a> {
    /// The share of the image with the account that uses it.
    pub share: &'a Share,
    /// The image's location.
    pub location: &'a Location,
}

/// Decides whether an account may use an image: its own, a stock image, or one that is shared with
/// it.
///
/// # Errors
///
/// [`Code::NotFound`] for any other image; [`Code::SharingDisabled`] for a shared one where the
/// provider has not enabled sharing.
pub fn use_image(
    image: &Image,
    account: AccountId,
    shared: Option<SharedUse<'_>>,
    now: Timestamp,
) -> Result<(), Error> {
    if image.kind == ImageKind::Stock || image.account_id == account {
        return Ok(());
    }
    match shared {
        Some(shared) if shared.share.permits(account, image.id, now) => shared.location.require_sharing(),
        Some(_) | None => Err(Error::not_found("image")),
    }
}

/// Decides whether an image can be deployed, and returns the size of the new disk (D1: never
/// smaller than the image's).
///
/// # Errors
///
/// One code for each rule: image usable ([`use_image`]) and available, same location, agent
/// online, size.
pub fn deploy(facts: &DeployFacts<'_>) -> Result<ByteSize, Error> {
    use_image(facts.image, facts.account.id, facts.shared, facts.now)?;
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
