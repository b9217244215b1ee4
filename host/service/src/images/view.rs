//! Images as they are shown: in full to their owners and admins, with less to those that they are
//! shared with.

use std::collections::{BTreeMap, BTreeSet};

use imprint_domain::{
    Error,
    consistency::Consistency,
    digest::{LogicalDigest, StoredDigest},
    id::{AccountId, ImageId, InstanceId, LocationId, MediaGroupId, StorageId, TaskId},
    image::{
        Image, ImageFormat, ImageKind, ImageStatus,
        catalogue::{Deprecation, FamilyVersion, GuestSystem, ImageFamily, latest_versions},
    },
    import::ImageImport,
    metadata::Metadata,
    name::Name,
    share::Share,
    size::ByteSize,
    tag::Tags,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    image::{self, ImageRecord},
    image_import, share,
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, SharedView,
    catalogue::offer,
    db_result::DbResult,
    sharing::{permission, view::shared},
    tasks::task::Audience,
};

/// The instance that an image was captured from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInstance {
    /// The instance's id; it may have been removed since.
    pub id: InstanceId,
    /// The instance's name at that time.
    pub name: String,
}

/// How a capture went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureView {
    /// Why the consistency is below the requested level; `None` where it is not.
    pub downgraded_because: Option<String>,
    /// The time for which the guest's file systems were frozen, in milliseconds; `None` where the
    /// instance was off.
    pub frozen_ms: Option<u32>,
    /// The time for which the guest's processors were stopped, in milliseconds; `None` where the
    /// instance was off.
    pub stopped_ms: Option<u32>,
    /// How the point in time was taken; for admins only.
    pub method: Option<String>,
    /// The size in bytes that was estimated before.
    #[serde(default)]
    pub estimated_bytes: Option<ByteSize>,
    /// The time in seconds that was estimated before.
    #[serde(default)]
    pub estimated_s: Option<u64>,
    /// The time from the start of the work to the available image, in milliseconds.
    #[serde(default)]
    pub took_ms: Option<u64>,
}

/// How a stock image is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueView {
    /// The media group that it is shown in.
    pub media_group_id: Option<MediaGroupId>,
    /// The family that it is a version of.
    pub family: Option<ImageFamily>,
    /// The version within the family.
    pub family_version: Option<FamilyVersion>,
    /// Whether a deployment by the family takes this version.
    pub latest: bool,
    /// Why it should not be used for new instances any more.
    pub deprecation: Option<DeprecationView>,
    /// Whether customers neither see nor deploy it.
    pub hidden: bool,
}

/// Why an image should not be used for new instances any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeprecationView {
    /// The text of the notice.
    pub notice: String,
    /// The image to use instead, if the account sees it.
    pub replacement_id: Option<ImageId>,
}

/// The public properties of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageView {
    /// The image's id.
    pub id: ImageId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The image's name.
    pub name: Name,
    /// Human-readable text.
    pub description: String,
    /// The tags of the image.
    #[serde(default)]
    pub tags: Tags,
    /// How its system wants to be started.
    #[serde(default)]
    pub metadata: Metadata,
    /// What its system is.
    #[serde(default)]
    pub guest: GuestSystem,
    /// How it is offered; `None` for captured images.
    #[serde(default)]
    pub catalogue: Option<CatalogueView>,
    /// Whether it cannot be deleted until that is switched off.
    #[serde(default)]
    pub protected: bool,
    /// The origin of the image.
    pub kind: ImageKind,
    /// The status of the image.
    pub status: ImageStatus,
    /// The seeds' sentence for the status.
    pub status_text: String,
    /// Whether the last attempt to remove it failed.
    #[serde(default)]
    pub removal_failed: bool,
    /// The location where it can be used.
    pub location_id: LocationId,
    /// The instance that it was captured from; `None` for stock images.
    pub source_instance: Option<SourceInstance>,
    /// The size of the stored file in bytes: the Size that is shown.
    pub size_bytes: Option<ByteSize>,
    /// The size in bytes of the disk that a guest sees.
    pub virtual_size_bytes: Option<ByteSize>,
    /// The format of the stored file.
    pub format: Option<ImageFormat>,
    /// The consistency that the capture reached; `None` for stock images.
    pub consistency: Option<Consistency>,
    /// How the capture went; `None` until its disk is stored, and for images that were not
    /// captured.
    #[serde(default)]
    pub capture: Option<CaptureView>,
    /// The digest of the disk that a guest sees.
    pub logical_digest: Option<LogicalDigest>,
    /// The digest of the stored file.
    pub stored_digest: Option<StoredDigest>,
    /// The last task that worked on it.
    pub task_id: Option<TaskId>,
    /// When it was requested.
    pub created_at: Timestamp,
    /// When it became available.
    pub available_at: Option<Timestamp>,
    /// Increases with every change; the ETag.
    pub version: u32,
    /// Where its file is; for admins only.
    #[serde(default)]
    pub storage: Option<ImagePlace>,
    /// By what the image is shared with the account that asks; `None` for its own and stock images.
    #[serde(default)]
    pub shared: Option<SharedView>,
    /// Where its file came from; `None` for an image that was not imported.
    #[serde(default)]
    pub import: Option<ImageImport>,
}

