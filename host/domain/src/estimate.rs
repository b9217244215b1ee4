//! Estimates of what the image of a disk will take, before it is asked for (S26, S40, S41).
//!
//! The size and the time grow with what the disk's file occupies, which is what the file system
//! took at its largest: deleting files does not make it smaller (S39, S43). What earlier captures
//! of the instance took says most about the next one, then those of its hypervisor; without any
//! there is a rule of thumb.

use serde::{Deserialize, Serialize};

use crate::{size::ByteSize, string_enum::string_enum};

/// The most earlier captures that an estimate considers, the latest ones.
pub const MAX_CONSIDERED: usize = 9;
/// The seconds for each GiB that the rule of thumb assumes (S41).
pub const DEFAULT_SECONDS_PER_GIB: u32 = 120;
/// The share of the content that a compressed file takes by the rule of thumb, in per cent.
const COMPRESSED_PERCENT: u64 = 60;

string_enum! {
    /// What an estimate is based on.
    pub enum EstimateBasis {
        /// Earlier images of the same instance.
        Instance = "instance",
        /// Earlier images of other instances of its hypervisor.
        Hypervisor = "hypervisor",
        /// The rule of thumb: no image was created there before.
        Rule = "rule",
    }
}

/// What a capture took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastCapture {
    /// The bytes that the disk's file occupied.
    pub content: ByteSize,
    /// The size of the image's file in bytes.
    pub stored: ByteSize,
    /// The time from the start of the work to the available image, in milliseconds.
    pub took_ms: u64,
}

/// What the image of a disk will probably take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureEstimate {
    /// The bytes that the disk's file occupies.
    pub content: ByteSize,
    /// The size of the image's file in bytes.
    pub size: ByteSize,
    /// The time from the start of the work to the available image, in seconds, at least 1. The time
    /// in the queue is not in it.
    pub seconds: u64,
    /// What it is based on.
    pub basis: EstimateBasis,
    /// The number of earlier captures that it considers.
    pub captures: u32,
}

/// The earlier captures to consider, latest first, all with or all without compression.
#[derive(Clone, Copy, Debug, Default)]
pub struct History<'a> {
    /// Those of the same instance.
    pub instance: &'a [PastCapture],
    /// Those of the hypervisor.
    pub hypervisor: &'a [PastCapture],
}

/// What a disk's file takes beyond its file system, in MiB.
const FILE_BASE_MIB: u64 = 584;
/// What a disk's file takes more than its file system held at most, and more for what was deleted
/// in it, in parts of a thousand.
const FILE_GROWTH: u64 = 74;

/// Returns what a disk's file occupies whose file system holds `used` bytes, and held up to
/// `largest` (S39, S40): slightly more than that, because the file never shrinks, and deleting
/// files makes it grow slightly.
pub fn file_of_file_system(used: ByteSize, largest: ByteSize) -> ByteSize {
    let most = largest.max(used);
    let largest = most.bytes();
    let base = FILE_BASE_MIB << 20;
    let growth = scale(largest, FILE_GROWTH, 1000);
    let deleted = scale(largest - used.bytes(), FILE_GROWTH, 1000);
    let occupied = [base, growth, deleted].into_iter().fold(largest, u64::saturating_add);
    ByteSize::new(occupied).unwrap_or(most)
}

/// Estimates what the image of a disk takes whose file occupies `content`.
pub fn estimate(
    content: ByteSize,
    is_compressed: bool,
    history: History<'_>,
    seconds_per_gib: u32,
) -> CaptureEstimate {
    let usable = |past: &[PastCapture]| -> Vec<PastCapture> {
        let with_content = past.iter().filter(|one| one.content > ByteSize::ZERO);
        with_content.take(MAX_CONSIDERED).copied().collect()
    };
    let own = usable(history.instance);
    let (basis, past) = if own.is_empty() {
        (EstimateBasis::Hypervisor, usable(history.hypervisor))
    } else {
        (EstimateBasis::Instance, own)
    };
    let scaled = |value: u64, past: &PastCapture| scale(value, content.bytes(), past.content.bytes());
    let sizes = past.iter().map(|past| scaled(past.stored.bytes(), past)).collect();
    let times = past.iter().map(|past| scaled(past.took_ms, past)).collect();
    let (Some(size), Some(milliseconds)) = (median(sizes), median(times)) else {
        return by_rule(content, is_compressed, seconds_per_gib);
    };
    CaptureEstimate {
        content,
        size: ByteSize::new(size).unwrap_or(content),
        seconds: milliseconds.div_ceil(1000).max(1),
        basis,
        captures: u32::try_from(past.len()).unwrap_or(u32::MAX),
    }
}

