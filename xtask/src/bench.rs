//! `cargo xtask bench`.

use anyhow::Result;
use clap::Args;

/// Options of `bench`.
#[derive(Args)]
pub(crate) struct Options {}

/// Runs the measurements.
pub(crate) fn bench(_options: &Options) -> Result<()> {
    anyhow::bail!("the bench is not written yet")
}
