//! Intervals of usage: from when to when what was stored, and how much of it.

use imprint_domain::{
    billing::{IntervalEnd, Measure, UsageInterval, UsageSubject},
    id::{AccountId, ImageId, InstanceId, LocationId, UsageIntervalId},
    time::Timestamp,
};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select, sea_query::Expr,
};
use uuid::Uuid;

use crate::{Conn, StoreError, WriteTx, codec};

/// The spellings of the two kinds of subjects.
const IMAGE: &str = "image";
const INSTANCE: &str = "instance";

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "usage_intervals")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub account_id: Uuid,
        pub location_id: Uuid,
        pub subject_kind: String,
        pub subject_id: Uuid,
        pub name: String,
        pub bytes: Option<i64>,
        pub vcpus: Option<i64>,
        pub memory_bytes: Option<i64>,
        pub disk_bytes: Option<i64>,
        pub started_at: DateTimeUtc,
        pub ended_at: Option<DateTimeUtc>,
        pub ended_by: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The time that intervals have to touch: from `from` until before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// The start.
    pub from: Timestamp,
    /// The end.
    pub until: Timestamp,
}

fn measure(row: &row::Model) -> Result<Measure, StoreError> {
    match (row.bytes, row.vcpus, row.memory_bytes, row.disk_bytes) {
        (Some(bytes), ..) => Ok(Measure::Image { bytes: codec::to_u64("bytes", bytes)? }),
        (None, Some(vcpus), Some(memory), Some(disk)) => Ok(Measure::Instance {
            vcpus: codec::to_u32("vcpus", vcpus)?,
            memory_bytes: codec::to_u64("memory_bytes", memory)?,
            disk_bytes: codec::to_u64("disk_bytes", disk)?,
        }),
        (None, Some(_) | None, Some(_) | None, Some(_) | None) => Err(codec::corrupt("bytes", "null")),
    }
}

fn subject(row: &row::Model) -> Result<UsageSubject, StoreError> {
    match row.subject_kind.as_str() {
        IMAGE => Ok(UsageSubject::Image(ImageId::new(row.subject_id))),
        INSTANCE => Ok(UsageSubject::Instance(InstanceId::new(row.subject_id))),
        other => Err(codec::corrupt("subject_kind", other)),
    }
}

fn subject_row(subject: UsageSubject) -> (&'static str, Uuid) {
    match subject {
        UsageSubject::Image(id) => (IMAGE, id.uuid()),
        UsageSubject::Instance(id) => (INSTANCE, id.uuid()),
    }
}

fn from_row(row: row::Model) -> Result<UsageInterval, StoreError> {
    Ok(UsageInterval {
        id: UsageIntervalId::new(row.id),
        account_id: AccountId::new(row.account_id),
        location_id: LocationId::new(row.location_id),
        subject: subject(&row)?,
        measure: measure(&row)?,
        started_at: row.started_at,
        ended_at: row.ended_at,
        ended_by: row.ended_by.as_deref().map(|text| codec::parse("ended_by", text)).transpose()?,
        name: row.name,
    })
}

fn to_row(interval: &UsageInterval) -> row::Model {
    let (kind, subject_id) = subject_row(interval.subject);
    let (mut bytes, mut vcpus, mut memory, mut disk) = (None, None, None, None);
    match interval.measure {
        Measure::Image { bytes: stored } => bytes = Some(codec::to_i64(stored)),
        Measure::Instance { vcpus: count, memory_bytes, disk_bytes } => {
            vcpus = Some(i64::from(count));
            memory = Some(codec::to_i64(memory_bytes));
            disk = Some(codec::to_i64(disk_bytes));
        }
    }
    row::Model {
        id: interval.id.uuid(),
        account_id: interval.account_id.uuid(),
        location_id: interval.location_id.uuid(),
        subject_kind: kind.to_owned(),
        subject_id,
        name: interval.name.clone(),
        bytes,
        vcpus,
        memory_bytes: memory,
        disk_bytes: disk,
        started_at: interval.started_at,
        ended_at: interval.ended_at,
        ended_by: interval.ended_by.map(|by| by.to_string()),
    }
}

/// Reads the interval of a subject that has no end yet.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn open(conn: &Conn<'_>, subject: UsageSubject) -> Result<Option<UsageInterval>, StoreError> {
    let found = row::Entity::find()
        .filter(row::Column::SubjectId.eq(subject_row(subject).1))
        .filter(row::Column::EndedAt.is_null())
        .one(&conn.0)
        .await?;
    found.map(from_row).transpose()
}

/// Returns when the first of all intervals started.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn earliest(conn: &Conn<'_>) -> Result<Option<Timestamp>, StoreError> {
    let found = row::Entity::find().order_by_asc(row::Column::StartedAt).limit(1).one(&conn.0).await?;
    Ok(found.map(|row| row.started_at))
}

