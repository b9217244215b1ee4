//! Images that are odd and good: other programs write them, and read them.

use crate::{Bytes, Case, Expected, ova, ova::Tar, vdi, vhd, vhdx, vmdk};

const SECTOR: u64 = 512;
/// Longest name that the header of a tar holds.
const NAME: usize = 100;

fn read(id: &str, what: &str, format: &'static str, image: Bytes) -> Case {
    Case::new(id, what, format, image, Expected::ReadSafely)
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    [archives(), members(), vmdks(), blocks()].concat()
}

fn appliance(name: &str, href: &str) -> Tar {
    let mut tar = Tar::default();
    tar.file("vm.ovf", ova::description(href, "", "").as_bytes()).file(name, &ova::disk());
    tar
}

/// The archive and its manifest.
fn archives() -> Vec<Case> {
    let text = ova::description(ova::DISK, "", "");
    let good = || appliance(ova::DISK, ova::DISK);
    let mut first = Tar::default();
    first.file(ova::DISK, &ova::disk()).file("vm.ovf", text.as_bytes());
    let mut padded = good().finish();
    padded.resize(padded.size() + (3 << 20));
    let mut cut = good().file("notes.txt", b"x").0.clone();
    cut.resize(cut.size() - 100);
    let manifest = |id: &str, what: &str, text: &str| {
        read(id, what, "ova", good().file("vm.mf", text.as_bytes()).finish())
    };
    let nvram = text.replace("</References>", "<File ovf:href=\"vm.nvram\" ovf:id=\"nvram\"/></References>");
    let mut missing = Tar::default();
    missing.file("vm.ovf", nvram.as_bytes()).file(ova::DISK, &ova::disk());
    vec![
        read("o-odd-disk-first", "a disk in front of its description", "ova", first.finish()),
        read("o-odd-padded", "3 MiB of zeroes behind the end", "ova", padded),
        read("o-odd-no-end", "an archive without its end", "ova", good().0),
        read("o-odd-no-padding", "a last member without its padding", "ova", cut),
        read("o-odd-missing", "a description of a file that the disk does not need", "ova", missing.finish()),
        manifest("o-odd-mf-comment", "a manifest with comments and a byte order mark", "\u{feff}# x\n// y\n"),
        manifest("o-odd-mf-kind", "a manifest with an unknown algorithm", "MD5(disk1.vmdk)= 00\n"),
        manifest("o-odd-mf-text", "a manifest with a line that is none", "hello\n"),
    ]
}

/// Names of members and references, records, folders.
fn members() -> Vec<Case> {
    let plain =
        |id: &str, what: &str, name: &str, href: &str| read(id, what, "ova", appliance(name, href).finish());
    let started = |href: &str| {
        let mut tar = Tar::default();
        tar.file("vm.ovf", ova::description(href, "", "").as_bytes());
        tar
    };
    let size = |bytes: &[u8]| ova::octal(u64::try_from(bytes.len()).expect("a small member"));
    let long = format!("{}.vmdk", "long-".repeat(30));
    let disk = ova::disk();
    let short = ova::header(&long.as_bytes()[..NAME], &size(&disk), b'0', "");
    let mut gnu = started(&long);
    let name = format!("{long}\0");
    gnu.raw(&ova::header(b"././@LongLink", &size(name.as_bytes()), b'L', ""), name.as_bytes());
    gnu.raw(&short, &disk);
    let mut pax = started(&long);
    let record = format!("{} path={long}\n", long.len() + 10);
    pax.raw(&ova::header(b"PaxHeaders/x", &size(record.as_bytes()), b'x', ""), record.as_bytes());
    pax.raw(&short, &disk);
    let mut folder = Tar::default();
    folder.special("vm/", b'5', "");
    folder.file("vm/vm.ovf", ova::description(ova::DISK, "", "").as_bytes());
    folder.file("vm/disk1.vmdk", &disk);
    vec![
        plain(
            "o-odd-space",
            "names with blanks, brackets and signs",
            "My VM (1)+,@.vmdk",
            "My VM (1)+,@.vmdk",
        ),
        plain("o-odd-percent", "a reference with percent signs", "My VM.vmdk", "My%20VM.vmdk"),
        plain("o-odd-umlaut", "a name with an umlaut", "B\u{fc}ro.vmdk", "B%C3%BCro.vmdk"),
        plain("o-odd-dot-member", "a member with ./ in front", "./disk1.vmdk", "disk1.vmdk"),
        plain("o-odd-dot-reference", "a reference with ./ in front", "disk1.vmdk", "./disk1.vmdk"),
        read("o-odd-gnu-name", "a long name as GNU tar writes it", "ova", gnu.finish()),
        read("o-odd-pax-name", "a long name in an extended record", "ova", pax.finish()),
        read("o-odd-folder", "everything in a folder", "ova", folder.finish()),
    ]
}

