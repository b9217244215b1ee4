//! Accounts, sessions and tokens.

pub(crate) mod account;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod token;
