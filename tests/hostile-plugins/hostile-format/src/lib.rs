//! A disk format that misbehaves in the way that the option `mode` names, or a file that begins
//! with `LIAR:mode` and a line end; without either it reads a raw file.

use std::hint::black_box;

use imprint_plugin_sdk::{
    error::{Error, Result},
    export_format,
    format::{
        CreateRequest, Extent, ExtentKind, Format, Guess, Image, Info, Layout, MapBuilder, MetadataPage,
        Page, Placed, Rules, Source,
    },
    host::Blob,
    types::{ByteRange, Codec, Props},
};

struct Hostile;

struct HostileImage {
    mode: String,
    primary: Box<dyn Blob>,
}

struct HostileLayout {
    mode: String,
}

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn allocate_without_end() -> ! {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(vec![1; 1 << 20]);
        black_box(&kept);
    }
}

fn extent(offset: u64, length: u64) -> Extent {
    Extent {
        offset,
        length,
        kind: ExtentKind::Data,
        source: 0,
        codec: 0,
        source_offset: offset,
        source_length: 0,
    }
}

/// The mode that a file names.
fn mode_of(primary: &dyn Blob) -> Result<String> {
    let head = String::from_utf8_lossy(&primary.read_at(0, 64)?).into_owned();
    let line = head.lines().next().and_then(|line| line.strip_prefix("LIAR:"));
    Ok(line.unwrap_or_default().to_owned())
}

impl Format for Hostile {
    type Image = HostileImage;
    type Layout = HostileLayout;

    fn probe(head: &[u8], _tail: &[u8], _size: u64) -> Option<Guess> {
        let confidence = if head.starts_with(b"HOSTILE") { 200 } else { 1 };
        Some(Guess { confidence, format: "hostile".to_owned(), subformat: None })
    }

    fn open(primary: Box<dyn Blob>, options: &Props) -> Result<HostileImage> {
        let mode = options.get("mode").cloned().map_or_else(|| mode_of(primary.as_ref()), Ok)?;
        imprint_plugin_sdk::info!("opening in mode {mode:?}");
        match mode.as_str() {
            "error" => Err(Error::corrupt("hostile.corrupt", "the image is refused on purpose")),
            "loop" => spin(),
            "allocate" => allocate_without_end(),
            "trap" => panic!("this plugin panics on purpose"),
            "recurse" => Err(Error::internal("hostile.depth", recurse(1).to_string())),
            "huge-error" => Err(Error::internal("hostile.huge", "x".repeat(600_000))),
            _ => Ok(HostileImage { mode, primary }),
        }
    }

    fn begin_layout(request: &CreateRequest) -> Result<HostileLayout> {
        Ok(HostileLayout { mode: request.options.get("mode").cloned().unwrap_or_default() })
    }
}

/// Not a tail call: each level has a frame, until the stack is used up.
#[expect(unconditional_recursion, reason = "overflows the stack on purpose")]
fn recurse(depth: u64) -> u64 {
    let frame = [depth; 64];
    black_box(&frame);
    1 + recurse(depth + 1) + frame[0]
}

impl Image for HostileImage {
    fn info(&mut self) -> Result<Info> {
        if self.mode == "read-forever" {
            for offset in (0..self.primary.size()).step_by(1 << 20) {
                self.primary.read_at(offset, 1 << 20)?;
            }
        }
        let unit = if self.mode == "unit" { 0 } else { 1 };
        let virtual_size = if self.mode == "size" { u64::MAX } else { self.primary.size() };
        Ok(Info { format: "hostile".to_owned(), subformat: None, virtual_size, unit, facts: Props::new() })
    }

    fn sources(&mut self) -> Result<Vec<Source>> {
        let away = |role: &str| Source {
            role: role.to_owned(),
            reference: "/canary/secret.bin".to_owned(),
            format_hint: Some("raw".to_owned()),
            required: false,
        };
        Ok(match self.mode.as_str() {
            "names-parent" => vec![Source::primary(), away("parent")],
            "names-extent" => vec![Source::primary(), away("extent")],
            "names-log" => vec![Source::primary(), away("log")],
            _ => vec![Source::primary()],
        })
    }

