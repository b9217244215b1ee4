//! How an upload is cut.

use imprint_ports::PortError;

use crate::{bindings::storage::exports::imprint::storage::backend, codes::Code};

/// The sizes that a part may have, in bytes.
const MIN_PART: u64 = 64 << 10;
const MAX_PART: u64 = 1 << 30;
/// The largest part that is held in memory, in bytes. Larger ones are in files.
const MAX_BUFFER: u64 = 64 << 20;
/// The bytes of all parts of one upload that are in memory.
const MEMORY: u64 = 192 << 20;
/// The largest number of parts of an upload, and of parts that are sent at once.
const MAX_PARTS: u32 = 100_000;
const MAX_PARALLEL: u64 = 6;

/// How an upload is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) part_size: usize,
    pub(super) max_parts: u32,
    pub(super) parallel: usize,
}

impl Plan {
    pub(super) fn parse(parts: &backend::Multipart) -> Result<Self, PortError> {
        let bad = |what: &str| Err(Code::BadParts.error(format!("an upload in parts has {what}")));
        if !(MIN_PART..=MAX_PART).contains(&parts.part_size) {
            return bad(&format!("parts of {} to {} bytes", MIN_PART, MAX_PART));
        }
        if parts.max_parts == 0 || parts.max_parts > MAX_PARTS {
            return bad(&format!("1 to {MAX_PARTS} parts"));
        }
        if !parts.unordered && parts.max_parallel > 1 {
            return bad("parts in any order, where several are sent at once");
        }
        let in_files = parts.part_size > MAX_BUFFER;
        let fit = if in_files { MAX_PARALLEL } else { (MEMORY / parts.part_size).saturating_sub(1).max(1) };
        let parallel = u64::from(parts.max_parallel).clamp(1, MAX_PARALLEL).min(fit);
        let size =
            |bytes: u64| usize::try_from(bytes).map_err(|_| Code::BadParts.error("a part is too large"));
        Ok(Self { part_size: size(parts.part_size)?, max_parts: parts.max_parts, parallel: size(parallel)? })
    }

    /// Returns whether parts are filled and sent in files without names.
    pub(super) fn in_files(&self) -> bool {
        u64::try_from(self.part_size).is_ok_and(|size| size > MAX_BUFFER)
    }

    /// The parts that may be in memory at once.
    pub(super) fn buffers(&self) -> usize {
        let fit = usize::try_from(MEMORY).unwrap_or(usize::MAX) / self.part_size;
        fit.clamp(self.parallel + 1, 3 * self.parallel + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(part_size: u64, max_parallel: u16) -> Result<Plan, PortError> {
        Plan::parse(&backend::Multipart { part_size, max_parts: 10_000, max_parallel, unordered: true })
    }

    #[test]
    fn the_memory_of_an_upload_is_bounded() {
        for (part_size, parallel) in [(5 << 20, 16), (16 << 20, 4), (64 << 20, 100), (64 << 10, 1)] {
            let plan = plan(part_size, parallel).unwrap();
            let bytes = plan.buffers() * plan.part_size;
            assert!(bytes <= 192 << 20, "{plan:?}: {bytes}");
            assert!(plan.parallel >= 1 && plan.buffers() > plan.parallel, "{plan:?}");
        }
        assert!(!plan(64 << 20, 4).unwrap().in_files());
        let large = plan(512 << 20, 4).unwrap();
        assert!(large.in_files() && large.parallel == 4, "{large:?}");
        for part_size in [0, 1000, (1 << 30) + 1] {
            assert_eq!(plan(part_size, 4).unwrap_err().code, "plugin.bad-answer.parts");
        }
    }
}
