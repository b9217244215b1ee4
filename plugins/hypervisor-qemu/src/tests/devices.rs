//! Devices of a running instance, against the model.

use imprint_plugin_sdk::{
    error::ErrorClass,
    hypervisor::{Devices, DiskSpec, MEDIUM_SERIAL},
};

use super::model::{Model, VM};
use crate::Qemu;

const SERIAL: &str = "0123456789abcdef0123";

fn spec(path: &str, serial: &str) -> DiskSpec {
    let format = if serial == MEDIUM_SERIAL { "raw" } else { "qcow2" };
    DiskSpec { path: path.to_owned(), format: format.to_owned(), read_only: false, serial: serial.to_owned() }
}

fn nodes(model: &Model) -> Vec<String> {
    model.0.borrow().nodes.keys().filter(|name| !name.starts_with("disk0")).cloned().collect()
}

#[test]
fn media_come_and_go() {
    let model = Model::new();
    let (first, second) = (spec("/isos/a.iso", MEDIUM_SERIAL), spec("/isos/b.iso", MEDIUM_SERIAL));
    for medium in [Some(&first), Some(&second), Some(&second)] {
        Qemu::change_medium(&model, VM, medium).unwrap();
        assert_eq!(nodes(&model), ["medium", "medium-file"]);
        assert_eq!((model.0.borrow().tray_open, model.0.borrow().medium.as_deref()), (false, Some("medium")));
    }
    for _ in 0..2 {
        Qemu::change_medium(&model, VM, None).unwrap();
        assert_eq!((nodes(&model), model.0.borrow().medium.clone()), (Vec::new(), None));
    }
}

#[test]
fn disks_come_and_go() {
    let model = Model::new();
    let disk = spec("/instances/further.qcow2", SERIAL);
    for _ in 0..2 {
        Qemu::attach_disk(&model, VM, &disk).unwrap();
        assert_eq!(nodes(&model), [format!("disk-{SERIAL}"), format!("disk-{SERIAL}-file")]);
    }
    assert_eq!(model.commands().iter().filter(|command| *command == "device_add").count(), 1);
    for _ in 0..2 {
        Qemu::detach_disk(&model, VM, SERIAL).unwrap();
        assert_eq!((nodes(&model), model.0.borrow().added.len()), (Vec::new(), 0));
    }
    assert!(
        Qemu::attach_disk(&model, VM, &spec("/a", "")).is_err(),
        "a disk without a serial is not found again"
    );
}

#[test]
fn what_fails_leaves_no_nodes() {
    let model = Model::with(|state| state.refuse.push(("device_add", "no slot")));
    let error = Qemu::attach_disk(&model, VM, &spec("/a.qcow2", SERIAL)).unwrap_err();
    assert_eq!((error.code.as_str(), nodes(&model)), ("qemu.refused", Vec::new()));
    let model = Model::with(|state| state.refuse.push(("blockdev-insert-medium", "no")));
    assert!(Qemu::change_medium(&model, VM, Some(&spec("/a.iso", MEDIUM_SERIAL))).is_err());
    assert_eq!(nodes(&model), Vec::<String>::new());
}

#[test]
fn a_disk_that_the_guest_keeps_stays() {
    let model = Model::new();
    Qemu::attach_disk(&model, VM, &spec("/a.qcow2", SERIAL)).unwrap();
    model.0.borrow_mut().holds_disks = true;
    let error = Qemu::detach_disk(&model, VM, SERIAL).unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("qemu.disk-held", ErrorClass::Conflict));
    assert_eq!(nodes(&model).len(), 2);
    model.0.borrow_mut().holds_disks = false;
    Qemu::detach_disk(&model, VM, SERIAL).unwrap();
    assert_eq!(nodes(&model), Vec::<String>::new());
}
