//! Cases about the bytes of one object.

use super::{
    CaseResult, Subject,
    checks::{Checked, WRITE, absent, commit, ensure, holds, keys, must, pattern, put, request, write_from},
};
use crate::error::ErrorClass;

/// The longest object of the suite: not a multiple of a write.
const LONG: usize = 3 * WRITE + 12_345;

pub(super) fn put_get<S: Subject>(subject: &mut S) -> Checked {
    let (small, long) = (pattern(1, 700), pattern(2, LONG));
    must("an upload", put(subject, "first.raw", &small))?;
    let mut upload = must("beginning an upload", subject.begin(&request("images/long.raw")))?;
    let token = subject.token(&upload);
    ensure((1..=4096).contains(&token.len()), || {
        format!("the token has {} bytes; 1 to 4096 are possible", token.len())
    })?;
    must("writing", write_from(subject, &mut upload, &long, 0))?;
    absent(subject, "images/long.raw", "before its commit")?;
    ensure(keys(subject, "", 100)? == ["first.raw"], || "an upload is listed before its commit".to_owned())?;
    let object = must("the commit", commit(subject, &mut upload, &long))?;
    let length = u64::try_from(LONG).unwrap_or(u64::MAX);
    ensure((object.key.as_str(), object.size) == ("images/long.raw", length), || {
        format!("the commit answers {object:?}")
    })?;
    holds(subject, "images/long.raw", &long, "after its commit")?;
    holds(subject, "first.raw", &small, "after another upload")?;
    must("opening the storage again", subject.restart())?;
    holds(subject, "images/long.raw", &long, "after a restart")?;
    let listed = keys(subject, "", 100)?;
    ensure(listed == ["first.raw", "images/long.raw"], || format!("{listed:?} are listed"))?;
    Ok(CaseResult::Passed)
}

pub(super) fn ranges<S: Subject>(subject: &mut S) -> Checked {
    let bytes = pattern(3, LONG);
    must("an upload", put(subject, "ranges", &bytes))?;
    let size = bytes.len();
    let places = [
        (0, 1),
        (0, 4096),
        (1, 511),
        (4095, 4098),
        (WRITE - 1, 2),
        (WRITE - 7, WRITE),
        (size - 1, 1),
        (size - 70_000, 70_000),
        (2 * WRITE, WRITE),
    ];
    for (offset, length) in places {
        let what = format!("reading {length} bytes at {offset}");
        let (from, count) = (u64::try_from(offset).unwrap_or(0), u32::try_from(length).unwrap_or(0));
        let read = must(&what, subject.read("ranges", from, count))?;
        ensure(read == bytes[offset..offset + length], || format!("{what} answers other bytes"))?;
    }
    let end = u64::try_from(size).unwrap_or(u64::MAX);
    ensure(subject.read("ranges", end - 1, 2).is_err(), || {
        "reading beyond the end of an object answers bytes".to_owned()
    })?;
    match subject.read("nothing", 0, 1) {
        Err(error) if error.class == ErrorClass::NotFound => Ok(CaseResult::Passed),
        other => Err(format!("reading an object that does not exist is {other:?}, not `not-found`")),
    }
}

pub(super) fn zero_length<S: Subject>(subject: &mut S) -> Checked {
    let object = must("uploading an object without bytes", put(subject, "empty", b""))?;
    ensure(object.size == 0, || format!("an object without bytes has {} of them", object.size))?;
    holds(subject, "empty", b"", "after its commit")?;
    let listed = keys(subject, "", 10)?;
    ensure(listed == ["empty"], || format!("{listed:?} are listed"))?;
    must("deleting it", subject.delete("empty"))?;
    absent(subject, "empty", "after it was deleted")?;
    Ok(CaseResult::Passed)
}
