//! What is asked for, checked, and the sizes that follow from it.

use imprint_plugin_sdk::format::{CreateRequest, FormatError, wire::round_up};

use crate::header::Compression;

const OPTIONS: [&str; 2] = ["compress", "cluster-size"];
const DEFAULT_CLUSTER: u64 = 64 << 10;
const MIN_CLUSTER: u64 = 4 << 10;
const MAX_CLUSTER: u64 = 2 << 20;
const SECTOR: u64 = 512;
/// QEMU refuses longer tables.
const MAX_L1_BYTES: u64 = 32 << 20;

/// The sizes of a new image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) virtual_size: u64,
    pub(super) cluster_bits: u32,
    /// At least one, even for an empty disk.
    pub(super) l1_entries: u64,
    pub(super) compression: Option<Compression>,
}

impl Geometry {
    pub(super) fn new(request: &CreateRequest) -> Result<Self, FormatError> {
        let virtual_size = request.virtual_size;
        if !virtual_size.is_multiple_of(SECTOR) {
            return Err(FormatError::Request(format!(
                "the disk size of {virtual_size} bytes is no multiple of {SECTOR}; round it up"
            )));
        }
        if let Some(subformat) = &request.subformat {
            return Err(FormatError::Unsupported(format!(
                "qcow2 has no subformat {subformat:?}; leave it out"
            )));
        }
        if request.parent.is_some() {
            return Err(FormatError::Unsupported(
                "this writer makes images without a parent; flatten the chain".to_owned(),
            ));
        }
        if let Some(unknown) = request.options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            return Err(FormatError::Unsupported(format!(
                "qcow2 has no option `{unknown}`; there are `{}`",
                OPTIONS.join("` and `")
            )));
        }
        let option = |key: &str| request.options.get(key).map(String::as_str);
        let compression = Compression::from_option(option("compress").unwrap_or("none"))?;
        let cluster = option("cluster-size").map_or(Ok(DEFAULT_CLUSTER), cluster_size)?;
        let mut geometry = Self { virtual_size, cluster_bits: cluster.ilog2(), l1_entries: 1, compression };
        geometry.l1_entries = virtual_size.div_ceil(geometry.l2_entries() << geometry.cluster_bits).max(1);
        if geometry.l1_bytes() > MAX_L1_BYTES {
            return Err(FormatError::VirtualSize(format!(
                "a disk of {virtual_size} bytes is too large for clusters of {cluster} bytes; ask for a larger `cluster-size`"
            )));
        }
        Ok(geometry)
    }

    pub(super) fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster() / 8
    }

    pub(super) fn l1_bytes(&self) -> u64 {
        self.l1_entries * 8
    }

    /// The L1 table follows the header's cluster.
    pub(super) fn l1_offset(&self) -> u64 {
        self.cluster()
    }

    /// Clusters of header and L1 table, which come first.
    pub(super) fn head_clusters(&self) -> u64 {
        1 + (round_up(self.l1_bytes(), self.cluster()) >> self.cluster_bits)
    }

    /// A cluster is worth encoding when it saves a sector.
    pub(super) fn max_encoded(&self) -> u32 {
        u32::try_from(self.cluster() - SECTOR).expect("a cluster is at most 2 MiB")
    }
}

fn cluster_size(text: &str) -> Result<u64, FormatError> {
    let size = text
        .parse()
        .ok()
        .filter(|size: &u64| size.is_power_of_two() && (MIN_CLUSTER..=MAX_CLUSTER).contains(size));
    size.ok_or_else(|| {
        FormatError::Request(format!(
            "`cluster-size` is a power of two from {MIN_CLUSTER} to {MAX_CLUSTER}, in bytes, not {text:?}"
        ))
    })
}
