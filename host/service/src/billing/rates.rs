//! Rates: their versions, and new ones, which never change what was before (S115, S137).

use imprint_domain::{
    Code, Error,
    billing::{
        InstancePrices, Price, Prices, RateKind, RateTerms, RateVersion, calendar::start_of_hour,
        rate::check_effective_from,
    },
    event::EventKind,
    id::{AccountId, LocationId, RateId},
    time::Timestamp,
};
use imprint_store::{
    Conn,
    billing::{rate, state},
};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Service, auth::account, catalogue::location, change::Change, db_result::DbResult, idempotency,
};

/// The terms of a rate as a client writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateTermsRequest {
    /// `image_storage` or `instance`.
    pub kind: String,
    /// The code of the currency.
    pub currency: String,
    /// The price of a GB for a month, of images.
    pub gb_month: Option<String>,
    /// The price of a virtual processor for an hour, of instances.
    pub vcpu_hour: Option<String>,
    /// The price of a GB of memory for an hour, of instances.
    pub memory_gb_hour: Option<String>,
    /// The price of a GB of disks for an hour, of instances.
    pub disk_gb_hour: Option<String>,
    /// The bytes that cost nothing, of images.
    pub free_bytes: u64,
    /// `730` or `calendar`.
    pub hours_per_month: String,
    /// `gib` or `gb`.
    pub gb: String,
    /// `pro_rata` or `round_up`.
    pub partial_hour: String,
}

/// A new version of a rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCreate {
    /// The location.
    pub location_id: LocationId,
    /// The account, if it applies to one only.
    pub account_id: Option<AccountId>,
    /// The hour from which it applies; `None` for the next one.
    pub effective_from: Option<Timestamp>,
    /// The terms.
    pub terms: RateTermsRequest,
}

/// The end of a rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateEnd {
    /// The location.
    pub location_id: LocationId,
    /// The account, if its own rate ends.
    pub account_id: Option<AccountId>,
    /// `image_storage` or `instance`.
    pub kind: String,
    /// The hour from which it does not apply any more; `None` for the next one.
    pub effective_from: Option<Timestamp>,
}

/// An answer that is stored for an idempotency key.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: RateId,
}

impl RateTermsRequest {
    /// Parses the terms.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] at the member that is wrong.
    pub(super) fn parse(&self) -> Result<RateTerms, Error> {
        Ok(RateTerms {
            prices: self.prices()?,
            currency: parsed(&self.currency, "currency")?,
            hours_per_month: parsed(&self.hours_per_month, "hours_per_month")?,
            gb: parsed(&self.gb, "gb")?,
            partial_hour: parsed(&self.partial_hour, "partial_hour")?,
        })
    }

    fn prices(&self) -> Result<Prices, Error> {
        match self.kind.as_str() {
            "image_storage" => {
                not_of(&self.vcpu_hour, "vcpu_hour")?;
                not_of(&self.memory_gb_hour, "memory_gb_hour")?;
                not_of(&self.disk_gb_hour, "disk_gb_hour")?;
                let gb_month = price(&self.gb_month, "gb_month")?;
                Ok(Prices::ImageStorage { gb_month, free_bytes: self.free_bytes })
            }
            "instance" => {
                not_of(&self.gb_month, "gb_month")?;
                if self.free_bytes > 0 {
                    return Err(refused("free_bytes", "a rate of instances has none"));
                }
                Ok(Prices::Instance(InstancePrices {
                    vcpu_hour: price(&self.vcpu_hour, "vcpu_hour")?,
                    memory_gb_hour: price(&self.memory_gb_hour, "memory_gb_hour")?,
                    disk_gb_hour: price(&self.disk_gb_hour, "disk_gb_hour")?,
                }))
            }
            _ => Err(refused("kind", "expected one of: image_storage, instance")),
        }
    }
}

fn refused(member: &str, detail: impl std::fmt::Display) -> Error {
    Error::new(Code::InvalidRequest, detail).at(format!("/terms/{member}"))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str, member: &str) -> Result<T, Error> {
    text.parse().map_err(|error| refused(member, error))
}

fn price(text: &Option<String>, member: &str) -> Result<Price, Error> {
    let text = text.as_deref().ok_or_else(|| refused(member, "a rate of this kind needs this price"))?;
    parsed(text, member)
}

