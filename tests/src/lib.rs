//! Whole-product tests: the real binary, real guests under emulation, real tools as oracles.
//! Nothing of ours is mocked.
//!
//! `cargo xtask test` builds what they need and sets the variables `IMPRINT_BIN` (the binary) and
//! `IMPRINT_DIST` (plugins, the stock image). The tests themselves are in `it/`.

pub mod authority;
pub mod client;
pub mod garage;
pub mod ledger;
pub mod nfs;
pub mod process;
pub mod receiver;
pub mod relay;
pub mod s3;
pub mod server;
pub mod storages;
pub mod swift;
pub mod tls_front;
pub mod tools;
pub mod web;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};

/// Returns the path of the binary under test.
pub fn binary() -> Result<PathBuf> {
    std::env::var_os("IMPRINT_BIN")
        .map(PathBuf::from)
        .context("IMPRINT_BIN is not set; run the tests with `cargo xtask test`")
}

/// Returns the folder of the built parts: `plugins/`, and the images of `guest/`: that of the demo,
/// and in `guest/writing/` the same of a guest that writes all the time.
pub fn dist() -> Result<PathBuf> {
    std::env::var_os("IMPRINT_DIST")
        .map(PathBuf::from)
        .context("IMPRINT_DIST is not set; run the tests with `cargo xtask test`")
}

/// The longest time that a test waits for anything: a guest under emulation on a busy machine is
/// slow, not stuck.
pub const LONGEST_WAIT: Duration = Duration::from_secs(180);

/// Repeats a question until it has an answer, and returns that. The error after [`LONGEST_WAIT`]
/// says what was waited for, and the last failure.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = std::time::Instant::now();
    loop {
        let seen = ask().await;
        match seen {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if start.elapsed() > LONGEST_WAIT => {
                bail!("waited {} s for {what}", LONGEST_WAIT.as_secs())
            }
            Err(error) if start.elapsed() > LONGEST_WAIT => {
                return Err(error.context(format!("waited for {what}")));
            }
            Ok(None) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
