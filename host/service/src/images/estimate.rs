//! Estimates of what an image will take.

use imprint_domain::{
    Error,
    capture_format::CaptureFormat,
    estimate::{CaptureEstimate, History, PastCapture, estimate, file_of_file_system},
    id::InstanceId,
    image::Compression,
    instance::{Disk, Instance},
    rules,
    size::ByteSize,
    time::Timestamp,
    windows::CaptureNotice,
};
use imprint_store::{
    Conn,
    capture_figures::{self, CaptureFigures},
    instance,
    task::TaskRecord,
};

use crate::{Op, Service, catalogue::location, change::Change, db_result::DbResult};

/// The days for which figures of captures are kept.
const KEPT_DAYS: i64 = 180;

/// What an estimate depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct EstimateRequest {
    /// The format of the file; `None` takes the location's.
    pub format: Option<CaptureFormat>,
    /// The compression of the file; `None` takes zstd where the format has it.
    pub compression: Option<Compression>,
    /// The bytes that the file system is to hold; `None` takes what the disk's file occupies.
    pub used: Option<ByteSize>,
    /// The most bytes that it held until then; `None` takes `used`.
    pub largest_used: Option<ByteSize>,
}

impl Service {
    /// Estimates what an image of an instance would take. Nothing is reserved, and the rules that
    /// may refuse the image are not asked.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`](imprint_domain::Code::Forbidden) without the scope;
    /// [`Code::NotFound`](imprint_domain::Code::NotFound) for what does not exist or is not
    /// visible; [`Code::InvalidRequest`](imprint_domain::Code::InvalidRequest) for a compression
    /// that the format does not have; failures of the database.
    pub async fn capture_estimate(
        &self,
        op: &Op,
        id: InstanceId,
        request: EstimateRequest,
    ) -> Result<CaptureEstimate, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = crate::instances::instance::visible(&conn, op, id).await?;
        let disks = instance::disks(&conn, id).await.db()?;
        let disk = disks.iter().find(|disk| disk.primary).ok_or_else(|| Error::not_found("primary disk"))?;
        let per_gib = self.settings().capture_seconds_per_gib;
        let location = location::get(&conn, record.instance.location_id).await?.location;
        let format = request.format.unwrap_or(location.capture_format);
        let stored =
            (format, format.compression(request.compression).map_err(|error| error.at("?compression"))?);
        let mut disk = disk.clone();
        if let Some(used) = request.used {
            let file = file_of_file_system(used, request.largest_used.unwrap_or(used));
            disk.allocated = Some(file.min(disk.virtual_size));
        }
        of_disk(&conn, &record.instance, &disk, stored, per_gib).await
    }
}

impl Service {
    /// Returns what one has to know before an image of an instance is created (S34, S35).
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`](imprint_domain::Code::Forbidden) without the scope;
    /// [`Code::NotFound`](imprint_domain::Code::NotFound) for what does not exist or is not
    /// visible; failures of the database.
    pub async fn capture_notices(&self, op: &Op, id: InstanceId) -> Result<Vec<CaptureNotice>, Error> {
        op.require_read()?;
        let conn = self.read();
        let instance = crate::instances::instance::visible(&conn, op, id).await?.instance;
        let disks = instance::disks(&conn, id).await.db()?;
        let disk = disks.iter().find(|disk| disk.primary).ok_or_else(|| Error::not_found("primary disk"))?;
        let location = location::get(&conn, instance.location_id).await?.location;
        Ok(rules::windows_facts(&instance, disk, &location, None).notices())
    }
}

/// Estimates what the image of a disk takes.
pub(crate) async fn of_disk(
    conn: &Conn<'_>,
    instance: &Instance,
    disk: &Disk,
    (format, compression): (CaptureFormat, Compression),
    seconds_per_gib: u32,
) -> Result<CaptureEstimate, Error> {
    let is_compressed = compression != Compression::None;
    let own = capture_figures::of_instance(conn, instance.id, is_compressed).await.db()?;
    let others = capture_figures::of_hypervisor(conn, instance.hypervisor_id, is_compressed).await.db()?;
    let history = History { instance: &own, hypervisor: &others };
    let estimate = estimate(disk.content(), is_compressed, history, seconds_per_gib);
    Ok(CaptureEstimate { size: format.exact(disk.virtual_size).unwrap_or(estimate.size), ..estimate })
}

/// Writes down what a capture took, for estimates of the next ones.
pub(crate) async fn remember(
    change: &Change<'_>,
    record: &TaskRecord,
    compression: Compression,
    past: PastCapture,
) -> Result<(), Error> {
    let Some(instance_id) = record.task.instance_id else { return Ok(()) };
    let figures = CaptureFigures {
        task_id: record.task.id,
        instance_id,
        hypervisor_id: record.task.hypervisor_id,
        is_compressed: compression != Compression::None,
        past,
        finished_at: change.now,
    };
    capture_figures::insert(&change.tx, &figures).await.db()?;
    let oldest = change.now - chrono::TimeDelta::days(KEPT_DAYS);
    capture_figures::delete_older(&change.tx, record.task.hypervisor_id, oldest).await.db()
}

/// Returns the time from the start of a task's work until now, in milliseconds.
pub(crate) fn elapsed_ms(record: &TaskRecord, now: Timestamp) -> u64 {
    let started = record.task.started_at.unwrap_or(now);
    u64::try_from((now - started).num_milliseconds()).unwrap_or(0)
}
