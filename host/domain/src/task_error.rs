//! Why a task ended without success: the catalogue of task errors, and the error of one task.
//!
//! A task ends with a code. The catalogue says for each code whether a retry can help, and what the
//! customer and the operator do about it; `docs/TASK-ERRORS.md` is generated from it. What a
//! customer reads is made of the catalogue's sentences and of typed values only
//! ([`TaskErrorContext`]). The technical detail (paths, settings, what a plugin answered) is for
//! operators.

mod catalogue;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::catalogue::{TaskErrorCode, TaskErrorFamily};
use crate::{consistency::Consistency, error::Code, import::BrokenRule, size::ByteSize};

/// Whether the same task can succeed on a later attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No: something has to be changed first.
    Never,
    /// Yes, and the control plane retries it while the task has attempts left.
    Automatic,
    /// Yes, but only when it is requested.
    ByHand,
    /// Automatic where the plugin or the data path reported a transient error, otherwise never.
    AsReported,
}

impl Retry {
    /// Returns how the documentation names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "no",
            Self::Automatic => "automatic",
            Self::ByHand => "by hand",
            Self::AsReported => "as reported",
        }
    }
}

/// What the catalogue says about a code, or about the codes of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stable code; for a family, the text that its codes begin with.
    pub code: &'static str,
    /// Whether a retry can help.
    pub retry: Retry,
    /// What happened, as a short sentence without its full stop.
    pub title: &'static str,
    /// What the customer does.
    pub customer: &'static str,
    /// What the operator does.
    pub operator: &'static str,
}

impl TaskErrorCode {
    /// Returns the code with that spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl TaskErrorFamily {
    /// Returns the family that a code belongs to: the one with the longest matching start.
    pub fn of(code: &str) -> Self {
        let matching = Self::ALL.iter().copied().filter(|family| code.starts_with(family.as_str()));
        matching.max_by_key(|family| family.as_str().len()).unwrap_or(Self::Other)
    }
}

/// Errors of use cases that a task can end with, when it turns out that it cannot be carried out.
impl From<Code> for TaskErrorCode {
    fn from(code: Code) -> Self {
        match code {
            Code::InsufficientStorage => Self::InsufficientStorage,
            Code::HypervisorOffline => Self::HypervisorOffline,
            Code::InstanceBusy => Self::InstanceBusy,
            Code::ImageNotAvailable => Self::ImageNotAvailable,
            Code::NotFound => Self::NotFound,
            Code::IsoNotAvailable => Self::IsoNotAvailable,
            Code::DevicesNotSupported => Self::DevicesNotSupported,
            Code::NoImageStorageBound => Self::NoImageStorageBound,
            Code::ImageNotReachable => Self::ImageNotReachable,
            Code::DiskTooSmall => Self::DiskTooSmall,
            Code::CoalesceTimeout => Self::CoalesceTimeout,
            Code::ImageBytesLimitReached => Self::ImageBytesLimitReached,
            Code::WindowsDiskTooLarge => Self::WindowsDiskTooLarge,
            Code::DomainControllerNotSupported => Self::DomainControllerNotSupported,
            // These belong to requests; a task that meets one shows a defect.
            Code::InvalidRequest
            | Code::UnknownField
            | Code::InvalidName
            | Code::Unauthenticated
            | Code::SignInFailed
            | Code::Forbidden
            | Code::MethodNotAllowed
            | Code::NameTaken
            | Code::SavedLimitReached
            | Code::CloudInitNotSupported
            | Code::ImageFeatureDisabled
            | Code::ObjectsNotServed
            | Code::ImportDisabled
            | Code::UploadOffset
            | Code::DigestMismatch
            | Code::ImageLimitReached
            | Code::BudgetReached
            | Code::RateInPast
            | Code::BootFromVolumeNotSupported
            | Code::ImageInUse
            | Code::ImageProtected
            | Code::SharingDisabled
            | Code::AlreadyShared
            | Code::ShareLimitReached
            | Code::ResourceInUse
            | Code::IsoDisabled
            | Code::ExportDisabled
            | Code::ExportLimitReached
            | Code::ExportNotAvailable
            | Code::DiskLimitReached
            | Code::StorageUnavailable
            | Code::StorageNotShared
            | Code::OtherLocation
            | Code::InvalidTransition
            | Code::LeaseLost
            | Code::PageTokenInvalid
            | Code::IdempotencyKeyReused
            | Code::IdempotencyInProgress
            | Code::PreconditionRequired
            | Code::PreconditionFailed
            | Code::RateLimited
            | Code::PayloadTooLarge
            | Code::UnsupportedMediaType
            | Code::Unavailable
            | Code::Internal => Self::Internal,
        }
    }
}

