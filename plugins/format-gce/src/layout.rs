//! Where things go in the file: room for the tar's header, one gzip member for each unit that has
//! data, the tar's end.

use imprint_plugin_sdk::{
    error::{Error, Result},
    format::{CreateRequest, MetadataPage, Placed, Rules, Segment},
    types::{Codec, props},
};

use crate::{gzip, tar};

/// Bytes of the disk in one member. Larger ones compress better, smaller ones leave more holes.
const UNIT: u32 = 256 << 10;
/// Compute Engine takes disks of whole GiB.
const GIB: u64 = 1 << 30;
/// Most runs of data: the header and what it is made of stay below 48 MiB.
const MAX_RUNS: usize = 1 << 19;

/// The layout of an archive being written.
#[derive(Debug)]
pub struct Layout {
    virtual_size: u64,
    /// Room for the header's member.
    head: usize,
    runs: Vec<(u64, u64)>,
    /// The two members of the tar's own blocks, made when the payload is complete.
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    head: Vec<u8>,
    end: Vec<u8>,
}

impl Layout {
    pub(crate) fn begin(request: &CreateRequest) -> Result<Self> {
        let unsupported = |text: String| Err(Error::unsupported("unsupported.option", text));
        let size = request.virtual_size;
        if !size.is_multiple_of(GIB) || size == 0 {
            let whole = size.div_ceil(GIB).max(1);
            let text = format!("Compute Engine takes disks of whole GiB; let the disk grow to {whole} GiB");
            return Err(Error::invalid_input("invalid.request", text));
        }
        if let Some(subformat) = &request.subformat {
            return unsupported(format!("this format has no variant {subformat:?}; leave the subformat out"));
        }
        if request.parent.is_some() {
            return unsupported("an archive has no parent; flatten the chain".to_owned());
        }
        for (key, value) in &request.options {
            if (key.as_str(), value.as_str()) != ("compress", "none") {
                return unsupported(format!(
                    "this format does not have the option `{key}` = {value:?}; it is always compressed with gzip"
                ));
            }
        }
        let unit = u64::from(UNIT);
        // Every other unit at worst.
        let runs = (request.allocated.div_ceil(unit) + 1).min(size / unit / 2 + 1);
        let runs = usize::try_from(runs).unwrap_or(MAX_RUNS).min(MAX_RUNS);
        let head = gzip::least(tar::blocks(runs) * tar::BLOCK).next_multiple_of(4096);
        Ok(Self { virtual_size: size, head, runs: Vec::new(), made: None })
    }

    fn make(&self) -> Made {
        let archived = self.runs.iter().map(|(_, length)| length).sum();
        let header = tar::header(self.virtual_size, &self.runs);
        let end = vec![0; tar::trailer(header.len(), archived)];
        Made { head: gzip::member(&header, self.head), end: gzip::member(&end, gzip::least(end.len())) }
    }
}

impl imprint_plugin_sdk::format::Layout for Layout {
    fn rules(&mut self) -> Rules {
        let head = u64::try_from(self.head).expect("the head is small");
        Rules {
            align: 1,
            codec: Some(Codec { name: "gzip".to_owned(), params: props([("tail", "exact")]) }),
            max_encoded: 2 * UNIT,
            ascending: true,
            ..Rules::units(head, UNIT)
        }
    }

    fn placed(&mut self, runs: &[Placed]) -> Result<()> {
        for run in runs {
            let room = self.runs.len() < MAX_RUNS;
            match self.runs.last_mut() {
                Some((offset, length)) if *offset + *length == run.offset => *length += run.length,
                Some((offset, length)) if *offset + *length > run.offset => {
                    let text = "placements come in the order of the disk";
                    return Err(Error::invalid_input("invalid.request", text));
                }
                Some(_) | None if room => self.runs.push((run.offset, run.length)),
                Some(_) | None => {
                    let text = format!(
                        "the disk has more than {MAX_RUNS} separate runs of data; write it as qcow2 or VMDK"
                    );
                    return Err(Error::limit("limit.table", text));
                }
            }
        }
        Ok(())
    }

    /// The end, then the head: with it the file becomes an archive.
    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        let made = match self.made.take() {
            Some(made) if start > 0 => made,
            Some(_) | None => self.make(),
        };
        let head_size = u64::try_from(self.head).expect("the head is small");
        let end = end.max(head_size);
        let tail = u64::try_from(made.end.len()).expect("the end is small");
        let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let all = [(end, &made.end), (0, &made.head)];
        let mut skip = usize::try_from(start).unwrap_or(usize::MAX);
        let mut page =
            MetadataPage { segments: Vec::new(), resume: start, done: false, final_size: Some(end + tail) };
        for (offset, bytes) in all {
            if skip >= bytes.len() {
                skip -= bytes.len();
                continue;
            }
            let piece = &bytes[skip..bytes.len().min(skip + max)];
            let length = u64::try_from(piece.len()).expect("a page is small");
            let at = offset + u64::try_from(skip).expect("a position in a small member");
            page.segments.push(Segment { file_offset: at, bytes: piece.to_vec() });
            page.resume += length;
            break;
        }
        page.done = page.resume >= tail + head_size;
        self.made = Some(made);
        Ok(page)
    }
}
