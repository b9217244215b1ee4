//! Stock images: the operator's files, registered as images (S101 to S105).

use imprint_domain::{
    Code, Error,
    id::{AccountId, ImageId, LocationId, StorageId, TaskId},
    image::{
        Image, ImageEdit, ImageFormat, ImageKind, NewImage,
        catalogue::{CatalogueEdit, CatalogueEntry, Deprecation, GuestSystem},
    },
    metadata::Metadata,
    name::Name,
    size::ByteSize,
    storage::StorageRole,
    storage_test::TEST_PREFIX,
    tag::Tags,
    task::TaskKind,
};
use imprint_store::{
    Conn, account,
    image::{self, CaptureNotes, ImageRecord},
};

use crate::{
    ImageTask, ImageView, Op, Service,
    catalogue::{location, media_group},
    change::Change,
    db_result::DbResult,
    idempotency,
    images::{
        created,
        image::{edit, hypervisor_reaching_storage, load_for_update, version_taken},
        view::view,
    },
    storages,
    tasks::{
        lifecycle::{self, NewTask},
        payload::TaskPayload,
    },
    validate::check_description,
};

/// The longest key of a file, in bytes.
const MAX_KEY: usize = 1024;

/// An object of an image storage to make an image of.
#[derive(Clone, Debug)]
pub struct ObjectAdopt {
    /// The storage, for customers' or for stock images.
    pub storage_id: StorageId,
    /// The object's key.
    pub key: String,
    /// The image's name.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The format of the file.
    pub format: ImageFormat,
    /// The location where it can be used.
    pub location_id: LocationId,
    /// The account that gets the image; for storages of customers' images only.
    pub account_id: Option<AccountId>,
}

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
    /// What its system is.
    pub guest: GuestSystem,
    /// How it is offered.
    pub catalogue: CatalogueEdit,
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
        let conn = self.read();
        match image::by_key(&conn, storage_id, key).await.db()? {
            Some(record) => view(&conn, op, &record).await.map(Some),
            None => Ok(None),
        }
    }

    /// Registers a stock image and queues the task that reads its file. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is not visible; [`Code::InvalidRequest`]; an error of the database.
    pub async fn stock_image_create(&self, op: &Op, request: StockImageCreate) -> Result<ImageTask, Error> {
        let storage_id = request.storage_id;
        let mut catalogue = CatalogueEntry::default();
        catalogue.edit(request.catalogue)?;
        let offered = (request.guest, catalogue);
        let adopt = ObjectAdopt {
            storage_id,
            key: request.key,
            name: request.name,
            description: request.description,
            format: request.format,
            location_id: request.location_id,
            account_id: None,
        };
        self.register_file(op, adopt, offered, Some(StorageRole::Stock)).await
    }

    /// Changes a stock image and how it is offered. `if_match` is the version that the client saw.
    /// Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is no stock image; [`Code::PreconditionFailed`] for a stale version;
    /// [`Code::InvalidRequest`] for a group or a replacement that there is not, and for a family
    /// without a version; [`Code::NameTaken`] for the version of another image; an error of the
    /// database.
    pub async fn stock_image_update(
        &self,
        op: &Op,
        id: ImageId,
        patch: ImageEdit,
        if_match: Option<u32>,
    ) -> Result<ImageView, Error> {
        op.require_admin()?;
        patch.description.as_deref().map_or(Ok(()), check_description)?;
        let mut change = Change::begin(self).await?;
        let record = load_for_update(&change.conn(), op, id, if_match, change.now).await?;
        match record.image.kind {
            ImageKind::Stock => {}
            ImageKind::Custom => return Err(Error::not_found("stock image")),
        }
        let mut entry = record.image.catalogue.clone();
        entry.edit(patch.catalogue.clone())?;
        check_entry(&change.conn(), &entry, record.image.location_id).await?;
        let answer = edit(&mut change, op, record, patch).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Makes an image of an object that nothing refers to, and queues the task that reads it (X9).
    /// Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not
    /// exist; [`Code::NameTaken`] for a file that an image uses; [`Code::ResourceInUse`] for one
    /// that a task is removing; [`Code::InvalidRequest`]; an error of the database.
    pub async fn object_adopt(&self, op: &Op, request: ObjectAdopt) -> Result<ImageTask, Error> {
        self.register_file(op, request, (GuestSystem::default(), CatalogueEntry::default()), None).await
    }

    /// Registers a file of a storage of that role, or of any that holds images.
    async fn register_file(
        &self,
        op: &Op,
        request: ObjectAdopt,
        offered: (GuestSystem, CatalogueEntry),
        wanted: Option<StorageRole>,
    ) -> Result<ImageTask, Error> {
        op.require_admin()?;
        check_description(&request.description)?;
        check_file(&request.key)?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(ImageTask { replayed: true, ..stored });
        }
        location::get(&change.conn(), request.location_id).await.map_err(|error| error.at("/location_id"))?;
        let storage = storages::view::get(&change.conn(), request.storage_id)
            .await
            .map_err(|error| error.at("/storage_id"))?
            .storage;
        let (kind, account_id) = owner(&change, op, &request, storage.role, wanted).await?;
        if image::by_key(&change.conn(), storage.id, &request.key).await.db()?.is_some() {
            return Err(Error::new(Code::NameTaken, "an image already uses this file").at("/key"));
        }
        if storages::scan::is_being_removed(&change.conn(), storage.id, &request.key).await? {
            return Err(Error::new(Code::ResourceInUse, "a task is removing this file").at("/key"));
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
        check_entry(&change.conn(), &offered.1, request.location_id).await?;
        let record = record_of(&change, request, offered, (kind, account_id), (image_id, task_id));
        image::insert(&change.tx, &record).await.map_err(version_taken)?;
        storages::scan::compare_again(&change, &record).await?;
        change.image_changed(&record).await?;
        lifecycle::queue(&mut change, &task).await?;
        change.audit(op, "image.register", image_id).await?;
        created::answer(change, op, &record, &task, Vec::new()).await
    }
}

