//! Adjustments: corrections of closed months.

use imprint_domain::{
    Code, Error,
    billing::{Adjustment, Currency, Money},
    id::AccountId,
};
use imprint_store::billing::{adjustment, month};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::read;
use crate::{
    Op, Page, PageRequest, Service, auth::account, change::Change, db_result::DbResult, idempotency,
    page::Listing,
};

/// The most characters of a reason.
const MAX_REASON: usize = 512;

/// A correction of a closed month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustmentCreate {
    /// The account.
    pub account_id: AccountId,
    /// The closed month, `YYYY-MM`.
    pub corrects: String,
    /// The code of the currency.
    pub currency: String,
    /// The amount as a decimal number; negative for a credit.
    pub amount: String,
    /// Why, for the customer to read: 1 to 512 characters.
    pub reason: String,
}

/// An answer that is stored for an idempotency key.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: Uuid,
}

impl Service {
    /// Returns a page of adjustments, the latest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::PageTokenInvalid`]; an error of
    /// the database.
    pub async fn adjustment_list(&self, op: &Op, page: &PageRequest) -> Result<Page<Adjustment>, Error> {
        op.require_admin()?;
        let listing = Listing::new(page, "adjustments")?;
        let rows = adjustment::list(&self.read(), None, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |row| row.id)?;
        let items = rows.iter().map(read::adjustment_of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_page_token })
    }

    /// Corrects a closed month by an amount that is charged in the current one. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for an account that
    /// does not exist; [`Code::InvalidRequest`]; [`Code::InvalidTransition`] for a month that is
    /// not closed; an error of the database.
    pub async fn adjustment_create(&self, op: &Op, request: AdjustmentCreate) -> Result<Adjustment, Error> {
        op.require_admin()?;
        let invalid =
            |error: &dyn std::fmt::Display, at: &str| Error::new(Code::InvalidRequest, error).at(at);
        let corrects = read::month_of(&request.corrects, "/corrects")?;
        let currency: Currency = request.currency.parse().map_err(|error| invalid(&error, "/currency"))?;
        let charge = Money::parse(&request.amount, currency).map_err(|error| invalid(&error, "/amount"))?;
        if request.reason.trim().is_empty() || request.reason.chars().count() > MAX_REASON {
            return Err(invalid(&"a reason has 1 to 512 characters", "/reason"));
        }
        let change = Change::begin(self).await?;
        if let Some(Stored { id }) = idempotency::replay(&change, op).await? {
            let found = adjustment::get(&change.conn(), id).await.db()?;
            return read::adjustment_of(&found.ok_or_else(|| Error::not_found("adjustment"))?);
        }
        let account = account::get(&change.conn(), request.account_id).await;
        let account = account.map_err(|error| error.at("/account_id"))?.account;
        if month::get(&change.conn(), &corrects.to_string()).await.db()?.is_none() {
            let detail = format!("{corrects} is not closed, so that nothing of it has to be corrected");
            return Err(Error::new(Code::InvalidTransition, detail).at("/corrects"));
        }
        let row = adjustment::Adjustment {
            id: self.new_uuid(),
            account_id: account.id,
            currency: currency.to_string(),
            amount: charge.amount(),
            reason: request.reason,
            corrects: corrects.to_string(),
            charged_in: self.settings().billing_zone.month_of(change.now).to_string(),
            created_at: change.now,
            created_by: op.account_id(),
        };
        adjustment::insert(&change.tx, &row).await.db()?;
        let made = read::adjustment_of(&row)?;
        change.audit(op, "billing.adjust", made.id).await?;
        idempotency::remember(&change, op, &Stored { id: row.id }).await?;
        change.commit().await?;
        Ok(made)
    }
}
