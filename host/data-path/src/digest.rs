//! The digest `imprint1`: one definition for the disk that a guest sees and for a file as it is
//! stored.

pub(crate) mod declared;
pub(crate) mod sha256;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Mutex};

use serde::{Deserialize, Serialize};

use crate::util::{
    lock::lock,
    num::{align_down, to_u64, to_usize},
};

/// The number of bytes that a leaf covers.
pub const CLUSTER: usize = 65536;
/// The number of leaves in a segment, which therefore covers 64 MiB.
const SEGMENT_CLUSTERS: u64 = 1024;
const SEGMENT_CONTEXT: &str = "imprint disk digest 1 segment";
const ROOT_CONTEXT: &str = "imprint disk digest 1 root";

type Hash = [u8; 32];

/// The digest of a sequence of bytes of known length, independent of how it is stored. It costs
/// time in proportion to the bytes that are not zero, whatever the length.
///
/// # Definition
///
/// The bytes are cut into clusters of 65 536 bytes, numbered from 0; the last one is padded with
/// zeroes. A cluster that is all zeroes contributes nothing. 1024 consecutive clusters are a
/// segment, numbered from 0.
///
/// - leaf of a cluster: `BLAKE3(cluster)`
/// - node of a segment: `BLAKE3-derive-key("imprint disk digest 1 segment", L)`, where `L` holds,
///   for each cluster of the segment that is not zero, in ascending order, its number within the
///   segment (2 bytes, little endian) and its leaf (32 bytes). A segment of zero clusters only has
///   no node.
/// - root: `BLAKE3-derive-key("imprint disk digest 1 root", N)`, where `N` is the length in bytes
///   (8 bytes, little endian), then for each segment that has a node, in ascending order, its
///   number (8 bytes, little endian) and its node.
///
/// The text form is `imprint1:` and the root in 64 lower-case hexadecimal digits.
///
/// The **logical** digest of an image is this digest over its virtual disk: the same disk has the
/// same logical digest in every format. The **stored** digest is this digest over the file's bytes:
/// `imprint disk digest --stored FILE` computes it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DiskDigest(Hash);

impl DiskDigest {
    /// The name of the algorithm, for lists of digests.
    pub const ALGORITHM: &'static str = "imprint1";

    /// Returns the 32 bytes of the root.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for DiskDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", Self::ALGORITHM)?;
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DiskDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The error for a text that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a disk digest; it is 'imprint1:' and 64 hexadecimal digits")]
pub struct InvalidDigest;

impl FromStr for DiskDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let digits = text.strip_prefix("imprint1:").ok_or(InvalidDigest)?;
        if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return Err(InvalidDigest);
        }
        let mut root = [0; 32];
        hex::decode_to_slice(digits, &mut root).map_err(|_| InvalidDigest)?;
        Ok(Self(root))
    }
}

/// Whether digests are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum DigestMode {
    #[default]
    Computed,
    /// All leaves are the same, and the resulting digests are discarded.
    Skipped,
}

impl DigestMode {
    /// Returns the leaf of one cluster, which is padded already.
    pub(crate) fn leaf(self, cluster: &[u8]) -> Hash {
        debug_assert_eq!(cluster.len(), CLUSTER);
        match self {
            Self::Computed => *blake3::hash(cluster).as_bytes(),
            Self::Skipped => [0; 32],
        }
    }
}

/// Combines leaves that come in ascending order.
#[derive(Clone)]
pub(crate) struct DigestBuilder {
    nodes: Vec<(u64, Hash)>,
    open: Option<(u64, blake3::Hasher)>,
}

impl DigestBuilder {
    pub(crate) fn new() -> Self {
        Self { nodes: Vec::new(), open: None }
    }

