//! Cases about several uploads, and uploads that end early.

use super::{
    CaseResult, Subject,
    checks::{
        Checked, WRITE, absent, commit, ensure, holds, must, nothing_new, pattern, put, put_as, request,
        shown, write_from,
    },
};
use crate::{error::ErrorClass, storage::WriteRequest, types::Digest};

pub(super) fn replace<S: Subject>(subject: &mut S) -> Checked {
    let (old, new) = (pattern(11, 50_000), pattern(12, 1_200_000));
    must("an upload", put(subject, "dir/object", &old))?;
    match put(subject, "dir/object", &new) {
        Err(error) if error.class == ErrorClass::AlreadyExists => {}
        Err(error) => {
            return Err(format!(
                "a key that is taken is refused with {}, not `already-exists`",
                shown(&error)
            ));
        }
        Ok(_) => return Err("an object was replaced, and the request forbids that".to_owned()),
    }
    holds(subject, "dir/object", &old, "after it was not replaced")?;
    let replacing = WriteRequest { if_absent: false, ..request("dir/object") };
    let mut upload = must("beginning to replace an object", subject.begin(&replacing))?;
    must("writing", write_from(subject, &mut upload, &new, 0))?;
    holds(subject, "dir/object", &old, "before it is replaced")?;
    must("replacing an object", commit(subject, &mut upload, &new))?;
    holds(subject, "dir/object", &new, "after it was replaced")?;
    must("replacing an object by an empty one", put_as(subject, &replacing, b""))?;
    holds(subject, "dir/object", b"", "after it was replaced by an empty one")?;
    Ok(CaseResult::Passed)
}

pub(super) fn two_writers<S: Subject>(subject: &mut S) -> Checked {
    let (one, two) = (pattern(21, WRITE + 500), pattern(22, WRITE + 900));
    let mut first = must("beginning an upload", subject.begin(&request("same")))?;
    must("writing", write_from(subject, &mut first, &one[..WRITE], 0))?;
    let mut second = must("beginning a second upload of one key", subject.begin(&request("same")))?;
    must("writing the second upload", write_from(subject, &mut second, &two, 0))?;
    let mut other = must("beginning an upload of another key", subject.begin(&request("other")))?;
    must("writing another key", write_from(subject, &mut other, &one, 0))?;
    must("writing the first upload on", write_from(subject, &mut first, &one, WRITE))?;
    must("the first commit", commit(subject, &mut first, &one))?;
    match commit(subject, &mut second, &two) {
        Err(error) if error.class == ErrorClass::AlreadyExists => {}
        Err(error) => {
            return Err(format!("the second commit of one key is {}, not `already-exists`", shown(&error)));
        }
        Ok(_) => return Err("two uploads that replace nothing have the same key".to_owned()),
    }
    must("giving the second upload up", subject.abort(&mut second))?;
    holds(subject, "same", &one, "after another upload of the same key")?;
    must("the commit of another key", commit(subject, &mut other, &one))?;
    holds(subject, "other", &one, "after its commit")?;
    Ok(CaseResult::Passed)
}

pub(super) fn cancel<S: Subject>(subject: &mut S) -> Checked {
    must("an upload", put(subject, "kept", b"kept"))?;
    let before = subject.stored();
    let bytes = pattern(31, 2 * WRITE);
    for written in [0, WRITE] {
        let mut upload = must("beginning an upload", subject.begin(&request("given-up")))?;
        let token = subject.token(&upload);
        must("writing", write_from(subject, &mut upload, &bytes[..written], 0))?;
        must("giving an upload up", subject.abort(&mut upload))?;
        nothing_new(subject, before.as_deref(), "after an upload was given up")?;
        must("giving an upload up twice", subject.abort(&mut upload))?;
        drop(upload);
        must("cleaning up after an upload that was given up", subject.cleanup(&token))?;
        absent(subject, "given-up", "after its upload was given up")?;
    }
    must("uploading the key after all", put(subject, "given-up", b"now"))?;
    holds(subject, "given-up", b"now", "after its commit")?;
    holds(subject, "kept", b"kept", "after another upload was given up")?;
    Ok(CaseResult::Passed)
}

/// How far an upload comes before the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Started,
    HalfWritten,
    Written,
    Committed,
}

