//! The feed: metered hours for other billing systems, in one order, without gaps and doubles.

use imprint_domain::{
    Error,
    billing::{HourBucket, calendar::start_of_hour},
    time::Timestamp,
};
use imprint_store::billing::{hour, state};

use super::read;
use crate::{Op, PageRequest, Service, db_result::DbResult, page::Listing};

/// A part of the feed.
#[derive(Clone, Debug)]
pub struct FeedView {
    /// The hours.
    pub items: Vec<HourBucket>,
    /// Where the feed continues; `None` before the first hour.
    pub next_cursor: Option<String>,
    /// Whether there are more hours now.
    pub more: bool,
    /// The hours before it are complete.
    pub metered_until: Option<Timestamp>,
}

impl Service {
    /// Returns the hours after a cursor that are metered. An hour is in it as a whole or not at
    /// all, so that none comes to lie before a cursor. Admins only.
    ///
    /// # Errors
    ///
    /// [`imprint_domain::Code::Forbidden`] unless the actor is an admin;
    /// [`imprint_domain::Code::PageTokenInvalid`]; an error of the database.
    pub async fn billing_feed(&self, op: &Op, page: &PageRequest) -> Result<FeedView, Error> {
        op.require_admin()?;
        let listing = Listing::new(page, "billing feed")?;
        let conn = self.read();
        let Some(found) = state::get(&conn).await.db()? else {
            return Ok(FeedView { items: Vec::new(), next_cursor: None, more: false, metered_until: None });
        };
        let rows = hour::after(&conn, listing.after()?, found.metered_until, listing.rows()).await.db()?;
        let (rows, next) = listing.page(rows, |row| row.key)?;
        let next_cursor = match rows.last() {
            Some(last) => Some(listing.token_after(last.key)?),
            None => page.page_token.clone(),
        };
        Ok(FeedView {
            items: rows.iter().map(read::bucket_of).collect::<Result<_, _>>()?,
            next_cursor,
            more: next.is_some(),
            metered_until: Some(start_of_hour(found.metered_until)),
        })
    }
}