/// The most bytes of a code that are kept.
const MAX_CODE: usize = 64;
/// The most bytes of a technical detail that are kept.
const MAX_DETAIL: usize = 4096;
/// Stands for the code of a plugin that is not a dotted name of lowercase letters and digits.
const UNNAMED: &str = "plugin.unnamed";

/// Figures of a task error that the customer reads. Each is typed, so that no text of a plugin or
/// of the hypervisor can be among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskErrorContext {
    /// The free space in bytes, where there was too little.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<ByteSize>,
    /// The space in bytes that was needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<ByteSize>,
    /// The limit in bytes that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<ByteSize>,
    /// The time limit in seconds that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_s: Option<u64>,
    /// The consistency that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<Consistency>,
    /// The weakest consistency that the request accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Consistency>,
    /// Whether an earlier task of the same instance failed with the same code.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// How many captures of the instance have failed one after the other, with this one; `None` for
    /// other tasks, and for attempts that are followed by another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Whether the hypervisor has limited bandwidth for imaging (S47).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limited_bandwidth: bool,
    /// The rules that an imported file breaks, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken_rules: Vec<BrokenRule>,
    /// The status with which the server of an import answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The setting of a plugin that the failure is about. The customer does not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
}

/// Why a task ended without success.
///
/// There are two ways to make one: [`TaskError::new`] takes a code of the catalogue, and
/// [`TaskError::reported`] takes the dotted code of a plugin or of the data path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Sent")]
pub struct TaskError {
    code: String,
    detail: String,
    transient: bool,
    /// Boxed, so that results that carry the error stay small.
    #[serde(skip_serializing_if = "is_empty")]
    context: Box<TaskErrorContext>,
}

fn is_empty(context: &TaskErrorContext) -> bool {
    *context == TaskErrorContext::default()
}

/// The serialised spelling of a [`TaskError`], which is bounded and checked when it is read.
#[derive(Deserialize)]
struct Sent {
    code: String,
    detail: String,
    #[serde(default)]
    transient: bool,
    #[serde(default)]
    context: TaskErrorContext,
}

impl From<Sent> for TaskError {
    fn from(sent: Sent) -> Self {
        Self::from_parts(&sent.code, &sent.detail, sent.transient, sent.context)
    }
}

impl TaskError {
    /// Returns the error with a code of the catalogue. Only operators read the detail.
    pub fn new(code: TaskErrorCode, detail: impl fmt::Display) -> Self {
        Self {
            code: code.as_str().to_owned(),
            detail: truncate(&detail.to_string(), MAX_DETAIL),
            transient: matches!(code.entry().retry, Retry::Automatic | Retry::ByHand),
            context: Box::default(),
        }
    }

    /// Returns the error for a dotted code of a plugin or of the data path. A code that is not a
    /// dotted name, or that is one of the host's own, is kept in the detail only: a plugin chooses
    /// its codes freely, and customers read them.
    pub fn reported(code: &str, transient: bool, detail: impl fmt::Display) -> Self {
        if is_dotted(code) && TaskErrorCode::parse(code).is_none() {
            return Self::from_parts(code, &detail.to_string(), transient, TaskErrorContext::default());
        }
        let detail = format!("{code:?}: {detail}");
        Self::from_parts(UNNAMED, &detail, transient, TaskErrorContext::default())
    }

    /// Returns the error that was stored or sent with these parts. Codes of earlier versions are
    /// kept.
    pub fn from_parts(code: &str, detail: &str, transient: bool, context: TaskErrorContext) -> Self {
        let known = TaskErrorCode::parse(code).is_some();
        let code = if known || is_name(code) { code.to_owned() } else { UNNAMED.to_owned() };
        Self { code, detail: truncate(detail, MAX_DETAIL), transient, context: Box::new(context) }
    }

    /// Returns the same error with figures for the customer.
    #[must_use]
    pub fn with(mut self, context: TaskErrorContext) -> Self {
        *self.context = context;
        self
    }

    /// Returns the same error, marked as one that the instance's earlier task failed with as well.
    #[must_use]
    pub fn repeated(mut self) -> Self {
        self.context.repeated = true;
        self
    }

    /// Returns the stable code, such as `insufficient_storage` or `qemu.vm-gone`.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Returns whether the error has this code of the catalogue.
    pub fn is(&self, code: TaskErrorCode) -> bool {
        self.code == code.as_str()
    }

