//! The ends of shares, with the events of both sides.

use imprint_domain::{
    Error,
    id::ImageId,
    share::{Share, ShareState},
};
use imprint_store::share;

use crate::{change::Change, db_result::DbResult};

/// Writes a share whose state has changed, with its events. `before` is the state that it had: for
/// the recipient the image appears and disappears with the permission to use it.
pub(crate) async fn save(change: &mut Change<'_>, share: &Share, before: ShareState) -> Result<(), Error> {
    share::update(&change.tx, share).await.db()?;
    change.share_changed(share).await?;
    let used = |state| state == ShareState::Accepted;
    match (used(before), used(share.recorded)) {
        (false, true) => change.image_appeared(share.recipient_id, share.image_id).await,
        (true, false) => change.image_removed(share.recipient_id, share.image_id).await,
        (true, true) | (false, false) => Ok(()),
    }
}

/// Ends all shares of an image that is being deleted.
pub(crate) async fn of_image(change: &mut Change<'_>, id: ImageId) -> Result<(), Error> {
    for mut share in share::recorded_open(&change.conn(), id).await.db()? {
        let before = share.recorded;
        if !share.expire(change.now) {
            share.revoke(change.now)?;
        }
        save(change, &share, before).await?;
    }
    Ok(())
}

/// Records that a share has expired, if it has.
pub(crate) async fn expire(change: &mut Change<'_>, share: &mut Share) -> Result<(), Error> {
    let before = share.recorded;
    if share.expire(change.now) {
        save(change, share, before).await?;
    }
    Ok(())
}
