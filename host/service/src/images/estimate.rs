//! Estimates of what an image will take.

use imprint_domain::{
    Error,
    estimate::{CaptureEstimate, History, PastCapture, estimate},
    id::InstanceId,
    image::Compression,
    instance::{Disk, Instance},
    time::Timestamp,
};
use imprint_store::{
    Conn,
    capture_figures::{self, CaptureFigures},
    instance,
    task::TaskRecord,
};

use crate::{Op, Service, change::Change, db_result::DbResult};

/// The compression of a capture that names none.
pub(crate) const DEFAULT_COMPRESSION: Compression = Compression::Zstd;
/// The days for which figures of captures are kept.
const KEPT_DAYS: i64 = 180;

impl Service {
    /// Estimates what an image of an instance would take. Nothing is reserved, and the rules that
    /// may refuse the image are not asked.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`](imprint_domain::Code::Forbidden) without the scope;
    /// [`Code::NotFound`](imprint_domain::Code::NotFound) for what does not exist or is not
    /// visible; failures of the database.
    pub async fn capture_estimate(
        &self,
        op: &Op,
        id: InstanceId,
        compression: Option<Compression>,
    ) -> Result<CaptureEstimate, Error> {
        op.require_read()?;
        let conn = self.read();
        let record = crate::instances::instance::visible(&conn, op, id).await?;
        let disks = instance::disks(&conn, id).await.db()?;
        let disk = disks.iter().find(|disk| disk.primary).ok_or_else(|| Error::not_found("primary disk"))?;
        let per_gib = self.settings().capture_seconds_per_gib;
        of_disk(&conn, &record.instance, disk, compression.unwrap_or(DEFAULT_COMPRESSION), per_gib).await
    }
}

/// Estimates what the image of a disk takes.
pub(crate) async fn of_disk(
    conn: &Conn<'_>,
    instance: &Instance,
    disk: &Disk,
    compression: Compression,
    seconds_per_gib: u32,
) -> Result<CaptureEstimate, Error> {
    let is_compressed = compression != Compression::None;
    let own = capture_figures::of_instance(conn, instance.id, is_compressed).await.db()?;
    let others = capture_figures::of_hypervisor(conn, instance.hypervisor_id, is_compressed).await.db()?;
    Ok(estimate(
        disk.content(),
        is_compressed,
        History { instance: &own, hypervisor: &others },
        seconds_per_gib,
    ))
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