fn vmdks() -> Vec<Case> {
    let stream = vmdk::Stream::new().finish();
    let resized = |size: u64| {
        let mut image = stream.clone();
        image.resize(size);
        image
    };
    let described = |text: &str| {
        let mut image = vmdk::sparse();
        image.put(SECTOR, &[0; 10_240]).put(SECTOR, text.as_bytes());
        image
    };
    let text = vmdk::descriptor("monolithicSparse", "RW 16384 SPARSE \"disk.vmdk\"");
    let custom = vmdk::descriptor("custom", "RW 16384 ZERO");
    let begins = |id: &str, what: &str, start: &str| {
        let text = custom.replace("# Disk DescriptorFile\n", start);
        read(id, what, "vmdk", text.as_bytes().into())
    };
    let mut redundant = vmdk::sparse();
    redundant.le32(8, 3);
    // The directory of the sample is at sector 21, its table at 22; grains begin at 128.
    let mut spare = redundant.clone();
    spare.le64(48, 26).le32(26 * SECTOR, 9_999_999);
    let mut primary = redundant.clone();
    primary.le64(48, 26).le32(26 * SECTOR, 27).put(27 * SECTOR, &vmdk::sparse().get(22 * SECTOR, 2048));
    primary.le32(21 * SECTOR, 9_999_999);
    vec![
        read("v-odd-no-end", "a stream without its end marker", "vmdk", resized(stream.size() - SECTOR)),
        read(
            "v-odd-padded",
            "a stream with 100 KB of zeroes behind it",
            "vmdk",
            resized(stream.size() + 100_000),
        ),
        read("v-odd-redundant-none", "a redundant directory at sector 0", "vmdk", redundant),
        read("v-odd-redundant", "a damaged redundant directory", "vmdk", spare),
        read("v-odd-primary", "a damaged directory with a good redundant one", "vmdk", primary),
        read(
            "v-odd-parent",
            "a parent's id of zero without a parent",
            "vmdk",
            described(&text.replace("parentCID=ffffffff", "parentCID=00000000")),
        ),
        read(
            "v-odd-name",
            "a sparse file that had another name",
            "vmdk",
            described(&text.replace("disk.vmdk", "C:\\VMs\\old name.vmdk")),
        ),
        begins("v-odd-spacing", "a descriptor with another spacing", "#Disk  DescriptorFile\n"),
        begins("v-odd-comment", "a descriptor with another first comment", "# Made by a converter\n"),
        begins("v-odd-version", "a descriptor that begins with its version", ""),
    ]
}

fn blocks() -> Vec<Case> {
    // As XenServer writes it on LVM: a table for 2 TiB, whatever the disk is.
    let mut xen = vhd::Dynamic::new();
    let entries: u32 = 1 << 20;
    let (table, block) = (1536, 9000_u32);
    let old = xen.file.get(7 * SECTOR, 512 + 8192);
    xen.file.be32(512 + 28, entries).put(table, &vec![0xff; 4 << 20]).be32(table, block);
    xen.file.put(u64::from(block) * SECTOR, &old);
    xen.end = (u64::from(block) + 1) * SECTOR + (2 << 20);
    let mut discarded = vdi::dynamic();
    discarded.le32(0x184, 3).resize(5 << 20);
    let mut regions = vhdx::Forge::new().seal();
    regions.put((192 << 10) + 1000, &[1]);
    vec![
        read("h-odd-table", "a table for 2 TiB of a small disk", "vhd", xen.seal()),
        read("d-odd-discarded", "blocks that were discarded, and a count that lags behind", "vdi", discarded),
        read("x-odd-region", "one of two region tables is damaged", "vhdx", regions),
    ]
}
