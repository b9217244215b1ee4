//! What the errors of S3 mean, and what to do about them.
//!
//! The last part of a code that is about a setting is the setting's name.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass, Result},
    http::Response,
};

use crate::xml;

/// An error as S3 answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct S3Error {
    pub(crate) code: String,
    message: String,
    region: String,
}

impl S3Error {
    /// Parses the body of an answer; `None` when it has no error.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let mut error = Self::default();
        xml::read(body, |path, text| {
            let field = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["Error", "Code"] => &mut error.code,
                ["Error", "Message"] => &mut error.message,
                ["Error", "Region"] => &mut error.region,
                _ => return,
            };
            text.trim().clone_into(field);
        })
        .ok()?;
        (!error.code.is_empty()).then_some(error)
    }
}

/// Returns the error for an answer that is none of the expected ones.
pub(crate) fn failure(response: &Response) -> Error {
    match S3Error::parse(&response.body) {
        Some(error) => meaning(response.status, &error),
        None => by_status(response),
    }
}

/// Returns the answer if its status is the expected one.
pub(crate) fn expect(response: Response, status: &[u16]) -> Result<Response> {
    if status.contains(&response.status) { Ok(response) } else { Err(failure(&response)) }
}

fn meaning(status: u16, error: &S3Error) -> Error {
    let S3Error { code, message, region } = error;
    let shown: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
    let said = format!("the object storage answers {code} ({shown})");
    let new = |class, own: &str, what: &str| Error::new(class, own, format!("{said}; {what}"));
    match code.as_str() {
        "InvalidAccessKeyId" => new(
            ErrorClass::Denied,
            "s3.access-key",
            "the access key is not known there: check the setting \"access-key\"",
        ),
        "SignatureDoesNotMatch" => new(
            ErrorClass::Denied,
            "s3.secret-key",
            "the secret key is not the one of the access key: set \"secret-key\" again",
        ),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            new(ErrorClass::Denied, "s3.session-token", "set new temporary keys with their \"session-token\"")
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => new(
            ErrorClass::Denied,
            "s3.access-denied",
            "permit the key to list, read, write and delete in the bucket, and check \"bucket\" and \"access-key\"",
        ),
        "RequestTimeTooSkewed" | "RequestExpired" => new(
            ErrorClass::Denied,
            "s3.clock",
            "the clock of the hypervisor differs too much from that of the service: synchronise it (NTP)",
        ),
        "NoSuchBucket" | "InvalidBucketName" => {
            new(ErrorClass::NotFound, "s3.bucket", "create the bucket, or correct the setting \"bucket\"")
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "TemporaryRedirect"
        | "InvalidRegion" => {
            let expected = if region.is_empty() { String::new() } else { format!(" to {region:?}") };
            new(
                ErrorClass::InvalidInput,
                "s3.region",
                &format!("set \"region\"{expected}, and the endpoint of that region"),
            )
        }
        "NoSuchKey" | "NotFound" => new(ErrorClass::NotFound, "s3.not-found", "the object does not exist"),
        "NoSuchUpload" => {
            new(ErrorClass::Conflict, "s3.upload-lost", "the upload was aborted or completed: begin it again")
        }
        "QuotaExceeded"
        | "QuotaExceededException"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "TooManyBuckets"
        | "XMinioStorageFull"
        | "StorageFull"
        | "AccountQuotaExceeded" => {
            new(ErrorClass::LimitExceeded, "s3.no-space", "raise the quota of the bucket, or delete images")
        }
        "EntityTooLarge" | "EntityTooSmall" => new(
            ErrorClass::LimitExceeded,
            "s3.part-size",
            "the service takes parts of another size: change the setting \"part-size\"",
        ),
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "InvalidDigest" => {
            new(ErrorClass::Transient, "s3.checksum", "the bytes arrived damaged, and are sent again")
        }
        "NotImplemented" | "InvalidArgument" | "InvalidRequest" | "MalformedXML" => new(
            ErrorClass::Unsupported,
            "s3.unsupported",
            "the service does not support this: try the setting \"checksums\" = \"off\", or another addressing",
        ),
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "Busy" | "Throttling"
        | "TooManyRequests" | "OperationAborted" => {
            new(ErrorClass::Transient, "s3.busy", "it is tried again; if it stays, look at the service")
        }
        _ if status >= 500 => {
            new(ErrorClass::Transient, "s3.server", "it is tried again; if it stays, look at the service")
        }
        _ => new(ErrorClass::Conflict, "s3.refused", "look up the code in the service's documentation"),
    }
}

fn by_status(response: &Response) -> Error {
    let status = response.status;
    let said = format!("the object storage answers with status {status}");
    match status {
        404 => Error::not_found("s3.not-found", format!("{said}: there is no such object or bucket")),
        301 | 302 | 307 | 308 => Error::invalid_input(
            "s3.region",
            format!("{said}: the bucket is at another endpoint; correct \"endpoint\" and \"region\""),
        ),
        401 | 403 => Error::new(
            ErrorClass::Denied,
            "s3.access-denied",
            format!("{said}; check \"access-key\", \"secret-key\" and what the key may do in the bucket"),
        ),
        507 => Error::limit("s3.no-space", format!("{said}: it is full; raise the quota, or delete images")),
        429 | 500..=599 => Error::transient("s3.server", format!("{said}; it is tried again")),
        _ => xml::not_s3(&format!("status {status} without an error document")),
    }
}
