//! Budgets: at one amount an account is notified, at another one new images are refused.

use imprint_domain::{
    Code, Error,
    billing::{Budget, Currency, Money, RateVersion, budget::require_budget},
    event::EventKind,
    id::AccountId,
    time::Timestamp,
};
use imprint_store::{
    Conn,
    billing::budget::{self, BudgetRecord},
};

use super::read;
use crate::{Op, Service, auth::account, change::Change, db_result::DbResult};

/// The budgets that are read at once.
const AT_ONCE: u32 = 500;

/// A budget with what was spent of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetView {
    /// The account.
    pub account_id: AccountId,
    /// The currency; `None` without a budget.
    pub currency: Option<String>,
    /// The amount at which the account is notified.
    pub notify: Option<String>,
    /// The amount at which new images are refused.
    pub stop: Option<String>,
    /// The month and its cost, as the last hour saw it.
    pub spent: Option<(String, String)>,
    /// Whether new images are refused.
    pub stopped: bool,
}

fn budget_of(record: &BudgetRecord) -> Result<Budget, Error> {
    let currency: Currency = record.currency.parse().map_err(Error::internal)?;
    let money = |text: &Option<String>| {
        let parsed = text.as_deref().map(|text| Money::parse(text, currency));
        parsed.transpose().map_err(Error::internal)
    };
    Ok(Budget { currency, notify: money(&record.notify)?, stop: money(&record.stop)? })
}

/// Refuses a new image of an account whose month has reached the admin's amount. The cost is that
/// which the last hour saw.
pub(crate) async fn require(
    service: &Service,
    conn: &Conn<'_>,
    account: AccountId,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(record) = budget::get(conn, account).await.db()? else { return Ok(()) };
    require_record(service, &record, now)
}

fn require_record(service: &Service, record: &BudgetRecord, now: Timestamp) -> Result<(), Error> {
    let month = service.settings().billing_zone.month_of(now).to_string();
    let Some((_, spent)) = record.spent.as_ref().filter(|(of, _)| *of == month) else { return Ok(()) };
    let budget = budget_of(record)?;
    let spent = Money::parse(spent, budget.currency).map_err(Error::internal)?;
    require_budget(&budget, spent)
}

/// Which amount of a budget is set.
#[derive(Clone, Copy)]
enum Amount {
    Notify,
    Stop,
}

impl Service {
    /// Returns the budget of an account.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for an account that is not
    /// visible; an error of the database.
    pub async fn budget_show(&self, op: &Op, account: AccountId) -> Result<BudgetView, Error> {
        op.require_read()?;
        if !op.sees(account) {
            return Err(Error::not_found("account"));
        }
        account::get(&self.read(), account).await?;
        let found = budget::get(&self.read(), account).await.db()?;
        Ok(self.budget_view(account, found))
    }

    fn budget_view(&self, account_id: AccountId, found: Option<BudgetRecord>) -> BudgetView {
        let stopped = found.as_ref().is_some_and(|record| require_record(self, record, self.now()).is_err());
        let found = found.as_ref();
        BudgetView {
            account_id,
            currency: found.map(|record| record.currency.clone()),
            notify: found.and_then(|record| record.notify.clone()),
            stop: found.and_then(|record| record.stop.clone()),
            spent: found.and_then(|record| record.spent.clone()),
            stopped,
        }
    }

    /// Sets the amount at which the actor's account is notified; `None` removes it.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::InvalidRequest`]; an error of the database.
    pub async fn budget_notify(
        &self,
        op: &Op,
        currency: &str,
        amount: Option<&str>,
    ) -> Result<BudgetView, Error> {
        op.require_write()?;
        self.budget_set(op, op.account_id(), (currency, amount), Amount::Notify).await
    }

    /// Sets the amount at which new images of an account are refused; `None` removes it. Admins
    /// only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for an account that
    /// does not exist; [`Code::InvalidRequest`]; an error of the database.
    pub async fn budget_stop(
        &self,
        op: &Op,
        account: AccountId,
        currency: &str,
        amount: Option<&str>,
    ) -> Result<BudgetView, Error> {
        op.require_admin()?;
        self.budget_set(op, account, (currency, amount), Amount::Stop).await
    }

