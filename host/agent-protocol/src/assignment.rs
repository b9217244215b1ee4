//! Assignments: what the control plane sends to an agent that asks for them.

use std::collections::BTreeMap;

use imprint_domain::{
    consistency::Consistency,
    digest::{LogicalDigest, StoredDigest},
    export::ExportForm,
    id::{DiskId, ImageId, InstanceId, IsoId, StorageId, TaskId},
    image::{Compression, ImageFormat},
    import::ImportPolicy,
    metadata::VmMode,
    name::Name,
    plugin_kind::StorageKind,
    size::ByteSize,
    storage::StorageRole,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{import::FileDigest, object::ObjectSource};

/// A task as an agent gets it, with its lease.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The id of the task.
    pub task_id: TaskId,
    /// The number of the lease, which every report about the task repeats.
    pub fence: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The time at which the lease ends without a heartbeat.
    pub lease_until: Timestamp,
    /// The time after which the control plane fails the task.
    pub deadline: Timestamp,
    /// What to do.
    #[serde(alias = "work")]
    pub kind: AssignmentKind,
}

/// What an assignment asks for.
///
/// The aliases are the spellings of protocol version 2, in which journals of an earlier agent may
/// still be written.
#[expect(clippy::large_enum_variant, reason = "an agent has a few of them at a time")]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AssignmentKind {
    /// Capture the primary disk of an instance.
    Capture(CaptureAssignment),
    /// Import a disk as an image.
    Import(ImportAssignment),
    /// Read a stock image's file and report its sizes and digests.
    #[serde(alias = "adopt")]
    RegisterImage(RegisterImageAssignment),
    /// Read an image's file anew, compare it with what was stored, and report its sizes and
    /// digests.
    VerifyImage(VerifyImageAssignment),
    /// Remove an image's file.
    DeleteImage(DeleteImageAssignment),
    /// Copy an image's file to another storage.
    MoveImage(MoveImageAssignment),
    /// Write the disk of an image as a file of another format.
    ExportImage(ExportImageAssignment),
    /// Write a disk and start an instance on it.
    Deploy(DeployAssignment),
    /// Start an instance.
    Start(PowerAssignment),
    /// Shut an instance down, then power it off after the grace.
    Stop(PowerAssignment),
    /// Merge the layers of a stopped instance's disk into one file.
    Coalesce(CoalesceAssignment),
    /// Bring the drive and the further disks of an instance into a state.
    ChangeDevices(DevicesAssignment),
    /// Check the file of an ISO and report its size, its digest and its label.
    RegisterIso(RegisterIsoAssignment),
    /// Power an instance off and remove everything it has on the machine.
    DeleteInstance(PowerAssignment),
    /// Test the connection to an image storage.
    TestStorage(TestStorageAssignment),
    /// List what is on an image storage.
    ScanStorage(ScanStorageAssignment),
    /// Remove objects from an image storage.
    CleanStorage(CleanStorageAssignment),
}

/// A storage, as its plugin needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageRef {
    /// The id of the image storage.
    pub id: StorageId,
    /// The kind of plugin that it needs.
    pub kind: StorageKind,
    /// The settings of the plugin, such as `path` for `local`.
    pub settings: BTreeMap<String, String>,
    /// Grows with every change of its secrets, which the agent then fetches again
    /// ([`crate::ControlPlane::secrets`]); 0 when it has none.
    #[serde(default)]
    pub secrets_version: u64,
    /// Whether no agent has used the storage yet, so that its folder may get its marker. Later a
    /// folder without the marker is refused.
    #[serde(default)]
    pub initialise: bool,
}

/// An image's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// The id of the image.
    pub id: ImageId,
    /// The storage that holds its file.
    pub storage: StorageRef,
    /// The key of the file in that storage.
    pub key: String,
    /// The format of the file.
    pub format: ImageFormat,
}

/// An instance, and what the agent needs to find or create it. Its files are in the agent's folder
/// for the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRef {
    /// The id of the instance, by which the driver knows it as well.
    pub id: InstanceId,
    /// The name that its owner gave it.
    pub name: Name,
    /// The id of its primary disk.
    pub disk_id: DiskId,
    /// The format of the disk's file.
    pub disk_format: ImageFormat,
    /// The size of the disk in bytes, as the guest sees it.
    pub disk_size: ByteSize,
    /// The number of virtual processors.
    pub vcpus: u32,
    /// The size of the memory in bytes.
    pub memory: ByteSize,
    /// The machine that its system is made for; `None` leaves that to the driver.
    #[serde(default)]
    pub vm_mode: Option<VmMode>,
}

