//! The nouns and rules of Imprint: images, instances, image storages, locations, accounts, tasks.
//!
//! Ground rules: no I/O, no clock, no randomness, no async. Time and fresh ids come in as
//! arguments. Whatever enters is parsed into one of these types at the border, and an illegal state
//! or transition cannot be expressed or is an error.
//!
//! Not here: rows (`store`), HTTP shapes (`api`), moving bytes (`data-path`).

pub mod account;
pub mod coalesce;
pub mod consistency;
pub mod error;
pub mod event;
pub mod hypervisor;
pub mod id;
pub mod image;
pub mod instance;
pub mod location;
pub mod name;
pub mod rules;
pub mod size;
pub mod storage;
mod string_enum;
pub mod task;
pub mod task_error;
pub mod time;

pub use error::{Code, Error};
pub use string_enum::UnknownValue;
