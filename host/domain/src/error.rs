//! The error of all use cases; `api` maps it to problem details, the CLI to an exit status.

use std::{collections::BTreeMap, fmt};

use crate::string_enum::string_enum;

string_enum! {
    /// Stable codes. A client may depend on them; a title never changes its meaning.
    #[derive(PartialOrd, Ord)]
    #[expect(missing_docs, reason = "`Code::title` says what each one is")]
    pub enum Code {
        InvalidRequest = "invalid_request",
        UnknownField = "unknown_field",
        InvalidName = "invalid_name",
        Unauthenticated = "unauthenticated",
        SignInFailed = "sign_in_failed",
        Forbidden = "forbidden",
        NotFound = "not_found",
        MethodNotAllowed = "method_not_allowed",
        NameTaken = "name_taken",
        SavedLimitReached = "saved_limit_reached",
        ImageFeatureDisabled = "image_feature_disabled",
        ImportDisabled = "import_disabled",
        UploadOffset = "upload_offset",
        DigestMismatch = "digest_mismatch",
        ImageLimitReached = "image_limit_reached",
        ImageBytesLimitReached = "image_bytes_limit_reached",
        BudgetReached = "budget_reached",
        RateInPast = "rate_in_past",
        BootFromVolumeNotSupported = "boot_from_volume_not_supported",
        WindowsDiskTooLarge = "windows_disk_too_large",
        DomainControllerNotSupported = "domain_controller_not_supported",
        NoImageStorageBound = "no_image_storage_bound",
        ImageNotReachable = "image_not_reachable",
        StorageUnavailable = "storage_unavailable",
        StorageNotShared = "storage_not_shared",
        InsufficientStorage = "insufficient_storage",
        ObjectsNotServed = "objects_not_served",
        HypervisorOffline = "hypervisor_offline",
        InstanceBusy = "instance_busy",
        ImageNotAvailable = "image_not_available",
        ImageInUse = "image_in_use",
        ImageProtected = "image_protected",
        SharingDisabled = "sharing_disabled",
        AlreadyShared = "already_shared",
        ShareLimitReached = "share_limit_reached",
        ResourceInUse = "resource_in_use",
        IsoDisabled = "iso_disabled",
        IsoNotAvailable = "iso_not_available",
        ExportDisabled = "export_disabled",
        ExportLimitReached = "export_limit_reached",
        ExportNotAvailable = "export_not_available",
        DevicesNotSupported = "devices_not_supported",
        DiskLimitReached = "disk_limit_reached",
        OtherLocation = "other_location",
        DiskTooSmall = "disk_too_small",
        CloudInitNotSupported = "cloud_init_not_supported",
        InvalidTransition = "invalid_transition",
        LeaseLost = "lease_lost",
        CoalesceTimeout = "coalesce_timeout",
        PageTokenInvalid = "page_token_invalid",
        IdempotencyKeyReused = "idempotency_key_reused",
        IdempotencyInProgress = "idempotency_in_progress",
        PreconditionRequired = "precondition_required",
        PreconditionFailed = "precondition_failed",
        RateLimited = "rate_limited",
        PayloadTooLarge = "payload_too_large",
        UnsupportedMediaType = "unsupported_media_type",
        Unavailable = "unavailable",
        Internal = "internal",
    }
}