/// Capture the primary disk of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaptureAssignment {
    /// The instance to capture.
    pub instance: InstanceRef,
    /// The image to write.
    pub image: ImageRef,
    /// The compression of the image.
    pub compression: Compression,
    /// The consistency to try for.
    pub want: Consistency,
    /// The weakest consistency that counts as a success.
    pub minimum: Consistency,
    /// The longest freeze of the guest's file systems, in milliseconds.
    pub freeze_limit_ms: u32,
    /// The longest time, in seconds, to wait for a running guest that gives back unused space; 0
    /// does not ask it.
    #[serde(default)]
    pub reclaim_limit_s: u32,
    /// The largest size of the scratch file in bytes; `None` stands for the disk's virtual size.
    pub scratch_limit: Option<ByteSize>,
    /// The time limit, in seconds, for merging the layers of a stopped instance's disk before the
    /// capture. `None` leaves the layers as they are and reads them as one disk.
    #[serde(default)]
    pub coalesce_timeout_s: Option<u32>,
    /// What decides whether the disk may be captured if Windows is found on it; `None` decides
    /// nothing.
    #[serde(default)]
    pub windows: Option<WindowsLimit>,
}

/// What decides about an image of Windows, besides what is found on the disk (S33).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowsLimit {
    /// The largest disk, now and ever, in bytes.
    pub limit: ByteSize,
    /// How large the disk was at its largest, in bytes.
    pub largest: ByteSize,
}

/// Merge the layers of a stopped instance's disk into one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoalesceAssignment {
    /// The instance with the disk.
    pub instance: InstanceRef,
    /// The time limit in seconds.
    pub timeout_s: u32,
}

/// Read a stock image's file and report its sizes and digests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterImageAssignment {
    /// The image with the file.
    pub image: ImageRef,
}

/// Remove an image's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteImageAssignment {
    /// The image with the file.
    pub image: ImageRef,
}

/// Copy an image's file to another storage, byte by byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MoveImageAssignment {
    /// The image, where its file is now.
    pub image: ImageRef,
    /// The agent that serves the image's file, where the storage is not bound to this hypervisor.
    #[serde(default)]
    pub source: Option<ObjectSource>,
    /// The storage that takes the copy.
    pub to: StorageRef,
    /// The key of the copy in that storage, which no other file has.
    pub key: String,
    /// The size of the file in bytes.
    pub size: ByteSize,
    /// The digest of the file; a copy with another one is refused.
    pub stored_digest: StoredDigest,
}

/// Write the disk of an image as a file of another format.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportImageAssignment {
    /// The image.
    pub image: ImageRef,
    /// The agent that serves the image's file, where the storage is not bound to this hypervisor.
    #[serde(default)]
    pub source: Option<ObjectSource>,
    /// The name of the image, which an appliance repeats.
    pub name: String,
    /// The digest of the image's disk; another one is refused.
    pub logical_digest: LogicalDigest,
    /// What the file is like.
    pub form: ExportForm,
    /// The storage that takes the file.
    pub to: StorageRef,
    /// The key of the file in that storage.
    pub key: String,
    /// Whether that storage is its owner's: its secrets are fetched under the lease of the task.
    #[serde(default)]
    pub is_destination: bool,
}

/// Write a disk from an image and start an instance on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeployAssignment {
    /// The instance to create.
    pub instance: InstanceRef,
    /// The image to write its disk from; `None` leaves the disk empty.
    #[serde(default)]
    pub image: Option<ImageRef>,
    /// What else the instance has from its first start on.
    #[serde(default)]
    pub devices: Devices,
    /// The agent that serves the image's file, where the storage is not bound to this hypervisor.
    #[serde(default)]
    pub source: Option<ObjectSource>,
    /// The logical digest that was reported when the image was stored; an image with other content
    /// is refused.
    pub logical_digest: Option<LogicalDigest>,
    /// The data for cloud-init.
    pub seed: Seed,
    /// Whether to start the instance at the end.
    pub start: bool,
    /// Whether the instance exists, and its primary disk is replaced (S11): it runs with its old
    /// disk until the new one is complete.
    #[serde(default)]
    pub replace: bool,
}

/// The drive and the further disks of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// The disks beside the primary one, in their order.
    pub disks: Vec<FurtherDisk>,
    /// What is in the drive.
    pub medium: Option<Medium>,
}

/// A disk beside the primary one. It is empty when it is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherDisk {
    /// The id of the disk.
    pub id: DiskId,
    /// The format of its file.
    pub format: ImageFormat,
    /// The size in bytes that the guest sees.
    pub size: ByteSize,
}

/// The file of an ISO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsoRef {
    /// The id of the ISO.
    pub id: IsoId,
    /// The storage that holds its file.
    pub storage: StorageRef,
    /// The key of the file in that storage.
    pub key: String,
}

