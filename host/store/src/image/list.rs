//! Lists of images: filters, sorts and searches.
//!
//! A page is read in one of two ways: an index in the order of the list is walked until the page is
//! full, or the images are found by an index of a condition ([`super::narrow`]), and sorted. Which one is
//! fast depends on how many images a condition accepts, and where in the list they are. No planner
//! knows that of a part of a text, so the choice is made here:
//!
//! - SQLite counts what a condition accepts, up to a bound. Few images are found by the condition.
//!   Otherwise the walk compares the entries of the index alone, which have the text.
//! - PostgreSQL walks at most so far. If the page is not full by then, the images are found by the
//!   condition, however many there are: it reads them in the order in which they are stored.
//!
//! Conditions that shall not be used to find images are hidden from the planners.

use std::cmp::Ordering;

use imprint_domain::{
    id::{AccountId, ImageId, InstanceId, LocationId, StorageId},
    image::{ImageKind, ImageStatus},
    search::Search,
    tag::Tag,
    time::Timestamp,
};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, EntityTrait, ExprTrait, FromQueryResult, Order, QueryFilter,
    QueryTrait, TryGetable,
    sea_query::{
        Asterisk, CommonTableExpression, Condition, Expr, Query, SelectStatement, SimpleExpr, WithClause,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ImageRecord, from_rows,
    narrow::{Narrow, hidden},
    row,
};
use crate::{Conn, StoreError, codec};

/// The owners of the images to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerFilter {
    /// The captured images of an account.
    CustomOf(AccountId),
    /// Stock images.
    Stock,
    /// The captured images of an account, and stock images.
    VisibleTo(AccountId),
    /// All images.
    All,
}

/// The images to list.
#[derive(Clone, Debug)]
pub struct ImageFilter {
    /// The owners.
    pub owner: OwnerFilter,
    /// Only these, if any are named.
    pub ids: Option<Vec<ImageId>>,
    /// What their texts have to contain.
    pub search: Option<Search>,
    /// The tags that they have to have, all of them.
    pub tags: Vec<Tag>,
    /// The accepted states; empty accepts all.
    pub status: Vec<ImageStatus>,
    /// The origin, if only one is listed.
    pub kind: Option<ImageKind>,
    /// The instance that they were captured from, if only its images are listed.
    pub source_instance_id: Option<InstanceId>,
    /// The location, if only one is listed.
    pub location_id: Option<LocationId>,
    /// The storage, if only its images are listed.
    pub storage_id: Option<StorageId>,
    /// The bound of the choice between the two ways; `None` takes what suits the database.
    pub bound: Option<u64>,
}

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
    /// When it was requested.
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

/// The owners of images that one index has in the order of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    CustomOf(AccountId),
    Stock,
    All,
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

/// What is sorted by, as the indexes have it.
fn sort_expression(by: SortBy) -> SimpleExpr {
    match by {
        SortBy::CreatedAt => Expr::col(row::Column::CreatedAt),
        SortBy::Name => Expr::col(row::Column::Name),
        SortBy::Size => Expr::cust("coalesce(size_bytes, -1)"),
    }
}

/// The rows after one. The first comparison is the range of the index; only rows with the same key
/// are compared again.
fn later_than(sorted: &Sorted, key: &SortKey, id: Uuid) -> SimpleExpr {
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
    range.and(beyond.or(id_beyond))
}

/// The condition on the owner: by the index of the list, or hidden from the planner.
fn owned(owner: Owner, by_index: bool) -> Condition {
    let shown = |condition: SimpleExpr| if by_index { condition } else { hidden(condition) };
    let kind = |kind: ImageKind| shown(Expr::col((row::Entity, row::Column::Kind)).eq(kind.as_str()));
    match owner {
        Owner::CustomOf(account) => Condition::all()
            .add(shown(Expr::col((row::Entity, row::Column::AccountId)).eq(account.uuid())))
            .add(kind(ImageKind::Custom)),
        Owner::Stock => Condition::all().add(kind(ImageKind::Stock)),
        Owner::All => Condition::all(),
    }
}

/// The most images that SQLite finds by a condition, and that PostgreSQL looks at on its way through
/// a list.
const MOST_FOUND: u64 = 4_000;
const LONGEST_WALK: u64 = 5_000;

/// One page of the images of one owner.
struct Reader<'a> {
    conn: &'a Conn<'a>,
    backend: DatabaseBackend,
    filter: &'a ImageFilter,
    owner: Owner,
    sorted: &'a Sorted,
}

