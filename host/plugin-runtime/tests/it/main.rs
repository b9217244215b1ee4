//! The runtime with real components: plugins that misbehave in every way we know, next to one that
//! does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod cache;
mod components;
mod driver;
mod format;
mod loading;
mod storage;
mod stream;
