//! The endpoints, one file per noun. A handler parses the request, calls the service, and converts
//! the result; rules are in `domain` and `service`.

mod accepted;
pub(crate) mod accounts;
pub(crate) mod admin;
pub(crate) mod agent;
pub(crate) mod downloads;
pub(crate) mod events;
pub(crate) mod exports;
pub(crate) mod hypervisors;
pub(crate) mod images;
pub(crate) mod instances;
pub(crate) mod isos;
pub(crate) mod locations;
pub(crate) mod media_groups;
pub(crate) mod operations;
pub(crate) mod panel;
pub(crate) mod problems;
pub(crate) mod sessions;
pub(crate) mod shares;
pub(crate) mod ssh_keys;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod uploads;
pub(crate) mod usage;
pub(crate) mod user_scripts;
pub(crate) mod webhooks;
