//! Locations and the limits that hold in them.

use imprint_domain::{
    Code, Error,
    account::Account,
    capture_format::CaptureFormat,
    coalesce::{CoalescePolicy, CoalesceTimeout},
    id::{AccountId, LocationId},
    image::ImageUsage,
    import::{ImportPolicy, ImportProfile},
    limits::{LimitScope, Quota},
    location::{FreezeLimit, Location, ReclaimLimit},
    name::Name,
    size::ByteSize,
    support::{Support, SupportText, WebLink},
    windows::WindowsBounds,
};
use imprint_store::{
    Conn, export, hypervisor, image, instance, iso,
    location::{self, LocationRecord},
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Page, PageRequest, Service,
    auth::account,
    change::Change,
    db_result::DbResult,
    idempotency,
    page::Listing,
    validate::{name_taken, require_unreferenced},
};

/// The properties of a location, with the limits of the account that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationView {
    /// The location's id.
    pub id: LocationId,
    /// The location's name.
    pub name: Name,
    /// Whether images may be created here (S124).
    pub images_enabled: bool,
    /// Whether images may be shared here, and shared ones used (S72).
    #[serde(default)]
    pub sharing_enabled: bool,
    /// Whether ISOs may be mounted here (S111).
    #[serde(default)]
    pub iso_enabled: bool,
    /// Whether images may be exported here (S90).
    #[serde(default)]
    pub export_enabled: bool,
    /// The limits of the account that asks, with what it uses.
    #[serde(flatten)]
    pub limits: QuotaView,
    /// The number of images of accounts without their own limit; `None` is no limit.
    pub default_image_limit: Option<u32>,
    /// The bytes of images of accounts without their own limit; `None` is no limit.
    #[serde(default)]
    pub default_image_bytes_limit: Option<ByteSize>,
    /// Whether the layers of a stopped instance's disk are merged before its image is created
    /// (S42).
    pub coalesce_before_capture: bool,
    /// The time limit of a merge, in seconds.
    pub coalesce_timeout_s: u32,
    /// How long a capture may freeze a guest's file systems, in milliseconds.
    #[serde(default = "default_freeze_limit_ms")]
    pub freeze_limit_ms: u32,
    /// What may be imported here (S74 to S80, D6).
    #[serde(default)]
    pub import: ImportPolicy,
    /// How long a capture waits for the guest to give back unused space (S31), in seconds.
    #[serde(default = "default_reclaim_limit_s")]
    pub reclaim_limit_s: u32,
    /// The format that captures are stored in, unless a request names another one (S20).
    #[serde(default = "default_capture_format")]
    pub capture_format: CaptureFormat,
    /// The bounds of Windows disks that images are created of (S33, S34), in bytes.
    #[serde(default = "default_windows_limit")]
    pub windows_limit: ByteSize,
    /// The content from which on a notice recommends to create an image, in bytes.
    #[serde(default = "default_windows_warning")]
    pub windows_warning: ByteSize,
    /// What customers are told about the provider's support.
    #[serde(default)]
    pub support_text: Option<SupportText>,
    /// The page of the support.
    #[serde(default)]
    pub support_url: Option<WebLink>,
    /// The page that says which parts of the system do not work.
    #[serde(default)]
    pub status_url: Option<WebLink>,
    /// Increases with every change; the ETag.
    #[serde(default)]
    pub version: u32,
}

/// The limits of an account in a location, with what it uses of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaView {
    /// The number of images that the account may have; `None` is no limit.
    pub image_limit: Option<u32>,
    /// The number of images that it has, counted in the scope of the limit.
    pub images_used: u32,
    /// Whether that limit counts all images of the account or those in the location.
    pub image_limit_scope: LimitScope,
    /// The bytes that the account's images may take; `None` is no limit.
    pub image_bytes_limit: Option<ByteSize>,
    /// The bytes that they take, counted in the scope of the limit.
    pub image_bytes_used: ByteSize,
    /// Whether that limit counts all images of the account or those in the location.
    pub image_bytes_limit_scope: LimitScope,
}

