//! Stock images: the operator's files, registered as images (S101 to S105).

use imprint_domain::{
    Code, Error,
    id::{ImageId, LocationId, StorageId, TaskId},
    image::{Image, ImageFormat, ImageKind, NewImage},
    name::Name,
    storage::StorageRole,
    storage_test::TEST_PREFIX,
    task::TaskKind,
};
use imprint_store::image::{self, CaptureNotes, ImageRecord};

use crate::{
    ImageTask, ImageView, Op, Service,
    catalogue::location,
    change::Change,
    db_result::DbResult,
    idempotency,
    images::image::{hypervisor_reaching_storage, view},
    storages,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
        task::view as task_view,
    },
    validate::check_description,
};

/// The longest key of a file, in bytes.
const MAX_KEY: usize = 1024;

/// A file to register as a stock image (S101 to S105).
#[derive(Clone, Debug)]
pub struct StockImageCreate {
    /// The image's name.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// A storage of role `stock`.
    pub storage_id: StorageId,
    /// The file's key in that storage.
    pub key: String,
    /// The format of the file.
    pub format: ImageFormat,
    /// The location where it can be used.
    pub location_id: LocationId,
}

impl Service {
    /// Returns the image that uses a file of a storage, if there is one. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn stock_image_find(
        &self,
        op: &Op,
        storage_id: StorageId,
        key: &str,
    ) -> Result<Option<ImageView>, Error> {
        op.require_admin()?;
        Ok(image::by_key(&self.read(), storage_id, key).await.db()?.as_ref().map(|record| view(op, record)))
    }

    /// Registers a stock image and queues the task that reads its file. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is not visible; [`Code::InvalidRequest`]; an error of the database.
    pub async fn stock_image_create(&self, op: &Op, request: StockImageCreate) -> Result<ImageTask, Error> {
        op.require_admin()?;
        check_description(&request.description)?;
        check_file(&request)?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(ImageTask { replayed: true, ..stored });
        }
        location::get(&change.conn(), request.location_id).await.map_err(|error| error.at("/location_id"))?;
        let storage = storages::view::get(&change.conn(), request.storage_id)
            .await
            .map_err(|error| error.at("/storage_id"))?
            .storage;
        if storage.role != StorageRole::Stock {
            return Err(Error::new(
                Code::InvalidRequest,
                "a stock image's file is picked from a storage of role `stock`",
            )
            .at("/storage_id"));
        }
        if image::by_key(&change.conn(), storage.id, &request.key).await.db()?.is_some() {
            return Err(Error::new(Code::NameTaken, "an image already uses this file").at("/key"));
        }
        let (image_id, task_id) = (ImageId::new(self.new_uuid()), TaskId::new(self.new_uuid()));
        let new = NewTask {
            account_id: op.account_id(),
            kind: TaskKind::ImageRegister,
            image_id: Some(image_id),
            instance_id: None,
            hypervisor_id: hypervisor_reaching_storage(&change, storage.id).await?,
            payload: TaskPayload::Plain,
            request_id: op.request_id,
        };
        let task = lifecycle::new_task(&change, task_id, new)?;
        let record = stock_record(&change, op, request, (image_id, task_id));
        image::insert(&change.tx, &record).await.db()?;
        change.image_changed(&record).await?;
        lifecycle::queue(&mut change, &task).await?;
        change.audit(op, "image.register", image_id).await?;
        let task = task_view(&change.conn(), &task, change.now).await?;
        let answer = ImageTask { image: view(op, &record), task, replayed: false };
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }
}

fn check_file(request: &StockImageCreate) -> Result<(), Error> {
    let key = &request.key;
    let climbs = key.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if key.starts_with(TEST_PREFIX) {
        let detail =
            format!("names that begin with `{TEST_PREFIX}` are kept for connection tests; rename the file");
        return Err(Error::new(Code::InvalidRequest, detail).at("/key"));
    }
    if key.len() > MAX_KEY || climbs || key.chars().any(char::is_control) {
        return Err(Error::new(
            Code::InvalidRequest,
            "name the file by its path below the storage's folder, without `.` and `..`",
        )
        .at("/key"));
    }
    Ok(())
}

fn stock_record(
    change: &Change<'_>,
    op: &Op,
    request: StockImageCreate,
    (id, task_id): (ImageId, TaskId),
) -> ImageRecord {
    let new = NewImage {
        id,
        account_id: op.account_id(),
        location_id: request.location_id,
        kind: ImageKind::Stock,
        name: request.name,
        description: request.description,
        source: None,
        storage_id: request.storage_id,
        storage_key: request.key,
        format: request.format,
        task_id,
    };
    ImageRecord { image: Image::reserve(new, change.now), capture: CaptureNotes::default() }
}
