//! Instances and their disks.

use std::ops::Deref;

use crate::{
    error::{Code, Error},
    id::{AccountId, DiskId, HypervisorId, ImageId, InstanceId, LocationId},
    image::{
        ImageFormat,
        catalogue::{GuestSystem, OsType},
    },
    iso_mount::IsoMount,
    metadata::Metadata,
    name::Name,
    network::Network,
    size::ByteSize,
    string_enum::string_enum,
    time::Timestamp,
    transition::IllegalTransition,
    windows::{DeclaredOs, HighWater},
};

string_enum! {
    /// The status of an instance.
    pub enum InstanceStatus {
        /// Its disk is being written.
        Deploying = "deploying",
        /// It exists; `power` says whether it runs.
        Ready = "ready",
        /// It could not be deployed.
        Error = "error",
        /// It is being removed.
        Deleting = "deleting",
    }

    /// The power state of an instance.
    pub enum Power {
        /// It runs.
        Running = "running",
        /// Its processors are halted.
        Paused = "paused",
        /// It is off.
        Off = "off",
        /// Its hypervisor has not reported it yet.
        Unknown = "unknown",
    }

    /// The origin of the primary disk of an instance.
    pub enum BootSource {
        /// A disk of its own, on its hypervisor.
        Disk = "disk",
        /// A volume of a block storage (S23).
        Volume = "volume",
    }
}

/// The parts of an instance that are given when it is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    /// The instance's id.
    pub id: InstanceId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The instance's name.
    pub name: Name,
    /// The hypervisor that runs it.
    pub hypervisor_id: HypervisorId,
    /// The location of that hypervisor.
    pub location_id: LocationId,
    /// The origin of its primary disk.
    pub boot_source: BootSource,
    /// The image that it is deployed from.
    pub image_id: Option<ImageId>,
    /// The number of virtual processors.
    pub vcpus: u32,
    /// The size of its memory.
    pub memory: ByteSize,
    /// How its system wants to be started, as its image said at the deployment.
    pub metadata: Metadata,
    /// What its owner says that it runs; `None` where nothing was said.
    pub declared_os: Option<DeclaredOs>,
    /// The size of its primary disk.
    pub disk_size: ByteSize,
    /// The ISO in its drive from the start on.
    pub iso: Option<IsoMount>,
    /// The operating system and its support of cloud-init, as the image said at the deployment.
    pub guest: GuestSystem,
}

/// What is on a primary disk that was written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewSystem {
    /// The image that it was written from; `None` when that was removed meanwhile.
    pub image_id: Option<ImageId>,
    /// How the system wants to be started, as the image says.
    pub metadata: Metadata,
    /// What the system is, as the image says.
    pub guest: GuestSystem,
    /// What the owner says that it is; `None` where nothing was said.
    pub declared_os: Option<DeclaredOs>,
    /// The size of the disk.
    pub disk_size: ByteSize,
}

/// The parts of an instance, to read it and to build it from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceParts {
    /// The instance's id.
    pub id: InstanceId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The instance's name.
    pub name: Name,
    /// The hypervisor that runs it.
    pub hypervisor_id: HypervisorId,
    /// The location of that hypervisor.
    pub location_id: LocationId,
    /// The status of the instance.
    pub status: InstanceStatus,
    /// The power state that its agent saw last.
    pub power: Power,
    /// The origin of its primary disk.
    pub boot_source: BootSource,
    /// The image that it was deployed from; `None` when that image has been removed.
    pub image_id: Option<ImageId>,
    /// The number of virtual processors.
    pub vcpus: u32,
    /// The size of its memory.
    pub memory: ByteSize,
    /// How its system wants to be started, as its image said at the deployment.
    pub metadata: Metadata,
    /// Its network card, as its agent reported it last; `None` when it has none.
    pub network: Option<Network>,
    /// How many captures of it have failed one after the other (S30).
    pub capture_failures: u32,
    /// What its owner says that it runs; `None` where nothing was said.
    pub declared_os: Option<DeclaredOs>,
    /// How large its primary disk was at its largest (S133).
    pub largest: HighWater,
    /// The ISO in its drive.
    pub iso: Option<IsoMount>,
    /// The operating system and its support of cloud-init, as the image said at the deployment.
    pub guest: GuestSystem,
    /// When it was requested.
    pub created_at: Timestamp,
}

