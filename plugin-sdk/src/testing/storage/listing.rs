//! Cases about many objects.

use super::{
    CaseResult, MANY, Subject,
    checks::{Checked, absent, ensure, holds, keys, must, put},
};

pub(super) fn many<S: Subject>(subject: &mut S) -> Checked {
    // Names around the separator: `a-b` comes before `a/b`, which comes before `a0`.
    let mut expected: Vec<String> = (0..MANY - 6).map(|n| format!("many/{:02}/{n:05}", n % 97)).collect();
    expected.extend(["many-", "many.x/1", "many/00-", "many0", "many/00.d/x", "zz"].map(str::to_owned));
    for key in &expected {
        must("an upload", put(subject, key, b""))?;
    }
    expected.sort();
    for max in [1000, 999] {
        let listed = keys(subject, "", max)?;
        differs(&listed, &expected, &format!("in pages of {max}"))?;
    }
    for (prefix, max) in [("many/42", 7), ("many/", 1000), ("many/00", 1), ("z", 3), ("nothing", 10)] {
        let some: Vec<String> = expected.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        differs(
            &keys(subject, prefix, max)?,
            &some,
            &format!("with the prefix {prefix:?}, in pages of {max}"),
        )?;
    }
    let page = must("a listing", subject.list("", None, 3))?;
    ensure(page.objects.len() == 3, || format!("a page of 3 has {} objects", page.objects.len()))?;
    Ok(CaseResult::Passed)
}

fn differs(listed: &[String], expected: &[String], how: &str) -> Result<(), String> {
    if listed == expected {
        return Ok(());
    }
    let first =
        listed.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(listed.len().min(expected.len()));
    Err(format!(
        "{how}, {} keys are listed and {} are there; the first difference is number {first}: {:?} instead of {:?}",
        listed.len(),
        expected.len(),
        listed.get(first),
        expected.get(first)
    ))
}

pub(super) fn delete<S: Subject>(subject: &mut S) -> Checked {
    for key in ["a", "a.b", "dir/a", "dir/b"] {
        must("an upload", put(subject, key, key.as_bytes()))?;
    }
    for _ in 0..2 {
        must("deleting an object, the second time as well,", subject.delete("dir/a"))?;
    }
    must("deleting an object that never was", subject.delete("never/was"))?;
    absent(subject, "dir/a", "after it was deleted")?;
    for key in ["a", "a.b", "dir/b"] {
        holds(subject, key, key.as_bytes(), "after another one was deleted")?;
    }
    // A key that only starts others is no object.
    if subject.delete("dir").is_ok() {
        holds(subject, "dir/b", b"dir/b", "after its folder's name was deleted")?;
    }
    let listed = keys(subject, "", 100)?;
    ensure(listed == ["a", "a.b", "dir/b"], || format!("{listed:?} are listed"))?;
    must("uploading a deleted key again", put(subject, "dir/a", b"new"))?;
    holds(subject, "dir/a", b"new", "after it was uploaded again")?;
    Ok(CaseResult::Passed)
}
