//! Capturing: the rules, the slot, the image and its task, in one transaction.

use std::collections::HashMap;

use imprint_domain::{
    Code, Error,
    consistency::Consistency,
    hypervisor::Hypervisor,
    id::{AccountId, HypervisorId, ImageId, LocationId, TaskId},
    image::{Compression, Image, ImageFormat, ImageKind, ImageSource, NewImage},
    instance::{Disk, Instance},
    location::Location,
    rules,
    storage::{ImageStorage, StorageRole},
    task::TaskKind,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    image::{self, CaptureNotes, ImageRecord},
    instance, storage,
};

use crate::{
    CaptureAllowed, CaptureCreate, ConsistencyRequirement, ImageTask, Op, Service, account,
    change::Change,
    engine::{self, NewTask},
    hypervisor, idempotency,
    image::{check_description, view},
    location,
    service::DbResult,
    task::view as task_view,
    work::TaskPayload,
};

/// The format that captures are stored in (S20).
const FORMAT: ImageFormat = ImageFormat::Qcow2;

/// The facts that decide about a capture of an instance.
pub(crate) struct Facts {
    disks: Vec<Disk>,
    location: Location,
    hypervisor: Hypervisor,
    storages: Vec<ImageStorage>,
    /// Images that the owner may have there.
    limit: Option<u32>,
    /// Images that it has there.
    taken: u32,
}

/// What many instances have in common: read once for a whole list.
#[derive(Default)]
pub(crate) struct Shared {
    limits: HashMap<(AccountId, LocationId), (Option<u32>, u32)>,
    locations: HashMap<LocationId, Location>,
    hypervisors: HashMap<HypervisorId, (Hypervisor, Vec<ImageStorage>)>,
}

impl Shared {
    async fn location(&mut self, conn: &Conn<'_>, id: LocationId) -> Result<Location, Error> {
        if let Some(known) = self.locations.get(&id) {
            return Ok(known.clone());
        }
        let read = location::get(conn, id).await?.location;
        self.locations.insert(id, read.clone());
        Ok(read)
    }

    async fn hypervisor(
        &mut self,
        conn: &Conn<'_>,
        id: HypervisorId,
    ) -> Result<(Hypervisor, Vec<ImageStorage>), Error> {
        if let Some(known) = self.hypervisors.get(&id) {
            return Ok(known.clone());
        }
        let read = (hypervisor::get(conn, id).await?.hypervisor, customer_storages(conn, id).await?);
        self.hypervisors.insert(id, read.clone());
        Ok(read)
    }

    async fn limit(
        &mut self,
        conn: &Conn<'_>,
        owner: AccountId,
        location: &Location,
    ) -> Result<(Option<u32>, u32), Error> {
        if let Some(known) = self.limits.get(&(owner, location.id)) {
            return Ok(*known);
        }
        let account = account::get(conn, owner).await?.account;
        let taken = image::slots_taken(conn, owner, location.id).await.db()?;
        let read = (rules::image_limit(&account, location), taken);
        self.limits.insert((owner, location.id), read);
        Ok(read)
    }
}

impl Facts {
    /// Reads them. Inside a write transaction, what they say of the limit is a reservation (S126,
    /// X7).
    pub(crate) async fn read(
        conn: &Conn<'_>,
        instance: &Instance,
        shared: &mut Shared,
    ) -> Result<Self, Error> {
        let location = shared.location(conn, instance.location_id).await?;
        let (hypervisor, storages) = shared.hypervisor(conn, instance.hypervisor_id).await?;
        let (limit, taken) = shared.limit(conn, instance.account_id, &location).await?;
        let disks = instance::disks(conn, instance.id).await.db()?;
        Ok(Self { disks, location, hypervisor, storages, limit, taken })
    }

    /// The instance's disks.
    pub(crate) fn disks(&self) -> &[Disk] {
        &self.disks
    }

