//! The rows: what the service knows, in SQLite or PostgreSQL, with the same behaviour on both.
//!
//! Ground rules:
//! - Functions that only read take a [`Conn`]; functions that write take a [`WriteTx`], so a write
//!   outside a transaction does not compile. A transaction contains nothing but SQL.
//! - Write transactions run one after the other: SQLite by `BEGIN IMMEDIATE`, PostgreSQL by an
//!   advisory lock that ends with the transaction. So read, decide, write is correct without
//!   further locks, on both. What that costs is bounded: a transaction is some ten small
//!   statements.
//! - Not found is `None`; a row that cannot be understood is [`StoreError::Corrupt`].
//!
//! Not here: rules and authorisation (`service`).

mod codec;
mod connect;
mod error;
mod open;

pub mod account;
pub mod audit;
pub mod billing;
pub mod capture_figures;
pub mod event;
pub mod export;
pub mod hypervisor;
pub mod idempotency;
pub mod image;
pub mod image_findings;
pub mod image_import;
pub mod instance;
pub mod iso;
pub mod location;
pub mod media_group;
pub mod secret;
pub mod session;
pub mod share;
pub mod ssh_key;
pub mod storage;
pub mod storage_health;
pub mod storage_kind;
pub mod storage_scan;
pub mod storage_use;
pub mod task;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod user_script;
pub mod webhook;

pub use connect::{Conn, Store, Target, WriteTx};
pub use error::StoreError;
