//! What a task is to do: kept as versioned JSON in its row, turned into the agent's work when it is
//! claimed.

use imprint_agent_protocol::{
    AdoptWork, CaptureWork, CoalesceWork, DeleteImageWork, DeployWork, ImageRef, InstanceRef, PowerWork,
    Seed, Work,
};
use imprint_domain::{
    Error,
    coalesce::CoalescePolicy,
    consistency::Consistency,
    id::{ImageId, InstanceId},
    image::Compression,
    task::{Task, TaskKind},
};
use imprint_store::{Conn, image, instance, storage, task::TaskRecord};
use serde::{Deserialize, Serialize};

use crate::{location, service::DbResult, storage::reference};

/// Longest freeze of a guest's file systems, in milliseconds (X11).
const FREEZE_LIMIT_MS: u32 = 10_000;
/// How long a guest may take to shut down, in milliseconds.
const STOP_GRACE_MS: u32 = 60_000;
/// How long it may take when the instance is deleted: nothing of it is kept.
const DELETE_GRACE_MS: u32 = 5_000;

/// What to do, beyond what the rows of the image and the instance say.
///
/// Stored; `version` is 1. A reader that finds another version fails the task instead of guessing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    version: u8,
    pub(crate) order: Order,
}

/// The part of it that differs by kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Order {
    /// Nothing more to know.
    Plain,
    /// Of a capture.
    Capture {
        /// How stored clusters are encoded.
        compression: Compression,
        /// The level to try for.
        want: Consistency,
        /// The weakest that is a success.
        minimum: Consistency,
    },
    /// Of a deployment. Removed when it has succeeded: user data may hold secrets of the customer.
    Deploy {
        /// For cloud-init.
        seed: Seed,
        /// Start it at the end.
        start: bool,
    },
}

const VERSION: u8 = 1;

impl Order {
    /// As it is stored.
    pub(crate) fn to_payload(&self) -> Result<String, Error> {
        let payload = Payload { version: VERSION, order: self.clone() };
        serde_json::to_string(&payload).map_err(Error::internal)
    }

    /// From what is stored.
    pub(crate) fn of(record: &TaskRecord) -> Result<Self, Error> {
        let payload: Payload = serde_json::from_str(&record.payload).map_err(Error::internal)?;
        if payload.version != VERSION {
            return Err(Error::internal(format!("task payload of version {}", payload.version)));
        }
        Ok(payload.order)
    }
}

/// The agent's work for a task; `not_found` when what it works on is gone.
pub(crate) async fn build(conn: &Conn<'_>, record: &TaskRecord) -> Result<Work, Error> {
    let task = &record.task;
    let order = Order::of(record)?;
    Ok(match (task.kind, order) {
        (TaskKind::ImageCapture, Order::Capture { compression, want, minimum }) => {
            let policy = coalesce_policy(conn, task).await?;
            Work::Capture(CaptureWork {
                instance: instance_ref(conn, task).await?,
                image: image_ref(conn, task).await?,
                compression,
                want,
                minimum,
                freeze_limit_ms: FREEZE_LIMIT_MS,
                scratch_limit: None,
                coalesce_timeout_s: policy.before_capture.then_some(policy.timeout.seconds()),
            })
        }
        (TaskKind::ImageAdopt, Order::Plain) => {
            Work::Adopt(AdoptWork { image: image_ref(conn, task).await? })
        }
        (TaskKind::ImageDelete, Order::Plain) => {
            Work::DeleteImage(DeleteImageWork { image: image_ref(conn, task).await? })
        }
        (TaskKind::InstanceDeploy, Order::Deploy { seed, start }) => Work::Deploy(DeployWork {
            instance: instance_ref(conn, task).await?,
            image: image_ref(conn, task).await?,
            logical_digest: logical_digest(conn, task).await?,
            seed,
            start,
        }),
        (TaskKind::InstanceStart, Order::Plain) => {
            Work::Start(PowerWork { instance: instance_ref(conn, task).await?, grace_ms: STOP_GRACE_MS })
        }
        (TaskKind::InstanceStop, Order::Plain) => {
            Work::Stop(PowerWork { instance: instance_ref(conn, task).await?, grace_ms: STOP_GRACE_MS })
        }
        (TaskKind::InstanceCoalesce, Order::Plain) => Work::Coalesce(CoalesceWork {
            instance: instance_ref(conn, task).await?,
            timeout_s: coalesce_policy(conn, task).await?.timeout.seconds(),
        }),
        (TaskKind::InstanceDelete, Order::Plain) => Work::DeleteInstance(PowerWork {
            instance: instance_ref(conn, task).await?,
            grace_ms: DELETE_GRACE_MS,
        }),
        (kind, Order::Plain | Order::Capture { .. } | Order::Deploy { .. }) => {
            return Err(Error::internal(format!("payload of another kind in a task {}", kind.as_str())));
        }
    })
}

fn wanted<T>(id: Option<T>, what: &str) -> Result<T, Error> {
    id.ok_or_else(|| Error::not_found(what))
}

/// The policy of the instance's location, as it is now.
async fn coalesce_policy(conn: &Conn<'_>, task: &Task) -> Result<CoalescePolicy, Error> {
    let id: InstanceId = wanted(task.instance_id, "instance")?;
    let record = wanted(instance::get(conn, id).await.db()?, "instance")?;
    Ok(location::get(conn, record.instance.location_id).await?.location.coalesce)
}

async fn logical_digest(conn: &Conn<'_>, task: &Task) -> Result<Option<String>, Error> {
    let id: ImageId = wanted(task.image_id, "image")?;
    let record = wanted(image::get(conn, id).await.db()?, "image")?;
    Ok(record.image.stored.map(|stored| stored.logical_digest))
}

async fn image_ref(conn: &Conn<'_>, task: &Task) -> Result<ImageRef, Error> {
    let id: ImageId = wanted(task.image_id, "image")?;
    let record = wanted(image::get(conn, id).await.db()?, "image")?;
    let storage = wanted(storage::get(conn, record.image.storage_id).await.db()?, "image storage")?;
    Ok(ImageRef {
        id,
        storage: reference(&storage.storage),
        key: record.image.storage_key,
        format: record.format,
    })
}

async fn instance_ref(conn: &Conn<'_>, task: &Task) -> Result<InstanceRef, Error> {
    let id: InstanceId = wanted(task.instance_id, "instance")?;
    let record = wanted(instance::get(conn, id).await.db()?, "instance")?;
    let disks = instance::disks(conn, id).await.db()?;
    let disk = wanted(disks.into_iter().find(|disk| disk.primary), "primary disk")?;
    Ok(InstanceRef {
        id,
        name: record.instance.name,
        disk_id: disk.id,
        disk_format: disk.format,
        disk_size: disk.virtual_size,
        vcpus: record.instance.vcpus,
        memory: record.instance.memory,
    })
}
