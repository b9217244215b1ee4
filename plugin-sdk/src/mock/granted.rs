//! What is in granted directories.

use std::collections::BTreeMap;

use crate::host::Space;

pub(super) enum Node {
    Directory,
    /// What `bytes` does not have reads as zeroes.
    File {
        size: u64,
        bytes: Vec<u8>,
    },
}

#[derive(Default)]
pub(super) struct Tree {
    pub(super) grants: BTreeMap<String, BTreeMap<String, Node>>,
    pub(super) space: Option<Space>,
}
