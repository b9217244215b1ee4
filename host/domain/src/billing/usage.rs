//! Intervals of usage: times in which a subject was there and its measure did not change.

use std::{
    fmt,
    ops::{Add, AddAssign},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, ImageId, InstanceId, LocationId, UsageIntervalId},
    string_enum::string_enum,
    time::Timestamp,
};

string_enum! {
    /// What a rate is for.
    #[derive(PartialOrd, Ord)]
    pub enum RateKind {
        /// Images, by their size over time (S112).
        ImageStorage = "image_storage",
        /// Instances, by the hour (S121).
        Instance = "instance",
    }

    /// Why an interval ended.
    pub enum IntervalEnd {
        /// The subject was deleted: no interval follows.
        Deleted = "deleted",
        /// The measure changed, and the next interval starts where this one ends.
        Changed = "changed",
    }
}

/// What is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageSubject {
    /// An image, from the moment it is available (S116).
    Image(ImageId),
    /// An instance, from the moment it is ready (S121).
    Instance(InstanceId),
}

impl UsageSubject {
    /// Returns the kind of rate that applies.
    pub const fn rate_kind(self) -> RateKind {
        match self {
            Self::Image(_) => RateKind::ImageStorage,
            Self::Instance(_) => RateKind::Instance,
        }
    }
}

impl fmt::Display for UsageSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => id.fmt(f),
            Self::Instance(id) => id.fmt(f),
        }
    }
}

/// How much of a subject there is during an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Measure {
    /// An image.
    Image {
        /// The bytes that it takes in its storage (D1).
        bytes: u64,
    },
    /// An instance.
    Instance {
        /// The virtual processors.
        vcpus: u32,
        /// The bytes of memory.
        memory_bytes: u64,
        /// The bytes of all disks.
        disk_bytes: u64,
    },
}

impl Measure {
    /// Returns the measure over a time in milliseconds.
    pub fn over(self, ms: u64) -> Usage {
        let ms = u128::from(ms);
        match self {
            Self::Image { bytes } => Usage::Image { byte_ms: u128::from(bytes) * ms },
            Self::Instance { vcpus, memory_bytes, disk_bytes } => Usage::Instance {
                ms,
                vcpu_ms: u128::from(vcpus) * ms,
                memory_byte_ms: u128::from(memory_bytes) * ms,
                disk_byte_ms: u128::from(disk_bytes) * ms,
            },
        }
    }

    /// Returns the size of an image in bytes; `None` for an instance.
    pub const fn image_bytes(self) -> Option<u64> {
        match self {
            Self::Image { bytes } => Some(bytes),
            Self::Instance { .. } => None,
        }
    }
}

/// A time in which a subject was there and its measure did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageInterval {
    /// The interval's id.
    pub id: UsageIntervalId,
    /// The account that pays.
    pub account_id: AccountId,
    /// The location, which has the rate.
    pub location_id: LocationId,
    /// What is metered.
    pub subject: UsageSubject,
    /// The name that the subject had last.
    pub name: String,
    /// How much of it there is.
    pub measure: Measure,
    /// The start.
    pub started_at: Timestamp,
    /// The end, which is not part of it; `None` while it runs.
    pub ended_at: Option<Timestamp>,
    /// Why it ended; `None` while it runs.
    pub ended_by: Option<IntervalEnd>,
}

/// A measure over time, exactly. A text of it names its units: `byte_ms=7200`, or
/// `ms=5 vcpu_ms=10 memory_byte_ms=40 disk_byte_ms=80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Usage {
    /// Of images.
    Image {
        /// Bytes times milliseconds.
        byte_ms: u128,
    },
    /// Of instances.
    Instance {
        /// Milliseconds.
        ms: u128,
        /// Virtual processors times milliseconds.
        vcpu_ms: u128,
        /// Bytes of memory times milliseconds.
        memory_byte_ms: u128,
        /// Bytes of disks times milliseconds.
        disk_byte_ms: u128,
    },
}

/// The text is no measure over time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no usage; expected a text like `byte_ms=7200`")]
pub struct ParseUsageError(String);

impl Usage {
    /// Returns the bytes times milliseconds of images; nothing for instances.
    pub const fn byte_ms(self) -> u128 {
        match self {
            Self::Image { byte_ms } => byte_ms,
            Self::Instance { .. } => 0,
        }
    }

    /// Returns whether nothing was used.
    pub const fn is_zero(self) -> bool {
        match self {
            Self::Image { byte_ms } => byte_ms == 0,
            Self::Instance { ms, .. } => ms == 0,
        }
    }
}

impl Add for Usage {
    type Output = Self;

    /// Adds what was used by the same kind of subject; of another kind nothing is added.
    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Image { byte_ms: a }, Self::Image { byte_ms: b }) => Self::Image { byte_ms: a + b },
            (
                Self::Instance { ms, vcpu_ms, memory_byte_ms, disk_byte_ms },
                Self::Instance { ms: time, vcpu_ms: vcpus, memory_byte_ms: memory, disk_byte_ms: disks },
            ) => Self::Instance {
                ms: ms + time,
                vcpu_ms: vcpu_ms + vcpus,
                memory_byte_ms: memory_byte_ms + memory,
                disk_byte_ms: disk_byte_ms + disks,
            },
            (Self::Image { .. }, Self::Instance { .. }) | (Self::Instance { .. }, Self::Image { .. }) => self,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { byte_ms } => write!(f, "byte_ms={byte_ms}"),
            Self::Instance { ms, vcpu_ms, memory_byte_ms, disk_byte_ms } => write!(
                f,
                "ms={ms} vcpu_ms={vcpu_ms} memory_byte_ms={memory_byte_ms} disk_byte_ms={disk_byte_ms}"
            ),
        }
    }
}

impl FromStr for Usage {
    type Err = ParseUsageError;

    fn from_str(text: &str) -> Result<Self, ParseUsageError> {
        parse(text).ok_or_else(|| ParseUsageError(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Usage> {
    let mut fields = text.split(' ');
    let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    let usage = if text.starts_with("byte_ms=") {
        Usage::Image { byte_ms: field("byte_ms")? }
    } else {
        Usage::Instance {
            ms: field("ms")?,
            vcpu_ms: field("vcpu_ms")?,
            memory_byte_ms: field("memory_byte_ms")?,
            disk_byte_ms: field("disk_byte_ms")?,
        }
    };
    fields.next().is_none().then_some(usage)
}

impl From<Usage> for String {
    fn from(usage: Usage) -> Self {
        usage.to_string()
    }
}

impl TryFrom<String> for Usage {
    type Error = ParseUsageError;

    fn try_from(text: String) -> Result<Self, ParseUsageError> {
        text.parse()
    }
}
