//! Metering: the intervals of usage follow what images and instances are. Called in the transaction
//! of every change of one, so that the clock starts and stops with what it measures (S116, D8).
//!
//! An interval never begins or ends inside an hour that is sealed, whatever the clock says: what
//! was metered stays true.

use chrono::SubsecRound;
use imprint_domain::{
    Error,
    billing::{IntervalEnd, Measure, UsageInterval, UsageSubject},
    id::{AccountId, LocationId, UsageIntervalId},
    image::{ImageKind, ImageStatus},
    instance::InstanceStatus,
    time::Timestamp,
};
use imprint_store::{
    WriteTx,
    billing::{interval, state},
    image::ImageRecord,
    instance::{self, InstanceRecord},
};
use uuid::Uuid;

use crate::db_result::DbResult;

/// What a subject is like now.
struct Current<'a> {
    account_id: AccountId,
    location_id: LocationId,
    subject: UsageSubject,
    name: &'a str,
    /// `None` while it costs nothing.
    measure: Option<Measure>,
    /// How its interval ends when it costs nothing any more.
    end: IntervalEnd,
}

/// Lets the intervals follow an image. `id` is that of an interval that may begin. Stock images
/// belong to the provider and cost nothing; neither does what is being created, in error, or on
/// its way out.
///
/// # Errors
///
/// An error of the database.
pub(crate) async fn image(tx: &WriteTx, now: Timestamp, id: Uuid, record: &ImageRecord) -> Result<(), Error> {
    let image = &record.image;
    let stored = match image.kind {
        ImageKind::Custom => image.stored.as_ref(),
        ImageKind::Stock => return Ok(()),
    };
    let (measure, end) = match image.status {
        ImageStatus::Available => {
            (stored.map(|stored| Measure::Image { bytes: stored.size.bytes() }), IntervalEnd::Changed)
        }
        ImageStatus::Creating | ImageStatus::Error => (None, IntervalEnd::Changed),
        ImageStatus::Deleting => (None, IntervalEnd::Deleted),
    };
    let current = Current {
        account_id: image.account_id,
        location_id: image.location_id,
        subject: UsageSubject::Image(image.id),
        name: image.name.as_str(),
        measure,
        end,
    };
    follow(tx, now, id, current).await
}

/// Lets the intervals follow an instance, which costs from the end of its deployment until it is
/// being removed. `id` is that of an interval that may begin.
///
/// # Errors
///
/// An error of the database.
pub(crate) async fn instance(
    tx: &WriteTx,
    now: Timestamp,
    id: Uuid,
    record: &InstanceRecord,
) -> Result<(), Error> {
    let found = &record.instance;
    let (measure, end) = match found.status {
        InstanceStatus::Ready => {
            let disks = instance::disks(&tx.conn(), found.id).await.db()?;
            let disk_bytes = disks.iter().map(|disk| disk.virtual_size.bytes()).sum();
            let memory_bytes = found.memory.bytes();
            let measure = Measure::Instance { vcpus: found.vcpus, memory_bytes, disk_bytes };
            (Some(measure), IntervalEnd::Changed)
        }
        InstanceStatus::Deploying | InstanceStatus::Error => (None, IntervalEnd::Changed),
        InstanceStatus::Deleting => (None, IntervalEnd::Deleted),
    };
    let current = Current {
        account_id: found.account_id,
        location_id: found.location_id,
        subject: UsageSubject::Instance(found.id),
        name: found.name.as_str(),
        measure,
        end,
    };
    follow(tx, now, id, current).await
}

async fn follow(tx: &WriteTx, now: Timestamp, id: Uuid, current: Current<'_>) -> Result<(), Error> {
    let open = interval::open(&tx.conn(), current.subject).await.db()?;
    match (open, current.measure) {
        (None, None) => Ok(()),
        (None, Some(measure)) => {
            let last = interval::last_end(&tx.conn(), current.subject).await.db()?;
            let at = not_sealed(tx, now, last).await?;
            begin(tx, id, at, &current, measure).await
        }
        (Some(open), None) => {
            let at = not_sealed(tx, now, Some(open.started_at)).await?;
            interval::end(tx, open.id, at, current.end).await.db()
        }
        (Some(open), Some(measure)) if is_same(&open, &current, measure) => {
            if open.name == current.name {
                return Ok(());
            }
            interval::rename(tx, open.id, current.name).await.db()
        }
        (Some(open), Some(measure)) => {
            let at = not_sealed(tx, now, Some(open.started_at)).await?;
            interval::end(tx, open.id, at, IntervalEnd::Changed).await.db()?;
            begin(tx, id, at, &current, measure).await
        }
    }
}

fn is_same(open: &UsageInterval, current: &Current<'_>, measure: Measure) -> bool {
    open.measure == measure
        && open.account_id == current.account_id
        && open.location_id == current.location_id
}

async fn begin(
    tx: &WriteTx,
    id: Uuid,
    started_at: Timestamp,
    current: &Current<'_>,
    measure: Measure,
) -> Result<(), Error> {
    let interval = UsageInterval {
        id: UsageIntervalId::new(id),
        account_id: current.account_id,
        location_id: current.location_id,
        subject: current.subject,
        name: current.name.to_owned(),
        measure,
        started_at,
        ended_at: None,
        ended_by: None,
    };
    interval::insert(tx, &interval).await.db()
}

/// Returns the moment of a change, in whole milliseconds: now, but neither before what the subject
/// has been metered for already nor inside of a sealed hour.
async fn not_sealed(tx: &WriteTx, now: Timestamp, at_least: Option<Timestamp>) -> Result<Timestamp, Error> {
    let sealed = state::get(&tx.conn()).await.db()?.map(|state| state.sealed_until);
    let sealed = sealed.map(hour_start).transpose()?;
    let at = now.trunc_subsecs(3);
    Ok([Some(at), at_least, sealed].into_iter().flatten().max().unwrap_or(at))
}

/// Returns the start of an hour that is counted from 1970.
///
/// # Errors
///
/// The hour is beyond what a time can be.
pub(crate) fn hour_start(hour: i64) -> Result<Timestamp, Error> {
    let seconds = hour.checked_mul(3600);
    let start = seconds.and_then(|seconds| Timestamp::from_timestamp(seconds, 0));
    start.ok_or_else(|| Error::internal(format!("hour {hour} of usage is out of range")))
}
