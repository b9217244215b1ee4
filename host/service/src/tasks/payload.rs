//! What a task is to do: stored as versioned JSON in its row, turned into the agent's assignment
//! when it is claimed.

use imprint_agent_protocol::{
    AssignmentKind, CaptureAssignment, CleanStorageAssignment, CoalesceAssignment, DeleteImageAssignment,
    DeployAssignment, ExportImageAssignment, FileDigest, ImageRef, ImportAssignment, ImportSource,
    InstanceRef, MoveImageAssignment, ObjectSource, PowerAssignment, RegisterImageAssignment,
    RegisterIsoAssignment, ScanStorageAssignment, Seed, StorageRef, VerifyImageAssignment, WindowsLimit,
};
use imprint_domain::{
    Error,
    capture_format::CaptureFormat,
    consistency::Consistency,
    digest::LogicalDigest,
    id::{DiskId, ExportId, ImageId, InstanceId, IsoId, StorageId},
    image::{Compression, ImageFormat},
    location::Location,
    metadata::Metadata,
    size::ByteSize,
    task::{Task, TaskKind},
    windows::DeclaredOs,
};
use imprint_store::{Conn, image, instance, location, storage, task::TaskRecord};
use serde::{Deserialize, Serialize};

use crate::{
    change::Change,
    db_result::DbResult,
    objects,
    tasks::{
        devices::{self, DeviceChange},
        export_state,
        owned_storage::{OwnedStorage, SourceObject},
        storage_ref::storage_ref,
        storage_test::{TestSubject, test_assignment},
    },
};

/// The time in milliseconds that a guest gets to shut down.
const STOP_GRACE_MS: u32 = 60_000;
/// The same when the instance is deleted: nothing of it is kept.
const DELETE_GRACE_MS: u32 = 5_000;

/// The bytes of a part of an upload that a client may send on its own.
const PART_SIZE: ByteSize = match ByteSize::new(16 << 20) {
    Ok(size) => size,
    Err(_) => ByteSize::MIB,
};

/// The stored form of a payload; `version` is 1. A reader that finds another version fails the task
/// instead of guessing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned {
    version: u8,
    #[serde(rename = "order")]
    payload: TaskPayload,
}

/// What to do, beyond what the rows of the image and the instance say. It differs by the kind of
/// task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum TaskPayload {
    /// No further parameters.
    Plain,
    /// The parameters of a capture.
    Capture {
        /// The encoding of stored clusters.
        compression: Compression,
        /// The level to aim for.
        want: Consistency,
        /// The weakest level that is a success.
        minimum: Consistency,
        /// The bytes that the disk's file occupied when the image was asked for.
        #[serde(default)]
        content: ByteSize,
    },
    /// The parameters of an import. Its address is sealed in a table of its own.
    Import {
        /// Whether a client sends the file; otherwise it is read from a server or a storage.
        upload: bool,
        /// The object that is the file, where it is one in a storage of the customer's own.
        #[serde(default)]
        object: Option<SourceObject>,
        /// The image that is exported for it, where it is one at another Imprint.
        #[serde(default)]
        elsewhere: Option<ImageId>,
        /// The format that the file has, as the request says.
        #[serde(default)]
        declared: Option<ImageFormat>,
        /// The size of the file in bytes.
        #[serde(default)]
        size: Option<ByteSize>,
        /// The digest that the file has to have.
        #[serde(default)]
        expected: Option<FileDigest>,
    },
    /// The parameters of a deployment. Removed when it has succeeded: user data may contain secrets
    /// of the customer.
    Deploy {
        /// The data for cloud-init.
        seed: Seed,
        /// Whether the instance is started at the end.
        start: bool,
        /// The disk that replaces the one of an instance that exists (S11).
        #[serde(default)]
        disk: Option<NewDisk>,
    },
    /// Where the copy of an image's file goes.
    Move {
        /// The storage that takes it.
        to: StorageId,
        /// The key of the copy.
        key: String,
    },
    /// The export that is made.
    Export {
        /// The export.
        export_id: ExportId,
        /// The storage of its owner that takes it; `None` for one of the product's.
        #[serde(default)]
        destination: Option<OwnedStorage>,
    },
    /// A file that no image uses any more.
    Object {
        /// The storage that has it.
        storage_id: StorageId,
        /// Its key.
        key: String,
        /// Its format.
        format: ImageFormat,
    },
    /// The storage that is scanned.
    Scan {
        /// The storage.
        storage_id: StorageId,
    },
    /// Objects that an admin had removed.
    Clean {
        /// The storage that has them.
        storage_id: StorageId,
        /// Their keys.
        keys: Vec<String>,
    },
    /// The ISO that is registered.
    Iso {
        /// The ISO.
        iso_id: IsoId,
    },
    /// A change of an instance's devices.
    Devices(DeviceChange),
    /// The storage of a connection test. Its secrets are sealed in a table of their own.
    StorageTest(TestSubject),
}