    fn decide<'a>(
        &'a self,
        instance: &'a Instance,
        now: Timestamp,
    ) -> Result<rules::CaptureChoice<'a>, Error> {
        let choice = rules::capture(&rules::CaptureFacts {
            instance,
            disks: &self.disks,
            location: &self.location,
            hypervisor: &self.hypervisor,
            storages: &self.storages,
            now,
        })?;
        rules::reserve_slot(self.limit, self.taken)?;
        Ok(choice)
    }

    /// Returns whether the instance can be captured, and if not why.
    pub(crate) fn allowed(&self, instance: &Instance, now: Timestamp) -> CaptureAllowed {
        match self.decide(instance, now) {
            Ok(_) => CaptureAllowed { allowed: true, code: None, reason: None },
            Err(error) => CaptureAllowed {
                allowed: false,
                code: Some(error.code.as_str().to_owned()),
                reason: Some(error.to_string()),
            },
        }
    }
}

/// Customer storages of a hypervisor; those that its agent cannot use only when there are no
/// others.
async fn customer_storages(conn: &Conn<'_>, id: HypervisorId) -> Result<Vec<ImageStorage>, Error> {
    let bound = storage::of_hypervisor(conn, id).await.db()?;
    let (usable, broken): (Vec<_>, Vec<_>) = bound
        .into_iter()
        .filter(|record| record.storage.role == StorageRole::Customer)
        .partition(|record| record.problem.is_none());
    let chosen = if usable.is_empty() { broken } else { usable };
    Ok(chosen.into_iter().map(|record| record.storage).collect())
}

fn required_consistency(request: &CaptureCreate) -> Result<ConsistencyRequirement, Error> {
    let consistency = request
        .consistency
        .unwrap_or(ConsistencyRequirement { want: Consistency::Application, minimum: Consistency::Crash });
    if consistency.minimum > consistency.want {
        return Err(
            Error::new(Code::InvalidRequest, "`minimum` must not be above `want`").at("/consistency/minimum")
        );
    }
    Ok(consistency)
}

impl Service {
    /// Captures the primary disk of an instance: reserves a slot and queues the task, in one
    /// transaction (S126, X7). The image belongs to the instance's owner, also when an admin asks
    /// (S9, S13).
    pub async fn image_capture(&self, op: &Op, request: CaptureCreate) -> Result<ImageTask, Error> {
        op.require_write()?;
        check_description(&request.description)?;
        let consistency = required_consistency(&request)?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(ImageTask { replayed: true, ..stored });
        }
        let mut source = crate::instance::visible(&change.conn(), op, request.instance_id).await?;
        let facts = Facts::read(&change.conn(), &source.instance, &mut Shared::default()).await?;
        let choice = facts.decide(&source.instance, change.now)?;
        let (image_id, task_id) = (ImageId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let payload = TaskPayload::Capture {
            compression: request.compression.unwrap_or(Compression::Zstd),
            want: consistency.want,
            minimum: consistency.minimum,
        };
        let new = NewTask {
            account_id: source.instance.account_id,
            kind: TaskKind::ImageCapture,
            image_id: Some(image_id),
            instance_id: Some(source.instance.id),
            hypervisor_id: source.instance.hypervisor_id,
            payload,
            request_id: op.request_id,
        };
        let task = engine::new_task(&change, task_id, new)?;
        let record = captured(&change, &source.instance, choice.storage, request, (image_id, task_id));
        image::insert(&change.tx, &record).await.db()?;
        source.task_id = Some(task_id);
        instance::update(&change.tx, &source).await.db()?;
        change.image_changed(&record).await?;
        engine::queue(&mut change, &task).await?;
        change.audit(op, "image.capture", image_id).await?;
        let task = task_view(&change.conn(), &task, change.now).await?;
        let answer = ImageTask { image: view(&record), task, replayed: false };
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }
}

fn captured(
    change: &Change<'_>,
    source: &Instance,
    storage: &ImageStorage,
    request: CaptureCreate,
    (id, task_id): (ImageId, TaskId),
) -> ImageRecord {
    let new = NewImage {
        id,
        account_id: source.account_id,
        location_id: source.location_id,
        kind: ImageKind::Custom,
        name: request.name,
        description: request.description,
        source: Some(ImageSource { instance_id: source.id, instance_name: source.name.to_string() }),
        storage_id: storage.id,
        storage_key: format!("{id}.{FORMAT}"),
        format: FORMAT,
        task_id,
    };
    ImageRecord { image: Image::reserve(new, change.now), capture: CaptureNotes::default() }
}
