//! Moving the bytes of a disk: into a new image, into a digest, against another disk.

pub(crate) mod backend;
pub(crate) mod compare;
pub(crate) mod context;
pub(crate) mod in_process;
pub(crate) mod options;
pub(crate) mod pipeline;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod read;
pub(crate) mod write;