/// The limits of the account that asks, in a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsView {
    /// The location.
    pub location_id: LocationId,
    /// The limits, with what is used.
    #[serde(flatten)]
    pub limits: QuotaView,
}

impl From<Quota> for QuotaView {
    fn from(Quota { images, bytes }: Quota) -> Self {
        Self {
            image_limit: images.limit,
            images_used: images.used,
            image_limit_scope: images.scope,
            image_bytes_limit: bytes.limit,
            image_bytes_used: bytes.used,
            image_bytes_limit_scope: bytes.scope,
        }
    }
}

/// A new location.
#[derive(Clone, Debug)]
pub struct LocationCreate {
    /// The unique name.
    pub name: Name,
    /// Whether images may be created there.
    pub images_enabled: bool,
    /// Whether images may be shared there, and shared ones used.
    pub sharing_enabled: bool,
    /// Whether ISOs may be mounted there.
    pub iso_enabled: bool,
    /// Whether images may be imported there.
    pub import_enabled: bool,
    /// Whether images may be exported there.
    pub export_enabled: bool,
    /// The number of images of accounts without their own limit; `None` is no limit.
    pub default_image_limit: Option<u32>,
    /// The bytes of images of accounts without their own limit; `None` is no limit.
    pub default_image_bytes_limit: Option<ByteSize>,
    /// How the layers of disks are merged there.
    pub coalesce: CoalescePolicy,
    /// How long a capture may freeze a guest's file systems there.
    pub freeze_limit: FreezeLimit,
}

/// A change of a location; `None` keeps a setting.
#[derive(Clone, Debug, Default)]
pub struct LocationPatch {
    /// The version that the client saw; `None` changes any.
    pub version: Option<u32>,
    /// Whether images may be created there.
    pub images_enabled: Option<bool>,
    /// Whether images may be shared there, and shared ones used.
    pub sharing_enabled: Option<bool>,
    /// Whether ISOs may be mounted there.
    pub iso_enabled: Option<bool>,
    /// Whether images may be exported there.
    pub export_enabled: Option<bool>,
    /// The number of images of accounts without their own limit; `Some(None)` removes it.
    pub default_image_limit: Option<Option<u32>>,
    /// The bytes of images of accounts without their own limit; `Some(None)` removes it.
    pub default_image_bytes_limit: Option<Option<ByteSize>>,
    /// Whether layers are merged before images are created.
    pub coalesce_before_capture: Option<bool>,
    /// The time limit of a merge.
    pub coalesce_timeout: Option<CoalesceTimeout>,
    /// How long a capture may freeze a guest's file systems.
    pub freeze_limit: Option<FreezeLimit>,
    /// Whether images may be imported.
    pub import_enabled: Option<bool>,
    /// Which files are imported.
    pub import_profile: Option<ImportProfile>,
    /// The largest disk that is imported.
    pub import_limit: Option<ByteSize>,
    /// Whether disks with Windows are imported.
    pub import_windows: Option<bool>,
    /// How long a capture waits for the guest to give back unused space.
    pub reclaim_limit: Option<ReclaimLimit>,
    /// The format that captures are stored in.
    pub capture_format: Option<CaptureFormat>,
    /// The largest Windows disk that images are created of.
    pub windows_limit: Option<ByteSize>,
    /// The content of a Windows disk from which on a notice recommends to create an image.
    pub windows_warning: Option<ByteSize>,
    /// What customers are told about the provider's support; `Some(None)` removes it.
    pub support_text: Option<Option<SupportText>>,
    /// The page of the support; `Some(None)` removes it.
    pub support_url: Option<Option<WebLink>>,
    /// The page that says which parts of the system do not work; `Some(None)` removes it.
    pub status_url: Option<Option<WebLink>>,
}

/// For answers that were stored before the setting existed.
const fn default_freeze_limit_ms() -> u32 {
    FreezeLimit::DEFAULT.milliseconds()
}

/// For answers that were stored before the setting existed.
const fn default_reclaim_limit_s() -> u32 {
    ReclaimLimit::DEFAULT.seconds()
}

/// For answers that were stored before the setting existed.
const fn default_capture_format() -> CaptureFormat {
    CaptureFormat::DEFAULT
}