    /// Adds the leaf of a cluster that is not zero and follows all earlier ones.
    pub(crate) fn push(&mut self, cluster: u64, leaf: &Hash) {
        let segment = cluster / SEGMENT_CLUSTERS;
        if self.open.as_ref().is_none_or(|(open, _)| *open != segment) {
            self.close();
            self.open = Some((segment, blake3::Hasher::new_derive_key(SEGMENT_CONTEXT)));
        }
        if let Some((_, hasher)) = &mut self.open {
            let within = u16::try_from(cluster % SEGMENT_CLUSTERS).expect("a segment has 1024 clusters");
            hasher.update(&within.to_le_bytes()).update(leaf);
        }
    }

    /// Adds the node of a segment that follows all earlier clusters.
    fn push_node(&mut self, segment: u64, node: Hash) {
        self.close();
        self.nodes.push((segment, node));
    }

    fn close(&mut self) {
        if let Some((segment, hasher)) = self.open.take() {
            self.nodes.push((segment, *hasher.finalize().as_bytes()));
        }
    }

    /// Returns the digest of `size` bytes.
    pub(crate) fn finish(mut self, size: u64) -> DiskDigest {
        self.close();
        let mut root = blake3::Hasher::new_derive_key(ROOT_CONTEXT);
        root.update(&size.to_le_bytes());
        for (segment, node) in &self.nodes {
            root.update(&segment.to_le_bytes()).update(node);
        }
        DiskDigest(*root.finalize().as_bytes())
    }
}

/// The error for bytes that were written twice, which a digest computed during the write cannot
/// follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenTwice {
    /// The offset of the second write.
    pub(crate) offset: u64,
}

/// The digest of a file that several threads write in any order, each byte at most once.
///
/// Blocks that are written whole are hashed by their writer; of blocks that are written in parts,
/// the parts are kept until the block is whole or the file is finished: ranges that stay empty for
/// good are recorded as well. Memory: 64 KiB for each block that is written in part (two for each
/// write in progress), 35 KiB for each 64 MiB segment that is not complete, 48 bytes for each that
/// is.
#[derive(Default)]
pub(crate) struct StoredDigest {
    digests: DigestMode,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    segments: BTreeMap<u64, Segment>,
    partial: BTreeMap<u64, Partial>,
}

enum Segment {
    Open { seen: Box<[bool]>, left: u64, leaves: Vec<(u64, Hash)> },
    Closed(Option<Hash>),
}

struct Partial {
    bytes: Vec<u8>,
    /// The disjoint ranges that were written.
    written: Vec<(usize, usize)>,
}

impl StoredDigest {
    /// Returns an empty digest. With [`DigestMode::Skipped`] it only checks that nothing is written
    /// twice.
    pub(crate) fn new(digests: DigestMode) -> Self {
        Self { digests, ..Self::default() }
    }

    /// Records bytes that are written at `offset`.
    pub(crate) fn write(&self, mut offset: u64, mut bytes: &[u8]) -> Result<(), WrittenTwice> {
        while !bytes.is_empty() {
            let block = offset / to_u64(CLUSTER);
            let within = to_usize(offset % to_u64(CLUSTER));
            let (now, rest) = bytes.split_at(bytes.len().min(CLUSTER - within));
            if now.len() == CLUSTER {
                let leaf = (!crate::util::zero::is_zero(now)).then(|| self.digests.leaf(now));
                self.leaf(block, leaf)?;
            } else if let Some(whole) = self.part(block, within, now)? {
                let leaf = (!crate::util::zero::is_zero(&whole)).then(|| self.digests.leaf(&whole));
                self.leaf(block, leaf)?;
            }
            offset += to_u64(now.len());
            bytes = rest;
        }
        Ok(())
    }

    /// Records a range that stays empty for good, so that no block waits for its bytes.
    pub(crate) fn empty(&self, start: u64, end: u64) -> Result<(), WrittenTwice> {
        static ZEROES: [u8; CLUSTER] = [0; CLUSTER];
        let mut at = start;
        while at < end {
            let block = at / to_u64(CLUSTER);
            let stop = end.min((block + 1) * to_u64(CLUSTER));
            if stop - at == to_u64(CLUSTER) {
                self.leaf(block, None)?
            } else {
                self.write(at, &ZEROES[..to_usize(stop - at)])?
            }
            at = stop;
        }
        Ok(())
    }