impl Code {
    /// Returns the short text, which is verbatim where the requirements quote one (S125, S126,
    /// S129).
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::UnknownField => "The request has a field that does not exist",
            Self::InvalidName => "The name is not valid",
            Self::Unauthenticated => "Sign in first",
            Self::SignInFailed => "Account or password is wrong",
            Self::Forbidden => "This account is not allowed to do that",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::NameTaken => "The name is already taken",
            Self::SavedLimitReached => "Maximum number of saved keys or scripts reached",
            Self::ImageFeatureDisabled => "Image feature is not enabled",
            Self::ImportDisabled => "Importing of images is not enabled",
            Self::UploadOffset => "The upload is at another offset",
            Self::DigestMismatch => "The content does not have the digest that was sent with it",
            Self::ImageLimitReached => "Maximum image limit reached",
            Self::ImageBytesLimitReached => "Maximum size of all images reached",
            Self::BudgetReached => "The budget of the month is used up",
            Self::RateInPast => "A rate cannot change an hour that has started",
            Self::BootFromVolumeNotSupported => "Boot from volume instances cannot be imaged",
            Self::WindowsDiskTooLarge => "The disk is or was too large for an image of a Windows instance",
            Self::DomainControllerNotSupported => "Domain controllers cannot be imaged",
            Self::NoImageStorageBound => "No image storage is bound to this hypervisor",
            Self::ImageNotReachable => "The hypervisor does not reach the image",
            Self::StorageUnavailable => "No image storage takes images at the moment",
            Self::StorageNotShared => "The image storage is a folder of one machine",
            Self::InsufficientStorage => "Insufficient storage space on the image storage backend",
            Self::ObjectsNotServed => "No agent serves the objects of this storage",
            Self::HypervisorOffline => "Hypervisor agent is offline",
            Self::InstanceBusy => "The instance is busy",
            Self::ImageNotAvailable => "The image is not available",
            Self::ImageInUse => "The image is in use",
            Self::ImageProtected => "The image is protected from deletion",
            Self::SharingDisabled => "Sharing of images is not enabled",
            Self::AlreadyShared => "The image is already shared with this account",
            Self::ShareLimitReached => "Maximum number of shares reached",
            Self::ResourceInUse => "Something else still refers to it",
            Self::IsoDisabled => "Mounting of ISOs is not enabled",
            Self::IsoNotAvailable => "The ISO is not available",
            Self::ExportDisabled => "Export of images is not enabled",
            Self::ExportLimitReached => "Maximum number of exports at once reached",
            Self::ExportNotAvailable => "The export has no file to download",
            Self::DevicesNotSupported => "The hypervisor cannot change devices of instances",
            Self::DiskLimitReached => "Maximum number of disks reached",
            Self::OtherLocation => "The image is in another location",
            Self::DiskTooSmall => "The disk is smaller than the image",
            Self::CloudInitNotSupported => "The image does not support cloud-init",
            Self::InvalidTransition => "Not allowed in the current state",
            Self::LeaseLost => "The task's lease is lost",
            Self::CoalesceTimeout => "Coalesce timeout",
            Self::PageTokenInvalid => "The page token is not valid",
            Self::IdempotencyKeyReused => "The idempotency key was used for another request",
            Self::IdempotencyInProgress => "The first request with this key is still running",
            Self::PreconditionRequired => "If-Match is required",
            Self::PreconditionFailed => "The resource has changed",
            Self::RateLimited => "Too many requests",
            Self::PayloadTooLarge => "The request body is too large",
            Self::UnsupportedMediaType => "The request body must be JSON",
            Self::Unavailable => "A service that this needs is not available",
            Self::Internal => "Something went wrong on our side",
        }
    }

    /// Returns whether the same request may succeed later without any change to it.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::HypervisorOffline
                | Self::StorageUnavailable
                | Self::InstanceBusy
                | Self::CoalesceTimeout
                | Self::IdempotencyInProgress
                | Self::RateLimited
                | Self::Unavailable
        )
    }
}

/// A refused or failed use case. `detail` is for the client; `internal` is for the log and is never
/// sent to a client.
#[derive(Clone, Debug)]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// What happened and what the client can do about it.
    pub detail: String,
    /// Figures that belong to the code (`limit`, `used`, ...).
    pub context: BTreeMap<&'static str, String>,
    /// A JSON pointer to the wrong member of the request.
    pub pointer: Option<String>,
    /// The cause, for the log only.
    pub internal: Option<String>,
}

impl Error {
    /// Builds an error from its code and its text for the client.
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string(), context: BTreeMap::new(), pointer: None, internal: None }
    }

    /// Builds the error of a defect or a failed dependency: the client gets the code and no
    /// details.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self {
            internal: Some(cause.to_string()),
            ..Self::new(
                Code::Internal,
                "the request was not carried out; the log has the cause under its request id",
            )
        }
    }

    /// Builds the error of a resource that does not exist or that the account may not know of.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Adds a figure for the client.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.insert(key, value.to_string());
        self
    }

    /// Names the wrong member of the request by a JSON pointer.
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
