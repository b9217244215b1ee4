//! The one error that use cases answer with; `api` maps it to problem details, the CLI to an exit
//! status.

use std::{collections::BTreeMap, fmt};

/// Stable codes. A client may depend on them; a title never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`Code::title` says what each one is")]
pub enum Code {
    InvalidRequest,
    UnknownField,
    InvalidName,
    Unauthenticated,
    SignInFailed,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NameTaken,
    ImageFeatureDisabled,
    ImageLimitReached,
    BootFromVolumeNotSupported,
    NoImageStorageBound,
    InsufficientStorage,
    HypervisorOffline,
    InstanceBusy,
    ImageNotAvailable,
    ImageInUse,
    OtherLocation,
    DiskTooSmall,
    InvalidTransition,
    LeaseLost,
    CoalesceTimeout,
    PageTokenInvalid,
    IdempotencyKeyReused,
    IdempotencyInProgress,
    PreconditionRequired,
    PreconditionFailed,
    RateLimited,
    PayloadTooLarge,
    UnsupportedMediaType,
    Unavailable,
    Internal,
}

impl Code {
    /// Every code, for the catalogue and its tests.
    pub const ALL: [Self; 33] = [
        Self::InvalidRequest,
        Self::UnknownField,
        Self::InvalidName,
        Self::Unauthenticated,
        Self::SignInFailed,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NameTaken,
        Self::ImageFeatureDisabled,
        Self::ImageLimitReached,
        Self::BootFromVolumeNotSupported,
        Self::NoImageStorageBound,
        Self::InsufficientStorage,
        Self::HypervisorOffline,
        Self::InstanceBusy,
        Self::ImageNotAvailable,
        Self::ImageInUse,
        Self::OtherLocation,
        Self::DiskTooSmall,
        Self::InvalidTransition,
        Self::LeaseLost,
        Self::CoalesceTimeout,
        Self::PageTokenInvalid,
        Self::IdempotencyKeyReused,
        Self::IdempotencyInProgress,
        Self::PreconditionRequired,
        Self::PreconditionFailed,
        Self::RateLimited,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::Unavailable,
        Self::Internal,
    ];

    /// As it is sent.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The short text; verbatim where the requirements quote one (S125, S126, S129).
    pub const fn title(self) -> &'static str {
        self.row().1
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::HypervisorOffline
                | Self::InstanceBusy
                | Self::CoalesceTimeout
                | Self::IdempotencyInProgress
                | Self::RateLimited
                | Self::Unavailable
        )
    }

    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidRequest => ("invalid_request", "The request is not valid"),
            Self::UnknownField => ("unknown_field", "The request holds a field that does not exist"),
            Self::InvalidName => ("invalid_name", "The name is not valid"),
            Self::Unauthenticated => ("unauthenticated", "Sign in first"),
            Self::SignInFailed => ("sign_in_failed", "Account or password is wrong"),
            Self::Forbidden => ("forbidden", "This account may not do that"),
            Self::NotFound => ("not_found", "Not found"),
            Self::MethodNotAllowed => ("method_not_allowed", "This resource does not know that method"),
            Self::NameTaken => ("name_taken", "The name is already taken"),
            Self::ImageFeatureDisabled => ("image_feature_disabled", "Image feature is not enabled"),
            Self::ImageLimitReached => ("image_limit_reached", "Maximum image limit reached"),
            Self::BootFromVolumeNotSupported => {
                ("boot_from_volume_not_supported", "Boot from volume instances cannot be imaged")
            }
            Self::NoImageStorageBound => {
                ("no_image_storage_bound", "No image storage is bound to this hypervisor")
            }
            Self::InsufficientStorage => {
                ("insufficient_storage", "Insufficient storage space on the image storage backend")
            }
            Self::HypervisorOffline => ("hypervisor_offline", "Hypervisor agent is offline"),
            Self::InstanceBusy => ("instance_busy", "The instance is busy"),
            Self::ImageNotAvailable => ("image_not_available", "The image is not available"),
            Self::ImageInUse => ("image_in_use", "The image is in use"),
            Self::OtherLocation => ("other_location", "The image is in another location"),
            Self::DiskTooSmall => ("disk_too_small", "The disk is smaller than the image"),
            Self::InvalidTransition => ("invalid_transition", "The present state does not allow that"),
            Self::LeaseLost => ("lease_lost", "The task's lease is lost"),
            Self::CoalesceTimeout => ("coalesce_timeout", "Coalesce timeout"),
            Self::PageTokenInvalid => ("page_token_invalid", "The page token is not valid"),
            Self::IdempotencyKeyReused => {
                ("idempotency_key_reused", "The idempotency key was used for another request")
            }
            Self::IdempotencyInProgress => {
                ("idempotency_in_progress", "The first request with this key is still running")
            }
            Self::PreconditionRequired => ("precondition_required", "If-Match is required"),
            Self::PreconditionFailed => ("precondition_failed", "The resource has changed"),
            Self::RateLimited => ("rate_limited", "Too many requests"),
            Self::PayloadTooLarge => ("payload_too_large", "The request body is too large"),
            Self::UnsupportedMediaType => ("unsupported_media_type", "The request body must be JSON"),
            Self::Unavailable => ("unavailable", "A service that this needs is not available"),
            Self::Internal => ("internal", "Something went wrong on our side"),
        }
    }
}

/// A refused or failed use case. `detail` is for the client; `internal` is for the log and never
/// leaves the host.
#[derive(Clone, Debug)]
pub struct Error {
    /// What it is.
    pub code: Code,
    /// What happened and what to do about it, for the client.
    pub detail: String,
    /// Figures that belong to the code (`limit`, `used`, ...).
    pub context: BTreeMap<&'static str, String>,
    /// The member of the request that is wrong, as a JSON pointer.
    pub pointer: Option<String>,
    /// For the log only.
    pub internal: Option<String>,
}

impl Error {
    /// An error with its code and what the client should know.
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string(), context: BTreeMap::new(), pointer: None, internal: None }
    }

    /// A defect or a failed dependency: the client learns nothing but the code.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self {
            internal: Some(cause.to_string()),
            ..Self::new(
                Code::Internal,
                "the request was not carried out; the log has the cause under its request id",
            )
        }
    }

    /// Something that is not there, or that this account may not know of.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// The same error with a figure for the client.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.insert(key, value.to_string());
        self
    }

    /// The same error, naming the wrong member of the request.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.title(), self.detail)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Code;

    #[test]
    fn codes_are_unique_and_the_quoted_titles_stand() {
        assert_eq!(
            Code::ALL.iter().map(|code| code.as_str()).collect::<BTreeSet<_>>().len(),
            Code::ALL.len()
        );
        assert_eq!(Code::ImageFeatureDisabled.title(), "Image feature is not enabled");
        assert_eq!(Code::ImageLimitReached.title(), "Maximum image limit reached");
        assert_eq!(Code::CoalesceTimeout.title(), "Coalesce timeout");
    }
}