/// A disk that is written for an instance that exists. Its row follows when it is complete.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct NewDisk {
    /// The id of the disk.
    pub(crate) id: DiskId,
    /// The size of the disk in bytes.
    pub(crate) size: ByteSize,
    /// The operating system that the owner says is on it.
    #[serde(default)]
    pub(crate) declared_os: Option<DeclaredOs>,
}

const VERSION: u8 = 1;

impl TaskPayload {
    /// Returns the stored form.
    pub(crate) fn to_json(&self) -> Result<String, Error> {
        let versioned = Versioned { version: VERSION, payload: self.clone() };
        serde_json::to_string(&versioned).map_err(Error::internal)
    }

    /// Reads the payload of a task.
    pub(crate) fn of(record: &TaskRecord) -> Result<Self, Error> {
        let versioned: Versioned = serde_json::from_str(&record.payload).map_err(Error::internal)?;
        if versioned.version != VERSION {
            return Err(Error::internal(format!("task payload of version {}", versioned.version)));
        }
        Ok(versioned.payload)
    }
}

/// Builds the agent's work for a task; `not_found` when what it works on has been removed.
pub(crate) async fn build(change: &Change<'_>, record: &TaskRecord) -> Result<AssignmentKind, Error> {
    let conn = &change.conn();
    let task = &record.task;
    let payload = TaskPayload::of(record)?;
    Ok(match (task.kind, payload) {
        (_, TaskPayload::Plain) => plain(conn, task).await?,
        (TaskKind::ImageCapture, TaskPayload::Capture { compression, want, minimum, content: _ }) => {
            AssignmentKind::Capture(capture_assignment(conn, task, compression, (want, minimum)).await?)
        }
        (TaskKind::ImageImport, payload @ TaskPayload::Import { .. }) => {
            AssignmentKind::Import(import_assignment(change, task, payload).await?)
        }
        (TaskKind::ImageMove, TaskPayload::Move { to, key }) => {
            AssignmentKind::MoveImage(move_assignment(change, task, to, key).await?)
        }
        (TaskKind::ImageExport, TaskPayload::Export { export_id: _, destination }) => {
            AssignmentKind::ExportImage(export_assignment(change, task, destination).await?)
        }
        (TaskKind::ObjectDelete, TaskPayload::Object { storage_id, key, format }) => {
            let (id, storage) = (require(task.image_id, "image")?, stored_storage(conn, storage_id).await?);
            let image = ImageRef { id, storage, key, format };
            AssignmentKind::DeleteImage(DeleteImageAssignment { image })
        }
        (
            TaskKind::InstanceDeploy | TaskKind::InstanceReinstall,
            TaskPayload::Deploy { seed, start, disk },
        ) => AssignmentKind::Deploy(deploy_assignment(change, task, (seed, start, disk)).await?),
        (TaskKind::StorageScan, TaskPayload::Scan { storage_id }) => {
            let storage = stored_storage(conn, storage_id).await?;
            AssignmentKind::ScanStorage(ScanStorageAssignment { storage })
        }
        (TaskKind::StorageClean, TaskPayload::Clean { storage_id, keys }) => {
            let storage = stored_storage(conn, storage_id).await?;
            AssignmentKind::CleanStorage(CleanStorageAssignment { storage, keys })
        }
        (
            TaskKind::InstanceMountIso
            | TaskKind::InstanceEjectIso
            | TaskKind::InstanceAttachDisk
            | TaskKind::InstanceDetachDisk,
            TaskPayload::Devices(changed),
        ) => {
            let instance = instance_ref(conn, task).await?;
            AssignmentKind::ChangeDevices(devices::assignment(change, task, instance, changed).await?)
        }
        (TaskKind::IsoRegister, TaskPayload::Iso { iso_id }) => {
            let iso = devices::iso_ref(change, iso_id).await?;
            AssignmentKind::RegisterIso(RegisterIsoAssignment { iso })
        }
        (TaskKind::StorageTest, TaskPayload::StorageTest(subject)) => {
            AssignmentKind::TestStorage(test_assignment(conn, task, subject).await?)
        }
        (
            kind,
            TaskPayload::Capture { .. }
            | TaskPayload::Import { .. }
            | TaskPayload::Deploy { .. }
            | TaskPayload::Move { .. }
            | TaskPayload::Export { .. }
            | TaskPayload::Object { .. }
            | TaskPayload::Scan { .. }
            | TaskPayload::Clean { .. }
            | TaskPayload::Iso { .. }
            | TaskPayload::Devices(_)
            | TaskPayload::StorageTest(_),
        ) => return Err(of_another_kind(kind)),
    })
}

