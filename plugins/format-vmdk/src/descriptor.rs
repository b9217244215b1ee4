//! The text descriptor: identity, kind of disk, and where its parts are.

use imprint_plugin_sdk::format::{FormatError, wire::to_u64};

use crate::{
    header::{CONVERT, MAX_DESCRIPTOR, MAX_DISK},
    sector::SECTOR,
};

/// The CID of no disk: what `parentCID` is without a parent.
const NO_CID: u32 = u32::MAX;
/// The most extent lines: a host takes 64 sources an image, and the descriptor and a parent are
/// two.
const MAX_EXTENTS: usize = 62;
/// Longest name that a file system has.
const MAX_NAME: usize = 255;

/// The variants of `createType` that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreateType {
    MonolithicSparse,
    StreamOptimized,
    MonolithicFlat,
    TwoGbSparse,
    TwoGbFlat,
    /// `vmfs` and its thin and thick variants: a flat file next to the descriptor.
    Vmfs,
    /// `custom`: any extents.
    Custom,
}

impl CreateType {
    /// The name in a descriptor.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::StreamOptimized => "streamOptimized",
            Self::MonolithicFlat => "monolithicFlat",
            Self::TwoGbSparse => "twoGbMaxExtentSparse",
            Self::TwoGbFlat => "twoGbMaxExtentFlat",
            Self::Vmfs => "vmfs",
            Self::Custom => "custom",
        }
    }

    fn parse(text: &str) -> Result<Self, FormatError> {
        let known = [
            ("monolithicsparse", Self::MonolithicSparse),
            ("streamoptimized", Self::StreamOptimized),
            ("monolithicflat", Self::MonolithicFlat),
            ("2gbsparse", Self::TwoGbSparse),
            ("twogbmaxextentsparse", Self::TwoGbSparse),
            ("twogbmaxextentflat", Self::TwoGbFlat),
            ("vmfs", Self::Vmfs),
            ("vmfspreallocated", Self::Vmfs),
            ("vmfseagerzeroedthick", Self::Vmfs),
            ("vmfsthin", Self::Vmfs),
            ("custom", Self::Custom),
        ];
        let lower = text.to_ascii_lowercase();
        if let Some((_, found)) = known.iter().find(|(name, _)| *name == lower) {
            return Ok(*found);
        }
        match lower.as_str() {
            "fulldevice"
            | "partitioneddevice"
            | "vmfsraw"
            | "vmfsrdm"
            | "vmfsrdmp"
            | "vmfsrawdevicemap"
            | "vmfspassthroughrawdevicemap" => Err(FormatError::ExternalReference(format!(
                "the disk is a {text}: it stands for a device of the machine it was made on; copy the device to an image there"
            ))),
            "vmfssparse" | "sesparse" => Err(FormatError::Subformat(format!(
                "the disk is a {text} snapshot of an ESX host; consolidate it there, or export it as streamOptimized"
            ))),
            _ => Err(FormatError::Header(format!("the descriptor's createType {:?} is unknown", clip(text)))),
        }
    }

    /// Whether the disk is in the same file as its descriptor.
    pub(crate) fn is_monolithic_sparse(self) -> bool {
        matches!(self, Self::MonolithicSparse | Self::StreamOptimized)
    }
}

/// What an extent is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExtentFile {
    /// Nothing is stored.
    Zero,
    /// The bytes of a file, from `offset` on.
    Flat { name: String, offset: u64 },
    /// A sparse file of its own.
    Sparse { name: String },
}

/// An extent line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtentLine {
    /// Bytes of the disk.
    pub(crate) length: u64,
    pub(crate) file: ExtentFile,
}

/// A parsed descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) cid: Option<u32>,
    /// `None` is no parent.
    pub(crate) parent_cid: Option<u32>,
    pub(crate) parent_hint: Option<String>,
    pub(crate) create_type: CreateType,
    pub(crate) extents: Vec<ExtentLine>,
    pub(crate) adapter: Option<String>,
    pub(crate) hardware: Option<String>,
}

/// Whether the names of extents count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Names {
    /// They are files next to the descriptor.
    #[default]
    Files,
    /// The descriptor is in the file that it describes: its name there may be an old one.
    Own,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    names: Names,
    cid: Option<u32>,
    parent_cid: Option<u32>,
    parent_hint: Option<String>,
    create_type: Option<CreateType>,
    extents: Vec<ExtentLine>,
    adapter: Option<String>,
    hardware: Option<String>,
}

