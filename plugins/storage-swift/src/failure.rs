//! What the answers of Swift mean, and what to do about them.

use imprint_plugin_sdk::{
    error::{Error, ErrorClass},
    http::Response,
};

/// Returns the error for an answer that is none of Swift.
pub(crate) fn not_swift(what: &str) -> Error {
    let message = format!(
        "the object store does not answer like Swift ({what}); check the setting \"endpoint\" and the catalogue"
    );
    Error::invalid_input("swift.not-swift", message).about_setting("endpoint")
}

/// Returns the error for an answer that is none of the expected ones.
pub(crate) fn failure(response: &Response) -> Error {
    let status = response.status;
    let answer = match text(&response.body) {
        said if said.is_empty() => format!("the object store answers with status {status}"),
        said => format!("the object store answers with status {status} ({said})"),
    };
    let error = |class, code, action: &str| Error::new(class, code, format!("{answer}; {action}"));
    match status {
        400 => error(ErrorClass::Conflict, "swift.refused", "look the text up in the documentation of the service"),
        401 => error(
            ErrorClass::Denied,
            "swift.token",
            "it refuses a new token: check that sign-in and object store belong together",
        )
        .about_setting("auth-url"),
        403 => error(
            ErrorClass::Denied,
            "swift.access-denied",
            "permit the user to list, read, write and delete in the containers (role `member` or `swiftoperator`)",
        )
        .about_setting("container"),
        404 => error(ErrorClass::NotFound, "swift.not-found", "there is no such object"),
        409 => error(ErrorClass::Conflict, "swift.conflict", "something else changes the object; try again"),
        412 => error(ErrorClass::InvalidInput, "swift.name", "a name or an address is not one that it takes")
            .about_setting("endpoint"),
        413 | 507 => error(
            ErrorClass::LimitExceeded,
            "swift.no-space",
            "raise the quota of the account or of the container, or delete images",
        ),
        422 => error(ErrorClass::Transient, "swift.checksum", "the bytes arrived damaged, and are sent again"),
        408 | 429 | 498 | 499 | 500..=506 | 508..=599 => {
            error(ErrorClass::Transient, "swift.busy", "it is tried again; if it stays, check the service")
        }
        _ => not_swift(&format!("status {status}")),
    }
}

/// Returns what an error document says, without its markup.
pub(crate) fn text(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut text = String::new();
    let mut inside = false;
    for character in body.chars() {
        match character {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            _ if inside => {}
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}
