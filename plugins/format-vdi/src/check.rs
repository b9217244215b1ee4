//! The map against the header's count and the file. What makes an image unreadable is refused when
//! it is opened.

use imprint_plugin_sdk::format::{Finding, Findings, Severity};

use crate::{error::VdiError, image::Image};

/// The most findings of a page, whatever is asked for.
const MAX_FINDINGS: u32 = 4096;

impl Image {
    /// A page of findings: `start` 0 begins with what concerns the whole image, `n + 1` goes on at
    /// block `n` of the file.
    pub(crate) fn check(&mut self, start: u64, max: u32) -> Result<Findings, VdiError> {
        let max = usize::try_from(max.clamp(1, MAX_FINDINGS)).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        if start == 0 {
            items.extend(self.count_finding());
        }
        let stored = self.blob.size().saturating_sub(self.header.data_offset) / self.header.block;
        // Whatever lies behind that many blocks cannot be named by a map.
        let end = stored.min(self.header.blocks.into());
        let mut number = start.saturating_sub(1);
        while let Some(leaked) = self.used.next_unused(number, end) {
            if items.len() >= max {
                return Ok(Findings { items, resume: leaked + 1, done: false });
            }
            let offset = self.header.data_offset + leaked * self.header.block;
            items.push(Finding {
                severity: Severity::Leak,
                code: "vdi.leak".to_owned(),
                message: format!("block {leaked} of the file is not in the map"),
                offset: Some(offset),
            });
            number = leaked + 1;
        }
        Ok(Findings { items, resume: end + 1, done: true })
    }

    fn count_finding(&self) -> Option<Finding> {
        let (stated, used) = (u64::from(self.header.allocated), self.used.count());
        (stated != used).then(|| Finding {
            severity: Severity::Error,
            code: "vdi.allocated".to_owned(),
            message: format!("the header counts {stated} stored blocks, and the map has {used}"),
            offset: Some(0x184),
        })
    }
}
