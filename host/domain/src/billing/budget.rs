//! Budgets: amounts of a month at which an account is notified, and at which it may not make
//! images any more.

use super::currency::{Currency, Money, Totals};
use crate::error::{Code, Error};

/// The budget of an account. Both amounts are of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The currency.
    pub currency: Currency,
    /// The amount at which the account is notified; the account sets it.
    pub notify: Option<Money>,
    /// The amount at which capture and import stop; an admin sets it.
    pub stop: Option<Money>,
}

/// What the cost of a month means for a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetState {
    /// The cost of the month so far, in the currency of the budget. Other currencies do not count.
    pub spent: Money,
    /// Whether it has reached the amount at which the account is notified.
    pub notify: bool,
    /// Whether it has reached the amount at which capture and import stop.
    pub stop: bool,
}

impl Budget {
    /// Compares the cost of a month so far with the budget.
    pub fn check(&self, so_far: &Totals) -> BudgetState {
        let spent = so_far.of(self.currency);
        let reached = |amount: Option<Money>| amount.is_some_and(|amount| spent.minor >= amount.minor);
        BudgetState { spent, notify: reached(self.notify), stop: reached(self.stop) }
    }
}

/// Refuses what would cost more, once the cost of the month has reached the admin's amount.
///
/// # Errors
///
/// [`Code::BudgetReached`] with `limit`, `used` and `currency`.
pub fn require_budget(budget: &Budget, spent: Money) -> Result<(), Error> {
    match budget.stop {
        Some(stop) if spent.currency == stop.currency && spent.minor >= stop.minor => Err(Error::new(
            Code::BudgetReached,
            format!(
                "this month has cost {spent} so far, and new images stop at {stop}; delete images to pay less \
                 from now on, wait for the next month, or ask your provider for a higher budget"
            ),
        )
        .with("limit", stop.amount())
        .with("used", spent.amount())
        .with("currency", stop.currency)),
        Some(_) | None => Ok(()),
    }
}
