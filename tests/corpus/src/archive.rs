//! Archives as Compute Engine exports them, whole and spoilt: `disk.raw` in tar, in gzip (RFC 1952;
//! POSIX.1-2017 `pax`; `struct oldgnu_header` of GNU tar).

use crate::{Bytes, ova, streams};

/// The size of the disk in bytes.
pub const SIZE: u64 = 1 << 20;
/// The pieces of the disk that are in the archives: offset and length.
const PIECES: [(u64, u64); 2] = [(0, 512), (65536, 1024)];

/// What has to come of an import of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// [`disk`].
    Read,
    /// Refused with a detail that has this text.
    Refused(&'static str),
    /// Not taken for an archive, and refused as what it is then.
    NotRecognised,
}

/// One archive.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Unique.
    pub id: &'static str,
    /// What is odd about it.
    pub what: &'static str,
    /// The file.
    pub file: Vec<u8>,
    /// What has to come of it.
    pub outcome: Outcome,
}

/// The disk in the archives that are read.
pub fn disk() -> Bytes {
    let mut disk = Bytes::new();
    for (offset, length) in PIECES {
        disk.put(offset, &piece(offset, length));
    }
    disk.resize(SIZE);
    disk
}

/// The bytes of a piece; the first ends as the first sector of a disk does.
fn piece(offset: u64, length: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("less than 251")).collect();
    if offset == 0 {
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    }
    bytes
}

/// A sparse member before it has a checksum.
#[derive(Clone)]
struct Sparse {
    name: &'static [u8],
    pieces: Vec<(u64, u64)>,
    archived: [u8; 12],
    size: [u8; 12],
    /// Whether an entry without length says where the disk ends.
    is_ended: bool,
}