/// An ISO that is in the drive of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Medium {
    /// The ISO.
    pub iso: IsoRef,
    /// The size of the file when it was registered.
    pub size: ByteSize,
    /// The digest of the file when it was registered.
    pub digest: StoredDigest,
    /// The agent that serves the file, where the storage is not bound to this hypervisor.
    #[serde(default)]
    pub source: Option<ObjectSource>,
    /// Whether the machine boots from it first at each start.
    pub boot: bool,
}

/// Bring the drive and the further disks of an instance into a state: what is missing is added,
/// what is not named is removed with its content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DevicesAssignment {
    /// The instance.
    pub instance: InstanceRef,
    /// The state.
    pub devices: Devices,
}

/// Check the file of an ISO and report its size, its digest and its label.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegisterIsoAssignment {
    /// The ISO with the file.
    pub iso: IsoRef,
}

/// The data that cloud-init reads at the first boot of an instance (data sources NoCloud and
/// ConfigDrive).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The id by which cloud-init notices that it has not configured this system yet, where it is
    /// not that of the instance: a disk that was written anew has another one.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// The host name.
    pub hostname: String,
    /// The SSH keys, one line each as in `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config of at most 64 KiB.
    pub user_data: Option<String>,
    /// The user that cloud-init gives the keys to; `None` leaves that to the system of the image.
    #[serde(default)]
    pub user: Option<String>,
    /// Whether the instance gets a config drive, too.
    #[serde(default)]
    pub config_drive: bool,
}

/// Change an instance's power, or remove it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PowerAssignment {
    /// The instance to change.
    pub instance: InstanceRef,
    /// The time that the guest has to shut down, in milliseconds.
    pub grace_ms: u32,
}

/// Test the connection to an image storage, which may not be stored yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TestStorageAssignment {
    /// The storage. Its id is that of the stored storage, or stands for none.
    pub storage: StorageRef,
    /// The purpose of the storage: those that are only read are not written to.
    pub role: StorageRole,
    /// Whether the storage takes no new images at the moment, so that it is not written to either.
    #[serde(default)]
    pub read_only: bool,
    /// Whether there are secrets to fetch under the lease of the task.
    pub has_secrets: bool,
}

/// Where the file of an import comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ImportSource {
    /// From a client, which sends it through the control plane to the agent's object server.
    Upload {
        /// The bytes of a part that clients may send in any order.
        part_size: ByteSize,
        /// How long the job waits for the next byte, in seconds.
        idle_limit_s: u64,
    },
    /// From a server. The address and the head fields are secrets: they may hold credentials. The
    /// agent asks for them under its lease ([`crate::SecretsRequest::Task`]): `url`, and
    /// `header.NAME` for each field.
    Url,
    /// From an object in a storage of the customer's own. Its secrets are those of the task.
    StorageObject {
        /// The storage; it is not one of the product's, and is only read.
        storage: StorageRef,
        /// The key of the object.
        key: String,
    },
    /// From another Imprint, which is asked to export an image. Its address is the secret `url`,
    /// and the token is in the head field `header.authorization`.
    Imprint {
        /// The image there.
        image: ImageId,
    },
}

/// Import a disk: receive or read its file, look at it, and write it as an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportAssignment {
    /// The image to write.
    pub image: ImageRef,
    /// The compression of the image.
    pub compression: Compression,
    /// Where the file comes from.
    pub source: ImportSource,
    /// The format that its owner says the file has; `None` takes what its content shows.
    #[serde(default)]
    pub declared: Option<ImageFormat>,
    /// The size in bytes that the file has to have; `None` takes any.
    #[serde(default)]
    pub size: Option<ByteSize>,
    /// The digest that the file has to have.
    #[serde(default)]
    pub expected: Option<FileDigest>,
    /// The rules of the location.
    pub policy: ImportPolicy,
}

/// List what is on an image storage, and report it with [`crate::ControlPlane::scanned`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScanStorageAssignment {
    /// The storage.
    pub storage: StorageRef,
}

/// Remove objects from an image storage. The control plane has made sure that nothing refers to
/// them, and lets nothing refer to them while the task is not over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CleanStorageAssignment {
    /// The storage.
    pub storage: StorageRef,
    /// The keys of the objects, at most [`MAX_CLEANED`].
    pub keys: Vec<String>,
}

/// The largest number of objects that one assignment removes.
pub const MAX_CLEANED: usize = 500;

/// Read an image's file anew, and compare the disk in it with the one that was stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerifyImageAssignment {
    /// The image.
    pub image: ImageRef,
    /// The digest of the disk that was stored.
    pub logical_digest: LogicalDigest,
}
