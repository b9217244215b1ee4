//! Limits of images: how many an account may have, and how many bytes they may take (S122, S123,
//! X7).
//!
//! An account's own limit counts all of its images, wherever they are. An account without one has
//! the default of each location, which counts its images there. The two limits are independent: an
//! account may have its own number of images and the default for their bytes.

use crate::{
    account::Account,
    error::{Code, Error},
    id::LocationId,
    image::ImageUsage,
    location::Location,
    size::ByteSize,
    string_enum::string_enum,
};

string_enum! {
    /// What a limit counts.
    pub enum LimitScope {
        /// All images of the account: it has a limit of its own.
        Account = "account",
        /// The account's images in one location: the limit is that location's default.
        Location = "location",
    }
}

/// A limit, and what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance<T> {
    /// The limit; `None` is no limit.
    pub limit: Option<T>,
    /// What is used, counted in `scope`.
    pub used: T,
    /// What the limit counts.
    pub scope: LimitScope,
}

impl<T> Allowance<T> {
    /// Takes the account's own limit if it has one, otherwise the location's default.
    fn of(own: Option<T>, default: Option<T>, everywhere: T, there: T) -> Self {
        match own {
            Some(limit) => Self { limit: Some(limit), used: everywhere, scope: LimitScope::Account },
            None => Self { limit: default, used: there, scope: LimitScope::Location },
        }
    }
}

/// The limits of an account in a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The number of images.
    pub images: Allowance<u32>,
    /// The bytes of images.
    pub bytes: Allowance<ByteSize>,
}

impl Quota {
    /// Returns the limits that hold for an account in a location. `usage` is what the account uses
    /// in each location.
    pub fn of_usage(account: &Account, location: &Location, usage: &[(LocationId, ImageUsage)]) -> Self {
        let everywhere = usage.iter().fold(ImageUsage::default(), |sum, (_, used)| sum.plus(*used));
        let there = usage.iter().find(|(id, _)| *id == location.id);
        Self::of(account, location, everywhere, there.map(|(_, used)| *used).unwrap_or_default())
    }

    /// Returns the limits that hold for an account in a location, with what it uses `everywhere`
    /// and `there`.
    pub fn of(account: &Account, location: &Location, everywhere: ImageUsage, there: ImageUsage) -> Self {
        Self {
            images: Allowance::of(
                account.image_limit,
                location.default_image_limit,
                everywhere.images,
                there.images,
            ),
            bytes: Allowance::of(
                account.image_bytes_limit,
                location.default_image_bytes_limit,
                everywhere.bytes,
                there.bytes,
            ),
        }
    }

    /// Decides whether an image that counts already may take up to `needed` bytes instead of
    /// `held`.
    ///
    /// # Errors
    ///
    /// [`Code::ImageBytesLimitReached`] without room for the bytes.
    pub fn reserve_anew(mut self, held: ByteSize, needed: ByteSize) -> Result<(), Error> {
        self.images.limit = None;
        self.bytes.used =
            ByteSize::new(self.bytes.used.bytes().saturating_sub(held.bytes())).unwrap_or_default();
        self.reserve(needed)
    }

    /// Decides whether one more image of up to `needed` bytes may be created. Called inside the
    /// transaction that inserts the image (S126, X7).
    ///
    /// # Errors
    ///
    /// [`Code::ImageLimitReached`] without a free slot; [`Code::ImageBytesLimitReached`] without
    /// room for the bytes.
    pub fn reserve(&self, needed: ByteSize) -> Result<(), Error> {
        let where_counted = |scope| match scope {
            LimitScope::Account => "",
            LimitScope::Location => " in this location",
        };
        if let Allowance { limit: Some(limit), used, scope } = self.images
            && used >= limit
        {
            let detail = format!(
                "you have {used} of {limit} images{}; delete unused images to free up a slot, or contact the \
                 provider",
                where_counted(scope)
            );
            return Err(Error::new(Code::ImageLimitReached, detail).with("limit", limit).with("used", used));
        }
        if let Allowance { limit: Some(limit), used, scope } = self.bytes
            && used.checked_add(needed).is_none_or(|sum| sum > limit)
        {
            let detail = format!(
                "your images take {used} of {limit}{}, and this one may need up to {needed}; delete unused \
                 images to free up space, or contact the provider",
                where_counted(scope)
            );
            return Err(Error::new(Code::ImageBytesLimitReached, detail)
                .with("limit_bytes", limit.bytes())
                .with("used_bytes", used.bytes())
                .with("needed_bytes", needed.bytes()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(number: u64) -> ByteSize {
        ByteSize::new(number).unwrap()
    }

    fn quota(images: (Option<u32>, u32), stored: (Option<u64>, u64)) -> Quota {
        let scope = LimitScope::Account;
        Quota {
            images: Allowance { limit: images.0, used: images.1, scope },
            bytes: Allowance { limit: stored.0.map(bytes), used: bytes(stored.1), scope },
        }
    }

    #[test]
    fn an_own_limit_counts_everything_and_a_default_what_is_there() {
        let everywhere = Allowance::of(Some(5), Some(2), 4, 1);
        assert_eq!((everywhere.limit, everywhere.used, everywhere.scope), (Some(5), 4, LimitScope::Account));
        let there = Allowance::of(None, Some(2), 4, 1);
        assert_eq!((there.limit, there.used, there.scope), (Some(2), 1, LimitScope::Location));
        let none = Allowance::of(None, None, 4, 1);
        assert_eq!((none.limit, none.used), (None, 1));
    }

    #[test]
    fn refusals_name_the_limit_and_what_is_used() {
        let error = quota((Some(3), 3), (None, 0)).reserve(bytes(1)).unwrap_err();
        assert_eq!(error.code, Code::ImageLimitReached);
        assert!(error.detail.contains("3 of 3 images"), "{}", error.detail);
        let error = quota((None, 3), (Some(10), 8)).reserve(bytes(3)).unwrap_err();
        assert_eq!(error.code, Code::ImageBytesLimitReached);
        assert_eq!(error.context["needed_bytes"], "3");
        assert!(quota((None, 3), (Some(10), 8)).reserve(bytes(2)).is_ok(), "the last byte may be used");
        assert!(quota((Some(0), 0), (None, 0)).reserve(bytes(1)).is_err(), "zero is a limit");
    }

    proptest! {
        /// However many ask, what was granted never exceeds the limits.
        #[test]
        fn what_is_granted_stays_within_the_limits(
            limit in 0_u32..8,
            room in 0_u64..1000,
            asked in prop::collection::vec(0_u64..400, 0..20),
        ) {
            let (mut images, mut used) = (0, 0);
            for needed in asked {
                if quota((Some(limit), images), (Some(room), used)).reserve(bytes(needed)).is_ok() {
                    images += 1;
                    used += needed;
                }
            }
            prop_assert!(images <= limit && used <= room);
        }
    }
}
