//! What a list of images is narrowed by, and the names that the parts of its statement share.

use imprint_domain::{
    id::{AccountId, ImageId, InstanceId, LocationId, StorageId},
    image::{ImageKind, ImageStatus},
    search::Search,
    tag::Tag,
    time::Timestamp,
};
use sea_orm::{
    DatabaseBackend,
    sea_query::{Expr, SimpleExpr},
};

use super::row;

/// The name of the found ids in a list's statement, and of its column.
pub(super) const FOUND: &str = "found";
pub(super) const ID: &str = "id";

/// The owners of the images to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerFilter {
    /// The captured images of an account.
    CustomOf(AccountId),
    /// Stock images, also those that customers are not offered.
    Stock,
    /// The stock images that customers are offered.
    Offered,
    /// The images that are shared with an account.
    SharedWith(AccountId),
    /// The captured images of an account, the stock images that it is offered, and the images that
    /// are shared with it.
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
    /// The words that their texts have to contain.
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
    /// How many images a condition may accept to be found by its own index; `None` takes what suits
    /// the database.
    pub most_found: Option<u64>,
}

/// The owners of images that one index has in the order of a list. Of shared images an index has
/// the ids only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    CustomOf(AccountId),
    Stock,
    Offered,
    /// Those that are shared with an account at that time.
    SharedWith(AccountId, Timestamp),
    All,
}

/// A column that no index is used for: SQLite has no figures of how many rows a value has, and
/// takes every index of an equal column for a good one.
pub(super) fn hidden(backend: DatabaseBackend, column: row::Column) -> SimpleExpr {
    if backend != DatabaseBackend::Sqlite {
        return Expr::col((row::Entity, column));
    }
    Expr::cust(format!("+images.{}", sea_orm::IdenStatic::as_str(&column)))
}
