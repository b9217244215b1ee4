//! An open raw image.

use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{
        Image, Info, MapBuilder, Page,
        marks::{self, Mark},
    },
    host::Blob,
    types::{ByteRange, Props, props},
};

use crate::{SECTOR, content};

const HEAD: u32 = 64 << 10;
const TAIL: u32 = 4 << 10;
/// The largest offset that a file can have.
const MAX_SIZE: u64 = 1 << 63;

/// An open raw image: nothing but its size and what was seen in it.
#[derive(Clone, Debug)]
pub struct RawImage {
    file: u64,
    virtual_size: u64,
    facts: Props,
}

impl RawImage {
    /// Looks at the first 64 KiB and the last 4 KiB. The option `allow-luks` = `true` takes a LUKS
    /// volume as it is.
    pub(crate) fn open(blob: &dyn Blob, options: &Props) -> Result<Self> {
        let allow_luks = match options.get("allow-luks").map(String::as_str) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let text = format!("`allow-luks` is `true` or `false`, not {other:?}");
                return Err(Error::invalid_input("invalid.request", text));
            }
        };
        let file = blob.size();
        if file >= MAX_SIZE {
            return Err(Error::limit(
                "limit.virtual-size",
                format!("a disk of {file} bytes is larger than any file"),
            ));
        }
        let head = blob.read_at(0, HEAD)?;
        let tail = blob.read_at(file.saturating_sub(TAIL.into()), TAIL)?;
        let found = marks::find(&head, &tail);
        let accepted = |mark: Mark| allow_luks && mark == Mark::Luks;
        if let Some(mark) = content::foreign(&found).filter(|mark| !accepted(*mark)) {
            return Err(ambiguous(mark));
        }
        let virtual_size = file.next_multiple_of(SECTOR);
        let mut facts = props([]);
        if virtual_size != file {
            facts.insert("size-conflict".to_owned(), file.to_string());
        }
        let contents = content::describe(&head, &found);
        if !contents.is_empty() {
            facts.insert("content".to_owned(), contents.join(","));
        }
        if found.contains(&Mark::Luks) {
            facts.insert("encrypted".to_owned(), "true".to_owned());
        }
        Ok(Self { file, virtual_size, facts })
    }
}

impl Image for RawImage {
    fn info(&mut self) -> Result<Info> {
        let (virtual_size, facts) = (self.virtual_size, self.facts.clone());
        Ok(Info { format: "raw".to_owned(), subformat: None, virtual_size, unit: 1, facts })
    }

    fn metadata_ranges(&mut self, _start: u64, _max: u32) -> Result<Vec<ByteRange>> {
        Ok(Vec::new())
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        let end = end.min(self.virtual_size);
        let mut map = MapBuilder::new(start.min(end), end, max)?;
        let stored = self.file.saturating_sub(map.cursor());
        if map.data(stored, 0, map.cursor())?.is_continue() {
            // What is left of the last sector.
            let rest = end - map.cursor();
            let _full = map.zero(rest)?;
        }
        Ok(map.finish())
    }
}

fn ambiguous(mark: Mark) -> Error {
    let name = mark.name();
    Error::denied(
        "denied.ambiguous-content",
        format!(
            "the file is declared raw and carries the mark of {name}; declare it as {name}, or remove the mark"
        ),
    )
}
