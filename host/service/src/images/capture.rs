//! Capturing: the rules, the slot, the image and its task, in one transaction.

use imprint_domain::{
    Code, Error,
    consistency::Consistency,
    id::{ImageId, TaskId},
    image::{Image, ImageKind, ImageSource, NewImage, catalogue::CatalogueEntry},
    instance::Instance,
    rules::{Asked, CaptureChoice},
    task::TaskKind,
};
use imprint_store::{
    image::{self, CaptureNotes, ImageRecord},
    instance,
};

use crate::{
    CaptureCreate, ConsistencyRequirement, ImageTask, Op, Service,
    billing::budgets,
    change::Change,
    db_result::DbResult,
    idempotency,
    images::{created, estimate},
    instances::capture_facts::{Facts, Shared},
    storages::reservation,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
    },
    validate::check_description,
};

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
    /// Says when to ask again for a capture that was refused because of too little room (S32).
    fn with_time(&self, error: Error) -> Error {
        let minutes = self.settings().capture_room_retry_min;
        if error.code != Code::InsufficientStorage || minutes == 0 {
            return error;
        }
        let detail = format!("{}; or try again in {minutes} minutes", error.detail);
        Error { detail, ..error }.with("retry_after_s", u64::from(minutes) * 60)
    }

    /// Captures the primary disk of an instance: reserves a slot and room on a storage, and queues
    /// the task, in one transaction (S126, X7). The image belongs to the instance's owner, also
    /// when an admin asks (S9, S13).
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is not
    /// visible; [`Code::InvalidRequest`]; the codes of [`imprint_domain::rules`]; failures of the
    /// database.
    pub async fn image_capture(&self, op: &Op, request: CaptureCreate) -> Result<ImageTask, Error> {
        op.require_write()?;
        check_description(&request.description)?;
        let consistency = required_consistency(&request)?;
        if request.storage_id.is_some() {
            op.require_admin().map_err(|error| error.at("/storage_id"))?;
        }
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(ImageTask { replayed: true, ..stored });
        }
        let mut source = crate::instances::instance::visible(&change.conn(), op, request.instance_id).await?;
        budgets::require(self, &change.conn(), source.instance.account_id, change.now).await?;
        let asked = Asked {
            storage: request.storage_id,
            format: request.format,
            domain_controller: request.domain_controller,
        };
        let facts = Facts::read(&change.conn(), &source.instance, &mut Shared::default()).await?;
        let choice =
            facts.decide(&source.instance, asked, change.now).map_err(|error| self.with_time(error))?;
        let notices = facts.windows(&source.instance, choice.disk, request.domain_controller).notices();
        let compression = choice.format.compression(request.compression)?;
        let per_gib = self.settings().capture_seconds_per_gib;
        let conn = change.conn();
        let estimate =
            estimate::of_disk(&conn, &source.instance, choice.disk, (choice.format, compression), per_gib)
                .await?;
        let (image_id, task_id) = (ImageId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let payload = TaskPayload::Capture {
            compression,
            content: estimate.content,
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
        let task = lifecycle::new_task(&change, task_id, new)?;
        let mut record = captured(&change, &source.instance, &choice, request, (image_id, task_id));
        record.capture.estimated = Some(estimate.size);
        record.capture.estimated_s = Some(estimate.seconds);
        image::insert(&change.tx, &record).await.db()?;
        source.task_id = Some(task_id);
        instance::update(&change.tx, &source).await.db()?;
        change.image_changed(&record).await?;
        lifecycle::queue(&mut change, &task).await?;
        reservation::reserve(&change, task_id, choice.storage.id, choice.reserve).await?;
        change.audit(op, "image.capture", image_id).await?;
        created::answer(change, op, &record, &task, notices).await
    }
}

fn captured(
    change: &Change<'_>,
    source: &Instance,
    choice: &CaptureChoice<'_>,
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
        tags: request.tags,
        // What the source was started with, its copies need as well.
        metadata: source.metadata.clone(),
        guest: source.guest,
        catalogue: CatalogueEntry::default(),
        source: Some(ImageSource { instance_id: source.id, instance_name: source.name.to_string() }),
        storage_id: choice.storage.id,
        storage_key: format!("{id}.{}", choice.format),
        format: choice.format.file(),
        reserved: choice.reserve,
        task_id,
    };
    ImageRecord { image: Image::reserve(new, change.now), capture: CaptureNotes::default() }
}