/// For answers that were stored before the setting existed.
fn default_windows_limit() -> ByteSize {
    WindowsBounds::default().limit
}

/// For answers that were stored before the setting existed.
fn default_windows_warning() -> ByteSize {
    WindowsBounds::default().warning
}

/// Reads the limits of an account, and what it uses in each location.
async fn limits_of(
    conn: &Conn<'_>,
    id: AccountId,
) -> Result<(Account, Vec<(LocationId, ImageUsage)>), Error> {
    let account = account::get(conn, id).await?.account;
    let usage = image::usage_of_account(conn, id).await.db()?;
    Ok((account, usage))
}

fn view((account, usage): &(Account, Vec<(LocationId, ImageUsage)>), location: &Location) -> LocationView {
    LocationView {
        id: location.id,
        name: location.name.clone(),
        images_enabled: location.images_enabled,
        sharing_enabled: location.sharing_enabled,
        iso_enabled: location.iso_enabled,
        export_enabled: location.export_enabled,
        limits: Quota::of_usage(account, location, usage).into(),
        default_image_limit: location.default_image_limit,
        default_image_bytes_limit: location.default_image_bytes_limit,
        coalesce_before_capture: location.coalesce.before_capture,
        coalesce_timeout_s: location.coalesce.timeout.seconds(),
        freeze_limit_ms: location.freeze_limit.milliseconds(),
        import: location.import,
        reclaim_limit_s: location.reclaim_limit.seconds(),
        capture_format: location.capture_format,
        windows_limit: location.windows.limit,
        windows_warning: location.windows.warning,
        support_text: location.support.text.clone(),
        support_url: location.support.url.clone(),
        status_url: location.support.status_url.clone(),
        version: location.version,
    }
}

/// Changes what a patch names.
fn apply(location: &mut Location, patch: LocationPatch) {
    if let Some(enabled) = patch.images_enabled {
        location.images_enabled = enabled;
    }
    if let Some(enabled) = patch.sharing_enabled {
        location.sharing_enabled = enabled;
    }
    if let Some(enabled) = patch.iso_enabled {
        location.iso_enabled = enabled;
    }
    if let Some(enabled) = patch.export_enabled {
        location.export_enabled = enabled;
    }
    if let Some(limit) = patch.default_image_limit {
        location.default_image_limit = limit;
    }
    if let Some(limit) = patch.default_image_bytes_limit {
        location.default_image_bytes_limit = limit;
    }
    if let Some(before_capture) = patch.coalesce_before_capture {
        location.coalesce.before_capture = before_capture;
    }
    if let Some(timeout) = patch.coalesce_timeout {
        location.coalesce.timeout = timeout;
    }
    if let Some(limit) = patch.freeze_limit {
        location.freeze_limit = limit;
    }
    let import = &mut location.import;
    import.enabled = patch.import_enabled.unwrap_or(import.enabled);
    import.profile = patch.import_profile.unwrap_or(import.profile);
    import.largest_disk = patch.import_limit.unwrap_or(import.largest_disk);
    import.windows = patch.import_windows.unwrap_or(import.windows);
    if let Some(limit) = patch.reclaim_limit {
        location.reclaim_limit = limit;
    }
    if let Some(format) = patch.capture_format {
        location.capture_format = format;
    }
    if let Some(limit) = patch.windows_limit {
        location.windows.limit = limit;
    }
    if let Some(warning) = patch.windows_warning {
        location.windows.warning = warning;
    }
    if let Some(text) = patch.support_text {
        location.support.text = text;
    }
    if let Some(url) = patch.support_url {
        location.support.url = url;
    }
    if let Some(url) = patch.status_url {
        location.support.status_url = url;
    }
}

/// Reads a location that must exist.
pub(crate) async fn get(conn: &Conn<'_>, id: LocationId) -> Result<LocationRecord, Error> {
    location::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("location"))
}

