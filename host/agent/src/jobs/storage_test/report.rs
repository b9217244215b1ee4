//! What each step of a connection test answers: its duration, and what went wrong.

use std::time::{Duration, Instant};

use imprint_domain::storage_test::{StorageTest, TestStatus, TestStep, TestStepResult};
use imprint_ports::{ErrorClass, PortError, Secrets, SettingFinding};

use crate::{error::JobError, jobs::job::Job};

/// The time that one step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// The shortest secret that is looked for in messages, in bytes. Shorter ones would hide words.
const MIN_HIDDEN: usize = 4;

/// The result of a test while it runs.
pub(super) struct Report<'a> {
    job: &'a Job,
    /// No message repeats them, whatever a plugin or a storage says.
    secrets: Secrets,
    test: StorageTest,
}

/// What a step that did not fail answers.
pub(super) struct Answer<T> {
    value: Option<T>,
    detail: Option<String>,
}

impl<T> Answer<T> {
    /// Returns the answer of a step that passed.
    pub(super) fn with(value: T, detail: Option<String>) -> Self {
        Self { value: Some(value), detail }
    }

    /// Returns the answer of a step that has nothing to do.
    pub(super) fn skipped(reason: &str) -> Self {
        Self { value: None, detail: Some(reason.to_owned()) }
    }
}

/// Returns the answer of a plugin that checked its settings: the first error, or all warnings.
pub(super) fn of_findings(findings: &[SettingFinding]) -> Result<Answer<()>, PortError> {
    if let Some(finding) = findings.iter().find(|finding| finding.is_error) {
        let error = PortError::host(ErrorClass::InvalidInput, "storage.settings", &finding.message);
        return Err(if finding.setting.is_empty() { error } else { error.about_setting(&finding.setting) });
    }
    let warnings: Vec<_> =
        findings.iter().map(|finding| format!("{}: {}", finding.setting, finding.message)).collect();
    Ok(Answer::with((), (!warnings.is_empty()).then(|| warnings.join("; "))))
}

impl<'a> Report<'a> {
    pub(super) fn new(job: &'a Job, secrets: Secrets) -> Self {
        Self { job, secrets, test: StorageTest::default() }
    }

    /// Carries a step out. Returns `None` when it failed, and `Some(None)` when it had nothing to
    /// do.
    ///
    /// # Errors
    ///
    /// The job is asked to stop.
    pub(super) async fn step<T>(
        &mut self,
        step: TestStep,
        work: impl Future<Output = Result<Answer<T>, PortError>>,
    ) -> Result<Option<Option<T>>, JobError> {
        let started = Instant::now();
        let work = tokio::time::timeout(STEP_TIMEOUT, Box::pin(work));
        let ended = self.job.control.unless_stopped(work).await?;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ended = ended.unwrap_or_else(|_| Err(late()));
        let (result, value) = match ended {
            Ok(Answer { value, detail }) => {
                let status = if value.is_some() { TestStatus::Passed } else { TestStatus::Skipped };
                let result = TestStepResult { step, status, duration_ms, detail, code: None, setting: None };
                (result, Some(value))
            }
            Err(error) => (failed(step, duration_ms, &error), None),
        };
        self.push(result);
        Ok(value)
    }

    /// Leaves a step out, unless it was carried out already.
    pub(super) fn skip(&mut self, step: TestStep, reason: &str) {
        if self.test.steps.iter().any(|done| done.step == step) {
            return;
        }
        self.push(TestStepResult {
            step,
            status: TestStatus::Skipped,
            duration_ms: 0,
            detail: Some(reason.to_owned()),
            code: None,
            setting: None,
        });
    }

    /// Leaves all steps out that were not carried out, because an earlier one failed.
    pub(super) fn skip_rest(&mut self) {
        for &step in TestStep::ALL {
            self.skip(step, "an earlier step failed");
        }
    }

    fn push(&mut self, mut result: TestStepResult) {
        result.detail = result.detail.map(|text| self.without_secrets(text));
        self.test.steps.push(result);
    }

    fn without_secrets(&self, mut text: String) -> String {
        for secret in self.secrets.values().map(imprint_ports::SecretText::expose) {
            if secret.len() >= MIN_HIDDEN && text.contains(secret) {
                text = text.replace(secret, "(secret)");
            }
        }
        text
    }

    /// Returns the result, with its steps in order.
    pub(super) fn finish(mut self) -> StorageTest {
        self.test.steps.sort_by_key(|result| result.step);
        self.test.bounded()
    }
}

fn failed(step: TestStep, duration_ms: u64, error: &PortError) -> TestStepResult {
    TestStepResult {
        step,
        status: TestStatus::Failed,
        duration_ms,
        detail: Some(error.message.clone()),
        code: Some(error.cause().to_owned()),
        setting: error.setting().map(str::to_owned),
    }
}

fn late() -> PortError {
    let text = format!(
        "the storage did not answer within {} s; check its address, its mount and the network",
        STEP_TIMEOUT.as_secs()
    );
    PortError::host(ErrorClass::Transient, "storage.timeout", text)
}
