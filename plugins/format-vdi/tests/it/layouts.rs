//! New files, written by the rules, against `qemu-img`.

use format_vdi::Vdi;
use imprint_plugin_sdk::{
    format::{CreateRequest, Format, Image as _, Layout as _, Placed},
    types::{Props, props},
};
use tempfile::TempDir;

use crate::{
    qemu,
    support::{all_findings, assert_sound, code, create, disk, finish, open_file, whole_disk, write_image},
};

fn request(virtual_size: u64) -> CreateRequest {
    CreateRequest {
        virtual_size,
        allocated: 0,
        subformat: None,
        options: props([("compress", "none")]),
        append_only: false,
        parent: None,
    }
}

#[test]
fn what_is_written_is_what_qemu_and_this_reader_read() {
    for (size, page) in [
        (0, 4096),
        (512, 512),
        (1 << 20, 4096),
        ((1 << 20) + 512, 4096),
        ((37 << 20) - 512, 520),
        (300 << 20, 1 << 20),
    ] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("disk.vdi");
        let bytes = disk(size, size);
        write_image(&request(size), &bytes, &path, page).unwrap();
        assert!(qemu::disk(&path) == bytes, "{size}: QEMU reads another disk");
        qemu::check(&path);
        let mut image = open_file(&path).unwrap();
        assert!(whole_disk(&mut image, &path) == bytes, "{size}: this reader reads another disk");
        assert_eq!(all_findings(&mut image, 10).unwrap(), []);
        assert_sound(&mut image, std::fs::metadata(&path).unwrap().len());
        let again = dir.path().join("again.vdi");
        write_image(&request(size), &bytes, &again, 4096).unwrap();
        assert!(std::fs::read(&again).unwrap() == std::fs::read(&path).unwrap(), "the same bytes twice");
    }
}

#[test]
fn an_empty_disk_of_any_size_is_a_small_valid_file_that_a_guest_can_write_to() {
    for (size, most) in [(10 << 30, 1 << 20), (16 << 40, 65 << 20)] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("empty.vdi");
        let mut layout = Vdi::begin_layout(&request(size)).unwrap();
        let end = layout.rules().data_start;
        finish(&mut layout, &create(&path), end, 1 << 20);
        assert!(std::fs::metadata(&path).unwrap().len() <= most);
        assert_eq!(qemu::info(&path)["virtual-size"].as_u64(), Some(size));
        qemu::run(
            "qemu-io",
            &[
                "-f",
                "vdi",
                "-c",
                "write -q -P 5 512M 1M",
                "-c",
                "read -q -P 5 512M 1M",
                path.to_str().unwrap(),
            ],
        );
        let mut image = open_file(&path).unwrap();
        let page = image.extents(512 << 20, (512 << 20) + 512, 1).unwrap();
        assert_eq!(page.extents[0].source_offset, end, "the guest's block is the first");
    }
}

#[test]
fn uuids_follow_from_the_size_and_are_not_zero() {
    let id = |size| {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("disk.vdi");
        write_image(&request(size), &[], &path, 4096).unwrap();
        open_file(&path).unwrap().info().unwrap().facts["id"].clone()
    };
    let one = id(1 << 20);
    assert_eq!((one.len(), &one[14..15]), (36, "8"));
    assert_eq!(one, id(1 << 20));
    assert_ne!(one, id(2 << 20));
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let refused = |request: &CreateRequest| code(Vdi::begin_layout(request));
    assert_eq!(refused(&request(1000)), "invalid.request");
    assert_eq!(refused(&request((64 << 40) + 512)), "limit.virtual-size");
    assert_eq!(refused(&request(64 << 40)), "accepted");
    for (key, value) in [("compress", "zlib"), ("cluster-size", "65536")] {
        let options: Props = props([(key, value)]);
        assert_eq!(refused(&CreateRequest { options, ..request(512) }), "unsupported.option", "{key}");
    }
    let subformat = Some("fixed".to_owned());
    assert_eq!(refused(&CreateRequest { subformat, ..request(512) }), "unsupported.option");
    let parent = Some("x".to_owned());
    assert_eq!(refused(&CreateRequest { parent, ..request(512) }), "unsupported.option");
    let mut layout = Vdi::begin_layout(&request(2 << 20)).unwrap();
    let run = Placed { offset: 512, length: 1 << 20, file_offset: 1 << 20, stored_length: 0 };
    assert_eq!(code(layout.placed(&[run])), "invalid.request");
}
