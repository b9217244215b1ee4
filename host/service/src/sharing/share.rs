//! Shares: offer, list, show, accept, reject, revoke, leave.

use imprint_domain::{
    Code, Error, IllegalTransition,
    id::{ImageId, ShareId},
    name::Name,
    share::{Share, ShareState, require_room},
    time::Timestamp,
};
use imprint_store::{Conn, account, image, share};
use serde::{Deserialize, Serialize};

use super::{
    end, permission,
    view::{ShareView, view, views},
};
use crate::{
    Op, Page, PageRequest, Service, catalogue::location, change::Change, db_result::DbResult, idempotency,
    images::image::load_for_update, page::Listing, rate_limit::RetryAfter,
};

/// How many names of accounts that do not exist an account may try in a window of time. Who shares
/// an image knows the name, and who tries names must not find out which there are.
const MAX_UNKNOWN_NAMES: u32 = 10;

/// A request to share an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareOffer {
    /// The image to share.
    pub image_id: ImageId,
    /// The name of the account that it is offered to.
    pub account: Name,
    /// When the share ends by itself; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// The shares with the actor's account to list, latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncomingShares {
    /// The accepted states, `offered` and `accepted`; empty accepts both.
    pub state: Vec<ShareState>,
    /// The page to return.
    pub page: PageRequest,
}

/// An answer that is stored for an idempotency key.
#[derive(Serialize, Deserialize)]
struct Stored {
    share: ShareView,
}

/// Reads a share that must exist and be visible to the actor. Recipients do not see one that is
/// over: they no longer see its image either.
async fn load(conn: &Conn<'_>, op: &Op, id: ShareId, now: Timestamp) -> Result<Share, Error> {
    let found = share::get(conn, id).await.db()?;
    let sees = |share: &Share| {
        op.sees(share.owner_id) || (share.recipient_id == op.account_id() && share.state(now).is_open())
    };
    found.filter(sees).ok_or_else(|| Error::not_found("share"))
}

async fn shown(conn: &Conn<'_>, share: &Share, now: Timestamp) -> Result<ShareView, Error> {
    view(conn, share, now).await?.ok_or_else(|| Error::not_found("share"))
}

fn require_recipient(op: &Op, share: &Share) -> Result<(), Error> {
    if share.recipient_id == op.account_id() {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden, "only the account that the image is offered to may do that"))
}

/// Refuses an account that has tried too many names.
fn check_names(service: &Service, op: &Op) -> Result<(), Error> {
    let account = op.account_id();
    let counted = service.unknown_names().check(&account, MAX_UNKNOWN_NAMES, service.now());
    counted.map_err(|RetryAfter(wait)| {
        let detail = format!("too many names of accounts that do not exist; try again in {wait} s");
        Error::new(Code::RateLimited, detail).with("retry_after_s", wait)
    })
}

type Step = fn(&mut Share, Timestamp) -> Result<(), IllegalTransition>;

