//! Lists of images: filters, sorts and searches.
//!
//! A page is read in one of two ways. If a condition accepts few images ([`narrow`]), these are
//! found by its index, and sorted. Otherwise an index in the order of the list is walked until the
//! page is full; what is compared on the way is hidden from the databases' planners, which would
//! prefer an index that has to be read, and sorted, as a whole.

use std::cmp::Ordering;

use imprint_domain::{id::AccountId, image::ImageKind, search::searched_text, time::Timestamp};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, EntityTrait, ExprTrait, FromQueryResult, Order, QueryFilter,
    QueryTrait,
    sea_query::{
        Asterisk, CommonTableExpression, Condition, Expr, Query, SelectStatement, SimpleExpr, WithClause,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ImageRecord, catalogue,
    filter::{FOUND, ID, ImageFilter, Owner, OwnerFilter, hidden},
    from_rows, narrow, row,
};
use crate::{Conn, StoreError};

/// The key that a list is sorted by, of one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortKey {
    /// A time.
    Time(Timestamp),
    /// A name.
    Text(String),
    /// A size in bytes; -1 for none.
    Number(i64),
}

/// The property to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The time at which the image was requested.
    CreatedAt,
    /// The name, compared byte by byte.
    Name,
    /// The size.
    Size,
}

/// A page of a sorted list.
#[derive(Clone, Debug)]
pub struct Sorted {
    /// The property to sort by.
    pub by: SortBy,
    /// Whether the latest or largest comes first.
    pub descending: bool,
    /// The last row of the previous page.
    pub after: Option<(SortKey, Uuid)>,
    /// The most rows to return.
    pub limit: u32,
}

impl ImageRecord {
    /// Returns the image's key in a list that is sorted by that property.
    pub fn sort_key(&self, by: SortBy) -> SortKey {
        match by {
            SortBy::CreatedAt => SortKey::Time(self.image.created_at),
            SortBy::Name => SortKey::Text(self.image.name.to_string()),
            SortBy::Size => SortKey::Number(self.image.stored.as_ref().map_or(-1, |s| s.size.as_i64())),
        }
    }
}

impl Sorted {
    fn key(&self, row: &row::Model) -> (SortKey, Uuid) {
        let key = match self.by {
            SortBy::CreatedAt => SortKey::Time(row.created_at),
            SortBy::Name => SortKey::Text(row.name.clone()),
            SortBy::Size => SortKey::Number(row.size_bytes.unwrap_or(-1)),
        };
        (key, row.id)
    }

    fn compare(&self, left: &(SortKey, Uuid), right: &(SortKey, Uuid)) -> Ordering {
        let order = left.cmp(right);
        if self.descending { order.reverse() } else { order }
    }

    fn order(&self) -> Order {
        if self.descending { Order::Desc } else { Order::Asc }
    }

    /// Sorts rows as the databases do, and cuts the page.
    fn cut(&self, mut rows: Vec<row::Model>) -> Vec<row::Model> {
        rows.sort_by(|left, right| self.compare(&self.key(left), &self.key(right)));
        rows.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        rows
    }
}

/// Returns the expression that a list is sorted by, as the indexes have it.
fn sort_expression(by: SortBy) -> SimpleExpr {
    match by {
        SortBy::CreatedAt => Expr::col(row::Column::CreatedAt),
        SortBy::Name => Expr::col(row::Column::Name),
        SortBy::Size => Expr::cust("coalesce(size_bytes, -1)"),
    }
}

/// The rows after one. The first comparison is the range of the index; only rows with the same key
/// are compared again.
fn later_than(sorted: &Sorted, key: &SortKey, id: Uuid) -> Condition {
    let value: SimpleExpr = match key {
        SortKey::Time(at) => Expr::val(*at),
        SortKey::Text(text) => Expr::val(text.clone()),
        SortKey::Number(number) => Expr::val(*number),
    };
    let column = || sort_expression(sorted.by);
    let id_column = || Expr::col(row::Column::Id);
    let (range, beyond, id_beyond) = if sorted.descending {
        (column().lte(value.clone()), column().lt(value), id_column().lt(id))
    } else {
        (column().gte(value.clone()), column().gt(value), id_column().gt(id))
    };
    Condition::all().add(range).add(Condition::any().add(beyond).add(id_beyond))
}

/// The condition on the owner, by the index or hidden from the planner.
fn owned(backend: DatabaseBackend, owner: Owner, by_index: bool) -> Condition {
    let column = |column| if by_index { Expr::col((row::Entity, column)) } else { hidden(backend, column) };
    let kind = |kind: ImageKind| column(row::Column::Kind).eq(kind.as_str());
    match owner {
        Owner::CustomOf(account) => Condition::all()
            .add(column(row::Column::AccountId).eq(account.uuid()))
            .add(kind(ImageKind::Custom)),
        Owner::Stock => Condition::all().add(kind(ImageKind::Stock)),
        Owner::Offered => Condition::all().add(kind(ImageKind::Stock)).add(catalogue::offered(backend)),
        Owner::SharedWith(..) => Condition::all().add(kind(ImageKind::Custom)),
        Owner::All => Condition::all(),
    }
}

/// The conditions that need no index.
fn compared(backend: DatabaseBackend, filter: &ImageFilter, sorted: &Sorted) -> Condition {
    let mut all = Condition::all();
    if !filter.status.is_empty() {
        let status = filter.status.iter().map(|status| status.as_str());
        all = all.add(hidden(backend, row::Column::Status).is_in(status));
    }
    if let Some(kind) = filter.kind {
        all = all.add(hidden(backend, row::Column::Kind).eq(kind.as_str()));
    }
    if let Some(location) = filter.location_id {
        all = all.add(hidden(backend, row::Column::LocationId).eq(location.uuid()));
    }
    if let Some((key, id)) = &sorted.after {
        all = all.add(later_than(sorted, key, *id));
    }
    all
}

