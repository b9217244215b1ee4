//! The list of the cases.

use super::{Subject, bytes, checks::Checked, failing, listing, names, uploads};

/// The names of the cases, and what each is about.
pub(super) const ABOUT: [(&str, &str); 15] = [
    ("put-get", "an object is there after its commit, whole, and not before"),
    ("ranges", "any part of an object is read as it was written"),
    ("zero-length", "an object without bytes is an object"),
    ("list-many", "a listing has every key once, in order, at every size of its pages"),
    ("hostile-names", "a key is stored as it is or refused, and reaches no other object"),
    ("replace", "an object is replaced in one step, and only when that is asked for"),
    ("two-writers", "uploads at the same time do not mix"),
    ("cancel", "an upload that is given up leaves nothing"),
    ("crash", "after a crash the token is enough to clean up or to continue"),
    ("delete", "deleting takes what was named, and may be repeated"),
    ("wrong-total", "bytes that are not what was announced do not become an object"),
    ("short-read", "a file that lost its end is an error, never other bytes"),
    ("slow-server", "a passing failure stays one, and no call takes longer than it may"),
    ("lost-answer", "a commit of which the answer was lost can be repeated"),
    ("no-space", "a full medium is reported as one, and leaves nothing"),
];

/// Runs a case.
pub(super) fn run_case<S: Subject>(case: &str, subject: &mut S) -> Checked {
    match case {
        "put-get" => bytes::put_get(subject),
        "ranges" => bytes::ranges(subject),
        "zero-length" => bytes::zero_length(subject),
        "list-many" => listing::many(subject),
        "hostile-names" => names::hostile(subject),
        "replace" => uploads::replace(subject),
        "two-writers" => uploads::two_writers(subject),
        "cancel" => uploads::cancel(subject),
        "crash" => uploads::crash(subject),
        "delete" => listing::delete(subject),
        "wrong-total" => uploads::wrong_total(subject),
        "short-read" => failing::short_read(subject),
        "slow-server" => failing::slow_server(subject),
        "lost-answer" => failing::lost_answer(subject),
        "no-space" => failing::no_space(subject),
        other => Err(format!("there is no case {other}")),
    }
}
