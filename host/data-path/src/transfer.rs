//! Moving the bytes of a disk: into a new image, into a digest, against another disk.

pub(crate) mod movement;
pub(crate) mod pipeline;
pub(crate) mod place;
pub(crate) mod progress;
pub(crate) mod tools;
pub(crate) mod write;
