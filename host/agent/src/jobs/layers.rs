//! The layers of an instance's disk: a backing chain of files, each with the differences from the
//! one below (S39).
//!
//! A layer names its parent in untrusted text. Of that text only the last path component counts,
//! and it is looked up in the instance's own folder and nowhere else: no path from an image is ever
//! opened. The agent's own files there are no layers.

pub(crate) mod chain;
mod name;
pub(crate) mod references;
