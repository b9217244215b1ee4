//! How far the hours are sealed and metered: one row for the whole control plane.

use sea_orm::{EntityTrait, IntoActiveModel, sea_query::OnConflict};

use crate::{Conn, StoreError, WriteTx};

/// The id of the only row.
const ONLY: i64 = 1;

#[expect(unreachable_pub, reason = "sea-orm derives public items")]
mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "billing_state")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub sealed_until: i64,
        pub metered_until: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// How far the hours are sealed and metered, in hours since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillingState {
    /// No interval changes any more inside of the hours before this one.
    pub sealed_until: i64,
    /// The hours before this one have all of their rows.
    pub metered_until: i64,
}

/// Reads how far the hours are; `None` before the first one.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn get(conn: &Conn<'_>) -> Result<Option<BillingState>, StoreError> {
    let found = row::Entity::find_by_id(ONLY).one(&conn.0).await?;
    Ok(found.map(|row| BillingState { sealed_until: row.sealed_until, metered_until: row.metered_until }))
}

/// Writes how far the hours are.
///
/// # Errors
///
/// [`StoreError`] when the database fails.
pub async fn put(tx: &WriteTx, state: BillingState) -> Result<(), StoreError> {
    let row = row::Model { id: ONLY, sealed_until: state.sealed_until, metered_until: state.metered_until };
    row::Entity::insert(row.into_active_model())
        .on_conflict(
            OnConflict::column(row::Column::Id)
                .update_columns([row::Column::SealedUntil, row::Column::MeteredUntil])
                .to_owned(),
        )
        .exec_without_returning(&tx.0)
        .await?;
    Ok(())
}
