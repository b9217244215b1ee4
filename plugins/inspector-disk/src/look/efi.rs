//! What UEFI starts: the programs in the folder `EFI` of a FAT file system.

use super::Asked;

/// The names that UEFI looks for by itself, by architecture.
const FALLBACK: [&str; 6] = [
    "/EFI/BOOT/BOOTX64.EFI",
    "/EFI/BOOT/BOOTAA64.EFI",
    "/EFI/BOOT/BOOTIA32.EFI",
    "/EFI/BOOT/BOOTARM.EFI",
    "/EFI/BOOT/BOOTRISCV64.EFI",
    "/EFI/BOOT/BOOTLOONGARCH64.EFI",
];
/// The most names of a folder that are looked at.
const MAX_NAMES: usize = 128;

pub(super) fn look(asked: &mut Asked<'_>) {
    asked.boots("windows", &["/EFI/Microsoft/Boot/bootmgfw.efi", "/EFI/Microsoft/Boot/BCD"]);
    asked.boots("systemd-boot", &["/EFI/systemd/systemd-bootx64.efi", "/loader/loader.conf"]);
    let fallback = asked.has(&FALLBACK);
    let mut starts = fallback || !asked.look.boot_loaders.is_empty() && asked.has(&["/EFI"]);
    let vendors = asked.files.names("/EFI", MAX_NAMES);
    for vendor in asked.keep(vendors) {
        let names = asked.files.names(&format!("/EFI/{vendor}"), MAX_NAMES);
        for name in asked.keep(names) {
            let name = name.to_ascii_lowercase();
            if !name.ends_with(".efi") {
                continue;
            }
            starts = true;
            let loader = if name.starts_with("grub") || name.starts_with("shim") {
                "grub"
            } else if name.starts_with("systemd-boot") {
                "systemd-boot"
            } else if name.starts_with("bootmgfw") {
                "windows"
            } else if name.starts_with("syslinux") {
                "syslinux"
            } else {
                continue;
            };
            if !asked.look.boot_loaders.contains(&loader) {
                asked.look.boot_loaders.push(loader);
            }
        }
    }
    asked.look.uefi = starts;
}
