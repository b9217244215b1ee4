//! Which stock images are offered to whom.

use imprint_domain::{
    Error,
    account::Role,
    id::AccountId,
    image::{Image, ImageKind},
};
use imprint_store::{Conn, account, media_group};

use crate::db_result::DbResult;

/// Returns whether customers are offered a stock image.
pub(crate) async fn is_offered(conn: &Conn<'_>, image: &Image) -> Result<bool, Error> {
    let group_is_hidden = match image.catalogue.media_group_id {
        Some(id) => media_group::get(conn, id).await.db()?.is_some_and(|group| group.hidden),
        None => false,
    };
    Ok(image.is_offered(group_is_hidden))
}

/// Returns whether an account may see and deploy a stock image: admins may deploy all of them.
pub(crate) async fn is_offered_to(conn: &Conn<'_>, image: &Image, account: AccountId) -> Result<bool, Error> {
    if is_offered(conn, image).await? {
        return Ok(true);
    }
    let found = account::get(conn, account).await.db()?;
    Ok(found.is_some_and(|record| record.account.role == Role::Admin))
}

/// Refuses the use of a stock image that an account is not, or no longer, offered.
pub(crate) async fn require_offered(conn: &Conn<'_>, image: &Image, account: AccountId) -> Result<(), Error> {
    match image.kind {
        ImageKind::Custom => Ok(()),
        ImageKind::Stock if is_offered_to(conn, image, account).await? => Ok(()),
        ImageKind::Stock => Err(Error::not_found("image")),
    }
}
