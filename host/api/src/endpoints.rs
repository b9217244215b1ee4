//! The endpoints: one file a noun. Each handler parses, calls the service, and shapes the answer;
//! rules live elsewhere.

mod accepted;
pub(crate) mod accounts;
pub(crate) mod admin;
pub(crate) mod agent;
pub(crate) mod events;
pub(crate) mod hypervisors;
pub(crate) mod images;
pub(crate) mod instances;
pub(crate) mod locations;
pub(crate) mod operations;
pub(crate) mod problems;
pub(crate) mod sessions;
pub(crate) mod tasks;
pub(crate) mod tokens;
