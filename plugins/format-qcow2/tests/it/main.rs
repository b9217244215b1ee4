//! The format against `qemu-img`, against forged files, and against itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that they help")]

mod check;
mod hostile;
mod layouts;
mod properties;
mod qemu;
mod real;
mod support;