/// An instance. Its parts can be read by dereferencing; only its methods change it.
///
/// ```text
///  deploy -> deploying ---------> ready
///              ^  |   deployed      |
///        retry |  | fail            | delete
///              |  v                 v
///             error ------------> deleting   (also from deploying)
///                      delete
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance(InstanceParts);

impl Deref for Instance {
    type Target = InstanceParts;

    fn deref(&self) -> &InstanceParts {
        &self.0
    }
}

/// A disk of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The disk's id.
    pub id: DiskId,
    /// The instance that it belongs to.
    pub instance_id: InstanceId,
    /// Whether it is the disk that is captured (S16).
    pub primary: bool,
    /// The size in bytes that the guest sees.
    pub virtual_size: ByteSize,
    /// The format of its file on the hypervisor's machine.
    pub format: ImageFormat,
    /// The bytes that its file occupied when an agent reported it last.
    pub allocated: Option<ByteSize>,
}

impl Disk {
    /// Returns the most bytes of content that the disk's file holds: what the file occupies, where
    /// that is known, and never more than the guest sees.
    pub fn content(&self) -> ByteSize {
        self.allocated.map_or(self.virtual_size, |allocated| allocated.min(self.virtual_size))
    }
}

impl Disk {
    /// Returns how large the disk is now, as far as that is known.
    pub fn observed(&self) -> HighWater {
        HighWater { content: self.allocated.unwrap_or(ByteSize::ZERO), size: self.virtual_size }
    }
}

impl InstanceStatus {
    /// Returns whether an instance may go from this status to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Deploying => matches!(next, Self::Ready | Self::Error | Self::Deleting),
            Self::Ready => matches!(next, Self::Deleting),
            Self::Error => matches!(next, Self::Deploying | Self::Deleting),
            Self::Deleting => false,
        }
    }
}

impl Instance {
    /// Builds an instance whose disk is being written.
    pub fn deploy(new: NewInstance, now: Timestamp) -> Self {
        Self(InstanceParts {
            id: new.id,
            account_id: new.account_id,
            name: new.name,
            hypervisor_id: new.hypervisor_id,
            location_id: new.location_id,
            status: InstanceStatus::Deploying,
            power: Power::Off,
            boot_source: new.boot_source,
            image_id: new.image_id,
            vcpus: new.vcpus,
            memory: new.memory,
            metadata: new.metadata,
            network: None,
            capture_failures: 0,
            declared_os: new.declared_os,
            largest: HighWater { content: ByteSize::ZERO, size: new.disk_size },
            iso: new.iso,
            guest: new.guest,
            created_at: now,
        })
    }

    /// Builds an instance from the parts that a row holds.
    pub const fn from_parts(parts: InstanceParts) -> Self {
        Self(parts)
    }

    fn transition(&mut self, to: InstanceStatus) -> Result<(), IllegalTransition> {
        let from = self.0.status;
        if !from.may_become(to) {
            return Err(IllegalTransition { noun: "instance", from: from.as_str(), to: to.as_str() });
        }
        self.0.status = to;
        Ok(())
    }

    /// Ends the deployment with success, in the power state that the agent reported.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the instance is not being deployed.
    pub fn deployed(&mut self, power: Power) -> Result<(), IllegalTransition> {
        self.transition(InstanceStatus::Ready)?;
        self.0.power = power;
        Ok(())
    }

    /// Records that the primary disk was written anew, in the power state that the agent reported.
    /// Nothing of the old disk counts any more: not its size, not its system, not the captures of
    /// it that failed.
    ///
    /// # Errors
    ///
    /// [`Code::InstanceBusy`] when the instance is not ready.
    pub fn reinstalled(&mut self, system: NewSystem, power: Power) -> Result<(), Error> {
        self.require_ready()?;
        self.0.image_id = system.image_id;
        self.0.metadata = system.metadata;
        self.0.guest = system.guest;
        self.0.declared_os = system.declared_os;
        self.0.largest = HighWater { content: ByteSize::ZERO, size: system.disk_size };
        self.0.capture_failures = 0;
        self.0.power = power;
        Ok(())
    }