impl Service {
    /// Offers an image of the actor to another account, by its name.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for who is not the owner; [`Code::NotFound`] for
    /// an image that is not visible and for an account that does not exist, and
    /// [`Code::RateLimited`] after too many of those; [`Code::SharingDisabled`];
    /// [`Code::AlreadyShared`]; [`Code::ShareLimitReached`]; the codes of [`Share::offer`]; an
    /// error of the database.
    pub async fn share_offer(&self, op: &Op, request: ShareOffer) -> Result<ShareView, Error> {
        op.require_write()?;
        check_names(self, op)?;
        let mut change = Change::begin(self).await?;
        if let Some(Stored { share }) = idempotency::replay(&change, op).await? {
            return Ok(share);
        }
        let image = load_for_update(&change.conn(), op, request.image_id, None, change.now).await?.image;
        if image.account_id != op.account_id() {
            return Err(permission::owner_only());
        }
        location::get(&change.conn(), image.location_id).await?.location.require_sharing()?;
        let found = account::by_name(&change.conn(), request.account.as_str()).await.db()?;
        let Some(recipient) = found.map(|record| record.account) else {
            self.unknown_names().count(op.account_id(), change.now);
            return Err(Error::not_found("account").at("/account"));
        };
        let id = ShareId::new(self.new_uuid());
        let share = Share::offer(id, &image, recipient.id, request.expires_at, change.now)?;
        if let Some(mut former) = share::of_image_with(&change.conn(), image.id, recipient.id).await.db()? {
            if former.state(change.now).is_open() {
                return Err(Error::new(Code::AlreadyShared, "revoke that share first to change it")
                    .at("/account")
                    .with("share_id", former.id));
            }
            end::expire(&mut change, &mut former).await?;
            share::delete(&change.tx, former.id).await.db()?;
        }
        require_room(share::count_open(&change.conn(), image.id, change.now).await.db()?)?;
        share::insert(&change.tx, &share).await.db()?;
        change.share_changed(&share).await?;
        change.audit(op, "share.offer", share.id).await?;
        let answer = Stored { share: shown(&change.conn(), &share, change.now).await? };
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer.share)
    }

    /// Returns a page of the shares of an image, latest first, for its owner.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for a recipient; [`Code::NotFound`] for an image
    /// that is not visible; [`Code::PageTokenInvalid`]; an error of the database.
    pub async fn share_list(
        &self,
        op: &Op,
        image: ImageId,
        page: &PageRequest,
    ) -> Result<Page<ShareView>, Error> {
        op.require_read()?;
        let (conn, now) = (self.read(), self.now());
        load_for_update(&conn, op, image, None, now).await?;
        let listing = Listing::new(page, &format!("shares of {image}"))?;
        let rows = share::of_image(&conn, image, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |share| share.id)?;
        Ok(Page { items: views(&conn, &rows, now).await?, next_page_token })
    }

    /// Returns a page of the open shares with the actor's account, latest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::InvalidRequest`] for a state that is not
    /// open; [`Code::PageTokenInvalid`]; an error of the database.
    pub async fn share_incoming(&self, op: &Op, list: &IncomingShares) -> Result<Page<ShareView>, Error> {
        op.require_read()?;
        if list.state.iter().any(|state| !state.is_open()) {
            let detail = "shares that are over are not listed; take offered or accepted";
            return Err(Error::new(Code::InvalidRequest, detail).at("?state"));
        }
        let both = [ShareState::Offered, ShareState::Accepted];
        let states = if list.state.is_empty() { &both[..] } else { &list.state[..] };
        let listing = Listing::new(&list.page, &format!("shares with {} {states:?}", op.account_id()))?;
        let (conn, now) = (self.read(), self.now());
        let rows = share::with_account(&conn, op.account_id(), states, now, listing.after()?, listing.rows())
            .await
            .db()?;
        let (rows, next_page_token) = listing.page(rows, |share| share.id)?;
        Ok(Page { items: views(&conn, &rows, now).await?, next_page_token })
    }

    /// Returns one share, for its owner, and while it is open for its recipient.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`]; an error of the database.
    pub async fn share_show(&self, op: &Op, id: ShareId) -> Result<ShareView, Error> {
        op.require_read()?;
        let (conn, now) = (self.read(), self.now());
        shown(&conn, &load(&conn, op, id, now).await?, now).await
    }

    /// Accepts an offer: the actor may deploy the image from now on.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for the owner; [`Code::NotFound`];
    /// [`Code::SharingDisabled`]; [`Code::InvalidTransition`] when it was decided before; an error
    /// of the database.
    pub async fn share_accept(&self, op: &Op, id: ShareId) -> Result<ShareView, Error> {
        self.share_decide(op, id, Share::accept, "share.accept").await
    }

    /// Rejects an offer.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for the owner; [`Code::NotFound`];
    /// [`Code::InvalidTransition`] when it was decided before; an error of the database.
    pub async fn share_reject(&self, op: &Op, id: ShareId) -> Result<ShareView, Error> {
        self.share_decide(op, id, Share::reject, "share.reject").await
    }

    /// Ends an accepted share for the recipient.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for the owner; [`Code::NotFound`];
    /// [`Code::InvalidTransition`] when it is not accepted; an error of the database.
    pub async fn share_leave(&self, op: &Op, id: ShareId) -> Result<ShareView, Error> {
        self.share_decide(op, id, Share::leave, "share.leave").await
    }

    async fn share_decide(&self, op: &Op, id: ShareId, step: Step, action: &str) -> Result<ShareView, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        let mut share = load(&change.conn(), op, id, change.now).await?;
        require_recipient(op, &share)?;
        let before = share.recorded;
        step(&mut share, change.now)?;
        if share.recorded == ShareState::Accepted {
            let found = image::get(&change.conn(), share.image_id).await.db()?;
            let image = found.ok_or_else(|| Error::not_found("image"))?.image;
            location::get(&change.conn(), image.location_id).await?.location.require_sharing()?;
        }
        end::save(&mut change, &share, before).await?;
        change.audit(op, action, id).await?;
        let answer = shown(&change.conn(), &share, change.now).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Ends an offer or an accepted share: instances that were deployed, and deployments that were
    /// accepted before, are not affected.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope, and for the recipient; [`Code::NotFound`];
    /// [`Code::InvalidTransition`] when it is over; an error of the database.
    pub async fn share_revoke(&self, op: &Op, id: ShareId) -> Result<ShareView, Error> {
        op.require_write()?;
        let mut change = Change::begin(self).await?;
        let mut share = load(&change.conn(), op, id, change.now).await?;
        if !op.sees(share.owner_id) {
            return Err(permission::owner_only());
        }
        let before = share.recorded;
        share.revoke(change.now)?;
        end::save(&mut change, &share, before).await?;
        change.audit(op, "share.revoke", id).await?;
        let answer = shown(&change.conn(), &share, change.now).await?;
        change.commit().await?;
        Ok(answer)
    }
}