async fn capture_assignment(
    conn: &Conn<'_>,
    task: &Task,
    compression: Compression,
    (want, minimum): (Consistency, Consistency),
) -> Result<CaptureAssignment, Error> {
    let Location { coalesce: policy, freeze_limit, reclaim_limit, windows, .. } =
        location_of(conn, task).await?;
    let found = instance::get(conn, require(task.instance_id, "instance")?).await.db()?;
    let largest = require(found, "instance")?.instance.largest;
    Ok(CaptureAssignment {
        instance: instance_ref(conn, task).await?,
        image: image_ref(conn, task).await?,
        compression,
        want,
        minimum,
        freeze_limit_ms: freeze_limit.milliseconds(),
        reclaim_limit_s: reclaim_limit.seconds(),
        scratch_limit: None,
        coalesce_timeout_s: policy.before_capture.then_some(policy.timeout.seconds()),
        windows: Some(WindowsLimit { limit: windows.limit, largest: largest.content.max(largest.size) }),
    })
}

async fn import_assignment(
    change: &Change<'_>,
    task: &Task,
    payload: TaskPayload,
) -> Result<ImportAssignment, Error> {
    let TaskPayload::Import { upload, object, elsewhere, declared, size, expected } = payload else {
        return Err(Error::internal("an import without its parameters"));
    };
    let conn = &change.conn();
    let image = image_ref(conn, task).await?;
    let policy = location_of_image(conn, task).await?.import;
    let compression = CaptureFormat::of(image.format).map(|format| format.compression(None));
    let compression = compression.unwrap_or(Ok(Compression::None))?;
    let source = match (object, elsewhere) {
        (Some(SourceObject { storage, key }), _) => {
            ImportSource::StorageObject { storage: storage.of_task(task.id), key }
        }
        (None, Some(image)) => ImportSource::Imprint { image },
        (None, None) if upload => {
            let idle_limit_s = u64::from(change.service.settings().upload_idle_h) * 3600;
            ImportSource::Upload { part_size: PART_SIZE, idle_limit_s }
        }
        (None, None) => ImportSource::Url,
    };
    Ok(ImportAssignment { image, compression, source, declared, size, expected, policy })
}

