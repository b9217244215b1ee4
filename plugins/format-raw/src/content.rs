//! What a raw disk holds: what it may not be, and what may be said of it.

use imprint_plugin_sdk::format::marks::{self, Mark, Sort};

/// The container that a file says it is: then it is not a raw disk. A LUKS volume is the last to be
/// told of, so that a file which is one and nothing else can be allowed.
pub(crate) fn foreign(found: &[Mark]) -> Option<Mark> {
    let mut containers: Vec<Mark> =
        found.iter().copied().filter(|mark| mark.sort() == Sort::Container).collect();
    containers.sort_by_key(|mark| *mark == Mark::Luks);
    containers.first().copied()
}

/// What a raw disk holds, as far as the first bytes tell. Several may be true at once.
pub(crate) fn describe(head: &[u8], found: &[Mark]) -> Vec<&'static str> {
    let mut contents: Vec<_> = marks::partition_table(head).into_iter().collect();
    let file_systems: [(usize, &[u8], &str); 3] =
        [(0x438, b"\x53\xef", "ext"), (3, b"NTFS    ", "ntfs"), (0, b"XFSB", "xfs")];
    let starts = |at: usize, mark: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(mark));
    contents.extend(file_systems.iter().filter(|(at, mark, _)| starts(*at, mark)).map(|(.., name)| *name));
    contents.extend(found.iter().map(|mark| mark.name()));
    contents
}