pub(super) fn crash<S: Subject>(subject: &mut S) -> Checked {
    let bytes = pattern(41, WRITE + WRITE / 2);
    must("an upload", put(subject, "kept", b"kept"))?;
    for until in [Until::Started, Until::HalfWritten, Until::Written, Until::Committed] {
        let key = format!("crashed/{until:?}");
        let before = subject.stored();
        let token = crashed(subject, &key, &bytes, until)?;
        for _ in 0..2 {
            must(&format!("cleaning up after a crash ({until:?})"), subject.cleanup(&token))?;
        }
        if until == Until::Committed {
            holds(subject, &key, &bytes, "after a clean-up of its upload, which was committed")?;
        } else {
            absent(subject, &key, "after a clean-up of its upload")?;
            nothing_new(subject, before.as_deref(), "after a clean-up")?;
        }
    }
    holds(subject, "kept", b"kept", "after clean-ups of other uploads")?;
    foreign_tokens(subject)?;
    continued(subject, &bytes)
}

/// Begins an upload, crashes, and returns its token.
fn crashed<S: Subject>(subject: &mut S, key: &str, bytes: &[u8], until: Until) -> Result<Vec<u8>, String> {
    let mut upload = must("beginning an upload", subject.begin(&request(key)))?;
    let token = subject.token(&upload);
    let written = match until {
        Until::Started => 0,
        Until::HalfWritten => WRITE,
        Until::Written | Until::Committed => bytes.len(),
    };
    must("writing", write_from(subject, &mut upload, &bytes[..written], 0))?;
    if until == Until::Committed {
        must("the commit", commit(subject, &mut upload, bytes))?;
    }
    drop(upload);
    must("opening the storage again", subject.restart())?;
    Ok(token)
}

/// What is no token of this storage is refused, and deletes nothing.
fn foreign_tokens<S: Subject>(subject: &mut S) -> Result<(), String> {
    let long = vec![b'x'; 5000];
    let tokens: [&[u8]; 6] = [b"", b"kept", b"../kept", b"{}", &[0xff; 40], &long];
    for token in tokens {
        if let Err(error) = subject.cleanup(token) {
            ensure(error.class != ErrorClass::Internal, || {
                format!("a token of something else ends in {}; refuse it as `invalid-input`", shown(&error))
            })?;
        }
    }
    holds(subject, "kept", b"kept", "after a clean-up with tokens of something else")
}

/// An upload continues in another process, before and after its commit.
fn continued<S: Subject>(subject: &mut S, bytes: &[u8]) -> Checked {
    let token = crashed(subject, "continued", bytes, Until::Written)?;
    for attempt in ["the commit", "the commit, which is repeated as its answer was lost,"] {
        let Some(resumed) = subject.resume("continued", &token) else {
            return Ok(CaseResult::Passed);
        };
        let mut upload = must("continuing an upload after a crash", resumed)?;
        let total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let object = must(attempt, subject.commit(&mut upload, total, &[]))?;
        ensure(object.size == total, || format!("{attempt} answers {object:?}"))?;
        holds(subject, "continued", bytes, "after its upload was continued")?;
    }
    Ok(CaseResult::Passed)
}

pub(super) fn wrong_total<S: Subject>(subject: &mut S) -> Checked {
    let bytes = pattern(51, 300_000);
    let total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    for announced in [total + 1, total - 1, 0] {
        let before = subject.stored();
        let mut upload = must("beginning an upload", subject.begin(&request("wrong")))?;
        must("writing", write_from(subject, &mut upload, &bytes, 0))?;
        must("ending the writing", subject.finish(&mut upload, total))?;
        ensure(subject.commit(&mut upload, announced, &[]).is_err(), || {
            format!("a commit of {announced} bytes succeeds after {total} bytes were written")
        })?;
        must("giving an upload up", subject.abort(&mut upload))?;
        absent(subject, "wrong", "after a commit that was refused")?;
        nothing_new(subject, before.as_deref(), "after a commit that was refused")?;
    }
    // A storage that compares digests refuses this one; another one keeps what was written.
    let mut upload = must("beginning an upload", subject.begin(&request("digest")))?;
    must("writing", write_from(subject, &mut upload, &bytes, 0))?;
    must("ending the writing", subject.finish(&mut upload, total))?;
    let wrong = Digest { algorithm: "sha256".to_owned(), value: vec![0; 32] };
    match subject.commit(&mut upload, total, &[wrong]) {
        Ok(_) => holds(subject, "digest", &bytes, "after its commit")?,
        Err(_) => {
            must("giving an upload up", subject.abort(&mut upload))?;
            absent(subject, "digest", "after its digest was refused")?;
        }
    }
    Ok(CaseResult::Passed)
}