async fn export_assignment(
    change: &Change<'_>,
    task: &Task,
    destination: Option<OwnedStorage>,
) -> Result<ExportImageAssignment, Error> {
    let conn = &change.conn();
    let id = require(task.image_id, "image")?;
    let found = require(image::get(conn, id).await.db()?, "image")?;
    found.image.require_available()?;
    let image = (image_ref(conn, task).await?, &found.image);
    let source = source(change, task).await?;
    export_state::assignment(change, task, image, source, destination).await
}

async fn deploy_assignment(
    change: &Change<'_>,
    task: &Task,
    (seed, start, disk): (Seed, bool, Option<NewDisk>),
) -> Result<DeployAssignment, Error> {
    let conn = &change.conn();
    let mut instance = instance_ref(conn, task).await?;
    if let Some(disk) = disk {
        (instance.disk_id, instance.disk_size) = (disk.id, disk.size);
        instance.vm_mode = metadata_of_image(conn, task).await?.vm_mode();
    }
    let (image, source) = match task.image_id {
        Some(_) => (Some(image_ref(conn, task).await?), source(change, task).await?),
        None => (None, None),
    };
    Ok(DeployAssignment {
        devices: devices::devices(change, task, instance.id, None).await?,
        instance,
        image,
        source,
        logical_digest: logical_digest(conn, task).await?,
        seed,
        start,
        replace: disk.is_some(),
    })
}

fn of_another_kind(kind: TaskKind) -> Error {
    Error::internal(format!("payload of another kind in a task {kind}"))
}

/// Builds the work of a task that has no further parameters.
async fn plain(conn: &Conn<'_>, task: &Task) -> Result<AssignmentKind, Error> {
    Ok(match task.kind {
        TaskKind::ImageRegister => {
            AssignmentKind::RegisterImage(RegisterImageAssignment { image: image_ref(conn, task).await? })
        }
        TaskKind::ImageVerify => {
            let image = image_ref(conn, task).await?;
            let record = require(image::get(conn, image.id).await.db()?, "image")?;
            let stored = require(record.image.stored.as_ref(), "stored bytes of the image")?;
            let logical_digest = stored.logical_digest.clone();
            AssignmentKind::VerifyImage(VerifyImageAssignment { image, logical_digest })
        }
        TaskKind::ImageDelete => {
            AssignmentKind::DeleteImage(DeleteImageAssignment { image: image_ref(conn, task).await? })
        }
        TaskKind::InstanceStart => AssignmentKind::Start(power_assignment(conn, task, STOP_GRACE_MS).await?),
        TaskKind::InstanceStop => AssignmentKind::Stop(power_assignment(conn, task, STOP_GRACE_MS).await?),
        TaskKind::InstanceCoalesce => AssignmentKind::Coalesce(CoalesceAssignment {
            instance: instance_ref(conn, task).await?,
            timeout_s: location_of(conn, task).await?.coalesce.timeout.seconds(),
        }),
        TaskKind::InstanceDelete => {
            AssignmentKind::DeleteInstance(power_assignment(conn, task, DELETE_GRACE_MS).await?)
        }
        kind @ (TaskKind::ImageCapture
        | TaskKind::ImageImport
        | TaskKind::ImageMove
        | TaskKind::ImageExport
        | TaskKind::ObjectDelete
        | TaskKind::InstanceDeploy
        | TaskKind::InstanceReinstall
        | TaskKind::InstanceMountIso
        | TaskKind::InstanceEjectIso
        | TaskKind::InstanceAttachDisk
        | TaskKind::InstanceDetachDisk
        | TaskKind::IsoRegister
        | TaskKind::StorageTest
        | TaskKind::StorageScan
        | TaskKind::StorageClean) => return Err(of_another_kind(kind)),
    })
}

async fn stored_storage(conn: &Conn<'_>, id: StorageId) -> Result<StorageRef, Error> {
    Ok(storage_ref(&require(storage::get(conn, id).await.db()?, "image storage")?))
}

