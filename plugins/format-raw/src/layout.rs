//! The layout of a new raw file: none.

use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{CreateRequest, Layout, MetadataPage, Placed, Rules},
};

use crate::SECTOR;

/// The layout of a raw file: every byte goes to its own offset.
#[derive(Clone, Copy, Debug)]
pub struct RawLayout {
    virtual_size: u64,
}

impl RawLayout {
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self> {
        let unsupported = |text: &str| Err(Error::unsupported("unsupported.option", text));
        if !request.virtual_size.is_multiple_of(SECTOR) {
            let text = format!(
                "the disk size of {} bytes is no multiple of {SECTOR}; round it up",
                request.virtual_size
            );
            return Err(Error::invalid_input("invalid.request", text));
        }
        if request.subformat.is_some() {
            return unsupported("raw has no subformats; leave it out");
        }
        if request.parent.is_some() {
            return unsupported("a raw disk has no parent; flatten the chain");
        }
        if let Some(unknown) = request.options.keys().find(|key| *key != "compress") {
            return unsupported(&format!("raw has no option `{unknown}`; leave it out"));
        }
        match request.options.get("compress").map(String::as_str) {
            None | Some("none") => Ok(Self { virtual_size: request.virtual_size }),
            Some(_) => unsupported("a raw disk is not compressed; ask for qcow2"),
        }
    }
}

impl Layout for RawLayout {
    fn rules(&mut self) -> Rules {
        Rules::identity()
    }

    fn placed(&mut self, _runs: &[Placed]) -> Result<()> {
        Err(Error::invalid_input(
            "invalid.request",
            "nothing is reported to a raw layout: each byte has its own place",
        ))
    }

    fn metadata(&mut self, _end: u64, start: u64, _max_bytes: u32) -> Result<MetadataPage> {
        Ok(MetadataPage {
            segments: Vec::new(),
            resume: start,
            done: true,
            final_size: Some(self.virtual_size),
        })
    }
}
