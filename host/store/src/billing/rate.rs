//! Versions of rates.

use imprint_domain::{
    billing::RateVersion,
    id::{AccountId, LocationId, RateId},
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::{Conn, StoreError, WriteTx, codec};

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "billing_rates")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub location_id: Uuid,
        pub account_id: Option<Uuid>,
        pub kind: String,
        pub effective_from: DateTimeUtc,
        pub terms: String,
        pub ends: bool,
        pub created_at: DateTimeUtc,
        pub created_by: Option<Uuid>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn from_row(row: row::Model) -> Result<RateVersion, StoreError> {
    Ok(RateVersion {
        id: RateId::new(row.id),
        location_id: LocationId::new(row.location_id),
        account_id: row.account_id.map(AccountId::new),
        effective_from: row.effective_from,
        terms: codec::json("terms", &row.terms)?,
        ends: row.ends,
        created_at: row.created_at,
        created_by: row.created_by.map(AccountId::new),
    })
}

/// Reads the versions of all rates, the latest of each first; of one location, or of all.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(conn: &Conn<'_>, location: Option<LocationId>) -> Result<Vec<RateVersion>, StoreError> {
    let mut query = row::Entity::find();
    if let Some(location) = location {
        query = query.filter(row::Column::LocationId.eq(location.uuid()));
    }
    let rows = query
        .order_by_asc(row::Column::LocationId)
        .order_by_asc(row::Column::AccountId)
        .order_by_asc(row::Column::Kind)
        .order_by_desc(row::Column::EffectiveFrom)
        .all(&conn.0)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Writes a version in place of one for the same hour.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn put(tx: &WriteTx, version: &RateVersion) -> Result<(), StoreError> {
    let account = match version.account_id {
        Some(id) => Condition::all().add(row::Column::AccountId.eq(id.uuid())),
        None => Condition::all().add(row::Column::AccountId.is_null()),
    };
    row::Entity::delete_many()
        .filter(row::Column::LocationId.eq(version.location_id.uuid()))
        .filter(account)
        .filter(row::Column::Kind.eq(version.terms.kind().as_str()))
        .filter(row::Column::EffectiveFrom.eq(version.effective_from))
        .exec(&tx.0)
        .await?;
    let row = row::Model {
        id: version.id.uuid(),
        location_id: version.location_id.uuid(),
        account_id: version.account_id.map(AccountId::uuid),
        kind: version.terms.kind().as_str().to_owned(),
        effective_from: version.effective_from,
        terms: codec::to_json("terms", &version.terms)?,
        ends: version.ends,
        created_at: version.created_at,
        created_by: version.created_by.map(AccountId::uuid),
    };
    row::Entity::insert(row.into_active_model()).exec_without_returning(&tx.0).await?;
    Ok(())
}