    /// Ends the deployment without success.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the instance is not being deployed.
    pub fn fail(&mut self) -> Result<(), IllegalTransition> {
        self.transition(InstanceStatus::Error)
    }

    /// Starts the deployment of a failed instance anew.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the instance is not in error.
    pub fn retry(&mut self) -> Result<(), IllegalTransition> {
        self.transition(InstanceStatus::Deploying)
    }

    /// Starts the removal of the instance.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when the instance is being removed already.
    pub fn delete(&mut self) -> Result<(), IllegalTransition> {
        self.transition(InstanceStatus::Deleting)
    }

    /// Records the power state of a ready instance, and returns whether it changed. Of an instance
    /// in any other status its task knows more than a heartbeat.
    pub fn observe_power(&mut self, power: Power) -> bool {
        let changed = self.0.status == InstanceStatus::Ready && self.0.power != power;
        if changed {
            self.0.power = power;
        }
        changed
    }

    /// Records the network card that its agent reported, and returns whether anything changed.
    pub fn observe_network(&mut self, network: Option<Network>) -> bool {
        let changed = self.0.network != network;
        self.0.network = network;
        changed
    }

    /// Returns what it runs: what its owner says, or else its image.
    pub fn known_os(&self) -> Option<DeclaredOs> {
        let of_image = match self.guest.os_type {
            OsType::Linux => Some(DeclaredOs::Linux),
            OsType::Windows => Some(DeclaredOs::Windows),
            OsType::Bsd => Some(DeclaredOs::Other),
            OsType::Other => None,
        };
        self.declared_os.or(of_image)
    }

    /// Records how many bytes its primary disk occupies. Returns whether it never were as many.
    pub fn observe_content(&mut self, content: ByteSize) -> bool {
        self.0.largest.raise(HighWater { content, size: ByteSize::ZERO })
    }

    /// Counts a capture that failed for good, and returns how many have failed one after the other.
    pub const fn capture_failed(&mut self) -> u32 {
        self.0.capture_failures = self.0.capture_failures.saturating_add(1);
        self.0.capture_failures
    }

    /// Records a capture that succeeded: those that failed before do not count any more. Returns
    /// whether there were any.
    pub const fn captured(&mut self) -> bool {
        let had_failed = self.0.capture_failures > 0;
        self.0.capture_failures = 0;
        had_failed
    }

    /// Records which ISO is in the drive.
    pub fn set_iso(&mut self, iso: Option<IsoMount>) {
        self.0.iso = iso;
    }

