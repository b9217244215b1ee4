//! Archives built header by header, so that each can be wrong in one place.

/// A tar header; `spoil` may change it before its checksum is written.
pub(crate) fn header(name: &str, size: usize, kind: u8, spoil: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    spoil(&mut block);
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// An archive without its end.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn raw(mut self, header: &[u8], data: &[u8]) -> Self {
        self.0.extend_from_slice(header);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(&header(name, data.len(), b'0', |_| {}), data)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A description with these files (id, href, more attributes) and disks (id, file, format).
pub(crate) fn ovf(files: &[(&str, &str, &str)], disks: &[(&str, &str, &str)]) -> String {
    let files: String = files
        .iter()
        .map(|(id, href, more)| format!("<File ovf:id=\"{id}\" ovf:href=\"{href}\" {more}/>"))
        .collect();
    let disks: String = disks
        .iter()
        .map(|(id, file, format)| {
            format!("<Disk ovf:diskId=\"{id}\" ovf:fileRef=\"{file}\" ovf:format=\"{format}\"/>")
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\n<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\">\n<References>{files}</References>\n<DiskSection><Info>x</Info><Disk ovf:diskId=\"blank\" ovf:capacity=\"1\"/>{disks}</DiskSection></Envelope>\n"
    )
}

pub(crate) const STREAM: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// The description of one disk.
pub(crate) fn one_disk() -> String {
    ovf(&[("f1", "disk1.vmdk", "")], &[("d1", "f1", STREAM)])
}

/// A good archive with one disk.
pub(crate) fn good(disk: &[u8]) -> Tar {
    Tar::default().file("a.ovf", one_disk().as_bytes()).file("disk1.vmdk", disk)
}
