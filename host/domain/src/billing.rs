//! Billing: what was stored, for how long, and by whom (S112 to S121).

use crate::{
    id::{AccountId, ImageId, InstanceId, LocationId, UsageIntervalId},
    string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// Why an interval ended.
    pub enum IntervalEnd {
        /// What it is about was deleted.
        Deleted = "deleted",
        /// What it is about has changed, and has another interval from then on; or it costs nothing
        /// any more without having been deleted.
        Changed = "changed",
    }
}

/// What costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageSubject {
    /// An image.
    Image(ImageId),
    /// An instance.
    Instance(InstanceId),
}

/// How much of what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Of an image.
    Image {
        /// The bytes of its file (D1).
        bytes: u64,
    },
    /// Of an instance.
    Instance {
        /// The number of virtual processors.
        vcpus: u32,
        /// The bytes of its memory.
        memory_bytes: u64,
        /// The bytes of its disks, as the guest sees them.
        disk_bytes: u64,
    },
}

/// A time in which an account used the same of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageInterval {
    /// The interval's id.
    pub id: UsageIntervalId,
    /// The account that pays.
    pub account_id: AccountId,
    /// The location.
    pub location_id: LocationId,
    /// What it is about, which may be deleted by now.
    pub subject: UsageSubject,
    /// The name that it had last.
    pub name: String,
    /// How much was used.
    pub measure: Measure,
    /// The start, in whole milliseconds.
    pub started_at: Timestamp,
    /// The end, in whole milliseconds; `None` while it lasts.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub ended_by: Option<IntervalEnd>,
}
