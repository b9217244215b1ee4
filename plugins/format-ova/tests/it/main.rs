//! The format against archives that are built here, good and forged.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that they help")]

mod forge;
mod hostile;
mod properties;
mod real;
