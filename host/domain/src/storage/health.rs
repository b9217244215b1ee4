//! The health of an image storage, as each hypervisor that it is bound to sees it (W30 of the
//! reviews: one for all flaps when two agents disagree).

use super::{ImageStorage, StorageState};
use crate::{
    hypervisor::OFFLINE_AFTER_S, id::HypervisorId, size::ByteSize, string_enum::string_enum, time::Timestamp,
};

string_enum! {
    /// How well an image storage can be used, from best to worst.
    #[derive(PartialOrd, Ord)]
    pub enum HealthClass {
        /// It takes images.
        Healthy = "healthy",
        /// No agent has reported it lately.
        Unknown = "unknown",
        /// It takes images, but has less free space than its threshold.
        NearlyFull = "nearly_full",
        /// It can be read only.
        ReadOnly = "read_only",
        /// It cannot be used at all.
        Unreachable = "unreachable",
    }
}

/// What the agent of one hypervisor reported last about one image storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageHealth {
    /// The hypervisor.
    pub hypervisor_id: HypervisorId,
    /// The size of the storage; `None` if it has no fixed size.
    pub total: Option<ByteSize>,
    /// The free space; `None` if it is not known.
    pub available: Option<ByteSize>,
    /// Whether it can be read but not written.
    pub read_only: bool,
    /// Why it cannot be used, as the plugin says it; `None` if it can.
    pub problem: Option<String>,
    /// When the report came.
    pub seen_at: Timestamp,
}

impl StorageHealth {
    /// Returns how well the hypervisor can use the storage, where `reserved` bytes of its free
    /// space are promised to work that has not written them yet.
    pub fn class(&self, storage: &ImageStorage, reserved: ByteSize, now: Timestamp) -> HealthClass {
        if (now - self.seen_at).num_seconds() >= OFFLINE_AFTER_S {
            return HealthClass::Unknown;
        }
        if self.problem.is_some() {
            return HealthClass::Unreachable;
        }
        if self.read_only {
            return HealthClass::ReadOnly;
        }
        let free = self.available.map(|available| available.saturating_sub(reserved));
        match (free, storage.min_free(self.total)) {
            (Some(free), Some(least)) if free < least => HealthClass::NearlyFull,
            (Some(_) | None, Some(_) | None) => HealthClass::Healthy,
        }
    }

    /// Returns what an operator has to know about that class, if anything.
    pub fn problem(&self, class: HealthClass) -> Option<String> {
        match class {
            HealthClass::Healthy | HealthClass::Unknown => None,
            HealthClass::NearlyFull => Some(match (self.available, self.total) {
                (Some(free), Some(total)) => {
                    format!("it is nearly full: {free} of {total} are free; delete images, or add a storage")
                }
                (Some(free), None) => {
                    format!("it is nearly full: {free} are free; delete images, or add a storage")
                }
                (None, Some(_) | None) => "it is nearly full; delete images, or add a storage".to_owned(),
            }),
            HealthClass::ReadOnly => Some(
                "it is mounted read-only; remount it for writing, or set its state to read_only".to_owned(),
            ),
            HealthClass::Unreachable => self.problem.clone(),
        }
    }
}

/// The health of an image storage over all hypervisors that it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSummary {
    /// The worst class that any of them sees; [`HealthClass::Unknown`] without a report.
    pub class: HealthClass,
    /// The hypervisor with that class, and what an operator has to know about it.
    pub problem: Option<(HypervisorId, String)>,
    /// The smallest free space that any of them reported.
    pub available: Option<ByteSize>,
    /// The size that came with it, else any that was reported.
    pub total: Option<ByteSize>,
    /// When the latest report came.
    pub seen_at: Option<Timestamp>,
}

impl StorageSummary {
    /// Returns the summary of what the hypervisors reported.
    pub fn of(storage: &ImageStorage, reports: &[StorageHealth], reserved: ByteSize, now: Timestamp) -> Self {
        let class_of = |report: &StorageHealth| report.class(storage, reserved, now);
        let worst = reports.iter().max_by_key(|report| (class_of(report), report.hypervisor_id));
        let scarcest = reports.iter().min_by_key(|report| (report.available.is_none(), report.available));
        // A storage that takes nothing by request is not in trouble because it cannot be written.
        let wanted = |class| storage.state == StorageState::Active || class != HealthClass::ReadOnly;
        Self {
            class: worst.map_or(HealthClass::Unknown, class_of),
            problem: worst.and_then(|report| {
                let class = class_of(report);
                let text = report.problem(class).filter(|_| wanted(class))?;
                Some((report.hypervisor_id, text))
            }),
            available: scarcest.and_then(|report| report.available),
            total: scarcest
                .and_then(|report| report.total)
                .or_else(|| reports.iter().find_map(|report| report.total)),
            seen_at: reports.iter().map(|report| report.seen_at).max(),
        }
    }
}
