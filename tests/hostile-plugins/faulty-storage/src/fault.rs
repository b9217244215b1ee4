//! The faults, one for each case of the suite.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An object is visible before its commit.
    Early,
    /// Reads begin at a multiple of 512.
    Shifted,
    /// There are no objects without bytes.
    NoZero,
    /// Every further page of a listing lacks its first key.
    Gap,
    /// Several keys are one file.
    Flat,
    /// Objects are replaced although the request forbids it.
    Replaces,
    /// All uploads of a key use the same file.
    Shared,
    /// An upload that is given up stays.
    Keeps,
    /// A clean-up also removes the object that was committed.
    DeletesCommitted,
    /// Deleting what is not there fails.
    Once,
    /// A commit believes the number of bytes that it is given.
    Trusting,
    /// Bytes that a file does not have are read as zeroes.
    Pads,
    /// Every failure of the host means that there is no object.
    Hides,
    /// A commit that is repeated fails.
    Forgets,
    /// A full medium is called a passing failure.
    Vague,
}

impl Fault {
    /// The faults with their names, and the case of the suite that has to find each.
    pub const ALL: [(Self, &'static str, &'static str); 15] = [
        (Self::Early, "early", "put-get"),
        (Self::Shifted, "shifted", "ranges"),
        (Self::NoZero, "no-zero", "zero-length"),
        (Self::Gap, "gap", "list-many"),
        (Self::Flat, "flat", "hostile-names"),
        (Self::Replaces, "replaces", "replace"),
        (Self::Shared, "shared", "two-writers"),
        (Self::Keeps, "keeps", "cancel"),
        (Self::DeletesCommitted, "deletes-committed", "crash"),
        (Self::Once, "once", "delete"),
        (Self::Trusting, "trusting", "wrong-total"),
        (Self::Pads, "pads", "short-read"),
        (Self::Hides, "hides", "slow-server"),
        (Self::Forgets, "forgets", "lost-answer"),
        (Self::Vague, "vague", "no-space"),
    ];

    /// Returns the fault of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(fault, ..)| *fault)
    }
}