/// Returns the origin of the image that a file is made into, and the account that gets it.
async fn owner(
    change: &Change<'_>,
    op: &Op,
    request: &ObjectAdopt,
    role: StorageRole,
    wanted: Option<StorageRole>,
) -> Result<(ImageKind, AccountId), Error> {
    let refuse = |pointer: &str, text: &str| Err(Error::new(Code::InvalidRequest, text).at(pointer));
    match (role, request.account_id) {
        _ if wanted.is_some_and(|wanted| wanted != role) => {
            refuse("/storage_id", "a stock image's file is picked from a storage of role `stock`")
        }
        (StorageRole::Iso, _) => refuse("/storage_id", "a storage of role `iso` holds no images"),
        (StorageRole::Stock, None) => Ok((ImageKind::Stock, op.account_id())),
        (StorageRole::Stock, Some(_)) => {
            refuse("/account_id", "stock images belong to no customer; leave the account out")
        }
        (StorageRole::Customer, None) => refuse("/account_id", "name the account that gets the image"),
        (StorageRole::Customer, Some(id)) => {
            let found = account::get(&change.conn(), id).await.db()?;
            found.ok_or_else(|| Error::not_found("account").at("/account_id"))?;
            Ok((ImageKind::Custom, id))
        }
    }
}

/// Refuses an entry of the catalogue that refers to what there is not.
async fn check_entry(conn: &Conn<'_>, entry: &CatalogueEntry, location: LocationId) -> Result<(), Error> {
    if let Some(id) = entry.media_group_id {
        media_group::get(conn, id).await.map_err(|error| error.at("/media_group_id"))?;
    }
    let Some(id) = entry.deprecation.as_ref().and_then(Deprecation::replacement) else { return Ok(()) };
    let at = |error: Error| error.at("/deprecation/replacement_id");
    let found = image::get(conn, id).await.db()?.ok_or_else(|| at(Error::not_found("image")))?;
    match found.image.kind {
        ImageKind::Stock if found.image.location_id == location => Ok(()),
        ImageKind::Stock => {
            Err(at(Error::new(Code::InvalidRequest, "the replacement is in another location")))
        }
        ImageKind::Custom => {
            Err(at(Error::new(Code::InvalidRequest, "a stock image is replaced by another stock image")))
        }
    }
}

/// Refuses a key that names no file below a storage's folder.
pub(crate) fn check_file(key: &str) -> Result<(), Error> {
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

fn record_of(
    change: &Change<'_>,
    request: ObjectAdopt,
    (guest, catalogue): (GuestSystem, CatalogueEntry),
    (kind, account_id): (ImageKind, AccountId),
    (id, task_id): (ImageId, TaskId),
) -> ImageRecord {
    let new = NewImage {
        id,
        account_id,
        location_id: request.location_id,
        kind,
        name: request.name,
        description: request.description,
        tags: Tags::default(),
        metadata: Metadata::default(),
        guest,
        catalogue,
        source: None,
        storage_id: request.storage_id,
        storage_key: request.key,
        format: request.format,
        // An operator's decision is not subject to limits; the file's size counts once it is known.
        reserved: ByteSize::ZERO,
        task_id,
    };
    ImageRecord { image: Image::reserve(new, change.now), capture: CaptureNotes::default() }
}