impl Descriptor {
    /// Parses a descriptor, up to the first NUL. Lines that are not known are skipped; what
    /// decides something may be said only once.
    pub(crate) fn parse(bytes: &[u8], names: Names) -> Result<Self, FormatError> {
        if to_u64(bytes.len()) > MAX_DESCRIPTOR {
            return Err(FormatError::TableSize(format!(
                "the descriptor has {} bytes; at most {MAX_DESCRIPTOR} are read",
                bytes.len()
            )));
        }
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut seen = Seen { names, ..Seen::default() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            seen.line(line)?;
        }
        let create_type = seen
            .create_type
            .ok_or_else(|| FormatError::Header("the descriptor names no createType".to_owned()))?;
        if seen.extents.is_empty() {
            return Err(FormatError::Header("the descriptor names no extent".to_owned()));
        }
        Ok(Self {
            cid: seen.cid,
            // Some programs write zeroes where there is no parent.
            parent_cid: seen
                .parent_cid
                .filter(|cid| *cid != NO_CID && (*cid != 0 || seen.parent_hint.is_some())),
            parent_hint: seen.parent_hint,
            create_type,
            extents: seen.extents,
            adapter: seen.adapter,
            hardware: seen.hardware,
        })
    }

    /// Bytes of the disk.
    pub(crate) fn size(&self) -> Result<u64, FormatError> {
        self.extents
            .iter()
            .try_fold(0_u64, |sum, extent| sum.checked_add(extent.length))
            .filter(|size| *size <= MAX_DISK)
            .ok_or_else(|| {
                FormatError::VirtualSize(format!("the extents are longer than {MAX_DISK} bytes in all"))
            })
    }

    /// Whether the disk needs another one below it.
    pub(crate) fn has_parent(&self) -> bool {
        self.parent_cid.is_some() || self.parent_hint.is_some()
    }
}

impl Seen {
    fn line(&mut self, line: &str) -> Result<(), FormatError> {
        let access = line.split_ascii_whitespace().next().unwrap_or_default();
        if ["RW", "RDONLY", "NOACCESS"].iter().any(|word| access.eq_ignore_ascii_case(word)) {
            if self.extents.len() == MAX_EXTENTS {
                return Err(FormatError::TableSize(format!(
                    "the descriptor names more than {MAX_EXTENTS} extents; convert the disk to streamOptimized with the tool that made it"
                )));
            }
            self.extents.push(extent_line(line, access, self.names)?);
            return Ok(());
        }
        let Some((key, value)) = line.split_once('=') else { return Ok(()) };
        let value = unquoted(value.trim());
        match key.trim().to_ascii_lowercase().as_str() {
            "cid" => once(&mut self.cid, "CID", cid(value)?),
            "parentcid" => once(&mut self.parent_cid, "parentCID", cid(value)?),
            "parentfilenamehint" if value.is_empty() => Ok(()),
            "parentfilenamehint" => once(&mut self.parent_hint, "parentFileNameHint", value.to_owned()),
            "createtype" => once(&mut self.create_type, "createType", CreateType::parse(value)?),
            "ddb.adaptertype" => once(&mut self.adapter, "ddb.adapterType", clip(value)),
            "ddb.virtualhwversion" => once(&mut self.hardware, "ddb.virtualHWVersion", clip(value)),
            _ => Ok(()),
        }
    }
}

fn once<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), FormatError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(FormatError::Header(format!("the descriptor says {key} twice"))),
    }
}