    async fn budget_set(
        &self,
        op: &Op,
        id: AccountId,
        (currency, amount): (&str, Option<&str>),
        which: Amount,
    ) -> Result<BudgetView, Error> {
        let currency: Currency =
            currency.parse().map_err(|error| Error::new(Code::InvalidRequest, error).at("/currency"))?;
        let amount = amount.map(|text| positive(text, currency)).transpose()?;
        let mut change = Change::begin(self).await?;
        account::get(&change.conn(), id).await?;
        let found = budget::get(&change.conn(), id).await.db()?;
        let kept = found.clone().filter(|record| record.currency == currency.code());
        let other = found.as_ref().and_then(|record| match which {
            Amount::Notify => record.stop.as_ref(),
            Amount::Stop => record.notify.as_ref(),
        });
        if kept.is_none() && other.is_some() {
            let detail = "the other amount of the budget is in another currency; give it in the same one";
            return Err(Error::new(Code::InvalidRequest, detail).at("/currency"));
        }
        let mut record = kept.unwrap_or_else(|| BudgetRecord {
            account_id: id,
            currency: currency.to_string(),
            notify: None,
            stop: None,
            spent: None,
            notified_month: None,
        });
        let text = amount.map(Money::amount);
        match which {
            Amount::Notify => record.notify = text,
            Amount::Stop => record.stop = text,
        }
        let rates = read::rates(&change.conn()).await?;
        self.check_budget(&mut change, &mut record, &rates).await?;
        if record.notify.is_none() && record.stop.is_none() {
            budget::delete(&change.tx, id).await.db()?;
        } else {
            budget::put(&change.tx, &record).await.db()?;
        }
        change.audit(op, "billing.budget", id).await?;
        let answer = self.budget_view(id, Some(record).filter(|r| r.notify.is_some() || r.stop.is_some()));
        change.commit().await?;
        Ok(answer)
    }

    /// Compares the cost of the month with the budget, and says once a month that it is reached.
    async fn check_budget(
        &self,
        change: &mut Change<'_>,
        record: &mut BudgetRecord,
        rates: &[RateVersion],
    ) -> Result<(), Error> {
        let zone = self.settings().billing_zone;
        let month = zone.month_of(change.now);
        let about = (month.period(zone), zone, change.now);
        let report = read::report_of(&change.conn(), record.account_id, about, rates).await?;
        let found = budget_of(record)?.check(&report.totals);
        let month = month.to_string();
        record.spent = Some((month.clone(), found.spent.amount()));
        if (found.notify || found.stop) && record.notified_month.as_ref() != Some(&month) {
            record.notified_month = Some(month);
            change.billing_changed(EventKind::BillingBudgetReached, Some(record.account_id)).await?;
        }
        Ok(())
    }

    /// Compares the cost of the month of every account that has a budget with it.
    pub(super) async fn check_budgets(&self) -> Result<(), Error> {
        let mut after: Option<AccountId> = None;
        loop {
            let found = budget::list(&self.read(), after, AT_ONCE).await.db()?;
            let Some(last) = found.last().map(|record| record.account_id) else { return Ok(()) };
            let rates = read::rates(&self.read()).await?;
            for account in found.iter().map(|record| record.account_id) {
                let mut change = Change::begin(self).await?;
                let Some(mut record) = budget::get(&change.conn(), account).await.db()? else { continue };
                self.check_budget(&mut change, &mut record, &rates).await?;
                budget::put(&change.tx, &record).await.db()?;
                change.commit().await?;
            }
            after = Some(last);
        }
    }
}

fn positive(text: &str, currency: Currency) -> Result<Money, Error> {
    let at = |detail: &dyn std::fmt::Display| Error::new(Code::InvalidRequest, detail).at("/amount");
    let money = Money::parse(text, currency).map_err(|error| at(&error))?;
    if money.minor < 0 {
        return Err(at(&"a budget is not negative"));
    }
    Ok(money)
}
