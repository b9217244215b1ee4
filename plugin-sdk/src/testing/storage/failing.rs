//! Cases about a medium that fails. They need a host that fails on demand: the mock.

use super::{
    CaseResult, Subject,
    checks::{
        Checked, absent, commit, ensure, holds, keys, must, nothing_new, pattern, put, request, shown,
        write_from,
    },
};
use crate::{
    error::{Error, ErrorClass},
    host::Task,
    storage::WriteRequest,
};

/// Why these cases do not run in the real runtime.
const REAL: CaseResult = CaseResult::Skipped("this host does not fail on demand; the mock does");

/// The operations of a host that a storage may use.
const OPERATIONS: [&str; 11] = [
    "stat",
    "list",
    "create-directory",
    "remove-file",
    "publish",
    "space",
    "read-at",
    "write-at",
    "set-size",
    "sync",
    "http",
];
/// The most times that one operation is let through before it fails.
const DEPTH: usize = 8;
/// The longest time of one call, in milliseconds: the default of `wall-per-call`.
const WALL_MS: u64 = 60_000;
/// The time of one operation of a slow server, in milliseconds.
const SLOW_MS: u64 = 5_000;

fn busy() -> Error {
    Error::transient_after("server.busy", "the server is busy", 500)
}

pub(super) fn short_read<S: Subject>(subject: &mut S) -> Checked {
    if subject.faults().is_none() {
        return Ok(REAL);
    }
    let bytes = pattern(61, 600_000);
    must("an upload", put(subject, "cut", &bytes))?;
    if let Some(host) = subject.faults() {
        host.halve_files();
    }
    for (offset, length) in [(0, 600_000), (299_999, 2), (599_000, 1000)] {
        if let Ok(read) = subject.read("cut", offset, length) {
            return Err(format!(
                "reading {length} bytes at {offset} of a file that lost its second half answers {} bytes",
                read.len()
            ));
        }
    }
    Ok(CaseResult::Passed)
}

/// One function of the storage, as it is tried with a failing operation.
type Try<S> = fn(&mut S, &str) -> Result<(), Error>;

fn upload<S: Subject>(subject: &mut S, key: &str) -> Result<(), Error> {
    let mut upload = subject.begin(&request(key))?;
    let token = subject.token(&upload);
    let outcome =
        write_from(subject, &mut upload, b"bytes", 0).and_then(|()| commit(subject, &mut upload, b"bytes"));
    drop(upload);
    if outcome.is_err() {
        // The host calls it again and again, so that one more failure does not count.
        drop(subject.cleanup(&token).or_else(|_| subject.cleanup(&token)));
    }
    outcome.map(drop)
}

pub(super) fn slow_server<S: Subject>(subject: &mut S) -> Checked {
    if subject.faults().is_none() {
        return Ok(REAL);
    }
    must("an upload", put(subject, "dir/there", b"there"))?;
    let tries: [(&str, Try<S>); 5] = [
        ("stat", |subject, _| subject.stat("dir/there").map(drop)),
        ("reading", |subject, _| subject.read("dir/there", 0, 5).map(drop)),
        ("listing", |subject, _| {
            let page = subject.list("dir/", None, 10)?;
            let found = page.objects.iter().any(|object| object.key == "dir/there");
            if found { Ok(()) } else { Err(Error::internal("suite.gone", "the listing lacks an object")) }
        }),
        ("deleting", |subject, key| subject.delete(key)),
        ("an upload", upload),
    ];
    for operation in OPERATIONS {
        for skip in 0..DEPTH {
            for (what, attempt) in &tries {
                let key = format!("tried/{operation}-{skip}-{}", what.replace(' ', "-"));
                if let Some(host) = subject.faults() {
                    host.fail_nth(operation, skip, busy());
                }
                let outcome = attempt(subject, &key);
                if let Some(host) = subject.faults() {
                    host.clear_faults();
                }
                if let Err(error) = outcome {
                    ensure(error.class == ErrorClass::Transient, || {
                        format!("{what} is {} when {operation} fails for a passing reason", shown(&error))
                    })?;
                    must("opening the storage again", subject.restart())?;
                }
            }
        }
    }
    holds(subject, "dir/there", b"there", "after failures of the server")?;
    latency(subject)
}

/// Every call takes a while, and none as long as the host waits for one.
fn latency<S: Subject>(subject: &mut S) -> Checked {
    let clock = |subject: &S| subject.faults().map_or(0, Task::monotonic_ms);
    if let Some(host) = subject.faults() {
        host.set_latency(SLOW_MS);
    }
    let mut slowest = ("nothing", 0);
    let mut last = clock(subject);
    let mut note = |what, subject: &S| {
        let now = clock(subject);
        if now - last > slowest.1 {
            slowest = (what, now - last);
        }
        last = now;
    };
    let mut upload = must("beginning an upload", subject.begin(&request("slow")))?;
    note("beginning an upload", subject);
    must("writing", subject.write(&mut upload, 0, b"slow"))?;
    must("ending the writing", subject.finish(&mut upload, 4))?;
    note("writing", subject);
    must("the commit", subject.commit(&mut upload, 4, &[]))?;
    note("a commit", subject);
    must("stat", subject.stat("slow"))?;
    note("stat", subject);
    must("listing", subject.list("", None, 1000))?;
    note("listing", subject);
    must("deleting", subject.delete("slow"))?;
    note("deleting", subject);
    let (what, took) = slowest;
    ensure(took < WALL_MS, || {
        format!(
            "{what} takes {took} ms when each operation takes {SLOW_MS} ms; the host waits {WALL_MS} ms for a call"
        )
    })?;
    Ok(CaseResult::Passed)
}

