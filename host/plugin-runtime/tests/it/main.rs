//! The runtime with real components: plugins that misbehave in every way we know, next to one that does not.

mod cache;
mod components;
mod driver;
mod format;
mod loading;
mod storage;
