//! The format against `qemu-img` and libvhdi, against forged files, and against itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that they help")]

mod layouts;
mod qemu;
mod real;
mod support;
