//! Helpers that every part of the crate uses.

pub(crate) mod aligned;
pub(crate) mod blocking;
pub(crate) mod lock;
pub(crate) mod num;
pub(crate) mod signals;
pub(crate) mod zero;
