//! Billing: the intervals in which something was stored, the rates, the hours that were metered,
//! and what was charged.

pub mod adjustment;
pub mod budget;
pub mod hour;
pub mod interval;
pub mod month;
pub mod rate;
pub mod state;