    fn codecs(&mut self) -> Vec<Codec> {
        let params = [("tail".to_owned(), "garbage".to_owned())].into();
        match self.mode.as_str() {
            "same-sector" => vec![Codec { name: "deflate".to_owned(), params }],
            "codec" => vec![Codec { name: "lzma".to_owned(), params }],
            _ => Vec::new(),
        }
    }

    fn metadata_ranges(&mut self, start: u64, _max: u32) -> Result<Vec<ByteRange>> {
        let size = self.primary.size();
        let one = |offset, length| if start == 0 { vec![ByteRange { offset, length }] } else { Vec::new() };
        Ok(match self.mode.as_str() {
            "table-outside" => one(size - 100, 101),
            "table-far" => one(u64::MAX - 10, 100),
            "table-in-data" => one(4096, 512),
            "tables-forever" => vec![ByteRange { offset: 0, length: 0 }; 4096],
            _ => Vec::new(),
        })
    }

    fn extents(&mut self, start: u64, end: u64, max: u32) -> Result<Page> {
        match self.mode.as_str() {
            "overlap" => Ok(Page {
                extents: vec![extent(start, 4096), extent(start + 1024, 4096)],
                resume: start + 5120,
                done: true,
            }),
            "too-many" => {
                let extents = (0..u64::from(max) + 1).map(|at| extent(start + at, 1)).collect();
                Ok(Page { extents, resume: end, done: true })
            }
            "huge" => {
                let extents = (0..60_000).map(|at| extent(start + at, 1)).collect();
                Ok(Page { extents, resume: end, done: true })
            }
            // Every page of the disk is the same page of the file.
            "alias" => {
                let pages = (start / 4096..end / 4096).take(usize::try_from(max).unwrap_or(usize::MAX));
                let extents: Vec<_> =
                    pages.map(|page| Extent { source_offset: 0, ..extent(page * 4096, 4096) }).collect();
                let resume = extents.last().map_or(start, |last| last.offset + last.length);
                Ok(Page { extents, resume, done: resume >= end })
            }
            // The same sector decodes to every unit of the disk.
            "same-sector" => {
                let units = (start / 65536..end / 65536).take(usize::try_from(max).unwrap_or(usize::MAX));
                let encoded = |unit: u64| Extent {
                    kind: ExtentKind::Encoded,
                    source_offset: 512,
                    source_length: 512,
                    ..extent(unit * 65536, 65536)
                };
                let extents: Vec<_> = units.map(encoded).collect();
                let resume = extents.last().map_or(start, |last| last.offset + last.length);
                Ok(Page { extents, resume, done: resume >= end })
            }
            "outside" => {
                let shifted = Extent { source_offset: start + 1, ..extent(start, end - start) };
                Ok(Page { extents: vec![shifted], resume: end, done: true })
            }
            "source" => {
                let other = Extent { source: 1, ..extent(start, end - start) };
                Ok(Page { extents: vec![other], resume: end, done: true })
            }
            "stuck" => Ok(Page { extents: Vec::new(), resume: start, done: false }),
            "loop-extents" => spin(),
            "trap-extents" => panic!("this plugin panics on purpose"),
            _ => {
                let mut map = MapBuilder::new(start, end, max)?;
                // Nothing follows the one extent, so the result of the builder does not matter.
                let _flow = map.data(end - start, 0, start)?;
                Ok(map.finish())
            }
        }
    }
}

impl Layout for HostileLayout {
    fn rules(&mut self) -> Rules {
        let mut rules = Rules::identity();
        if self.mode == "frames" {
            rules.frame = vec![imprint_plugin_sdk::format::FrameField::StoredLengthU32Le; 1000];
        }
        rules
    }

    fn placed(&mut self, _runs: &[Placed]) -> Result<()> {
        Ok(())
    }

    fn metadata(&mut self, end: u64, start: u64, max_bytes: u32) -> Result<MetadataPage> {
        let bytes =
            if self.mode == "big-page" { 2 * usize::try_from(max_bytes).unwrap_or(usize::MAX) } else { 0 };
        let segments = if bytes == 0 {
            Vec::new()
        } else {
            vec![imprint_plugin_sdk::format::Segment { file_offset: 0, bytes: vec![0; bytes] }]
        };
        Ok(MetadataPage { segments, resume: start, done: true, final_size: Some(end) })
    }
}

export_format!(Hostile);