/// Where the file of an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlace {
    /// The image storage.
    pub id: StorageId,
    /// The key of the file in it.
    pub key: String,
}

/// Returns an image as its owner or an admin sees it; of a stock image anyone does.
pub(crate) async fn view(conn: &Conn<'_>, op: &Op, record: &ImageRecord) -> Result<ImageView, Error> {
    complete_one(conn, full(record, Audience::of(op)), Audience::of(op)).await
}

async fn complete_one(conn: &Conn<'_>, view: ImageView, audience: Audience) -> Result<ImageView, Error> {
    let mut views = [view];
    complete(conn, &mut views, audience).await?;
    let [view] = views;
    Ok(view)
}

/// Adds to the views of stock images what other images decide: which is the latest of its family,
/// and which replacements are offered.
async fn complete(conn: &Conn<'_>, views: &mut [ImageView], audience: Audience) -> Result<(), Error> {
    let entries = || views.iter().filter_map(|view| view.catalogue.as_ref());
    let families: BTreeSet<&ImageFamily> = entries().filter_map(|entry| entry.family.as_ref()).collect();
    let families: Vec<&ImageFamily> = families.into_iter().collect();
    let current = image::current_of_families(conn, &families).await.db()?;
    let latest: BTreeSet<ImageId> =
        latest_versions(current).into_values().map(|member| member.image_id).collect();
    let replacements: Vec<ImageId> = entries()
        .filter_map(|entry| entry.deprecation.as_ref().and_then(|found| found.replacement_id))
        .collect();
    let mut seen = BTreeSet::new();
    for record in image::of_ids(conn, &replacements).await.db()? {
        let sees = match audience {
            Audience::Customer => offer::is_offered(conn, &record.image).await?,
            Audience::Operator => true,
        };
        if sees {
            seen.insert(record.image.id);
        }
    }
    add_imports(conn, views).await?;
    for view in views {
        let Some(entry) = &mut view.catalogue else { continue };
        entry.latest = latest.contains(&view.id);
        if let Some(deprecation) = &mut entry.deprecation {
            deprecation.replacement_id = deprecation.replacement_id.filter(|id| seen.contains(id));
        }
    }
    Ok(())
}

/// Adds where the files of imported images came from, for those who see the image in full.
async fn add_imports(conn: &Conn<'_>, views: &mut [ImageView]) -> Result<(), Error> {
    let shown = |view: &ImageView| view.shared.is_none() && view.source_instance.is_none();
    let ids: Vec<ImageId> = views.iter().filter(|view| shown(view)).map(|view| view.id).collect();
    for import in image_import::of_images(conn, &ids).await.db()? {
        if let Some(view) = views.iter_mut().find(|view| view.id == import.image_id) {
            view.import = Some(import);
        }
    }
    Ok(())
}

/// Returns how a stock image is offered, without what [`complete`] adds.
fn catalogue_view(image: &Image) -> Option<CatalogueView> {
    match image.kind {
        ImageKind::Custom => return None,
        ImageKind::Stock => {}
    }
    let entry = &image.catalogue;
    let deprecation = |found: &Deprecation| DeprecationView {
        notice: found.notice().to_owned(),
        replacement_id: found.replacement(),
    };
    Some(CatalogueView {
        media_group_id: entry.media_group_id,
        family: entry.edition.as_ref().map(|edition| edition.family.clone()),
        family_version: entry.edition.as_ref().map(|edition| edition.version.clone()),
        latest: false,
        deprecation: entry.deprecation.as_ref().map(deprecation),
        hidden: entry.hidden,
    })
}

