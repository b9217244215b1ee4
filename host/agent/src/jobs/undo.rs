//! How a job is cleaned up.

/// What becomes of the results of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleanup {
    /// The job succeeded and its outcome is stored: only its tools are removed.
    Commit,
    /// The job did not succeed: its results are removed as well.
    Rollback,
    /// The job was interrupted, and another attempt follows: as [`Self::Rollback`], but what the
    /// storage has of its upload stays for that attempt.
    Interrupted,
}