pub(super) fn lost_answer<S: Subject>(subject: &mut S) -> Checked {
    if subject.faults().is_none() {
        return Ok(REAL);
    }
    let bytes = pattern(71, 5000);
    for operation in OPERATIONS {
        for skip in 0..DEPTH {
            let key = format!("lost/{operation}-{skip}");
            let mut upload = must("beginning an upload", subject.begin(&request(&key)))?;
            let token = subject.token(&upload);
            must("writing", write_from(subject, &mut upload, &bytes, 0))?;
            must("ending the writing", subject.finish(&mut upload, 5000))?;
            if let Some(host) = subject.faults() {
                host.lose_answer(operation, skip, busy());
            }
            let first = subject.commit(&mut upload, 5000, &[]);
            if let Some(host) = subject.faults() {
                host.clear_faults();
            }
            if first.is_err() {
                let again = subject.commit(&mut upload, 5000, &[]);
                must(
                    &format!("a commit that is repeated, as the answer of its {operation} was lost,"),
                    again,
                )?;
            }
            drop(upload);
            must("cleaning up after a commit", subject.cleanup(&token))?;
            holds(subject, &key, &bytes, "after its commit, of which an answer was lost,")?;
        }
    }
    Ok(CaseResult::Passed)
}

pub(super) fn no_space<S: Subject>(subject: &mut S) -> Checked {
    if subject.faults().is_none() {
        return Ok(REAL);
    }
    must("an upload", put(subject, "dir/there", b"there"))?;
    let replacing = WriteRequest { if_absent: false, ..request("dir/there") };
    for wanted in [request("new/key"), replacing] {
        for full_after in 0..3 {
            let before = subject.stored();
            let failed = fill(subject, &wanted, full_after)?;
            if let Some(error) = failed {
                let says_so = error.class == ErrorClass::LimitExceeded
                    && (error.code.ends_with("no-space") || error.code.ends_with("full"));
                ensure(says_so, || {
                    format!(
                        "a full medium is {}; pass on `limit-exceeded` with a code that ends in `no-space`",
                        shown(&error)
                    )
                })?;
                nothing_new(subject, before.as_deref(), "after a medium was full")?;
                holds(subject, "dir/there", b"there", "after a medium was full")?;
                if wanted.key != "dir/there" {
                    absent(subject, &wanted.key, "after a medium was full")?;
                }
            }
        }
    }
    ensure(keys(subject, "dir/", 10)? == ["dir/there"], || "the listing has changed".to_owned())?;
    must("an upload, with room again,", put(subject, "new/key", b"new"))?;
    Ok(CaseResult::Passed)
}

/// Uploads while the medium gets full before the given step, then makes room and cleans up. Returns
/// the failure.
fn fill<S: Subject>(
    subject: &mut S,
    wanted: &WriteRequest,
    full_after: u32,
) -> Result<Option<Error>, String> {
    let full = |subject: &S, step: u32| {
        if let Some(host) = subject.faults() {
            host.set_full(step >= full_after);
        }
    };
    full(subject, 0);
    let started = subject.begin(wanted);
    let mut upload = match started {
        Ok(upload) => upload,
        Err(error) => {
            full(subject, 0);
            if let Some(host) = subject.faults() {
                host.set_full(false);
            }
            return Ok(Some(error));
        }
    };
    let token = subject.token(&upload);
    full(subject, 1);
    let mut outcome = write_from(subject, &mut upload, b"other", 0);
    if outcome.is_ok() {
        full(subject, 2);
        outcome = commit(subject, &mut upload, b"other").map(drop);
    }
    // Cleaning up needs no room.
    let aborted = if outcome.is_err() { subject.abort(&mut upload) } else { Ok(()) };
    drop(upload);
    if let Some(host) = subject.faults() {
        host.set_full(false);
    }
    must("giving an upload up on a full medium", aborted)?;
    must("cleaning up", subject.cleanup(&token))?;
    match outcome {
        Err(error) => Ok(Some(error)),
        // It needed no more room: that is fine, and undone for the next round.
        Ok(()) => {
            must("deleting", subject.delete(&wanted.key))?;
            if wanted.key == "dir/there" {
                must("an upload", put(subject, "dir/there", b"there"))?;
            }
            Ok(None)
        }
    }
}
