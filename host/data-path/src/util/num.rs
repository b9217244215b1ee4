//! Conversions between sizes of files and of memory.

const _: () =
    assert!(usize::BITS == 64, "sizes of files and of memory are the same on every platform that is served");

/// Converts a size in memory to one of a file.
pub(crate) fn to_u64(value: usize) -> u64 {
    u64::try_from(value).expect("usize has 64 bits")
}

/// Converts a size of a file to one in memory. The caller has bounded the value.
pub(crate) fn to_usize(value: u64) -> usize {
    usize::try_from(value).expect("usize has 64 bits")
}

/// Converts a 32-bit length to a size in memory.
pub(crate) fn from_u32(value: u32) -> usize {
    usize::try_from(value).expect("usize has 64 bits")
}

/// Rounds up to a multiple of a power of two; `None` where the result does not fit in 64 bits.
pub(crate) fn align_up(value: u64, align: u64) -> Option<u64> {
    debug_assert!(align.is_power_of_two());
    Some(value.checked_add(align - 1)? & !(align - 1))
}

/// Rounds down to a multiple of a power of two.
pub(crate) fn align_down(value: u64, align: u64) -> u64 {
    debug_assert!(align.is_power_of_two());
    value & !(align - 1)
}
