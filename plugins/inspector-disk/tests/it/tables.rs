//! Partition tables, boot loaders and firmware.

use std::{fs, path::Path};

use imprint_plugin_sdk::inspector::{Firmware, Medium, Presence, Scheme};

use crate::support::{arg, copy_into, findings, linux, look, only, run, run_with, sparse};

/// A file system of UEFI with these programs.
fn efi(folder: &Path, programs: &[&str]) -> std::path::PathBuf {
    let part = sparse(folder.join("efi"), 40 << 20);
    run("mkfs.fat", &["-n", "UEFI", "-i", "12345678", arg(&part)]);
    let content = folder.join("program");
    fs::write(&content, "MZ").unwrap();
    let mut made = Vec::new();
    for program in programs {
        let mut above = String::new();
        for name in program.split('/').collect::<Vec<_>>().split_last().unwrap().1 {
            above.push_str(&format!("/{name}"));
            if !made.contains(&above) {
                run("mmd", &["-i", arg(&part), &format!("::{above}")]);
                made.push(above.clone());
            }
        }
        run("mcopy", &["-i", arg(&part), arg(&content), &format!("::/{program}")]);
    }
    part
}

/// The layout of cloud images: a partition for a BIOS, one for UEFI, and the root, on a sparse disk
/// of 40 GiB. The bounds of the budget are far away.
#[test]
fn a_cloud_image_of_40_gib_is_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let disk = sparse(folder.path().join("disk"), 40 << 30);
    let table = "label: gpt\n\
        start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\n\
        start=4096, size=81920, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp\n\
        start=1048576, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=root\n";
    run_with("sfdisk", &["-q", arg(&disk)], table);
    copy_into(&disk, 4096 * 512, &efi(folder.path(), &["EFI/BOOT/BOOTX64.EFI", "EFI/debian/grubx64.efi"]));
    let root = linux(folder.path());
    let offset = "offset=536870912";
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-E", offset, "-d", arg(&root), arg(&disk), "39g"]);
    let (found, reads, bytes) = look(&disk);
    assert_eq!(found.unread, []);
    assert_eq!((found.scheme, found.medium), (Scheme::Gpt, Medium::Disk));
    let names: Vec<_> = found.partitions.iter().map(|part| (part.number, part.name.as_deref())).collect();
    assert_eq!(names, [(1, None), (2, Some("esp")), (3, Some("root"))]);
    assert_eq!(found.partitions[1].kind, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    assert_eq!((found.partitions[2].start, found.partitions[1].length), (512 << 20, 40 << 20));
    let vfat = only(&found, "vfat");
    assert_eq!((vfat.label.as_deref(), vfat.uuid.as_deref()), (Some("UEFI"), Some("1234-5678")));
    assert_eq!((vfat.offset, vfat.partition), (2 << 20, Some(2)));
    assert!(vfat.used.unwrap() < 1 << 20 && vfat.used_until.unwrap() < 1 << 20, "{vfat:?}");
    assert_eq!((only(&found, "ext4").offset, only(&found, "ext4").partition), (512 << 20, Some(3)));
    assert_eq!(found.firmware, Firmware::Uefi, "there is no code for a BIOS");
    assert_eq!(found.boot_loaders, ["grub"]);
    assert_eq!(found.cloud_init, Presence::Present);
    assert!(found.used_until.unwrap() > 512 << 20 && found.used_until.unwrap() < 40 << 30);
    assert!(reads < 1000 && bytes < 16 << 20, "{reads} reads of {bytes} bytes");
}

#[test]
fn an_mbr_with_logical_partitions_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = sparse(folder.path().join("disk"), 256 << 20);
    let table = "label: dos\n\
        start=2048, size=131072, type=83, bootable\n\
        start=133120, type=5\n\
        start=135168, size=40960, type=82\n\
        start=178176, size=81920, type=83\n";
    run_with("sfdisk", &["-q", arg(&disk)], table);
    let file = fs::File::options().write(true).open(&disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"\xeb\x63GRUB \0Geom", 0).unwrap();
    let root = sparse(folder.path().join("part"), 64 << 20);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", arg(&linux(folder.path())), arg(&root)]);
    copy_into(&disk, 1 << 20, &root);
    let swap = sparse(folder.path().join("swap"), 20 << 20);
    run("mkswap", &["-L", "swap0", arg(&swap)]);
    copy_into(&disk, 135_168 * 512, &swap);
    let found = findings(&disk);
    assert_eq!(found.unread, []);
    let parts: Vec<_> =
        found.partitions.iter().map(|part| (part.number, part.kind.as_str(), part.bootable)).collect();
    assert_eq!(parts, [(1, "0x83", true), (2, "0x05", false), (5, "0x82", false), (6, "0x83", false)]);
    assert_eq!((found.scheme, found.firmware), (Scheme::Mbr, Firmware::Bios));
    let swap = only(&found, "swap");
    assert_eq!((swap.label.as_deref(), swap.partition, swap.size), (Some("swap0"), Some(5), Some(20 << 20)));
    assert_eq!(found.boot_loaders, ["grub"]);
}

#[test]
fn the_copy_of_a_gpt_is_used_where_the_first_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = sparse(folder.path().join("disk"), 64 << 20);
    run_with("sfdisk", &["-q", arg(&disk)], "label: gpt\nsize=20480, type=L\n");
    let file = fs::File::options().write(true).open(&disk).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 16], 512 + 56).unwrap();
    let found = findings(&disk);
    assert_eq!((found.scheme, found.partitions.len(), found.unread.len()), (Scheme::Gpt, 1, 0));
}

#[test]
fn systemd_boot_and_windows_are_found_by_their_programs() {
    let folder = tempfile::tempdir().unwrap();
    for (program, loader) in
        [("EFI/systemd/systemd-bootx64.efi", "systemd-boot"), ("EFI/Microsoft/Boot/bootmgfw.efi", "windows")]
    {
        let found = findings(&efi(folder.path(), &[program]));
        assert_eq!((found.boot_loaders, found.firmware), (vec![loader.to_owned()], Firmware::Uefi));
    }
}

#[test]
fn an_optical_disc_is_one_and_a_hybrid_is_both() {
    let folder = tempfile::tempdir().unwrap();
    let root = linux(folder.path());
    fs::write(root.join("boot/image"), vec![0; 4096]).unwrap();
    let disc = folder.path().join("disc.iso");
    let boot = ["-b", "boot/image", "-no-emul-boot", "-boot-load-size", "4"];
    run(
        "genisoimage",
        &[&["-quiet", "-R", "-V", "INSTALL"], &boot[..], &["-o", arg(&disc), arg(&root)]].concat(),
    );
    let found = findings(&disc);
    assert_eq!((found.medium, found.scheme, found.firmware), (Medium::Optical, Scheme::None, Firmware::Bios));
    let iso = only(&found, "iso9660");
    assert_eq!(iso.label.as_deref(), Some("INSTALL"));
    assert!(iso.size.unwrap() <= fs::metadata(&disc).unwrap().len());
    let file = fs::File::options().write(true).open(&disc).unwrap();
    let entry = [0x80, 0, 1, 0, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0x55, 0xaa];
    std::os::unix::fs::FileExt::write_all_at(&file, &entry[..16], 446).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &entry[16..], 510).unwrap();
    let found = findings(&disc);
    assert_eq!((found.medium, found.scheme), (Medium::Hybrid, Scheme::Mbr));
    assert_eq!(only(&found, "iso9660").label.as_deref(), Some("INSTALL"));
}