    /// Refuses an instance that is not ready: only a ready one can be captured, started, stopped or
    /// merged.
    ///
    /// # Errors
    ///
    /// [`Code::InstanceBusy`] in any other status.
    pub fn require_ready(&self) -> Result<(), Error> {
        match self.0.status {
            InstanceStatus::Ready => Ok(()),
            InstanceStatus::Deploying | InstanceStatus::Error | InstanceStatus::Deleting => Err(Error::new(
                Code::InstanceBusy,
                format!("the instance is {}; wait until it is ready", self.0.status),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::network::{MacAddress, NetworkKind, SshAddress};

    fn deploying() -> Instance {
        let new = NewInstance {
            id: InstanceId::new(Uuid::from_u128(1)),
            account_id: AccountId::new(Uuid::from_u128(2)),
            name: Name::parse("instance").unwrap(),
            hypervisor_id: HypervisorId::new(Uuid::from_u128(3)),
            location_id: LocationId::new(Uuid::from_u128(4)),
            boot_source: BootSource::Disk,
            image_id: None,
            vcpus: 1,
            memory: ByteSize::GIB,
            metadata: Metadata::default(),
            declared_os: None,
            disk_size: ByteSize::GIB,
            iso: None,
            guest: GuestSystem::default(),
        };
        Instance::deploy(new, DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap())
    }

    fn in_status(status: InstanceStatus) -> Instance {
        let parts = InstanceParts { status, ..(*deploying()).clone() };
        Instance::from_parts(parts)
    }

    #[test]
    fn every_transition_is_made_or_refused_without_effect() {
        type Step = fn(&mut Instance) -> Result<(), IllegalTransition>;
        let steps: [(InstanceStatus, Step); 4] = [
            (InstanceStatus::Deploying, Instance::retry),
            (InstanceStatus::Ready, |instance| instance.deployed(Power::Running)),
            (InstanceStatus::Error, Instance::fail),
            (InstanceStatus::Deleting, Instance::delete),
        ];
        let mut allowed = Vec::new();
        for &from in InstanceStatus::ALL {
            for (to, step) in steps {
                let before = in_status(from);
                let mut instance = before.clone();
                match step(&mut instance) {
                    Ok(()) => {
                        assert_eq!(instance.status, to);
                        allowed.push((from, to));
                    }
                    Err(error) => {
                        assert_eq!((error.from, error.to), (from.as_str(), to.as_str()));
                        assert_eq!(instance, before);
                    }
                }
            }
        }
        assert_eq!(
            allowed,
            [
                (InstanceStatus::Deploying, InstanceStatus::Ready),
                (InstanceStatus::Deploying, InstanceStatus::Error),
                (InstanceStatus::Deploying, InstanceStatus::Deleting),
                (InstanceStatus::Ready, InstanceStatus::Deleting),
                (InstanceStatus::Error, InstanceStatus::Deploying),
                (InstanceStatus::Error, InstanceStatus::Deleting),
            ]
        );
    }

    #[test]
    fn what_the_owner_says_of_the_system_comes_before_the_image() {
        let of = |os_type, declared_os| {
            let guest = GuestSystem { os_type, ..GuestSystem::default() };
            let parts = InstanceParts { guest, declared_os, ..(*deploying()).clone() };
            Instance::from_parts(parts).known_os()
        };
        assert_eq!(of(OsType::Other, None), None);
        assert_eq!(of(OsType::Windows, None), Some(DeclaredOs::Windows));
        assert_eq!(of(OsType::Bsd, None), Some(DeclaredOs::Other));
        assert_eq!(of(OsType::Windows, Some(DeclaredOs::Linux)), Some(DeclaredOs::Linux));
    }

    #[test]
    fn captures_that_fail_one_after_the_other_are_counted() {
        let mut instance = deploying();
        assert!(!instance.captured());
        assert_eq!((instance.capture_failed(), instance.capture_failed()), (1, 2));
        assert!(instance.captured());
        assert_eq!(instance.capture_failed(), 1);
    }

    #[test]
    fn only_a_ready_instance_takes_an_observed_power_state() {
        let mut instance = deploying();
        assert!(!instance.observe_power(Power::Running));
        instance.deployed(Power::Off).unwrap();
        assert!(instance.observe_power(Power::Running));
        assert!(!instance.observe_power(Power::Running));
        assert_eq!(instance.power, Power::Running);
    }

    #[test]
    fn only_a_ready_instance_is_reinstalled() {
        let system = NewSystem {
            image_id: Some(ImageId::new(Uuid::from_u128(9))),
            disk_size: ByteSize::MIB,
            ..NewSystem::default()
        };
        for &status in InstanceStatus::ALL {
            let mut before = in_status(status);
            before.capture_failed();
            before.observe_content(ByteSize::GIB);
            let mut instance = before.clone();
            let outcome = instance.reinstalled(system.clone(), Power::Running);
            if status == InstanceStatus::Ready {
                outcome.unwrap();
                assert_eq!((instance.image_id, instance.power), (system.image_id, Power::Running));
                let empty = HighWater { content: ByteSize::ZERO, size: ByteSize::MIB };
                assert_eq!((instance.largest, instance.capture_failures), (empty, 0));
            } else {
                assert_eq!(outcome.unwrap_err().code, Code::InstanceBusy);
                assert_eq!(instance, before);
            }
        }
    }

    #[test]
    fn a_network_card_is_news_only_when_it_is_another_one() {
        let mut instance = deploying();
        let card = |port| Network {
            kind: NetworkKind::User,
            mac: MacAddress::of(instance.id),
            ssh: Some(SshAddress { host: "127.0.0.1".parse().unwrap(), port }),
        };
        let (first, second) = (card(22_000), card(22_001));
        assert!(!instance.observe_network(None));
        assert!(instance.observe_network(Some(first.clone())));
        assert!(!instance.observe_network(Some(first)));
        assert!(instance.observe_network(Some(second.clone())));
        assert_eq!(instance.network, Some(second));
    }
}
