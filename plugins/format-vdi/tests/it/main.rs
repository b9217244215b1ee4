//! The format against `qemu-img`, against forged files, and against itself.

mod hostile;
mod layouts;
mod properties;
mod qemu;
mod real;
mod support;