fn cid(text: &str) -> Result<u32, FormatError> {
    let digits = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
        .ok_or_else(|| FormatError::Header(format!("the CID {:?} is no hexadecimal number", clip(text))))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Untrusted text in a message: its start.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// `ACCESS SECTORS TYPE ["NAME" [OFFSET]]`.
fn extent_line(line: &str, access: &str, names: Names) -> Result<ExtentLine, FormatError> {
    let plain_name = |name: &str| match names {
        Names::Files => plain_name(name),
        Names::Own => Ok(name.to_owned()),
    };
    let bad = || FormatError::Header(format!("the extent line {:?} cannot be parsed", clip(line)));
    let rest = line[access.len()..].trim_start();
    let (sectors, rest) = rest.split_once(char::is_whitespace).ok_or_else(bad)?;
    let rest = rest.trim_start();
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let length = sectors.parse().ok().and_then(|sectors: u64| sectors.checked_mul(SECTOR)).ok_or_else(bad)?;
    if length == 0 || length > MAX_DISK {
        return Err(FormatError::VirtualSize(format!(
            "an extent has {:?} sectors; 1 to {} are possible",
            clip(sectors),
            MAX_DISK / SECTOR
        )));
    }
    let kind = kind.to_ascii_uppercase();
    if access.eq_ignore_ascii_case("NOACCESS") && kind != "ZERO" {
        return Err(FormatError::Feature(format!("the disk has an extent that must not be read; {CONVERT}")));
    }
    let file = match kind.as_str() {
        "ZERO" => ExtentFile::Zero,
        "FLAT" | "VMFS" => {
            let (name, offset) = name_and_offset(rest).ok_or_else(bad)?;
            ExtentFile::Flat { name: plain_name(name)?, offset }
        }
        "SPARSE" => ExtentFile::Sparse { name: plain_name(name_and_offset(rest).ok_or_else(bad)?.0)? },
        "VMFSSPARSE" | "SESPARSE" => {
            return Err(FormatError::Subformat(format!(
                "the disk has {kind} extents of an ESX host; consolidate it there, or export it as streamOptimized"
            )));
        }
        "VMFSRDM" | "VMFSRAW" => {
            return Err(FormatError::ExternalReference(format!(
                "the disk has {kind} extents: they stand for devices of the machine it was made on"
            )));
        }
        _ => return Err(bad()),
    };
    Ok(ExtentLine { length, file })
}

/// `"NAME"`, then perhaps the first sector in it.
fn name_and_offset(text: &str) -> Option<(&str, u64)> {
    let (name, rest) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    let rest = rest.trim();
    let sectors: u64 = match rest.split_ascii_whitespace().next() {
        None => 0,
        Some(number) => number.parse().ok()?,
    };
    Some((name, sectors.checked_mul(SECTOR)?))
}

/// A name of a file next to the descriptor; whatever else it is, it is not a path.
fn plain_name(name: &str) -> Result<String, FormatError> {
    let plain = !name.is_empty()
        && name.len() <= MAX_NAME
        && name != "."
        && name != ".."
        && !name.chars().any(|c| matches!(c, '/' | '\\' | ':') || c.is_control());
    if !plain {
        return Err(FormatError::ExternalReference(format!(
            "the descriptor refers to {:?}, which is not a plain file name; put the parts into one folder and name them without a path",
            clip(name)
        )));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &str) -> Vec<u8> {
        format!("# Disk DescriptorFile\nversion=1\n{lines}\n").into_bytes()
    }

    #[test]
    fn what_qemu_writes_is_understood() {
        let bytes = text(
            "CID=ed4beeb2\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentSparse\"\n\n# Extent description\nRW 4194304 SPARSE \"s s001.vmdk\"\nRW 100 FLAT \"f.vmdk\" 7\nRW 1 ZERO\nddb.adapterType = \"ide\"",
        );
        let found = Descriptor::parse(&bytes, Names::Files).unwrap();
        assert_eq!((found.cid, found.parent_cid, found.has_parent()), (Some(0xed4b_eeb2), None, false));
        assert_eq!(found.create_type, CreateType::TwoGbSparse);
        assert_eq!(found.adapter.as_deref(), Some("ide"));
        assert_eq!(
            found.extents,
            [
                ExtentLine { length: 2 << 30, file: ExtentFile::Sparse { name: "s s001.vmdk".to_owned() } },
                ExtentLine {
                    length: 51200,
                    file: ExtentFile::Flat { name: "f.vmdk".to_owned(), offset: 3584 }
                },
                ExtentLine { length: 512, file: ExtentFile::Zero },
            ]
        );
        assert_eq!(found.size().unwrap(), (2 << 30) + 51712);
    }

    #[test]
    fn line_ends_case_and_what_follows_a_nul_do_not_matter() {
        let bytes =
            b"# DISK descriptorFILE\r\ncid = 1\r\nCREATETYPE=\"VMFS\"\r\nrw 8 vmfs \"a\"\r\n\0CID=2\n";
        let found = Descriptor::parse(bytes, Names::Files).unwrap();
        assert_eq!((found.cid, found.create_type), (Some(1), CreateType::Vmfs));
    }

    #[test]
    fn each_way_to_be_wrong_has_its_code() {
        let base = "createType=\"monolithicFlat\"\n";
        let cases = [
            ("createType=\"x\"\nRW 8 FLAT \"a\" 0", "corrupt.header"),
            ("RW 8 FLAT \"a\" 0", "corrupt.header"),
            (base, "corrupt.header"),
            ("createType=\"fullDevice\"\nRW 8 FLAT \"/dev/vda\" 0", "denied.external-reference"),
            ("createType=\"seSparse\"\nRW 8 SESPARSE \"a\"", "unsupported.subformat"),
            ("createType=\"vmfs\"\nRW 8 VMFSSPARSE \"a\"", "unsupported.subformat"),
            ("createType=\"vmfs\"\nRW 8 VMFSRDM \"a\"", "denied.external-reference"),
            ("createType=\"vmfs\"\nNOACCESS 8 FLAT \"a\"", "unsupported.feature"),
            ("createType=\"vmfs\"\ncreateType=\"custom\"\nRW 8 FLAT \"a\"", "corrupt.header"),
            ("createType=\"vmfs\"\nCID=1\nCID=1\nRW 8 FLAT \"a\"", "corrupt.header"),
            ("createType=\"vmfs\"\nCID=123456789\nRW 8 FLAT \"a\"", "corrupt.header"),
            ("createType=\"vmfs\"\nCID=+1\nRW 8 FLAT \"a\"", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 0 FLAT \"a\"", "limit.virtual-size"),
            ("createType=\"vmfs\"\nRW 18446744073709551615 FLAT \"a\"", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 9007199254740992 FLAT \"a\"", "limit.virtual-size"),
            ("createType=\"vmfs\"\nRW -1 FLAT \"a\"", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 8 FLAT a", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 8 FLAT \"a", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 8 FLAT \"a\" 36028797018963968", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 8", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 8 BLOB \"a\"", "corrupt.header"),
            ("createType=\"vmfs\"\nRW 8 FLAT \"/etc/shadow\" 0", "denied.external-reference"),
            ("createType=\"vmfs\"\nRW 8 FLAT \"../x\" 0", "denied.external-reference"),
            ("createType=\"vmfs\"\nRW 8 FLAT \"..\" 0", "denied.external-reference"),
            ("createType=\"vmfs\"\nRW 8 FLAT \"\" 0", "denied.external-reference"),
            ("createType=\"vmfs\"\nRW 8 FLAT \"c:x\" 0", "denied.external-reference"),
            ("createType=\"vmfs\"\nRW 8 SPARSE \"json:{}\"", "denied.external-reference"),
        ];
        for (lines, expected) in cases {
            assert_eq!(
                Descriptor::parse(&text(lines), Names::Files).unwrap_err().code(),
                expected,
                "{lines}"
            );
        }
        let many = format!("createType=\"custom\"\n{}", "RW 8 FLAT \"a\" 0\n".repeat(63));
        assert_eq!(Descriptor::parse(&text(&many), Names::Files).unwrap_err().code(), "limit.table-size");
        let huge = format!("createType=\"custom\"\n{}", "RW 120259084288 ZERO\n".repeat(2));
        assert_eq!(
            Descriptor::parse(&text(&huge), Names::Files).unwrap().size().unwrap_err().code(),
            "limit.virtual-size"
        );
        assert_eq!(Descriptor::parse(b"CID=1", Names::Files).unwrap_err().code(), "corrupt.header");
        let endless = text(&format!("CID={}", "f".repeat(1 << 20)));
        assert_eq!(Descriptor::parse(&endless, Names::Files).unwrap_err().code(), "limit.table-size");
    }

    #[test]
    fn a_name_of_the_file_itself_does_not_count() {
        let lines = "createType=\"monolithicSparse\"\nRW 8 SPARSE \"C:\\VMs\\old name.vmdk\"";
        assert!(Descriptor::parse(&text(lines), Names::Own).is_ok());
        assert_eq!(
            Descriptor::parse(&text(lines), Names::Files).unwrap_err().code(),
            "denied.external-reference"
        );
    }

    #[test]
    fn zeroes_and_nothing_are_no_parent() {
        for (lines, expected) in [
            ("parentCID=00000000", false),
            ("parentCID=0\nparentFileNameHint=\"\"", false),
            ("parentCID=ffffffff", false),
            ("parentCID=00000000\nparentFileNameHint=\"base.vmdk\"", true),
            ("parentCID=1", true),
        ] {
            let bytes = text(&format!("createType=\"custom\"\n{lines}\nRW 8 ZERO"));
            assert_eq!(Descriptor::parse(&bytes, Names::Files).unwrap().has_parent(), expected, "{lines}");
        }
    }
}
