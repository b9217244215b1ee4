//! OVA: a tar (POSIX.1-1988) of an OVF description (DMTF DSP0243), its checksums and its disks.

use crate::{Bait, Bytes, Case, Expected, vmdk};

/// A member's header: name, size field, type, name of the link.
pub(crate) fn header(name: &[u8], size: &[u8; 12], kind: u8, link: &str) -> Vec<u8> {
    let mut header = Bytes::new();
    header
        .put(0, name)
        .put(100, b"0000644\x000000000\x000000000\0")
        .put(124, size)
        .put(136, b"00000000000\0");
    header
        .put(148, b"        ")
        .put(156, &[kind])
        .put(157, link.as_bytes())
        .put(257, b"ustar\x0000")
        .resize(512);
    let sum: u32 = header.to_vec().iter().map(|byte| u32::from(*byte)).sum();
    header.put(148, format!("{sum:06o}\0 ").as_bytes());
    header.to_vec()
}

pub(crate) fn octal(size: u64) -> [u8; 12] {
    let mut field = [0; 12];
    field[..11].copy_from_slice(format!("{size:011o}").as_bytes());
    field
}

/// An archive in the making.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Bytes);

impl Tar {
    pub(crate) fn raw(&mut self, header: &[u8], content: &[u8]) -> &mut Self {
        self.0.push(header).push(content);
        let size = self.0.size().next_multiple_of(512);
        self.0.resize(size);
        self
    }

    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> &mut Self {
        let size = u64::try_from(content.len()).expect("a small member");
        self.raw(&header(name.as_bytes(), &octal(size), b'0', ""), content)
    }

    pub(crate) fn special(&mut self, name: &str, kind: u8, link: &str) -> &mut Self {
        self.raw(&header(name.as_bytes(), &octal(0), kind, link), &[])
    }

    pub(crate) fn finish(&self) -> Bytes {
        let mut bytes = self.0.clone();
        bytes.resize(bytes.size() + 1024);
        bytes
    }
}

pub(crate) const DISK: &str = "disk1.vmdk";

pub(crate) fn description(href: &str, prolog: &str, more: &str) -> String {
    let size = vmdk::Stream::new().finish().size();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
{prolog}<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References>
    <File ovf:href="{href}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{}" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id="vm"><Info>A machine</Info>{more}</VirtualSystem>
</Envelope>
"#,
        vmdk::SIZE
    )
}

pub(crate) fn disk() -> Vec<u8> {
    vmdk::Stream::new().finish().to_vec()
}

/// A description and its disk.
pub fn valid() -> Bytes {
    Tar::default().file("vm.ovf", description(DISK, "", "").as_bytes()).file(DISK, &disk()).finish()
}