/// Reads the page of images of one owner.
async fn page(
    conn: &Conn<'_>,
    filter: &ImageFilter,
    owner: Owner,
    sorted: &Sorted,
) -> Result<Vec<row::Model>, StoreError> {
    let backend = conn.0.get_database_backend();
    let narrow = narrow::choose(conn, filter, owner).await?;
    let mut query = row::Entity::find().filter(compared(backend, filter, sorted)).filter(narrow.compared);
    // The storage is named by admins, and its images are few of all or most of them.
    if let Some(storage) = filter.storage_id {
        query = query.filter(hidden(backend, row::Column::StorageId).eq(storage.uuid()));
    }
    let Some(ids) = narrow.ids else {
        let mut walk = query.filter(owned(backend, owner, true)).into_query();
        walk.order_by_expr(sort_expression(sorted.by), sorted.order())
            .order_by(row::Column::Id, sorted.order())
            .limit(u64::from(sorted.limit));
        return Ok(row::Model::find_by_statement(backend.build(&walk)).all(&conn.0).await?);
    };
    let accepted = query
        .filter(owned(backend, owner, false))
        .filter(
            Expr::col((row::Entity, row::Column::Id))
                .in_subquery(Query::select().column(ID).from(FOUND).to_owned()),
        )
        .into_query();
    let statement = backend.build(&by_ids(ids, accepted, sorted));
    let rows = row::Model::find_by_statement(statement).all(&conn.0).await?;
    Ok(sorted.cut(rows))
}

/// The rows of the page among the images with those ids. Each step is planned by itself: together,
/// a planner may walk the index of another step and look each row up here.
fn by_ids(
    ids: SelectStatement,
    mut accepted: SelectStatement,
    sorted: &Sorted,
) -> sea_orm::sea_query::WithQuery {
    const ACCEPTED: &str = "accepted";
    const KEY: &str = "sort_key";
    let step = |name: &'static str, query: SelectStatement| {
        CommonTableExpression::new().table_name(name).query(query).materialized(true).to_owned()
    };
    accepted.clear_selects();
    accepted.expr_as(Expr::col((row::Entity, row::Column::Id)), ID).expr_as(sort_expression(sorted.by), KEY);
    let first = Query::select()
        .column(ID)
        .from(ACCEPTED)
        .order_by(KEY, sorted.order())
        .order_by(ID, sorted.order())
        .limit(u64::from(sorted.limit))
        .to_owned();
    let rows = Query::select()
        .column((row::Entity, Asterisk))
        .from(row::Entity)
        .and_where(Expr::col((row::Entity, row::Column::Id)).in_subquery(first))
        .to_owned();
    let mut steps = WithClause::new();
    steps.cte(step(FOUND, ids)).cte(step(ACCEPTED, accepted));
    steps.query(rows)
}

/// Reads the page of images that are shared with an account. Searches find nothing by the name of
/// the source instance, which is the owner's.
async fn shared_page(
    conn: &Conn<'_>,
    filter: &ImageFilter,
    (account, now): (AccountId, Timestamp),
    sorted: &Sorted,
) -> Result<Vec<row::Model>, StoreError> {
    if filter.source_instance_id.is_some() {
        return Ok(Vec::new());
    }
    let limit = usize::try_from(sorted.limit).unwrap_or(usize::MAX);
    let (mut found, mut rest) = (Vec::new(), sorted.clone());
    loop {
        let rows = page(conn, filter, Owner::SharedWith(account, now), &rest).await?;
        let Some(last) = rows.last().filter(|_| rows.len() == limit) else {
            found.extend(rows.into_iter().filter(|row| is_found_by_recipient(filter, row)));
            return Ok(found);
        };
        rest.after = Some(sorted.key(last));
        found.extend(rows.into_iter().filter(|row| is_found_by_recipient(filter, row)));
        if found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

/// Whether a search finds an image by what its recipients see: name, description and tags.
fn is_found_by_recipient(filter: &ImageFilter, row: &row::Model) -> bool {
    let Some(search) = &filter.search else { return true };
    let head = searched_text([row.name.as_str(), row.description.as_str()]);
    let tail = row.search_text.strip_prefix(&head).unwrap_or_default();
    let source = row.source_instance_name.as_deref().map(|name| searched_text([name]));
    let tail = source.map_or(tail, |source| tail.strip_prefix(source.as_str()).unwrap_or_default());
    search.words().iter().all(|word| head.contains(word.as_str()) || tail.contains(word.as_str()))
}

/// Reads a page of images; `now` decides which shares count.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    filter: &ImageFilter,
    sorted: &Sorted,
    now: Timestamp,
) -> Result<Vec<ImageRecord>, StoreError> {
    let rows = match filter.owner {
        OwnerFilter::CustomOf(account) => page(conn, filter, Owner::CustomOf(account), sorted).await?,
        OwnerFilter::Stock => page(conn, filter, Owner::Stock, sorted).await?,
        OwnerFilter::Offered => page(conn, filter, Owner::Offered, sorted).await?,
        OwnerFilter::SharedWith(account) => shared_page(conn, filter, (account, now), sorted).await?,
        OwnerFilter::All => page(conn, filter, Owner::All, sorted).await?,
        OwnerFilter::VisibleTo(account) => {
            // Each of them has an index of its own; one for all is not possible.
            let mut rows = page(conn, filter, Owner::CustomOf(account), sorted).await?;
            rows.extend(page(conn, filter, Owner::Offered, sorted).await?);
            rows.extend(shared_page(conn, filter, (account, now), sorted).await?);
            sorted.cut(rows)
        }
    };
    from_rows(conn, rows).await
}
