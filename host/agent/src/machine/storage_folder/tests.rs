use std::fs;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;

fn id(n: u128) -> StorageId {
    StorageId::new(Uuid::from_u128(n))
}

fn place(base: &Path, sub_folder: Option<&str>) -> FolderPlace {
    FolderPlace { base: base.to_owned(), sub_folder: sub_folder.map(str::to_owned) }
}

fn open(base: &Path, storage: u128, marking: Marking) -> Result<StorageFolder, PortError> {
    StorageFolder::open(&place(base, None), id(storage), marking)
}

#[test]
fn a_folder_is_marked_once_and_recognised_by_its_marker() {
    let folder = TempDir::new().unwrap();
    let error = open(folder.path(), 1, Marking::Refused).unwrap_err();
    let marker = folder.path().join(marker_name(id(1)));
    assert_eq!(error.code, "storage.marker");
    assert!(error.message.contains(&format!("`touch {}`", marker.display())), "{error}");
    let first = open(folder.path(), 1, Marking::Allowed).unwrap();
    let text = fs::read_to_string(&marker).unwrap();
    assert!(text.contains(&id(1).to_string()), "{text}");
    let again = open(folder.path(), 1, Marking::Refused).unwrap();
    assert!(first.is_same(&again) && !again.is_read_only());
    // What the message says to do is enough.
    fs::write(&marker, b"").unwrap();
    open(folder.path(), 1, Marking::Refused).unwrap();
}

#[test]
fn the_folder_of_another_storage_is_refused_by_its_id() {
    let folder = TempDir::new().unwrap();
    open(folder.path(), 2, Marking::Allowed).unwrap();
    let error = open(folder.path(), 1, Marking::Refused).unwrap_err();
    assert_eq!(error.code, "storage.marker");
    assert!(error.message.contains(&format!("another storage ({})", id(2))), "{error}");
    assert!(!folder.path().join(marker_name(id(1))).exists());
}

#[test]
fn a_sub_folder_is_made_once_and_its_base_never() {
    let folder = TempDir::new().unwrap();
    let open = |marking| StorageFolder::open(&place(folder.path(), Some("customer")), id(1), marking);
    assert!(open(Marking::Refused).unwrap_err().code.starts_with("storage.path"));
    open(Marking::Allowed).unwrap();
    open(Marking::Allowed).unwrap();
    assert!(folder.path().join("customer").join(marker_name(id(1))).is_file());
    let missing = place(&folder.path().join("missing"), Some("customer"));
    let error = StorageFolder::open(&missing, id(1), Marking::Allowed).unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("storage.path.setting.path", ErrorClass::NotFound));
    assert!(error.message.contains("make it or mount it"), "{error}");
}

#[test]
fn a_folder_that_was_replaced_is_noticed() {
    let outer = TempDir::new().unwrap();
    let (path, away) = (outer.path().join("images"), outer.path().join("images.away"));
    fs::create_dir(&path).unwrap();
    let folder = open(&path, 1, Marking::Allowed).unwrap();
    folder.require_in_place().unwrap();
    fs::rename(&path, &away).unwrap();
    let gone = folder.require_in_place().unwrap_err();
    assert_eq!((gone.code.as_str(), gone.class), ("storage.moved", ErrorClass::Transient));
    fs::create_dir(&path).unwrap();
    let replaced = folder.require_in_place().unwrap_err();
    assert!(replaced.message.contains("another folder has taken the place"), "{replaced}");
    assert!(!open(&away, 1, Marking::Refused).unwrap().is_same(&open(&path, 2, Marking::Allowed).unwrap()));
    fs::remove_dir_all(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    folder.require_in_place().unwrap();
}

#[test]
fn a_marker_that_is_no_file_is_none() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join(marker_name(id(1)))).unwrap();
    let error = open(folder.path(), 1, Marking::Allowed).unwrap_err();
    assert!(error.message.contains("it is no file"), "{error}");
}