fn not_of(text: &Option<String>, member: &str) -> Result<(), Error> {
    match text {
        Some(_) => Err(refused(member, "a rate of this kind has no such price")),
        None => Ok(()),
    }
}

/// Reads a version that must exist.
async fn get(conn: &Conn<'_>, id: RateId) -> Result<RateVersion, Error> {
    let found = rate::list(conn, None).await.db()?.into_iter().find(|version| version.id == id);
    found.ok_or_else(|| Error::not_found("rate"))
}

impl Service {
    /// Returns the versions of all rates, the latest of each first. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; an error of the database.
    pub async fn rate_list(&self, op: &Op, location: Option<LocationId>) -> Result<Vec<RateVersion>, Error> {
        op.require_admin()?;
        rate::list(&self.read(), location).await.db()
    }

    /// Adds a version of a rate, from a whole hour on that has not started. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for a location or an
    /// account that does not exist; [`Code::InvalidRequest`]; [`Code::RateInPast`]; an error of the
    /// database.
    pub async fn rate_create(&self, op: &Op, request: RateCreate) -> Result<RateVersion, Error> {
        op.require_admin()?;
        let terms = request.terms.parse()?;
        let RateCreate { location_id, account_id, effective_from, .. } = request;
        self.rate_put(op, (location_id, account_id), effective_from, |_, _| Ok((terms, false))).await
    }

    /// Ends a rate from a whole hour on that has not started: an account pays the rate of its
    /// location again, and a location charges nothing. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for a location or an
    /// account that does not exist, or where no such rate applies at that hour;
    /// [`Code::InvalidRequest`]; [`Code::RateInPast`]; an error of the database.
    pub async fn rate_end(&self, op: &Op, request: RateEnd) -> Result<RateVersion, Error> {
        op.require_admin()?;
        let RateEnd { location_id, account_id, kind, effective_from } = request;
        let kind: RateKind =
            kind.parse().map_err(|error| Error::new(Code::InvalidRequest, error).at("/kind"))?;
        self.rate_put(op, (location_id, account_id), effective_from, |known, from| {
            let before = known.iter().filter(|version| {
                version.account_id == account_id
                    && version.terms.kind() == kind
                    && version.effective_from <= from
            });
            let latest = before.max_by_key(|version| version.effective_from);
            match latest.filter(|version| !version.ends) {
                Some(version) => Ok((version.terms, true)),
                None => Err(Error::not_found("rate")),
            }
        })
        .await
    }

    /// Writes a version; `terms` makes its terms of the versions of the location and its hour, and
    /// says whether it ends the rate.
    async fn rate_put(
        &self,
        op: &Op,
        (location_id, account_id): (LocationId, Option<AccountId>),
        wanted: Option<Timestamp>,
        terms: impl FnOnce(&[RateVersion], Timestamp) -> Result<(RateTerms, bool), Error>,
    ) -> Result<RateVersion, Error> {
        let mut change = Change::begin(self).await?;
        if let Some(Stored { id }) = idempotency::replay(&change, op).await? {
            return get(&change.conn(), id).await;
        }
        let conn = change.conn();
        location::get(&conn, location_id).await.map_err(|error| error.at("/location_id"))?;
        if let Some(id) = account_id {
            account::get(&conn, id).await.map_err(|error| error.at("/account_id"))?;
        }
        // What is sealed keeps its rate, also when the clock was set back.
        let sealed = state::get(&conn).await.db()?.map(|state| start_of_hour(state.sealed_until));
        let now = sealed.map_or(change.now, |sealed| sealed.max(change.now));
        let effective_from = check_effective_from(wanted, now)?;
        let known = rate::list(&conn, Some(location_id)).await.db()?;
        let (terms, ends) = terms(&known, effective_from)?;
        let version = RateVersion {
            id: RateId::new(self.new_uuid()),
            location_id,
            account_id,
            effective_from,
            terms,
            ends,
            created_at: change.now,
            created_by: Some(op.account_id()),
        };
        rate::put(&change.tx, &version).await.db()?;
        change.billing_changed(EventKind::BillingRateChanged, None).await?;
        change.audit(op, "billing.rate", version.id).await?;
        idempotency::remember(&change, op, &Stored { id: version.id }).await?;
        change.commit().await?;
        Ok(version)
    }
}
