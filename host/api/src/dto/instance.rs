//! Instances.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use imprint_domain::{
    id::{DiskId, HypervisorId, ImageId, InstanceId, IsoId, LocationId, SshKeyId, TaskId, UserScriptId},
    image::catalogue::OsType,
    instance::{BootSource, InstanceStatus, Power},
    network::NetworkKind,
    windows::DeclaredOs,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{iso::MountedIso, task::Task};

/// An instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// The id of the instance.
    pub id: InstanceId,
    /// The name of the instance.
    pub name: String,
    /// The status of the instance.
    pub status: InstanceStatus,
    /// The power state that the hypervisor reported last.
    pub power: Power,
    /// The location of the instance.
    pub location_id: LocationId,
    /// The hypervisor of the instance.
    pub hypervisor_id: HypervisorId,
    /// The image that the instance was deployed from; `null` once it is deleted, hidden, or no
    /// longer shared with the account.
    #[schema(required)]
    pub image: Option<ImageName>,
    /// The kind of the primary disk.
    pub boot_source: BootSource,
    /// The number of virtual processors.
    pub vcpus: u32,
    /// The size of the memory in bytes.
    pub memory_bytes: u64,
    /// How the system of the instance is started, as its image said at the deployment.
    pub metadata: BTreeMap<String, String>,
    /// The network card, as the hypervisor made it ready at the last start; `null` without one.
    #[schema(required)]
    pub network: Option<Network>,
    /// What the owner says that the instance runs.
    #[schema(required)]
    pub declared_os_type: Option<DeclaredOs>,
    /// The most bytes that the file of the primary disk occupied since it was written.
    pub largest_content_bytes: u64,
    /// The largest size of the primary disk since it was written, in bytes.
    pub largest_disk_bytes: u64,
    /// The operating system of the instance, as its image said at the deployment.
    pub os_type: OsType,
    /// Whether its system sets SSH keys and runs user scripts at its first boot, as its image said.
    pub cloud_init: bool,
    /// The disks of the instance.
    pub disks: Vec<Disk>,
    /// The ISO in the drive of the instance.
    #[schema(required)]
    pub iso: Option<MountedIso>,
    /// Whether ISOs can be mounted on the instance, and disks attached to it: its hypervisor has a
    /// driver that does so.
    pub changes_devices: bool,
    /// Whether an image of the instance can be created now.
    pub capture: CaptureAllowed,
    /// The last task of the instance.
    #[schema(required)]
    pub task_id: Option<TaskId>,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
}

/// The image that an instance was deployed from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageName {
    /// The id of the image.
    pub id: ImageId,
    /// The name of the image.
    pub name: String,
}

/// The network card of an instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// How it is connected.
    pub kind: NetworkKind,
    /// The MAC address of the card.
    pub mac: String,
    /// Where the SSH server of the guest is reached; `null` where the network gives out its
    /// address.
    #[schema(required)]
    pub ssh: Option<SshAddress>,
}

impl Network {
    /// Returns the card of an instance with that user.
    pub(super) fn of(card: imprint_domain::network::Network, user: Option<&str>) -> Self {
        let ssh = card.ssh.map(|ssh| SshAddress {
            host: ssh.host.to_string(),
            port: ssh.port,
            user: user.map(str::to_owned),
        });
        Self { kind: card.kind, mac: card.mac.to_string(), ssh }
    }
}

/// Where the SSH server of a guest is reached.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SshAddress {
    /// The name or the address of the machine.
    pub host: String,
    /// The TCP port, which is forwarded to port 22 of the guest.
    pub port: u16,
    /// The name of the user, as the image says; `null` where it does not.
    #[schema(required)]
    pub user: Option<String>,
}

/// A disk of an instance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// The id of the disk.
    pub id: DiskId,
    /// Whether this is the disk that is captured.
    pub primary: bool,
    /// The size of the disk in bytes, as the guest sees it.
    pub virtual_size_bytes: u64,
    /// The format of the file: `raw` or `qcow2`.
    pub format: String,
}

/// Whether an image of an instance can be created now, and the reason if not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CaptureAllowed {
    /// Whether an image can be created.
    pub allowed: bool,
    /// The code that a request would be refused with.
    #[schema(required)]
    pub code: Option<String>,
    /// The human-readable reason.
    #[schema(required)]
    pub reason: Option<String>,
}

/// A request to create an instance: from an image, or with an empty disk.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceCreate {
    /// The image to deploy. Without it and without a family the disk is empty, and
    /// `disk_size_bytes` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// The family of stock images to deploy from, instead of an image: its latest version that is
    /// available and not deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "debian-12")]
    pub family: Option<String>,
    /// With an empty disk: the ISO in the drive, from which the instance boots first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso_id: Option<IsoId>,
    /// The location. With a family it is needed only if that is in several locations and no
    /// hypervisor is named; with an empty disk it is that of the hypervisor or of the ISO unless it
    /// is given. An image is deployed where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The name of the instance, and its host name if it is valid as one.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The hypervisor; without it, one in the image's location is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor_id: Option<HypervisorId>,
    /// The number of virtual processors; without it, 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 64)]
    pub vcpus: Option<u32>,
    /// The size of the memory in bytes; without it, 512 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 67108864, maximum = 1099511627776_i64)]
    pub memory_bytes: Option<u64>,
    /// The size of the disk in bytes; without it, that of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size_bytes: Option<u64>,
    /// Saved SSH keys of the account, in addition to `ssh_keys`; at most 32 of both together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, required = false)]
    pub ssh_key_ids: Vec<SshKeyId>,
    /// A saved user script of the account, instead of `user_data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_script_id: Option<UserScriptId>,
    /// SSH public keys, each as a line of `authorized_keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, required = false)]
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 65536)]
    pub user_data: Option<String>,
    /// What the instance runs. Of `windows`, images are created up to the location's limit only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<DeclaredOs>,
    /// Whether the instance is started once its disk is written.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub start: bool,
}

/// A request to write the primary disk of an instance anew.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceReinstall {
    /// The image to write.
    pub image_id: ImageId,
    /// The size of the disk in bytes; without it, its present size, or that of the image if larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size_bytes: Option<u64>,
    /// Saved SSH keys of the account, in addition to `ssh_keys`; at most 32 of both together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, required = false)]
    pub ssh_key_ids: Vec<SshKeyId>,
    /// A saved user script of the account, instead of `user_data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_script_id: Option<UserScriptId>,
    /// SSH public keys, each as a line of `authorized_keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32, required = false)]
    pub ssh_keys: Vec<String>,
    /// A user script or cloud-config, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 65536)]
    pub user_data: Option<String>,
    /// What the instance runs from then on. Of `windows`, images are created up to the location's
    /// limit only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<DeclaredOs>,
    /// Whether the instance is started once its disk is written.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub start: bool,
}

const fn yes() -> bool {
    true
}

/// An instance and its task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct InstanceAndTask {
    /// The current state of the instance.
    pub instance: Instance,
    /// The task.
    pub task: Task,
}

/// What happens to an image that is being created from the instance.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BusyQuery {
    /// Whether it is cancelled first. Otherwise the request is refused with `instance_busy` while
    /// it is created.
    #[serde(default)]
    #[param(default = false)]
    pub cancel_captures: bool,
}

/// The instances to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InstanceListQuery {
    /// Only instances with one of these ids, separated by commas; at most 100, on one page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// The number of items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}
