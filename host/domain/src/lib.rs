//! The nouns and rules of Imprint: images, instances, image storages, locations, accounts, tasks.
//!
//! Ground rules: no I/O, no clock, no randomness, no async. Time and fresh ids come in as
//! arguments. Input is parsed into one of these types at the border. What has a life cycle (images,
//! instances, shares, tasks) is built by constructors and changed by methods only: an illegal state
//! cannot be built, an illegal transition is a typed error that changes nothing. Accounts,
//! locations, hypervisors and storages are plain data without a life cycle.
//!
//! Not here: rows (`store`), HTTP shapes (`api`), copying bytes (`data-path`).

pub mod account;
pub mod billing;
pub mod capture_format;
mod checked_text;
pub mod coalesce;
pub mod consistency;
pub mod digest;
pub mod error;
pub mod error_chain;
pub mod estimate;
pub mod event;
pub mod export;
pub mod findings;
pub mod hypervisor;
pub mod id;
pub mod image;
pub mod import;
pub mod instance;
pub mod iso;
mod iso_mount;
pub mod limits;
pub mod location;
pub mod media_group;
pub mod metadata;
pub mod name;
pub mod network;
pub mod plugin_kind;
pub mod rules;
pub mod search;
pub mod secret;
pub mod settings;
pub mod share;
pub mod size;
pub mod ssh_key;
pub mod storage;
pub mod storage_scan;
pub mod storage_test;
mod string_enum;
pub mod support;
pub mod tag;
pub mod task;
pub mod task_error;
pub mod time;
mod transition;
pub mod user_script;
pub mod webhook;
pub mod windows;

pub use error::{Code, Error};
pub use string_enum::UnknownValue;
pub use transition::IllegalTransition;
