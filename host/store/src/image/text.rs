//! The texts that searches read, where an earlier version has written none.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr};

use super::{from_rows, row};
use crate::{Store, StoreError};

/// The number of images of one transaction.
const BATCH: u64 = 500;

/// Writes the texts that are missing. It begins where an earlier run was interrupted.
pub(crate) async fn fill_missing(store: &Store) -> Result<(), StoreError> {
    loop {
        let missing = row::Entity::find()
            // The literal lets SQLite use the index of these rows.
            .filter(Expr::cust("search_text = ''"))
            .order_by_asc(row::Column::Id)
            .limit(BATCH);
        if missing.clone().limit(1).one(&store.read().0).await?.is_none() {
            return Ok(());
        }
        let tx = store.write_tx().await?;
        let rows = missing.all(&tx.0).await?;
        for record in from_rows(&tx.conn(), rows).await? {
            row::Entity::update_many()
                .col_expr(row::Column::SearchText, Expr::value(record.image.searched_text()))
                .filter(row::Column::Id.eq(record.image.id.uuid()))
                .exec(&tx.0)
                .await?;
        }
        tx.commit().await?;
    }
}