impl Service {
    /// Returns a page of all locations, oldest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn location_list(&self, op: &Op, page: &PageRequest) -> Result<Page<LocationView>, Error> {
        op.require_read()?;
        let listing = Listing::new(page, "locations")?;
        let conn = self.read();
        let rows = location::list(&conn, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.location.id)?;
        let limits = limits_of(&conn, op.account_id()).await?;
        let items = rows.iter().map(|record| view(&limits, &record.location)).collect();
        Ok(Page { items, next_page_token })
    }

    /// The limits of the account that asks, in a location.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`]
    /// for what does not exist or is not visible; an error of the database.
    pub async fn limits_show(&self, op: &Op, location_id: LocationId) -> Result<LimitsView, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = get(&conn, location_id).await?;
        let (account, usage) = limits_of(&conn, op.account_id()).await?;
        Ok(LimitsView { location_id, limits: Quota::of_usage(&account, &record.location, &usage).into() })
    }

    /// Creates a location. Admins only; `name_taken`.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin;
    /// [`Code::NameTaken`]; an error of the database.
    pub async fn location_create(&self, op: &Op, request: LocationCreate) -> Result<LocationView, Error> {
        op.require_admin()?;
        let change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        let location = Location {
            id: LocationId::new(self.new_uuid()),
            name: request.name,
            images_enabled: request.images_enabled,
            sharing_enabled: request.sharing_enabled,
            iso_enabled: request.iso_enabled,
            export_enabled: request.export_enabled,
            default_image_limit: request.default_image_limit,
            default_image_bytes_limit: request.default_image_bytes_limit,
            coalesce: request.coalesce,
            freeze_limit: request.freeze_limit,
            import: ImportPolicy { enabled: request.import_enabled, ..ImportPolicy::default() },
            reclaim_limit: ReclaimLimit::DEFAULT,
            capture_format: CaptureFormat::DEFAULT,
            windows: WindowsBounds::default(),
            support: Support::default(),
            version: 1,
        };
        let record = LocationRecord { location, created_at: change.now };
        location::insert(&change.tx, &record).await.map_err(name_taken("location"))?;
        let answer = view(&limits_of(&change.conn(), op.account_id()).await?, &record.location);
        change.audit(op, "location.create", answer.id).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Returns a location with its settings. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`]; an error of the
    /// database.
    pub async fn admin_location_show(&self, op: &Op, id: LocationId) -> Result<LocationView, Error> {
        op.require_admin()?;
        let conn = self.read();
        let record = get(&conn, id).await?;
        Ok(view(&limits_of(&conn, op.account_id()).await?, &record.location))
    }

    /// Changes a location. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PreconditionFailed`] for a stale version; an error of the database.
    pub async fn location_update(
        &self,
        op: &Op,
        id: LocationId,
        patch: LocationPatch,
    ) -> Result<LocationView, Error> {
        op.require_admin()?;
        let change = Change::begin(self).await?;
        let mut record = get(&change.conn(), id).await?;
        let version = record.location.version;
        if patch.version.is_some_and(|seen| seen != version) {
            let what = "read the location again, then repeat the change";
            return Err(Error::new(Code::PreconditionFailed, what).with("version", version));
        }
        apply(&mut record.location, patch);
        record.location.version = version.saturating_add(1);
        location::update(&change.tx, &record).await.db()?;
        let answer = view(&limits_of(&change.conn(), op.account_id()).await?, &record.location);
        change.audit(op, "location.update", id).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Removes a location that nothing refers to. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin;
    /// [`Code::NotFound`]; [`Code::ResourceInUse`] with what refers
    /// to it; an error of the database.
    pub async fn location_delete(&self, op: &Op, id: LocationId) -> Result<(), Error> {
        op.require_admin()?;
        let change = Change::begin(self).await?;
        let conn = change.conn();
        get(&conn, id).await?;
        let references = [
            ("hypervisors", hypervisor::count_of_location(&conn, id).await.db()?),
            ("instances", instance::count_of_location(&conn, id).await.db()?),
            ("images", image::count_of_location(&conn, id).await.db()?),
            ("isos", iso::count_of_location(&conn, id).await.db()?),
            ("exports", export::count_of_location(&conn, id).await.db()?),
        ];
        require_unreferenced("location", &references)?;
        location::delete(&change.tx, id).await.db()?;
        change.audit(op, "location.delete", id).await?;
        change.commit().await
    }
}
