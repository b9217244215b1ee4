//! The arguments of `imprint image share`.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use imprint_domain::id::ShareId;

use super::ConfirmArgs;

/// When a share ends: a time, or a while from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    At(DateTime<Utc>),
    After(TimeDelta),
}

impl Expiry {
    /// Returns the time, counted from now where it is a while.
    pub(crate) fn from(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::At(at) => Some(at),
            Self::After(while_) => now.checked_add_signed(while_),
        }
    }
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "give a time like 2027-01-31T12:00:00Z, or hours or days like 12h or 30d";
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.with_timezone(&Utc)));
        }
        let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(EXPECTED)?;
        let number: u32 = number.parse().map_err(|_| EXPECTED)?;
        match unit {
            "h" => Ok(Self::After(TimeDelta::hours(number.into()))),
            "d" => Ok(Self::After(TimeDelta::days(number.into()))),
            _ => Err(EXPECTED),
        }
    }
}

/// The commands of `imprint image share`.
#[derive(Debug, Subcommand)]
pub(crate) enum ShareCommand {
    /// Offer an image to another account, which may deploy it once it has accepted
    Offer(ShareOfferArgs),
    /// List the shares of an image, or what is offered to this account and shared with it
    List {
        /// Id or name of an image of this account; without it, what other accounts share
        image: Option<String>,
    },
    /// Accept an image that is offered to this account
    Accept {
        /// Id of the share
        share: ShareId,
    },
    /// Reject an image that is offered to this account
    Reject {
        /// Id of the share
        share: ShareId,
    },
    /// End a share of an image of this account; instances made from it stay
    Revoke {
        /// Id of the share
        share: ShareId,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
    /// Give up an image that is shared with this account; instances made from it stay
    Leave {
        /// Id of the share
        share: ShareId,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

/// Arguments of `imprint image share offer`.
#[derive(Debug, Args)]
pub(crate) struct ShareOfferArgs {
    /// Id or name
    pub(crate) image: String,
    /// Exact name of the account
    pub(crate) account: String,
    /// When the share ends by itself: a time like 2027-01-31T12:00:00Z, or 12h or 30d from now;
    /// without it, never
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<Expiry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_or_a_while() {
        let now = DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |text: &str| text.parse::<Expiry>().unwrap().from(now).unwrap();
        assert_eq!(at("12h"), now + TimeDelta::hours(12));
        assert_eq!(at("30d"), now + TimeDelta::days(30));
        assert_eq!(at("2027-01-31T13:00:00+01:00").to_rfc3339(), "2027-01-31T12:00:00+00:00");
        for wrong in ["", "d", "30", "30w", "-1d", "1.5d", "tomorrow", "30日"] {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
    }
}
