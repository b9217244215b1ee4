//! The types of requests and answers, one file per noun, with the names of the domain.
//!
//! Ground rules: requests with unknown members are refused; answers have every member, `null`
//! without a value; sizes are in bytes, times are RFC 3339 in UTC, ids are strings with a prefix.
//! The command line reads its answers with the same types.

pub mod account;
pub mod billing;
mod convert;
pub mod download;
pub mod event;
pub mod export;
pub mod hypervisor;
pub mod image;
pub mod import;
pub mod instance;
pub mod iso;
pub mod location;
pub mod media_group;
pub mod page;
pub mod patch;
pub mod problem;
pub mod secret;
pub mod share;
pub mod ssh_key;
pub mod stock_image;
pub mod storage;
pub mod storage_kind;
pub mod storage_scan;
pub mod storage_test;
pub mod task;
mod time;
pub mod usage;
pub mod user_script;
pub mod webhook;

pub(crate) use convert::byte_size;
