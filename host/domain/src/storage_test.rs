//! The connection test of an image storage: what was tried, and how each step ended.

use serde::{Deserialize, Serialize};

use crate::string_enum::string_enum;

/// What the keys of objects begin with that connection tests write. The product keeps these keys
/// for itself: no image has one, and what is found under one is a left-over of a test.
pub const TEST_PREFIX: &str = "imprint-connection-test-";

string_enum! {
    /// The steps of a connection test, in their order.
    #[derive(PartialOrd, Ord)]
    pub enum TestStep {
        /// The plugin checks the settings by itself, without the storage.
        Settings = "settings",
        /// The storage is opened.
        Open = "open",
        /// The free space is read.
        Space = "space",
        /// An object of 1 MiB is written and published.
        Write = "write",
        /// The object is described.
        Stat = "stat",
        /// The object is found in a listing.
        List = "list",
        /// Ranges of the object are read and compared.
        Read = "read",
        /// The object is deleted.
        Delete = "delete",
        /// The object is not there any more.
        Gone = "gone",
    }

    /// How a step of a connection test ended.
    pub enum TestStatus {
        /// It did what images need.
        Passed = "passed",
        /// It failed.
        Failed = "failed",
        /// It was left out; the detail says why.
        Skipped = "skipped",
    }
}

/// The result of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestStepResult {
    /// What was tried.
    pub step: TestStep,
    /// How it ended.
    pub status: TestStatus,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What went wrong and what to do, why it was skipped, or what was found.
    pub detail: Option<String>,
    /// The code of the failure, such as `s3.no-such-bucket`.
    pub code: Option<String>,
    /// The setting or secret that the failure is about, where the plugin or the host knows it.
    pub setting: Option<String>,
}

/// The result of a connection test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageTest {
    /// The steps in their order, each once.
    pub steps: Vec<TestStepResult>,
}

/// The longest detail, and the longest code and name of a setting, in bytes.
const MAX_DETAIL: usize = 2048;
const MAX_NAME: usize = 100;

impl StorageTest {
    /// Returns whether no step failed.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.status != TestStatus::Failed)
    }

    /// Returns the same result with its texts and its length within bounds.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.steps.truncate(TestStep::ALL.len());
        for step in &mut self.steps {
            for (text, limit) in
                [(&mut step.detail, MAX_DETAIL), (&mut step.code, MAX_NAME), (&mut step.setting, MAX_NAME)]
            {
                if let Some(text) = text {
                    text.truncate(text.floor_char_boundary(limit));
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_bounded_and_passes_without_failures() {
        let step = |step, status| TestStepResult {
            step,
            status,
            duration_ms: 1,
            detail: Some("ü".repeat(5000)),
            code: None,
            setting: Some("x".repeat(500)),
        };
        let steps =
            vec![step(TestStep::Open, TestStatus::Passed), step(TestStep::Write, TestStatus::Skipped)];
        let mut test = StorageTest { steps };
        assert!(test.passed());
        test.steps.extend((0..100).map(|_| step(TestStep::Read, TestStatus::Failed)));
        let test = test.bounded();
        assert!(!test.passed());
        assert_eq!(test.steps.len(), TestStep::ALL.len());
        assert_eq!(test.steps[0].detail.as_ref().map(String::len), Some(MAX_DETAIL));
        assert_eq!(test.steps[0].setting.as_ref().map(String::len), Some(MAX_NAME));
    }
}