async fn move_assignment(
    change: &Change<'_>,
    task: &Task,
    to: StorageId,
    key: String,
) -> Result<MoveImageAssignment, Error> {
    let conn = &change.conn();
    let id = require(task.image_id, "image")?;
    let record = require(image::get(conn, id).await.db()?, "image")?;
    let stored = record.image.require_available()?;
    let target = require(storage::get(conn, to).await.db()?, "image storage")?;
    Ok(MoveImageAssignment {
        image: image_ref(conn, task).await?,
        source: source(change, task).await?,
        to: storage_ref(&target),
        key,
        size: stored.size,
        stored_digest: stored.stored_digest.clone(),
    })
}

async fn power_assignment(conn: &Conn<'_>, task: &Task, grace_ms: u32) -> Result<PowerAssignment, Error> {
    Ok(PowerAssignment { instance: instance_ref(conn, task).await?, grace_ms })
}

fn require<T>(id: Option<T>, what: &str) -> Result<T, Error> {
    id.ok_or_else(|| Error::not_found(what))
}

/// Reads the instance's location with its current settings.
async fn location_of(conn: &Conn<'_>, task: &Task) -> Result<Location, Error> {
    let id: InstanceId = require(task.instance_id, "instance")?;
    let record = require(instance::get(conn, id).await.db()?, "instance")?;
    Ok(require(location::get(conn, record.instance.location_id).await.db()?, "location")?.location)
}

/// Reads the location of the task's image with its current settings.
async fn location_of_image(conn: &Conn<'_>, task: &Task) -> Result<Location, Error> {
    let id = require(task.image_id, "image")?;
    let record = require(image::get(conn, id).await.db()?, "image")?;
    Ok(require(location::get(conn, record.image.location_id).await.db()?, "location")?.location)
}

async fn logical_digest(conn: &Conn<'_>, task: &Task) -> Result<Option<LogicalDigest>, Error> {
    let Some(id) = task.image_id else { return Ok(None) };
    let record = require(image::get(conn, id).await.db()?, "image")?;
    Ok(record.image.stored.as_ref().map(|stored| stored.logical_digest.clone()))
}

async fn metadata_of_image(conn: &Conn<'_>, task: &Task) -> Result<Metadata, Error> {
    let id: ImageId = require(task.image_id, "image")?;
    Ok(require(image::get(conn, id).await.db()?, "image")?.image.metadata.clone())
}

/// Returns the agent that serves the image to the task's hypervisor; `None` where that is bound to
/// the image's storage.
async fn source(change: &Change<'_>, task: &Task) -> Result<Option<ObjectSource>, Error> {
    let wanted = objects::Wanted {
        image_id: require(task.image_id, "image")?,
        by: task.hypervisor_id,
        purpose: &task.id.to_string(),
        until: task.deadline,
    };
    objects::source_of_image(change.service, &change.conn(), &wanted, change.now).await
}

async fn image_ref(conn: &Conn<'_>, task: &Task) -> Result<ImageRef, Error> {
    let id: ImageId = require(task.image_id, "image")?;
    let record = require(image::get(conn, id).await.db()?, "image")?;
    let storage = require(storage::get(conn, record.image.storage_id).await.db()?, "image storage")?;
    Ok(ImageRef {
        id,
        storage: storage_ref(&storage),
        key: record.image.storage_key.clone(),
        format: record.image.format,
    })
}

async fn instance_ref(conn: &Conn<'_>, task: &Task) -> Result<InstanceRef, Error> {
    let id: InstanceId = require(task.instance_id, "instance")?;
    let record = require(instance::get(conn, id).await.db()?, "instance")?;
    let disks = instance::disks(conn, id).await.db()?;
    let disk = require(disks.into_iter().find(|disk| disk.primary), "primary disk")?;
    Ok(InstanceRef {
        id,
        name: record.instance.name.clone(),
        disk_id: disk.id,
        disk_format: disk.format,
        disk_size: disk.virtual_size,
        vcpus: record.instance.vcpus,
        memory: record.instance.memory,
        vm_mode: record.instance.metadata.vm_mode(),
    })
}
