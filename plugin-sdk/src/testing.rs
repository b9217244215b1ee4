//! Suites that a plugin's own tests run (feature `testing`).
//!
//! The same suite runs on the mock host, in `cargo test`, and in the real runtime, by `imprint
//! plugin test FILE`.

pub mod inspector;
pub mod storage;