    /// Records a whole block with a known leaf; `None` is a block of zeroes.
    pub(crate) fn leaf(&self, block: u64, leaf: Option<Hash>) -> Result<(), WrittenTwice> {
        let twice = WrittenTwice { offset: block * to_u64(CLUSTER) };
        let mut state = lock(&self.state);
        if state.partial.contains_key(&block) {
            return Err(twice);
        }
        state.set(block, leaf).ok_or(twice)
    }

    fn part(&self, block: u64, within: usize, bytes: &[u8]) -> Result<Option<Vec<u8>>, WrittenTwice> {
        let twice = WrittenTwice { offset: block * to_u64(CLUSTER) + to_u64(within) };
        let mut state = lock(&self.state);
        if state.seen(block) {
            return Err(twice);
        }
        let end = within + bytes.len();
        let partial = state
            .partial
            .entry(block)
            .or_insert_with(|| Partial { bytes: vec![0; CLUSTER], written: Vec::new() });
        if partial.written.iter().any(|(start, stop)| *start < end && within < *stop) {
            return Err(twice);
        }
        partial.bytes[within..end].copy_from_slice(bytes);
        partial.written.push((within, end));
        let filled: usize = partial.written.iter().map(|(start, stop)| stop - start).sum();
        Ok(if filled == CLUSTER { state.partial.remove(&block).map(|partial| partial.bytes) } else { None })
    }

    /// Returns the digest of the finished file of `size` bytes. `prefix` holds the leaves of blocks
    /// before all that were recorded.
    pub(crate) fn finish(self, mut prefix: DigestBuilder, size: u64) -> DiskDigest {
        let mut state = self.state.into_inner().expect("no holder of this lock panics");
        for (block, partial) in std::mem::take(&mut state.partial) {
            let leaf =
                (!crate::util::zero::is_zero(&partial.bytes)).then(|| self.digests.leaf(&partial.bytes));
            state.set(block, leaf).expect("a partial block was never seen whole");
        }
        for (number, segment) in state.segments {
            match segment {
                Segment::Closed(Some(node)) => prefix.push_node(number, node),
                Segment::Closed(None) => {}
                Segment::Open { mut leaves, .. } => {
                    leaves.sort_unstable_by_key(|(block, _)| *block);
                    leaves.iter().for_each(|(block, leaf)| prefix.push(*block, leaf));
                }
            }
        }
        prefix.finish(size)
    }
}

impl State {
    fn seen(&self, block: u64) -> bool {
        match self.segments.get(&(block / SEGMENT_CLUSTERS)) {
            None => false,
            Some(Segment::Closed(_)) => true,
            Some(Segment::Open { seen, .. }) => seen[to_usize(block % SEGMENT_CLUSTERS)],
        }
    }

    /// Sets a block's leaf; `None` when the block was recorded before.
    fn set(&mut self, block: u64, leaf: Option<Hash>) -> Option<()> {
        let number = block / SEGMENT_CLUSTERS;
        let segment = self.segments.entry(number).or_insert_with(|| Segment::Open {
            seen: vec![false; to_usize(SEGMENT_CLUSTERS)].into_boxed_slice(),
            left: SEGMENT_CLUSTERS,
            leaves: Vec::new(),
        });
        let Segment::Open { seen, left, leaves } = segment else { return None };
        let seen = &mut seen[to_usize(block - align_down(block, SEGMENT_CLUSTERS))];
        if std::mem::replace(seen, true) {
            return None;
        }
        *left -= 1;
        leaves.extend(leaf.map(|leaf| (block, leaf)));
        if *left == 0 {
            leaves.sort_unstable_by_key(|(block, _)| *block);
            let mut builder = DigestBuilder::new();
            leaves.iter().for_each(|(block, leaf)| builder.push(*block, leaf));
            builder.close();
            *segment = Segment::Closed(builder.nodes.first().map(|(_, node)| *node));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