    /// Returns the catalogue's entry for the code.
    pub fn entry(&self) -> &'static Entry {
        TaskErrorCode::parse(&self.code)
            .map_or_else(|| TaskErrorFamily::of(&self.code).entry(), TaskErrorCode::entry)
    }

    /// Returns whether the control plane retries the task, if it has attempts left.
    pub fn is_retried(&self) -> bool {
        match self.entry().retry {
            Retry::Never | Retry::ByHand => false,
            Retry::Automatic => true,
            Retry::AsReported => self.transient,
        }
    }

    /// Returns whether a later attempt can succeed without anything being changed.
    pub fn is_retryable(&self) -> bool {
        self.is_retried() || self.entry().retry == Retry::ByHand
    }

    /// Returns whether the plugin or the data path reported a transient error, as it is stored.
    pub const fn is_transient(&self) -> bool {
        self.transient
    }

    /// Returns the technical detail, for operators only: it may hold paths, settings and the
    /// answers of plugins.
    pub fn operator_detail(&self) -> &str {
        &self.detail
    }

    /// Returns the figures for the customer.
    pub fn context(&self) -> &TaskErrorContext {
        &self.context
    }

    /// Returns what happened, as a sentence for the customer.
    pub fn customer_detail(&self) -> String {
        let title = self.entry().title;
        let context = &self.context;
        if let (Some(free), Some(needed)) = (context.free, context.needed) {
            return format!("{title}: {free} free, {needed} needed.");
        }
        if let (Some(reached), Some(minimum)) = (context.reached, context.minimum) {
            let (reached, minimum) = (reached.as_str(), minimum.as_str());
            return format!(
                "{title}: the capture would be `{reached}`, and at least `{minimum}` was requested."
            );
        }
        if !context.broken_rules.is_empty() {
            let broken: Vec<&str> = context.broken_rules.iter().map(|rule| rule.detail.as_str()).collect();
            return format!("{title}: {}", broken.join(" "));
        }
        if let Some(status) = context.status {
            return format!("{title}: it answers with status {status}.");
        }
        if let Some(limit) = context.limit {
            return format!("{title}: the limit is {limit}.");
        }
        if let (Some(seconds), true) = (context.limit_s, self.is(TaskErrorCode::CaptureTimeLimit)) {
            return format!("{title}: the limit is {} hours.", seconds / 3600);
        }
        if let Some(seconds) = context.limit_s {
            return format!("{title}: the limit is {seconds} s. Nothing was changed.");
        }
        format!("{title}.")
    }

    /// Returns what the customer does about it.
    pub fn customer_action(&self) -> String {
        if !self.context.broken_rules.is_empty() {
            let actions: Vec<&str> =
                self.context.broken_rules.iter().map(|rule| rule.action.as_str()).collect();
            return actions.join(" ");
        }
        let mut action = self.entry().customer.to_owned();
        if self.context.repeated && self.is(TaskErrorCode::CoalesceTimeout) {
            action = format!("{action} {REPEATED_COALESCE_TIMEOUT}");
        }
        if self.context.limited_bandwidth {
            action = format!("{action} {LIMITED_BANDWIDTH}");
        }
        match self.repeated_failures() {
            Some(failures) => format!(
                "{action} Image creation has failed {failures} times in a row: contact support and give the \
                 reference."
            ),
            None => action,
        }
    }

    /// Returns how many captures of the instance have failed one after the other, where that is a
    /// matter for support: more than one, and not because of a limit that the customer reached
    /// (S30).
    fn repeated_failures(&self) -> Option<u32> {
        let limits = [TaskErrorCode::InsufficientStorage, TaskErrorCode::DiskTooLarge];
        let is_limit = limits.iter().any(|code| self.is(*code));
        self.context.failures.filter(|failures| *failures > 1 && !is_limit)
    }

    /// Returns whether the customer is told to contact support (S29, S30).
    pub fn advises_support(&self) -> bool {
        self.is(TaskErrorCode::CaptureTimeLimit) || self.repeated_failures().is_some()
    }

    /// Returns whether a look at the provider's status page may help: a capture failed, and neither
    /// merging layers took too long nor is the hypervisor an old one (S51).
    pub fn advises_status_page(&self) -> bool {
        let is_explained = self.context.limited_bandwidth || self.is(TaskErrorCode::CoalesceTimeout);
        self.context.failures.is_some() && !is_explained
    }
}

/// What else helps on older hardware (S47).
const LIMITED_BANDWIDTH: &str = "The instance is on older hardware with limited bandwidth for imaging, which makes \
                                 image creation take longer: migrate to a newer flavor, or use a file-level backup tool.";

/// What else helps when merging a disk's layers took too long before (S49, S50).
const REPEATED_COALESCE_TIMEOUT: &str = "As this has happened before, limit file-system activity while imaging, or \
                                         ask the provider to run the coalesce outside of an image creation.";

/// Returns whether a code is made of names in lowercase, separated by dots or underscores.
fn is_name(code: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    !code.is_empty() && code.len() <= MAX_CODE && code.bytes().all(allowed)
}

fn is_dotted(code: &str) -> bool {
    is_name(code) && code.contains('.') && code.split('.').all(|part| !part.is_empty())
}

fn truncate(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

#[cfg(test)]
mod tests;
