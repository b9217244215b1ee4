//! What the cases share.

use super::{CaseResult, Subject};
use crate::{
    error::{Error, ErrorClass, Result},
    storage::{Object, WriteRequest},
    types::Props,
};

/// How a case ends: what was expected and did not happen is the error.
pub(super) type Checked = Result<CaseResult, String>;

/// The bytes that one write takes.
pub(super) const WRITE: usize = 1 << 20;

/// Returns bytes that are different for every seed and at every offset.
pub(super) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Returns the request for an object that is not there yet.
pub(super) fn request(key: &str) -> WriteRequest {
    WriteRequest {
        key: key.to_owned(),
        size: None,
        upper_bound: None,
        needs_random: false,
        if_absent: true,
        extra: Props::new(),
    }
}

/// Writes the bytes from `from` on, and nothing else.
pub(super) fn write_from<S: Subject>(
    subject: &mut S,
    upload: &mut S::Upload,
    bytes: &[u8],
    from: usize,
) -> Result<()> {
    let mut at = from;
    for part in bytes[from..].chunks(WRITE) {
        subject.write(upload, u64::try_from(at).unwrap_or(u64::MAX), part)?;
        at += part.len();
    }
    Ok(())
}

/// Uploads an object.
pub(super) fn put_as<S: Subject>(subject: &mut S, request: &WriteRequest, bytes: &[u8]) -> Result<Object> {
    let mut upload = subject.begin(request)?;
    write_from(subject, &mut upload, bytes, 0)?;
    commit(subject, &mut upload, bytes)
}

/// Uploads an object that is not there yet.
pub(super) fn put<S: Subject>(subject: &mut S, key: &str, bytes: &[u8]) -> Result<Object> {
    put_as(subject, &request(key), bytes)
}

/// Ends an upload of which all bytes are written.
pub(super) fn commit<S: Subject>(subject: &mut S, upload: &mut S::Upload, bytes: &[u8]) -> Result<Object> {
    let total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    subject.finish(upload, total)?;
    subject.commit(upload, total, &[])
}

/// Returns the description of an answer that must not fail.
pub(super) fn must<T>(what: &str, answer: Result<T>) -> Result<T, String> {
    answer.map_err(|error| format!("{what} failed: {}", shown(&error)))
}

/// Returns an error with its class and code.
pub(super) fn shown(error: &Error) -> String {
    format!("{error} [{}, {:?}]", error.code, error.class)
}

/// Checks what must hold.
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Checks that there is no object with that key.
pub(super) fn absent<S: Subject>(subject: &mut S, key: &str, when: &str) -> Result<(), String> {
    match subject.stat(key) {
        Err(error) if error.class == ErrorClass::NotFound => Ok(()),
        Err(error) => Err(format!("stat of {key:?} {when} is {}, not `not-found`", shown(&error))),
        Ok(_) => Err(format!("{key:?} is visible {when}")),
    }
}

/// Checks that an object has exactly these bytes.
pub(super) fn holds<S: Subject>(subject: &mut S, key: &str, bytes: &[u8], when: &str) -> Result<(), String> {
    let object = must(&format!("stat of {key:?} {when}"), subject.stat(key))?;
    ensure(object.size == u64::try_from(bytes.len()).unwrap_or(u64::MAX), || {
        format!("{key:?} has {} bytes {when}, and {} were written", object.size, bytes.len())
    })?;
    for (index, part) in bytes.chunks(WRITE).enumerate() {
        let offset = u64::try_from(index * WRITE).unwrap_or(u64::MAX);
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let read = must(&format!("reading {key:?} {when}"), subject.read(key, offset, length))?;
        ensure(read == part, || {
            format!("{key:?} has other bytes {when} than were written, from offset {offset} on")
        })?;
    }
    Ok(())
}

/// Returns all keys with a prefix, read in pages of `max`.
pub(super) fn keys<S: Subject>(subject: &mut S, prefix: &str, max: u32) -> Result<Vec<String>, String> {
    let mut keys = Vec::new();
    let mut resume: Option<String> = None;
    loop {
        let what = format!("listing {prefix:?} after {resume:?}");
        let page = must(&what, subject.list(prefix, resume.as_deref(), max))?;
        keys.extend(page.objects.into_iter().map(|object| object.key));
        match page.resume {
            Some(next) if resume.as_ref() == Some(&next) => return Err(format!("{what} makes no progress")),
            Some(next) => resume = Some(next),
            None => return Ok(keys),
        }
    }
}

/// Checks that the medium holds what it held before.
pub(super) fn nothing_new<S: Subject>(
    subject: &mut S,
    before: Option<&[String]>,
    when: &str,
) -> Result<(), String> {
    let (Some(before), Some(now)) = (before, subject.stored()) else { return Ok(()) };
    let left: Vec<_> = now.iter().filter(|name| !before.contains(name)).collect();
    ensure(left.is_empty(), || format!("{when} the medium still holds {left:?}"))
}
