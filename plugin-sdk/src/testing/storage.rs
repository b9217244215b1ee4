//! What every storage must do.
//!
//! ```no_run
//! # use imprint_plugin_sdk::{storage::Storage, testing::storage::{MockSubject, run}, types::Props};
//! # fn check<MyStorage: Storage<Host = dyn imprint_plugin_sdk::host::StorageHost>>() {
//! let outcomes = run(&mut |_case| MockSubject::<MyStorage>::files(&Props::new(), &["pool"]));
//! let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_failure()).collect();
//! assert!(failed.is_empty(), "{failed:#?}");
//! # }
//! ```

mod bytes;
mod cases;
mod checks;
mod failing;
mod listing;
mod mock_subject;
mod names;
mod uploads;

use std::fmt;

pub use self::mock_subject::{MockSubject, MockUpload};
use crate::{
    error::Result,
    mock::MockHost,
    storage::{Listing, Object, WriteRequest},
    types::Digest,
};

/// The keys of the longest listing: one more than ten pages.
pub const MANY: usize = 10_001;

/// A storage, as a host drives it. The suite runs on anything that implements it.
pub trait Subject {
    /// An upload in progress.
    type Upload;

    /// Begins an upload.
    ///
    /// # Errors
    ///
    /// What the storage answers, as with every function here.
    fn begin(&mut self, request: &WriteRequest) -> Result<Self::Upload>;
    /// Returns the upload's token.
    fn token(&self, upload: &Self::Upload) -> Vec<u8>;
    /// Writes at most 1 MiB the way the host does: each byte once, in ascending order.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage or of its medium.
    fn write(&mut self, upload: &mut Self::Upload, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Ends the writing: the upload is exactly that long, and durable.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage or of its medium.
    fn finish(&mut self, upload: &mut Self::Upload, size: u64) -> Result<()>;
    /// Makes the object visible.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    fn commit(&mut self, upload: &mut Self::Upload, total: u64, digests: &[Digest]) -> Result<Object>;
    /// Gives the upload up.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    fn abort(&mut self, upload: &mut Self::Upload) -> Result<()>;
    /// Continues the upload of a key in another process; `None` where the subject has no way to do
    /// that.
    fn resume(&mut self, key: &str, token: &[u8]) -> Option<Result<Self::Upload>>;
    /// Undoes what a token describes.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    fn cleanup(&mut self, token: &[u8]) -> Result<()>;
    /// Returns one object.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    fn stat(&mut self, key: &str) -> Result<Object>;
    /// Lists objects.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    fn list(&mut self, prefix: &str, resume: Option<&str>, max: u32) -> Result<Listing>;
    /// Reads exactly `length` bytes of an object.
    ///
    /// # Errors
    ///
    /// What the storage or its medium answers; also when the object ends before.
    fn read(&mut self, key: &str, offset: u64, length: u32) -> Result<Vec<u8>>;
    /// Deletes an object.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    fn delete(&mut self, key: &str) -> Result<()>;
    /// Ends every instance of the plugin, as a crash of the host does, and opens the storage again.
    ///
    /// # Errors
    ///
    /// Returns the failure of the storage.
    fn restart(&mut self) -> Result<()>;
    /// Returns the names of everything that the medium holds, temporary things as well; `None`
    /// where the subject cannot see them.
    fn stored(&mut self) -> Option<Vec<String>>;
    /// Returns the host that fails on demand; `None` where the subject's host does not.
    fn faults(&self) -> Option<&MockHost>;
}

/// What a case found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseResult {
    /// The storage does what it must.
    Passed,
    /// The subject cannot show it, for this reason.
    Skipped(&'static str),
    /// The storage does not do what it must: what was expected, and what happened.
    Failed(String),
}

/// A case with what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The name of the case.
    pub case: &'static str,
    /// What the case is about, in one line.
    pub about: &'static str,
    /// What it found.
    pub result: CaseResult,
}

impl Outcome {
    /// Returns whether the storage does not do what it must.
    pub fn is_failure(&self) -> bool {
        matches!(self.result, CaseResult::Failed(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            CaseResult::Passed => write!(f, "{}: ok", self.case),
            CaseResult::Skipped(reason) => write!(f, "{}: skipped, {reason}", self.case),
            CaseResult::Failed(reason) => write!(f, "{}: FAILED, {reason}", self.case),
        }
    }
}

/// Returns the names of all cases, in the order in which [`run`] runs them.
pub fn case_names() -> Vec<&'static str> {
    cases::ABOUT.iter().map(|(name, _)| *name).collect()
}

/// Runs every case, each on a storage of its own: `fresh` opens an empty one for the named case.
pub fn run<S: Subject>(fresh: &mut dyn FnMut(&str) -> Result<S>) -> Vec<Outcome> {
    run_some(fresh, |_| true)
}

/// Runs the cases whose names are wanted.
pub fn run_some<S: Subject>(
    fresh: &mut dyn FnMut(&str) -> Result<S>,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<Outcome> {
    let wanted = cases::ABOUT.iter().filter(|(case, _)| is_wanted(case));
    let run = |(case, about): &(&'static str, &'static str)| {
        let result = match fresh(case) {
            Ok(mut subject) => cases::run_case(case, &mut subject).unwrap_or_else(CaseResult::Failed),
            Err(error) => CaseResult::Failed(format!("the storage does not open: {error} [{}]", error.code)),
        };
        Outcome { case, about, result }
    };
    wanted.map(run).collect()
}