/// Returns when the last interval of a subject that has an end ended.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn last_end(conn: &Conn<'_>, subject: UsageSubject) -> Result<Option<Timestamp>, StoreError> {
    let found = row::Entity::find()
        .filter(row::Column::SubjectId.eq(subject_row(subject).1))
        .filter(row::Column::EndedAt.is_not_null())
        .order_by_desc(row::Column::EndedAt)
        .limit(1)
        .one(&conn.0)
        .await?;
    Ok(found.and_then(|row| row.ended_at))
}

/// Adds an interval.
///
/// # Errors
///
/// [`StoreError`] when the database fails; [`StoreError::Duplicate`] when its subject has an open
/// one.
pub async fn insert(tx: &WriteTx, interval: &UsageInterval) -> Result<(), StoreError> {
    row::Entity::insert(to_row(interval).into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}

/// Ends an open interval.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn end(
    tx: &WriteTx,
    id: UsageIntervalId,
    at: Timestamp,
    by: IntervalEnd,
) -> Result<(), StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::EndedAt, Expr::value(at))
        .col_expr(row::Column::EndedBy, Expr::value(by.to_string()))
        .filter(row::Column::Id.eq(id.uuid()))
        .filter(row::Column::EndedAt.is_null())
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Gives an open interval the name that its subject has now.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn rename(tx: &WriteTx, id: UsageIntervalId, name: &str) -> Result<(), StoreError> {
    row::Entity::update_many()
        .col_expr(row::Column::Name, Expr::value(name))
        .filter(row::Column::Id.eq(id.uuid()))
        .exec(&tx.0)
        .await?;
    Ok(())
}

/// Reads the intervals of an account that touch a time, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_account(
    conn: &Conn<'_>,
    account: AccountId,
    within: Within,
) -> Result<Vec<UsageInterval>, StoreError> {
    let of_account = row::Entity::find().filter(row::Column::AccountId.eq(account.uuid()));
    touching(conn, of_account, within).await
}

/// Reads the intervals of the accounts after one and up to another that touch a time, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_accounts(
    conn: &Conn<'_>,
    after: Option<AccountId>,
    through: AccountId,
    within: Within,
) -> Result<Vec<UsageInterval>, StoreError> {
    let mut some = row::Entity::find().filter(row::Column::AccountId.lte(through.uuid()));
    if let Some(after) = after {
        some = some.filter(row::Column::AccountId.gt(after.uuid()));
    }
    touching(conn, some, within).await
}

/// Reads the intervals of a subject that touch a time, oldest first.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn of_subject(
    conn: &Conn<'_>,
    account: AccountId,
    subject: UsageSubject,
    within: Within,
) -> Result<Vec<UsageInterval>, StoreError> {
    let of_account = row::Entity::find()
        .filter(row::Column::AccountId.eq(account.uuid()))
        .filter(row::Column::SubjectId.eq(subject_row(subject).1));
    touching(conn, of_account, within).await
}

/// Two reads with an index each: what is open, and what has ended since.
async fn touching(
    conn: &Conn<'_>,
    some: Select<row::Entity>,
    within: Within,
) -> Result<Vec<UsageInterval>, StoreError> {
    let some = some.filter(row::Column::StartedAt.lt(within.until));
    let open = some.clone().filter(row::Column::EndedAt.is_null()).all(&conn.0).await?;
    let ended = some.filter(row::Column::EndedAt.gt(within.from)).all(&conn.0).await?;
    let mut found: Vec<UsageInterval> =
        ended.into_iter().chain(open).map(from_row).collect::<Result<_, _>>()?;
    found.sort_by_key(|interval| (interval.started_at, interval.id));
    Ok(found)
}

/// What has an open interval: what costs at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenIntervals {
    /// The number of images.
    pub images: u64,
    /// The bytes of these images together.
    pub image_bytes: u64,
    /// The number of instances.
    pub instances: u64,
}

/// Counts the open intervals.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn count_open(conn: &Conn<'_>) -> Result<OpenIntervals, StoreError> {
    let found: Option<(i64, i64, i64)> = row::Entity::find()
        .select_only()
        .column_as(Expr::cust("count(bytes)"), "images")
        .column_as(Expr::cust("cast(coalesce(sum(bytes), 0) as bigint)"), "image_bytes")
        .column_as(Expr::cust("count(vcpus)"), "instances")
        .filter(row::Column::EndedAt.is_null())
        .into_tuple()
        .one(&conn.0)
        .await?;
    let (images, bytes, instances) = found.unwrap_or_default();
    Ok(OpenIntervals {
        images: codec::to_u64("images", images)?,
        image_bytes: codec::to_u64("bytes", bytes)?,
        instances: codec::to_u64("instances", instances)?,
    })
}