fn by_rule(content: ByteSize, is_compressed: bool, seconds_per_gib: u32) -> CaptureEstimate {
    let percent = if is_compressed { COMPRESSED_PERCENT } else { 100 };
    let seconds = u128::from(content.bytes()) * u128::from(seconds_per_gib);
    CaptureEstimate {
        content,
        size: ByteSize::new(scale(content.bytes(), percent, 100)).unwrap_or(content),
        seconds: u64::try_from(seconds.div_ceil(u128::from(ByteSize::GIB.bytes())))
            .unwrap_or(u64::MAX)
            .max(1),
        basis: EstimateBasis::Rule,
        captures: 0,
    }
}

/// Returns `value * to / from`; `from` is not zero.
fn scale(value: u64, to: u64, from: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(to) / u128::from(from.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn size(bytes: u64) -> ByteSize {
        ByteSize::new(bytes).unwrap()
    }

    fn past(content: u64, stored: u64, took_ms: u64) -> PastCapture {
        PastCapture { content: size(content), stored: size(stored), took_ms }
    }

    /// S40 and S41: the seed's examples are files of disks, and each GB of them takes two minutes.
    #[test]
    fn the_first_guess_is_two_minutes_for_each_gib_of_the_disks_file() {
        for (occupied, minutes) in [(5 * GIB / 2, 5), (108 * GIB, 216), (115 * GIB, 230)] {
            let found = estimate(size(occupied), false, History::default(), DEFAULT_SECONDS_PER_GIB);
            assert_eq!((found.size, found.seconds), (size(occupied), minutes * 60));
            assert_eq!((found.basis, found.captures), (EstimateBasis::Rule, 0));
        }
        let small = estimate(size(1), true, History::default(), DEFAULT_SECONDS_PER_GIB);
        assert_eq!((small.size, small.seconds), (ByteSize::ZERO, 1));
    }

    /// S40: the seed's table, each figure within 1 %.
    #[test]
    fn a_disks_file_is_slightly_larger_than_its_file_system_ever_was() {
        let tenths = |gib: u64| size(gib * GIB / 10);
        for (used, largest, file) in [(18, 18, 25), (1000, 1000, 1080), (50, 1000, 1150)] {
            let found = file_of_file_system(tenths(used), tenths(largest)).bytes();
            let expected = tenths(file).bytes();
            assert!(
                found.abs_diff(expected) * 100 <= expected,
                "{used} of {largest}: {found}, not {expected}"
            );
        }
        let full = size(1 << 60);
        assert!(file_of_file_system(full, ByteSize::ZERO) > full, "what is used was there");
    }

    #[test]
    fn earlier_images_of_the_instance_count_before_those_of_the_hypervisor() {
        let own = [past(2 * GIB, GIB, 20_000), past(GIB, GIB / 4, 9_000), past(4 * GIB, 2 * GIB, 44_000)];
        let others = [past(GIB, GIB, 60_000)];
        let history = History { instance: &own, hypervisor: &others };
        let found = estimate(size(8 * GIB), true, history, DEFAULT_SECONDS_PER_GIB);
        assert_eq!((found.size, found.seconds), (size(4 * GIB), 80));
        assert_eq!((found.basis, found.captures), (EstimateBasis::Instance, 3));
        let history = History { instance: &[], hypervisor: &others };
        let found = estimate(size(GIB / 2), true, history, DEFAULT_SECONDS_PER_GIB);
        assert_eq!((found.size, found.seconds, found.basis), (size(GIB / 2), 30, EstimateBasis::Hypervisor));
        // A figure without content says nothing.
        let empty = [past(0, GIB, 1)];
        let history = History { instance: &empty, hypervisor: &empty };
        assert_eq!(estimate(size(GIB), true, history, 120).basis, EstimateBasis::Rule);
    }

    proptest! {
        /// Any figures give an estimate of at least a second, and a larger disk never takes less.
        #[test]
        fn estimates_grow_with_the_content(
            figures in prop::collection::vec((0..1_u64 << 50, 0..1_u64 << 50, 0_u64..1 << 40), 0..20),
            content in 0..1_u64 << 50,
            more in 0..1_u64 << 50,
            is_compressed: bool,
        ) {
            let past: Vec<_> = figures.iter().map(|(content, stored, took)| past(*content, *stored, *took)).collect();
            let history = History { instance: &past, hypervisor: &[] };
            let small = estimate(size(content), is_compressed, history, DEFAULT_SECONDS_PER_GIB);
            let large = estimate(size(content + more), is_compressed, history, DEFAULT_SECONDS_PER_GIB);
            prop_assert!(small.seconds >= 1 && large.seconds >= small.seconds);
            prop_assert!(large.size >= small.size || large.size == size(content + more));
            prop_assert!(usize::try_from(small.captures).unwrap() <= MAX_CONSIDERED);
        }
    }
}
