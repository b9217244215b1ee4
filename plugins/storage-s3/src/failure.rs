//! What the errors of S3 mean, and what to do about them.

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

/// The meaning of an error code of S3 for Imprint.
struct Meaning {
    class: ErrorClass,
    code: &'static str,
    /// The setting that it is about.
    setting: Option<&'static str>,
    action: &'static str,
}

const fn new(
    class: ErrorClass,
    code: &'static str,
    setting: Option<&'static str>,
    action: &'static str,
) -> Meaning {
    Meaning { class, code, setting, action }
}

/// The meaning of a code after which the request is repeated.
const BUSY: Meaning =
    new(ErrorClass::Transient, "s3.busy", None, "it is tried again; if it stays, check the service");

fn known(code: &str) -> Option<Meaning> {
    use ErrorClass::{Conflict, Denied, InvalidInput, NotFound};

    Some(match code {
        "InvalidAccessKeyId" | "NotSignedUp" => new(
            Denied,
            "s3.access-key",
            Some("access-key"),
            "the service does not know the access key: correct it",
        ),
        "SignatureDoesNotMatch" => new(
            Denied,
            "s3.signature",
            Some("secret-key"),
            "the secret key is not the one of the access key: set it again",
        ),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => new(
            Denied,
            "s3.session",
            Some("session-token"),
            "set new temporary keys with their session token",
        ),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => new(
            Denied,
            "s3.access-denied",
            None,
            "permit the key to list, read, write and delete in the bucket; check the access key and the bucket",
        ),
        "RequestTimeTooSkewed" | "RequestExpired" => new(
            Denied,
            "s3.clock",
            None,
            "the clock of the hypervisor differs too much from that of the service: synchronise it (NTP)",
        ),
        "NoSuchBucket" | "InvalidBucketName" => {
            new(NotFound, "s3.no-bucket", Some("bucket"), "create the bucket, or correct its name")
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "TemporaryRedirect"
        | "InvalidRegion" => new(
            InvalidInput,
            "s3.region",
            Some("region"),
            "set the region of the bucket, and the endpoint of that region",
        ),
        "NoSuchKey" | "NotFound" => new(NotFound, "s3.not-found", None, "the object does not exist"),
        "NoSuchUpload" => {
            new(Conflict, "s3.upload-lost", None, "the upload was aborted or completed: upload it again")
        }
        _ => return limits(code),
    })
}

/// Returns the meaning of a code about bounds, damage or load; `None` for an unknown one.
fn limits(code: &str) -> Option<Meaning> {
    use ErrorClass::{LimitExceeded, Transient, Unsupported};

    Some(match code {
        "QuotaExceeded"
        | "QuotaExceededException"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "XMinioStorageFull"
        | "StorageFull"
        | "AccountQuotaExceeded" => {
            new(LimitExceeded, "s3.no-space", None, "raise the quota of the bucket, or delete images")
        }
        "EntityTooLarge" | "EntityTooSmall" => new(
            LimitExceeded,
            "s3.part-size",
            Some("part-size"),
            "the service takes parts of another size: change the smallest part",
        ),
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "InvalidDigest" => {
            new(Transient, "s3.checksum", None, "the bytes arrived damaged, and are sent again")
        }
        "NotImplemented" | "InvalidArgument" | "InvalidRequest" | "MalformedXML" => new(
            Unsupported,
            "s3.unsupported",
            Some("checksums"),
            "the service does not support this: turn the checksums off, or try the other addressing",
        ),
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "Busy" | "Throttling"
        | "TooManyRequests" | "OperationAborted" => BUSY,
        _ => return None,
    })
}

/// Returns the code that says more, where a service has one code for much. Garage denies access for
/// a key that it does not know, a signature and a full quota, and says in words which it was.
fn code_meant(error: &S3Error) -> &str {
    let says = |words: &str| error.code == "AccessDenied" && error.message.contains(words);
    if says("No such key: ") {
        "InvalidAccessKeyId"
    } else if says("Invalid signature") {
        "SignatureDoesNotMatch"
    } else if says("quota is reached") {
        "QuotaExceeded"
    } else {
        &error.code
    }
}

fn meaning(status: u16, error: &S3Error) -> Error {
    let S3Error { code, message, region } = error;
    let unknown = if status >= 500 {
        BUSY
    } else {
        new(ErrorClass::Conflict, "s3.refused", None, "look up the code in the documentation of the service")
    };
    let meaning = known(code_meant(error)).unwrap_or(unknown);
    let shown: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
    let region = if region.is_empty() { String::new() } else { format!(", region {region:?}") };
    let text = format!("the object storage answers {code} ({shown}{region}); {}", meaning.action);
    let found = Error::new(meaning.class, meaning.code, text);
    match meaning.setting {
        Some(setting) => found.about_setting(setting),
        None => found,
    }
}

fn by_status(response: &Response) -> Error {
    let status = response.status;
    let answer = format!("the object storage answers with status {status}");
    match status {
        404 => Error::not_found("s3.not-found", format!("{answer}: there is no such object or bucket")),
        301 | 302 | 307 | 308 => Error::invalid_input(
            "s3.region",
            format!("{answer}: the bucket is at another endpoint; correct the endpoint and the region"),
        )
        .about_setting("region"),
        401 | 403 => Error::new(
            ErrorClass::Denied,
            "s3.access-denied",
            format!("{answer}; check the keys and what they may do in the bucket"),
        ),
        507 => {
            Error::limit("s3.no-space", format!("{answer}: it is full; raise the quota, or delete images"))
        }
        429 | 500..=599 => Error::transient("s3.busy", format!("{answer}; it is tried again")),
        _ => xml::not_s3(&format!("status {status} without an error document")),
    }
}
