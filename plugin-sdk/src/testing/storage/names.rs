//! The case about keys that lead elsewhere.

use super::{
    CaseResult, Subject,
    checks::{Checked, ensure, holds, keys, must, put, shown},
};
use crate::error::{Error, ErrorClass};

/// Keys that every storage has to take.
const PLAIN: [&str; 12] = [
    "img_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11.qcow2",
    "a/b/c/d",
    "A/b/c/d",
    "with space",
    "100%25",
    "a+b&c=d?e#f",
    "quote\"and'",
    "-dash",
    "tilde~",
    "\u{e9}\u{4e2d}\u{1f600}",
    "e\u{301}",
    "a.tmp",
];

/// Keys that may be refused, and must not be changed.
fn odd_keys() -> Vec<String> {
    let fixed = [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../outside",
        "a/../b",
        "a/./b",
        ".",
        "./a",
        "a//b",
        "a/",
        ".tmp/x",
        ".hidden",
        "a/.hidden",
        "nul\0byte",
        "line\nfeed",
        "back\\slash",
        "C:\\x",
        "%2e%2e/x",
        "..%2fx",
        "a/b/c/d/..",
        "~",
        "$HOME",
    ];
    let mut keys: Vec<String> = fixed.map(str::to_owned).to_vec();
    keys.extend([
        "n".repeat(255),
        "n".repeat(256),
        "k/".repeat(255) + "kk",
        "k".repeat(513),
        "d/".repeat(200) + "e",
    ]);
    keys
}

pub(super) fn hostile<S: Subject>(subject: &mut S) -> Checked {
    let mut stored: Vec<(String, Vec<u8>)> = Vec::new();
    for key in PLAIN {
        let bytes = key.as_bytes().to_vec();
        must(&format!("uploading {key:?}, which every storage has to take,"), put(subject, key, &bytes))?;
        stored.push((key.to_owned(), bytes));
    }
    for key in odd_keys() {
        let bytes = format!("content of {key:?}").into_bytes();
        match put(subject, &key, &bytes) {
            Ok(object) => {
                ensure(object.key == key, || format!("{key:?} was stored as {:?}", object.key))?;
                stored.push((key, bytes));
            }
            Err(error) => {
                ensure(is_refusal(&error), || {
                    format!("{key:?} is refused with {}; refuse it as `invalid-input`", shown(&error))
                })?;
            }
        }
    }
    for (key, bytes) in &stored {
        holds(subject, key, bytes, "after other keys were uploaded")?;
    }
    let mut expected: Vec<String> = stored.into_iter().map(|(key, _)| key).collect();
    expected.sort();
    let listed = keys(subject, "", 7)?;
    ensure(listed == expected, || format!("{listed:?} are listed, and {expected:?} were stored"))?;
    Ok(CaseResult::Passed)
}

/// Returns whether a key was refused: by the storage, or by the host that it asked.
fn is_refusal(error: &Error) -> bool {
    error.class == ErrorClass::InvalidInput
        || error.code == "plugin.denied"
        || error.code.starts_with("plugin.bad-answer.")
}