impl Reader<'_> {
    async fn read(&self) -> Result<Vec<row::Model>, StoreError> {
        let account = match self.owner {
            Owner::CustomOf(account) => Some(account),
            Owner::Stock | Owner::All => None,
        };
        let narrow = Narrow::of(self.backend, self.filter, account);
        if let Some(ids) = &self.filter.ids {
            let ids = ids.iter().map(|id| id.uuid());
            return self
                .found_by(Expr::col((row::Entity, row::Column::Id)).is_in(ids), narrow.compared)
                .await;
        }
        match self.backend {
            DatabaseBackend::Sqlite => {
                let most = self.filter.bound.unwrap_or(MOST_FOUND);
                for access in narrow.accesses {
                    if self.count(access.counted, most).await? {
                        return self.found_by(access.condition, narrow.compared).await;
                    }
                }
            }
            _ => {
                // The last one is the narrowest where there are several: all words and tags.
                if let Some(access) = narrow.accesses.into_iter().next() {
                    let longest = self.filter.bound.unwrap_or(LONGEST_WALK);
                    let rows = self.fetch(&self.walk(narrow.compared.clone(), Some(longest))).await?;
                    let is_full =
                        u64::try_from(rows.len()).is_ok_and(|rows| rows >= u64::from(self.sorted.limit));
                    if is_full || self.ends_within(longest).await? {
                        return Ok(rows);
                    }
                    return self.found_by(access.condition, narrow.compared).await;
                }
            }
        }
        self.fetch(&self.walk(narrow.compared, None)).await
    }

    async fn fetch(&self, statement: &SelectStatement) -> Result<Vec<row::Model>, StoreError> {
        Ok(row::Model::find_by_statement(self.backend.build(statement)).all(&self.conn.0).await?)
    }

    /// The entries of the index in the order of the list.
    fn entries(&self) -> SelectStatement {
        let mut query = row::Entity::find().filter(owned(self.owner, true));
        if !self.filter.status.is_empty() {
            query = query.filter(self.status());
        }
        if let Some((key, id)) = &self.sorted.after {
            query = query.filter(later_than(self.sorted, key, *id));
        }
        let mut entries = query.into_query();
        entries
            .order_by_expr(sort_expression(self.sorted.by), self.sorted.order())
            .order_by(row::Column::Id, self.sorted.order());
        entries
    }

    fn status(&self) -> SimpleExpr {
        let accepted = self.filter.status.iter().map(|status| status.as_str());
        Expr::col((row::Entity, row::Column::Status)).is_in(accepted)
    }

    /// The page, looked for on the way through the list; at most so far.
    fn walk(&self, compared: Condition, longest: Option<u64>) -> SelectStatement {
        let mut entries = self.entries();
        let limit = u64::from(self.sorted.limit);
        match longest {
            None => entries.cond_where(compared).limit(limit).to_owned(),
            Some(longest) => Query::select()
                .column((row::Entity, Asterisk))
                .from_subquery(entries.limit(longest).to_owned(), row::Entity)
                .cond_where(compared)
                .order_by_expr(sort_expression(self.sorted.by), self.sorted.order())
                .order_by(row::Column::Id, self.sorted.order())
                .limit(limit)
                .to_owned(),
        }
    }

    /// Whether a walk so far has seen the whole list.
    async fn ends_within(&self, longest: u64) -> Result<bool, StoreError> {
        let mut beyond = self.entries();
        beyond.clear_selects().expr(Expr::cust("1")).offset(longest).limit(1);
        Ok(self.conn.0.query_one(&beyond).await?.is_none())
    }

    /// Whether a condition accepts at most so many images.
    async fn count(&self, counted: Option<SelectStatement>, most: u64) -> Result<bool, StoreError> {
        let Some(mut counted) = counted else { return Ok(false) };
        counted.limit(most.saturating_add(1));
        let count = Query::select()
            .expr_as(Expr::cust("count(*)"), "images")
            .from_subquery(counted, "found")
            .to_owned();
        let Some(row) = self.conn.0.query_one(&count).await? else { return Ok(false) };
        let found = i64::try_get(&row, "", "images").map_err(sea_orm::DbErr::from)?;
        Ok(codec::to_u64("images", found)? <= most)
    }

    /// The page, found by one condition and sorted. The rows of all are not sorted with it.
    async fn found_by(&self, access: SimpleExpr, compared: Condition) -> Result<Vec<row::Model>, StoreError> {
        const ACCEPTED: &str = "accepted";
        const ID: &str = "id";
        const KEY: &str = "sort_key";
        let mut query = row::Entity::find().filter(access).filter(compared).filter(owned(self.owner, false));
        if !self.filter.status.is_empty() {
            query = query.filter(hidden(self.status()));
        }
        if let Some((key, id)) = &self.sorted.after {
            query = query.filter(hidden(later_than(self.sorted, key, *id)));
        }
        let mut accepted = query.into_query();
        accepted
            .clear_selects()
            .expr_as(Expr::col((row::Entity, row::Column::Id)), ID)
            .expr_as(sort_expression(self.sorted.by), KEY);
        let first = Query::select()
            .column(ID)
            .from(ACCEPTED)
            .order_by(KEY, self.sorted.order())
            .order_by(ID, self.sorted.order())
            .limit(u64::from(self.sorted.limit))
            .to_owned();
        let rows = Query::select()
            .column((row::Entity, Asterisk))
            .from(row::Entity)
            .and_where(Expr::col((row::Entity, row::Column::Id)).in_subquery(first))
            .to_owned();
        // Planned by itself: otherwise a planner may walk the list and look each image up here.
        let step =
            CommonTableExpression::new().table_name(ACCEPTED).query(accepted).materialized(true).to_owned();
        let statement = self.backend.build(&WithClause::new().cte(step).to_owned().query(rows));
        let rows = row::Model::find_by_statement(statement).all(&self.conn.0).await?;
        Ok(self.sorted.cut(rows))
    }
}

/// Reads a page of images.
///
/// # Errors
///
/// [`StoreError`] when the database fails or a row has an unknown value.
pub async fn list(
    conn: &Conn<'_>,
    filter: &ImageFilter,
    sorted: &Sorted,
) -> Result<Vec<ImageRecord>, StoreError> {
    let backend = conn.0.get_database_backend();
    let of = |owner| Reader { conn, backend, filter, owner, sorted };
    let rows = match filter.owner {
        OwnerFilter::CustomOf(account) => of(Owner::CustomOf(account)).read().await?,
        OwnerFilter::Stock => of(Owner::Stock).read().await?,
        OwnerFilter::All => of(Owner::All).read().await?,
        OwnerFilter::VisibleTo(account) => {
            // Each of the two has an index in the order of the list; one for both is not possible.
            let mut rows = of(Owner::CustomOf(account)).read().await?;
            rows.extend(of(Owner::Stock).read().await?);
            sorted.cut(rows)
        }
    };
    from_rows(conn, rows).await
}
