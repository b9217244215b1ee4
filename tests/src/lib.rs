//! Whole-product tests: the real binary, real guests under emulation, real tools as oracles.
//! Nothing of ours is mocked.
//!
//! `cargo xtask test` builds what they need and says where it is: `IMPRINT_BIN` (the binary) and
//! `IMPRINT_DIST` (plugins, the stock image). The tests themselves are in `it/`.

pub mod client;
pub mod ledger;
pub mod process;
pub mod server;
pub mod tools;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};

/// The binary under test.
pub fn binary() -> Result<PathBuf> {
    std::env::var_os("IMPRINT_BIN")
        .map(PathBuf::from)
        .context("IMPRINT_BIN is not set; run the tests with `cargo xtask test`")
}

/// Built parts: `plugins/`, `guest/stock-linux.raw`.
pub fn dist() -> Result<PathBuf> {
    std::env::var_os("IMPRINT_DIST")
        .map(PathBuf::from)
        .context("IMPRINT_DIST is not set; run the tests with `cargo xtask test`")
}

/// Longest wait for anything in a test: a guest under emulation on a busy machine is slow, not
/// stuck.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again and again until there is an answer; the error says what was waited for, and what was
/// seen last.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = std::time::Instant::now();
    loop {
        let seen = ask().await;
        match seen {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if begun.elapsed() > PATIENCE => bail!("waited {} s for {what}", PATIENCE.as_secs()),
            Err(error) if begun.elapsed() > PATIENCE => {
                return Err(error.context(format!("waited for {what}")));
            }
            Ok(None) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