impl Sparse {
    fn new(pieces: &[(u64, u64)]) -> Self {
        let archived = pieces.iter().map(|(_, length)| length).sum();
        Self {
            name: b"disk.raw",
            pieces: pieces.to_vec(),
            archived: ova::octal(archived),
            size: ova::octal(SIZE),
            is_ended: true,
        }
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Bytes::new();
        header.put(0, self.name).put(100, b"0000644\x000000000\x000000000\0").put(124, &self.archived);
        header.put(136, b"00000000000\0").put(148, b"        ").put(156, b"S").put(257, b"ustar  \0");
        let end = self.is_ended.then_some((SIZE, 0));
        let entries: Vec<Vec<u8>> = self
            .pieces
            .iter()
            .copied()
            .chain(end)
            .map(|(offset, length)| [ova::octal(offset), ova::octal(length)].concat())
            .collect();
        let (first, more) = entries.split_at(entries.len().min(4));
        header.put(386, &first.concat()).put(482, &[u8::from(!more.is_empty())]).put(483, &self.size);
        header.resize(512);
        let sum: u32 = header.to_vec().iter().map(|byte| u32::from(*byte)).sum();
        header.put(148, format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = header.to_vec();
        let mut left = more.len();
        for entries in more.chunks(21) {
            left -= entries.len();
            let mut block = Bytes::new();
            block.put(0, &entries.concat()).put(504, &[u8::from(left > 0)]).resize(512);
            bytes.extend(block.to_vec());
        }
        bytes
    }

    /// With the pieces of [`disk`] behind it, whatever the header says.
    fn member(&self) -> Vec<u8> {
        let data = PIECES.iter().flat_map(|(offset, length)| piece(*offset, *length));
        self.header().into_iter().chain(data).collect()
    }
}

fn plain(name: &[u8], content: &[u8]) -> Vec<u8> {
    member(name, b'0', content)
}

fn member(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    let size = u64::try_from(content.len()).expect("a small member");
    let mut bytes = ova::header(name, &ova::octal(size), kind, "");
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Two empty blocks behind the members, and all of it in gzip.
fn archive(members: &[&[u8]]) -> Vec<u8> {
    gzip(&[&members.concat(), &[0; 1024][..]].concat())
}

/// A gzip member that holds bytes as they are.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for block in bytes.chunks(65535) {
        let length = u16::try_from(block.len()).expect("a block of less than 64 KiB");
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend([1, 0, 0, 0xff, 0xff]);
    out.extend(streams::crc32(bytes).to_le_bytes());
    out.extend(u32::try_from(bytes.len()).expect("a small file").to_le_bytes());
    out
}

/// All of them.
pub fn cases() -> Vec<Archive> {
    let case = |id, what, file, outcome| Archive { id, what, file, outcome };
    let refused = |id, what, file, text| Archive { id, what, file, outcome: Outcome::Refused(text) };
    let sparse = Sparse::new(&PIECES);
    let spoilt = |spoil: &dyn Fn(&mut Sparse)| {
        let mut sparse = Sparse::new(&PIECES);
        spoil(&mut sparse);
        archive(&[&sparse.member()])
    };
    let pieces = |pieces: &[(u64, u64)]| archive(&[&Sparse::new(pieces).member()]);
    let whole = plain(b"disk.raw", &disk().to_vec());
    let many: Vec<(u64, u64)> = (0..40).map(|piece| (piece * 1024, 0)).collect();
    let records = |text: &str| archive(&[&member(b"PaxHeaders/disk.raw", b'x', text.as_bytes()), &whole]);
    let mut cut = [&whole[..], &[0; 1024]].concat();
    cut.truncate(700_000);
    let mut damaged = archive(&[&sparse.member()]);
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    let mut negative = [0xff; 12];
    negative[10] = 0xfe;
    let mut huge = [0; 12];
    huge[0] = 0x80;
    huge[4] = 0x7f;
    let mut wrong_sum = sparse.member();
    wrong_sum[150] ^= 1;
    vec![
        case("plain", "a plain member", archive(&[&whole]), Outcome::Read),
        case("sparse", "a sparse member", archive(&[&sparse.member()]), Outcome::Read),
        case(
            "dot",
            "a member with a dot in front",
            archive(&[&plain(b"./disk.raw", &disk().to_vec())]),
            Outcome::Read,
        ),
        case("pax", "extended records in front", records("18 comment=a word\n"), Outcome::Read),
        case(
            "unended",
            "a list of pieces that ends with the disk's last piece",
            {
                let mut all = Sparse::new(&[PIECES[0], (65536, SIZE - 65536)]);
                all.is_ended = false;
                let rest = disk().to_vec();
                archive(&[&all.header(), &rest[..512], &rest[65536..]])
            },
            Outcome::Read,
        ),
        case(
            "extended",
            "a list of pieces in further blocks",
            {
                let between = (1..40).map(|piece| (piece * 1024, 0));
                let listed: Vec<_> = [PIECES[0]].into_iter().chain(between).chain([PIECES[1]]).collect();
                pieces(&listed)
            },
            Outcome::Read,
        ),
        refused("two", "two disks", archive(&[&whole, &whole]), "more than one member"),
        refused(
            "other",
            "another file behind the disk",
            archive(&[&whole, &plain(b"notes", b"text")]),
            "more than one member",
        ),
        refused(
            "renamed",
            "records that give the member another name",
            records("20 path=/etc/passwd\n"),
            "not `disk.raw`",
        ),
        refused(
            "deep",
            "a disk in a folder",
            archive(&[&plain(b"a/disk.raw", &disk().to_vec())]),
            "not `disk.raw`",
        ),
        refused(
            "link",
            "a link with the name of the disk",
            archive(&[&member(b"disk.raw", b'2', b"")]),
            "a link",
        ),
        refused(
            "hard-link",
            "a hard link with the name of the disk",
            archive(&[&member(b"disk.raw", b'1', b"")]),
            "a link",
        ),
        refused(
            "device",
            "a device with the name of the disk",
            archive(&[&member(b"disk.raw", b'4', b"")]),
            "a device",
        ),
        refused("cut", "a disk that is cut off, in gzip that is whole", gzip(&cut), "cut off"),
        refused("unfinished", "no end behind the disk", gzip(&whole), "cut off"),
        refused("gzip-checksum", "another checksum of the whole", damaged, "cannot be unpacked"),
        case(
            "tar-checksum",
            "another checksum of the header",
            archive(&[&wrong_sum]),
            Outcome::NotRecognised,
        ),
        refused(
            "trailing",
            "bytes behind the end",
            gzip(&[&whole[..], &[0; 1024], b"more"].concat()),
            "something follows",
        ),
        refused("overlap", "pieces that overlap", pieces(&[(0, 1024), (512, 512)]), "overlap"),
        refused("backwards", "pieces that are not in order", pieces(&[(65536, 1024), (0, 512)]), "overlap"),
        refused(
            "outside",
            "a piece beyond the end of the disk",
            pieces(&[(0, 512), (SIZE - 512, 1024)]),
            "outside",
        ),
        refused(
            "unaligned",
            "a piece that ends inside a block",
            pieces(&[(0, 500), (65536, 1036)]),
            "inside a block",
        ),
        case(
            "negative",
            "a size of the member below zero",
            spoilt(&|sparse| sparse.archived = negative),
            Outcome::NotRecognised,
        ),
        refused(
            "negative-disk",
            "a size of the disk below zero",
            spoilt(&|sparse| sparse.size = negative),
            "impossible",
        ),
        refused("huge", "a disk of 8 EiB", spoilt(&|sparse| sparse.size = huge), "unpacks to more"),
        refused(
            "longer",
            "a member that is longer than its pieces",
            spoilt(&|sparse| sparse.archived = ova::octal(2048)),
            "not as long",
        ),
        refused(
            "shorter",
            "a member that is shorter than its pieces",
            spoilt(&|sparse| sparse.archived = ova::octal(512)),
            "not as long",
        ),
        refused("many", "a list of pieces that has none of the bytes", pieces(&many), "something follows"),
        refused(
            "pax-sparse",
            "a sparse member in another format",
            records("22 GNU.sparse.major=1\n"),
            "oldgnu",
        ),
        refused("records", "damaged records", records("99 path=x\n"), "records are damaged"),
    ]
}
