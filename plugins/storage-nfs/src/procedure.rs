//! The numbers of the procedures that are called.

/// `MOUNTPROC3_MNT`.
pub(crate) const MNT: u32 = 1;
/// `MOUNTPROC3_EXPORT`.
pub(crate) const EXPORT: u32 = 5;
/// `PMAPPROC_GETPORT`.
pub(crate) const GETPORT: u32 = 3;

pub(crate) const GETATTR: u32 = 1;
pub(crate) const SETATTR: u32 = 2;
pub(crate) const LOOKUP: u32 = 3;
pub(crate) const READ: u32 = 6;
pub(crate) const WRITE: u32 = 7;
pub(crate) const CREATE: u32 = 8;
pub(crate) const MKDIR: u32 = 9;
pub(crate) const REMOVE: u32 = 12;
pub(crate) const RENAME: u32 = 14;
pub(crate) const LINK: u32 = 15;
pub(crate) const READDIR: u32 = 16;
pub(crate) const READDIRPLUS: u32 = 17;
pub(crate) const FSSTAT: u32 = 18;
pub(crate) const FSINFO: u32 = 19;
pub(crate) const COMMIT: u32 = 21;
