mod mock;

use cap_std::ambient_authority;
use tempfile::TempDir;

use super::*;
use crate::bindings::host::imprint::types::types::ErrorClass;

fn folder() -> (TempDir, Dir) {
    let temporary = TempDir::new().unwrap();
    let dir = Dir::open_ambient_dir(temporary.path(), ambient_authority()).unwrap();
    (temporary, dir)
}

#[test]
fn listings_page_in_order() {
    let (_temporary, dir) = folder();
    for name in ["b", "a", "d", "c"] {
        dir.write(name, name).unwrap();
    }
    let mut seen = Vec::new();
    let mut resume = None;
    loop {
        let page = list(&dir, "", resume.as_deref(), 3).unwrap();
        seen.extend(page.entries.into_iter().map(|entry| entry.name));
        resume = page.resume;
        if resume.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
}

#[test]
fn a_way_out_is_denied() {
    let (temporary, dir) = folder();
    std::os::unix::fs::symlink("/etc", temporary.path().join("way-out")).unwrap();
    let error = list(&dir, "way-out", None, 10).unwrap_err();
    assert_eq!(io_error("way-out", &error).class, ErrorClass::Denied);
    let moved = durable::publish(&dir, "way-out/passwd", "mine", Existing::Replace, Durability::Synced);
    assert!(moved.is_err());
}
