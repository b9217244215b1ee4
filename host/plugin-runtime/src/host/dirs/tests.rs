use cap_std::ambient_authority;
use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, Dir) {
    let temporary = TempDir::new().unwrap();
    let dir = Dir::open_ambient_dir(temporary.path(), ambient_authority()).unwrap();
    (temporary, dir)
}

#[test]
fn the_form_of_a_path_is_checked() {
    for good in ["a", "a/b", "a/b.c/..d", ".hidden"] {
        check_relative(good).unwrap();
    }
    let long = "x".repeat(MAX_PATH + 1);
    let deep = vec!["x"; MAX_PARTS + 1].join("/");
    for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b", &long, &deep] {
        assert!(check_relative(bad).is_err(), "{bad:?}");
    }
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
fn publishing_moves_between_folders_and_keeps_what_is_there() {
    let (_temporary, dir) = folder();
    dir.create_dir("tmp").unwrap();
    dir.create_dir("final").unwrap();
    dir.write("tmp/one", "one").unwrap();
    publish(&dir, "tmp/one", "final/image", false).unwrap();
    dir.write("tmp/two", "two").unwrap();
    let error = publish(&dir, "tmp/two", "final/image", false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(dir.read_to_string("final/image").unwrap(), "one");
    assert_eq!(dir.read_to_string("tmp/two").unwrap(), "two");
    publish(&dir, "tmp/two", "final/image", true).unwrap();
    assert_eq!(dir.read_to_string("final/image").unwrap(), "two");
}

#[test]
fn a_way_out_is_denied() {
    let (temporary, dir) = folder();
    std::os::unix::fs::symlink("/etc", temporary.path().join("way-out")).unwrap();
    let error = list(&dir, "way-out", None, 10).unwrap_err();
    assert_eq!(io_error("way-out", &error).class, ErrorClass::Denied);
    assert!(publish(&dir, "way-out/passwd", "mine", true).is_err());
}
