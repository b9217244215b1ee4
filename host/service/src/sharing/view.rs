//! Shares as they are shown.

use std::collections::BTreeMap;

use imprint_domain::{
    Error,
    id::{AccountId, ImageId, LocationId, ShareId},
    name::Name,
    share::{Share, ShareState},
    size::ByteSize,
    time::Timestamp,
};
use imprint_store::{
    Conn, account,
    image::{self, ImageRecord},
};
use serde::{Deserialize, Serialize};

use crate::db_result::DbResult;

/// What both sides of a share see of its image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareImage {
    /// The image's id.
    pub id: ImageId,
    /// The image's name.
    pub name: Name,
    /// The location where it can be used.
    pub location_id: LocationId,
    /// The size in bytes of the disk that a guest sees.
    pub virtual_size_bytes: Option<ByteSize>,
}

/// The public properties of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareView {
    /// The share's id.
    pub id: ShareId,
    /// The image that is shared.
    pub image: ShareImage,
    /// The name of the account that owns the image.
    pub owner: Name,
    /// The name of the account that the image is offered to.
    pub recipient: Name,
    /// The state of the share.
    pub state: ShareState,
    /// When it was offered.
    pub offered_at: Timestamp,
    /// When the recipient accepted or rejected it.
    pub decided_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What a recipient sees of the share that permits it to use an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedView {
    /// The share's id.
    pub share_id: ShareId,
    /// The name of the account that owns the image.
    pub owner: Name,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

async fn names(
    conn: &Conn<'_>,
    ids: impl Iterator<Item = AccountId>,
) -> Result<BTreeMap<AccountId, Name>, Error> {
    let mut ids: Vec<AccountId> = ids.collect();
    ids.sort();
    ids.dedup();
    account::names(conn, &ids).await.db()
}

fn name_of(names: &BTreeMap<AccountId, Name>, id: AccountId) -> Result<Name, Error> {
    names.get(&id).cloned().ok_or_else(|| Error::internal("a share of an account that is not there"))
}

/// Returns what the recipients of shares see, by the image.
pub(crate) async fn shared(
    conn: &Conn<'_>,
    shares: &BTreeMap<ImageId, Share>,
) -> Result<BTreeMap<ImageId, SharedView>, Error> {
    let names = names(conn, shares.values().map(|share| share.owner_id)).await?;
    let view = |(&image, share): (&ImageId, &Share)| {
        let owner = name_of(&names, share.owner_id)?;
        Ok((image, SharedView { share_id: share.id, owner, expires_at: share.expires_at }))
    };
    shares.iter().map(view).collect()
}

/// Returns the public properties of shares, in the same order.
pub(crate) async fn views(
    conn: &Conn<'_>,
    shares: &[Share],
    now: Timestamp,
) -> Result<Vec<ShareView>, Error> {
    let names = names(conn, shares.iter().flat_map(|share| [share.owner_id, share.recipient_id])).await?;
    let mut ids: Vec<ImageId> = shares.iter().map(|share| share.image_id).collect();
    ids.sort();
    ids.dedup();
    let read = image::of_ids(conn, &ids).await.db()?;
    let images: BTreeMap<ImageId, ImageRecord> =
        read.into_iter().map(|record| (record.image.id, record)).collect();
    let view = |share: &Share| {
        // Removed since the share was read, which goes with it.
        let image = &images.get(&share.image_id)?.image;
        let image = ShareImage {
            id: image.id,
            name: image.name.clone(),
            location_id: image.location_id,
            virtual_size_bytes: image.stored.as_ref().map(|stored| stored.virtual_size),
        };
        Some(of_both(share, image, &names, now))
    };
    shares.iter().filter_map(view).collect()
}

fn of_both(
    share: &Share,
    image: ShareImage,
    names: &BTreeMap<AccountId, Name>,
    now: Timestamp,
) -> Result<ShareView, Error> {
    let state = share.state(now);
    let over = (state == ShareState::Expired).then_some(share.expires_at).flatten();
    Ok(ShareView {
        id: share.id,
        image,
        owner: name_of(names, share.owner_id)?,
        recipient: name_of(names, share.recipient_id)?,
        state,
        offered_at: share.offered_at,
        decided_at: share.decided_at,
        ended_at: share.ended_at.or(over),
        expires_at: share.expires_at,
    })
}

/// Returns the public properties of one share; `None` when it was removed with its image.
pub(crate) async fn view(conn: &Conn<'_>, share: &Share, now: Timestamp) -> Result<Option<ShareView>, Error> {
    Ok(views(conn, std::slice::from_ref(share), now).await?.pop())
}
