//! Shares: permission for another account to deploy an image in its location (S68, S72). Nothing is
//! copied or transferred: the image stays its owner's, who pays for it (S71, D7).

use std::ops::Deref;

use chrono::{Months, SubsecRound};

use crate::{
    error::{Code, Error},
    id::{AccountId, ImageId, ShareId},
    image::{Image, ImageKind, ImageStatus},
    location::Location,
    string_enum::string_enum,
    time::Timestamp,
    transition::IllegalTransition,
};

/// The most open shares of an image.
pub const MAX_OPEN_SHARES: u32 = 100;

/// How far away the end of a share may be, in months.
const LATEST_END_MONTHS: u32 = 120;

string_enum! {
    /// How far a share is.
    pub enum ShareState {
        /// The recipient has not decided.
        Offered = "offered",
        /// The recipient may deploy the image.
        Accepted = "accepted",
        /// The recipient did not want it.
        Rejected = "rejected",
        /// The owner ended it, or deleted the image.
        Revoked = "revoked",
        /// The recipient ended it after having accepted it.
        Left = "left",
        /// Its time is over.
        Expired = "expired",
    }
}

/// The parts of a share, to read it and to build it from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareParts {
    /// The share's id.
    pub id: ShareId,
    /// The image that is shared.
    pub image_id: ImageId,
    /// The account that owns the image.
    pub owner_id: AccountId,
    /// The account that the image is offered to.
    pub recipient_id: AccountId,
    /// The state that was last recorded: [`Share::state`] has the one that counts.
    pub recorded: ShareState,
    /// When it was offered.
    pub offered_at: Timestamp,
    /// When the recipient accepted or rejected it.
    pub decided_at: Option<Timestamp>,
    /// When it was recorded as over.
    pub ended_at: Option<Timestamp>,
    /// When it ends by itself; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// A share. Its parts can be read by dereferencing; only its methods change it.
///
/// ```text
///            reject
///  offered ---------> rejected
///   |   |    revoke
///   |   +-----------> revoked      offered and accepted shares are open,
///   | accept             ^         until the time at which they expire
///   v        revoke      |
///  accepted -------------+
///       |    leave
///       +-----------> left
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share(ShareParts);

impl Deref for Share {
    type Target = ShareParts;

    fn deref(&self) -> &ShareParts {
        &self.0
    }
}

impl ShareState {
    /// Returns whether a share of this state is neither refused nor over.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Offered | Self::Accepted => true,
            Self::Rejected | Self::Revoked | Self::Left | Self::Expired => false,
        }
    }

    /// Returns whether a share may go from this state to `next`.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Offered => {
                matches!(next, Self::Accepted | Self::Rejected | Self::Revoked | Self::Expired)
            }
            Self::Accepted => matches!(next, Self::Revoked | Self::Left | Self::Expired),
            Self::Rejected | Self::Revoked | Self::Left | Self::Expired => false,
        }
    }
}

impl Share {
    /// Offers an image to an account, until `expires_at` where that is given. The number of open
    /// shares is not checked here: see [`require_room`].
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for a stock image, the owner's own account, and an end that is not
    /// in the future or more than ten years away; [`Code::ImageNotAvailable`].
    pub fn offer(
        id: ShareId,
        image: &Image,
        recipient: AccountId,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        match image.kind {
            ImageKind::Custom => {}
            ImageKind::Stock => {
                return Err(Error::new(Code::InvalidRequest, "stock images are there for all accounts"));
            }
        }
        if image.account_id == recipient {
            return Err(Error::new(Code::InvalidRequest, "the image is this account's own").at("/account"));
        }
        if image.status != ImageStatus::Available {
            return Err(Error::new(
                Code::ImageNotAvailable,
                format!("the image is {}; only an available image can be shared", image.status),
            ));
        }
        let latest = now.checked_add_months(Months::new(LATEST_END_MONTHS));
        if expires_at.is_some_and(|end| end <= now || latest.is_some_and(|latest| end > latest)) {
            return Err(Error::new(
                Code::InvalidRequest,
                "a share ends in the future, at most ten years from now",
            )
            .at("/expires_at"));
        }
        Ok(Self(ShareParts {
            id,
            image_id: image.id,
            owner_id: image.account_id,
            recipient_id: recipient,
            recorded: ShareState::Offered,
            offered_at: now,
            decided_at: None,
            ended_at: None,
            expires_at: expires_at.map(|end| end.trunc_subsecs(6)),
        }))
    }

    /// Builds a share from the parts that a row holds.
    pub const fn from_parts(parts: ShareParts) -> Self {
        Self(parts)
    }

    /// Returns the state at a time: an open share is over from the moment at which it expires,
    /// whether that is recorded or not.
    pub fn state(&self, now: Timestamp) -> ShareState {
        let over = self.0.expires_at.is_some_and(|end| end <= now);
        if over && self.0.recorded.is_open() { ShareState::Expired } else { self.0.recorded }
    }

    /// Returns whether the share permits that account to see and deploy that image.
    pub fn permits(&self, account: AccountId, image: ImageId, now: Timestamp) -> bool {
        let of_both = self.0.recipient_id == account && self.0.image_id == image;
        of_both && self.state(now) == ShareState::Accepted
    }

    fn transition(&mut self, to: ShareState, now: Timestamp) -> Result<(), IllegalTransition> {
        let from = self.state(now);
        if !from.may_become(to) {
            return Err(IllegalTransition { noun: "share", from: from.as_str(), to: to.as_str() });
        }
        self.0.recorded = to;
        if !to.is_open() {
            self.0.ended_at = Some(now);
        }
        Ok(())
    }

    /// Accepts an offer.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when it is not offered, or not any more.
    pub fn accept(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.transition(ShareState::Accepted, now)?;
        self.0.decided_at = Some(now);
        Ok(())
    }

    /// Rejects an offer.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when it is not offered, or not any more.
    pub fn reject(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.transition(ShareState::Rejected, now)?;
        self.0.decided_at = Some(now);
        Ok(())
    }

    /// Ends an offer or an accepted share for its owner.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when it is over.
    pub fn revoke(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.transition(ShareState::Revoked, now)
    }

    /// Ends an accepted share for its recipient.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when it is not accepted, or not any more.
    pub fn leave(&mut self, now: Timestamp) -> Result<(), IllegalTransition> {
        self.transition(ShareState::Left, now)
    }

    /// Records that an open share has expired; returns whether it has and was not recorded before.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        if self.state(now) != ShareState::Expired || self.0.recorded == ShareState::Expired {
            return false;
        }
        self.0.recorded = ShareState::Expired;
        self.0.ended_at = Some(now);
        true
    }
}

/// Refuses one more share of an image that has as many open ones as it may have.
///
/// # Errors
///
/// [`Code::ShareLimitReached`].
pub fn require_room(open: u64) -> Result<(), Error> {
    if open < u64::from(MAX_OPEN_SHARES) {
        return Ok(());
    }
    Err(Error::new(Code::ShareLimitReached, "revoke shares that are not needed")
        .with("limit", MAX_OPEN_SHARES)
        .with("used", open))
}

impl Location {
    /// Refuses to share images, and to use shared ones, where the provider has not enabled it.
    ///
    /// # Errors
    ///
    /// [`Code::SharingDisabled`].
    pub fn require_sharing(&self) -> Result<(), Error> {
        if self.sharing_enabled {
            return Ok(());
        }
        Err(Error::new(
            Code::SharingDisabled,
            "the provider has not enabled the sharing of images for this location",
        ))
    }
}

#[cfg(test)]
mod tests;
