//! Listing images: own, stock and shared ones, searched, filtered and sorted (S56, S57).

use imprint_domain::{Code, Error, tag::MAX_TAGS};
use imprint_store::image::{self, ImageFilter, OwnerFilter, SortBy, SortKey, Sorted};
use uuid::Uuid;

use crate::{
    ImageList, ImageScope, ImageSortField, ImageView, MAX_IDS, Op, Page, Service, db_result::DbResult,
    images::view::of_list, page::Listing,
};

/// Refuses a filter that is longer than any list needs.
fn check(list: &ImageList) -> Result<(), Error> {
    if list.ids.as_ref().is_some_and(|ids| ids.len() > MAX_IDS) {
        return Err(Error::new(Code::InvalidRequest, format!("at most {MAX_IDS} ids at once")).at("?ids"));
    }
    if list.tags.len() > MAX_TAGS {
        return Err(Error::new(Code::InvalidRequest, format!("at most {MAX_TAGS} tags")).at("?tag"));
    }
    Ok(())
}

impl Service {
    /// Returns a page of images.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::InvalidRequest`]; [`Code::PageTokenInvalid`];
    /// an error of the database.
    pub async fn image_list(&self, op: &Op, list: &ImageList) -> Result<Page<ImageView>, Error> {
        op.require_read()?;
        if list.storage_id.is_some() {
            op.require_admin().map_err(|error| error.at("?storage_id"))?;
        }
        check(list)?;
        let owner = match list.scope {
            ImageScope::Own => OwnerFilter::CustomOf(op.account_id()),
            ImageScope::Stock if op.is_admin() => OwnerFilter::Stock,
            ImageScope::Stock => OwnerFilter::Offered,
            ImageScope::Shared => OwnerFilter::SharedWith(op.account_id()),
            ImageScope::All if op.is_admin() => OwnerFilter::All,
            ImageScope::All => OwnerFilter::VisibleTo(op.account_id()),
        };
        let by = match list.sort.field {
            ImageSortField::CreatedAt => SortBy::CreatedAt,
            ImageSortField::Name => SortBy::Name,
            ImageSortField::SizeBytes => SortBy::Size,
        };
        let filter = ImageFilter {
            owner,
            ids: list.ids.clone(),
            search: list.search.clone(),
            tags: list.tags.clone(),
            status: list.status.clone(),
            kind: list.kind,
            source_instance_id: list.source_instance_id,
            location_id: list.location_id,
            storage_id: list.storage_id,
            most_found: None,
        };
        let what = format!("images {filter:?} {:?}", list.sort);
        let listing = Listing::new(&list.page, &what)?;
        let after = listing.after::<(SortKey, Uuid)>()?;
        let sorted = Sorted { by, descending: list.sort.descending, after, limit: listing.rows() };
        let (conn, now) = (self.read(), self.now());
        let rows = image::list(&conn, &filter, &sorted, now).await.db()?;
        let (rows, next_page_token) =
            listing.page(rows, |record| (record.sort_key(by), record.image.id.uuid()))?;
        Ok(Page { items: of_list(&conn, op, &rows, now).await?, next_page_token })
    }
}