/// All of them.
pub fn cases(bait: &Bait) -> Vec<Case> {
    const REFUSED: Expected = Expected::Refused(&["corrupt.", "denied.", "unsupported.", "limit."]);
    let plain = description(DISK, "", "");
    let case = |id: &str, what: &str, tar: &Tar, expected| Case::new(id, what, "ova", tar.finish(), expected);
    let started = || {
        let mut tar = Tar::default();
        tar.file("vm.ovf", plain.as_bytes());
        tar
    };
    let described = |text: &str| {
        let mut tar = Tar::default();
        tar.file("vm.ovf", text.as_bytes()).file(DISK, &disk());
        tar
    };
    let laughs: String =
        (1..10).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    let laughs = format!("<!DOCTYPE x [<!ENTITY l0 \"lol\">{laughs}]>\n");
    let external = format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"file://{}\">]>\n", bait.file);
    let mut negative = started();
    let mut size = [0xff; 12];
    negative.raw(&header(DISK.as_bytes(), &size, b'0', ""), &disk());
    size[0] = 0x80;
    let mut huge = started();
    huge.raw(&header(DISK.as_bytes(), &size, b'0', ""), &disk());
    let mut pax = started();
    pax.raw(&header(b"PaxHeaders/x", &octal(20), b'x', ""), b"20 size=99999999999\n").file(DISK, &disk());
    let mut pax_path = started();
    pax_path
        .raw(&header(b"PaxHeaders/x", &octal(25), b'x', ""), b"25 path=../../etc/passwd\n")
        .file(DISK, &disk());
    let mut many = started();
    (0..200).for_each(|number| {
        many.file(&format!("x{number}.txt"), b"x");
    });
    let mut bad_sum = header(DISK.as_bytes(), &octal(0), b'0', "");
    bad_sum[148] = b'7';
    let mut manifest = started();
    manifest.file("vm.mf", format!("SHA256({DISK})= {}\n", "0".repeat(64)).as_bytes()).file(DISK, &disk());
    let mut zipped = Tar::default();
    let gz = description("disk1.vmdk.gz", "", "")
        .replace("ovf:id=\"file1\"", "ovf:id=\"file1\" ovf:compression=\"gzip\"");
    zipped.file("vm.ovf", gz.as_bytes()).file("disk1.vmdk.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    let deep = format!("{}{}", "<a>".repeat(5000), "</a>".repeat(5000));
    let long = "x".repeat(5 << 20);
    let mut cut = valid();
    cut.resize(cut.size() - 4096);
    vec![
        Case::new("o-good", "a description and a disk", "ova", valid(), Expected::ReadSafely),
        case("o-dotdot", "a member above the folder", started().file("../x", b"x").file(DISK, &disk()), REFUSED),
        case("o-absolute", "a member with an absolute name", started().file("/etc/passwd", b"x").file(DISK, &disk()), REFUSED),
        case("o-symlink", "a link, and a file through it", started().special("dir", b'2', "/etc").file("dir/x", b"x").file(DISK, &disk()), REFUSED),
        case("o-disk-symlink", "a disk that is a link to a file of the host", started().special(DISK, b'2', &bait.file), REFUSED),
        case("o-hardlink", "a disk that is a hard link to a file of the host", started().special(DISK, b'1', &bait.file), REFUSED),
        case("o-device", "a disk that is a device", started().special(DISK, b'4', ""), REFUSED),
        case("o-fifo", "a disk that is a pipe", started().special(DISK, b'6', ""), REFUSED),
        case("o-duplicate", "one name twice", started().file(DISK, &disk()).file(DISK, &disk()), REFUSED),
        case("o-negative", "a negative size", &negative, REFUSED),
        case("o-huge", "a size of 2^88 bytes", &huge, REFUSED),
        case("o-pax-size", "a size that an extended header overrides", &pax, REFUSED),
        case("o-pax-path", "a name that an extended header overrides", &pax_path, REFUSED),
        case("o-sparse", "a sparse member", started().raw(&header(DISK.as_bytes(), &octal(512), b'S', ""), &[0; 512]), REFUSED),
        case("o-many", "202 members", many.file(DISK, &disk()), REFUSED),
        case("o-sum", "a member's header with a wrong checksum", started().raw(&bad_sum, &[]), REFUSED),
        case("o-manifest", "a disk with another digest than listed", &manifest, Expected::Either),
        case("o-gzip", "a compressed disk", &zipped, REFUSED),
        case("o-laughs", "a description with a billion laughs", &described(&description(DISK, &laughs, "&l9;")), REFUSED),
        case("o-external", "a description with an external entity", &described(&description(DISK, &external, "&e;")), REFUSED),
        case("o-deep", "a description 5000 elements deep", &described(&description(DISK, "", &deep)), REFUSED),
        case("o-long", "a description of 5 MiB", &described(&description(DISK, "", &long)), REFUSED),
        case("o-href", "a disk elsewhere on the host", &described(&description(&bait.file, "", "")), REFUSED),
        case("o-href-http", "a disk on a web server", &described(&description(&format!("http://127.0.0.1:{}/x", bait.port), "", "")), REFUSED),
        case("o-href-none", "a disk that is not in the archive", &described(&description("other.vmdk", "", "")), REFUSED),
        case("o-not-xml", "a description that is none", &described("hello"), REFUSED),
        case("o-binary", "a description that is not text", Tar::default().file("vm.ovf", &[0xff; 700]).file(DISK, &disk()), REFUSED),
        case("o-empty", "an empty description", &described(""), REFUSED),
        case("o-no-disk", "a description without a disk", &started(), REFUSED),
        Case::new("o-cut", "a disk that is cut off", "ova", cut, REFUSED),
        case("o-bad-disk", "a disk that is no image", started().file(DISK, &[0x5a; 4096]), REFUSED),
        case("o-flat-disk", "a disk with a descriptor that names a file of the host", started().file(DISK, format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 16384 FLAT \"{}\" 0\n", bait.file).as_bytes()), REFUSED),
    ]
}