fn full(record: &ImageRecord, audience: Audience) -> ImageView {
    let image = &record.image;
    let stored = image.stored.as_ref();
    let source_instance = image
        .source
        .as_ref()
        .map(|source| SourceInstance { id: source.instance_id, name: source.instance_name.clone() });
    ImageView {
        id: image.id,
        account_id: image.account_id,
        name: image.name.clone(),
        description: image.description.clone(),
        tags: image.tags.clone(),
        metadata: image.metadata.clone(),
        guest: image.guest,
        catalogue: catalogue_view(image),
        protected: image.protected,
        kind: image.kind,
        status: image.status,
        status_text: image.status_text().to_owned(),
        removal_failed: image.removal_failed,
        location_id: image.location_id,
        source_instance,
        size_bytes: stored.map(|stored| stored.size),
        virtual_size_bytes: stored.map(|stored| stored.virtual_size),
        format: stored.map(|stored| stored.format),
        consistency: stored.and_then(|stored| stored.consistency),
        capture: capture_view(record, audience),
        logical_digest: stored.map(|stored| stored.logical_digest.clone()),
        stored_digest: stored.map(|stored| stored.stored_digest.clone()),
        task_id: image.task_id,
        created_at: image.created_at,
        available_at: image.available_at,
        version: image.version,
        storage: match audience {
            Audience::Customer => None,
            Audience::Operator => Some(ImagePlace { id: image.storage_id, key: image.storage_key.clone() }),
        },
        shared: None,
        import: None,
    }
}

fn capture_view(record: &ImageRecord, audience: Audience) -> Option<CaptureView> {
    let notes = &record.capture;
    record.image.stored.as_ref()?.consistency?;
    Some(CaptureView {
        downgraded_because: notes.downgraded_because.clone(),
        frozen_ms: notes.frozen_ms,
        stopped_ms: notes.stopped_ms,
        method: match audience {
            Audience::Customer => None,
            Audience::Operator => notes.method.clone(),
        },
        estimated_bytes: notes.estimated,
        estimated_s: notes.estimated_s,
        took_ms: notes.took_ms,
    })
}

/// Returns an image as those see it that it is shared with: without the instance, the capture, the
/// task and the storage, which are the owner's.
fn narrowed(record: &ImageRecord, shared: SharedView) -> ImageView {
    ImageView {
        source_instance: None,
        capture: None,
        task_id: None,
        storage: None,
        protected: false,
        removal_failed: false,
        shared: Some(shared),
        ..full(record, Audience::Customer)
    }
}

/// Returns whether an account sees an image without a share, as far as the image is offered.
fn is_own(image: &Image, account: AccountId, audience: Audience) -> bool {
    image.kind == ImageKind::Stock || image.account_id == account || audience == Audience::Operator
}

/// Returns an image as an account sees it; `None` when it does not.
pub(crate) async fn of_account(
    conn: &Conn<'_>,
    record: &ImageRecord,
    account: AccountId,
    audience: Audience,
    now: Timestamp,
) -> Result<Option<ImageView>, Error> {
    if is_own(&record.image, account, audience) {
        let sees = match (record.image.kind, audience) {
            (ImageKind::Stock, Audience::Customer) => offer::is_offered(conn, &record.image).await?,
            (ImageKind::Stock, Audience::Operator) | (ImageKind::Custom, _) => true,
        };
        return if sees {
            complete_one(conn, full(record, audience), audience).await.map(Some)
        } else {
            Ok(None)
        };
    }
    let Some(share) = permission::share_of(conn, &record.image, account, now).await? else {
        return Ok(None);
    };
    let shares: BTreeMap<ImageId, Share> = [(share.image_id, share)].into();
    let found = shared(conn, &shares).await?.remove(&record.image.id);
    Ok(found.map(|shared| narrowed(record, shared)))
}

/// Returns images of a list as the actor sees them. One that is not shared any more, since the list
/// was read, is left out.
pub(crate) async fn of_list(
    conn: &Conn<'_>,
    op: &Op,
    records: &[ImageRecord],
    now: Timestamp,
) -> Result<Vec<ImageView>, Error> {
    let (account, audience) = (op.account_id(), Audience::of(op));
    let foreign: Vec<ImageId> = records
        .iter()
        .map(|record| &record.image)
        .filter(|image| !is_own(image, account, audience))
        .map(|image| image.id)
        .collect();
    let permitting = share::permitting(conn, account, &foreign, now).await.db()?;
    let mut notes = shared(conn, &permitting).await?;
    let view = |record: &ImageRecord| {
        if is_own(&record.image, account, audience) {
            return Some(full(record, audience));
        }
        notes.remove(&record.image.id).map(|note| narrowed(record, note))
    };
    let mut views: Vec<ImageView> = records.iter().filter_map(view).collect();
    complete(conn, &mut views, audience).await?;
    Ok(views)
}
