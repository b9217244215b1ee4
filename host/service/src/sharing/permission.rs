//! What permits an account to use an image of another one.

use imprint_domain::{
    Code, Error,
    id::AccountId,
    image::{Image, ImageKind},
    location::Location,
    rules::{self, SharedUse},
    share::Share,
    time::Timestamp,
};
use imprint_store::{Conn, share};

use crate::{
    catalogue::{location, offer},
    db_result::DbResult,
};

/// An accepted share that has not expired, with what else decides about its use.
pub(crate) struct Permission {
    pub(crate) share: Share,
    location: Location,
}

impl Permission {
    /// Returns the facts for the domain's rules.
    pub(crate) const fn facts(&self) -> SharedUse<'_> {
        SharedUse { share: &self.share, location: &self.location }
    }
}

/// Reads the share that permits an account to see an image; `None` for stock images, for the
/// account's own ones, and where there is no such share.
pub(crate) async fn share_of(
    conn: &Conn<'_>,
    image: &Image,
    account: AccountId,
    now: Timestamp,
) -> Result<Option<Share>, Error> {
    if image.kind != ImageKind::Custom || image.account_id == account {
        return Ok(None);
    }
    let found = share::of_image_with(conn, image.id, account).await.db()?;
    Ok(found.filter(|share| share.permits(account, image.id, now)))
}

/// Reads what permits an account to deploy an image, as [`share_of`].
pub(crate) async fn read(
    conn: &Conn<'_>,
    image: &Image,
    account: AccountId,
    now: Timestamp,
) -> Result<Option<Permission>, Error> {
    let Some(share) = share_of(conn, image, account, now).await? else { return Ok(None) };
    let location = location::get(conn, image.location_id).await?.location;
    Ok(Some(Permission { share, location }))
}

/// Refuses the use of an image that an account may not, or no longer, deploy.
pub(crate) async fn require_use(
    conn: &Conn<'_>,
    image: &Image,
    account: AccountId,
    now: Timestamp,
) -> Result<(), Error> {
    offer::require_offered(conn, image, account).await?;
    let permission = read(conn, image, account, now).await?;
    rules::use_image(image, account, permission.as_ref().map(Permission::facts), now)
}

/// Builds the refusal of what only the owner of an image may do.
pub(crate) fn owner_only() -> Error {
    Error::new(Code::Forbidden, "only the owner of the image may do that")
}
