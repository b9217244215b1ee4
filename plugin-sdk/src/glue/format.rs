//! Disk formats.

use std::{cell::RefCell, marker::PhantomData};

use super::{
    host::HostBlob,
    numbers,
    shapes::{props_in, props_out},
};
use crate::{
    bindings::{
        format::exports::imprint::format::{checker as wit_checker, reader as wit, writer as wit_writer},
        host::imprint::{host::blobs, types::block_map, types::types as shapes},
    },
    format::{
        CreateRequest, Extent, ExtentKind, Finding, Format, FrameField, Guess, Image, Info, Layout,
        MetadataPage, Page, Placed, Rules, Segment, Severity, Source,
    },
};

/// Zeroes of tables are looked for in pieces of so many bytes, at multiples of it in their segment:
/// shorter ones are not worth the next segment.
const ZEROES: usize = 512;

/// What `export_format!` exports.
pub struct Exported<F>(PhantomData<F>);

/// An open image behind its handle.
pub struct ImageCell<F: Format>(RefCell<F::Image>);

/// A layout behind its handle.
pub struct LayoutCell<F: Format>(RefCell<F::Layout>);

/// Encoded units that follow each other cross as followers, in some five bytes instead of 40.
fn page(page: Page) -> block_map::Page {
    let mut extents: Vec<block_map::Extent> = Vec::new();
    let mut followers = Vec::new();
    let mut before: Option<Extent> = None;
    for next in page.extents {
        match (before.and_then(|before| gap(&before, &next)), extents.last_mut()) {
            (Some(gap), Some(first)) => {
                first.followers += 1;
                numbers::put_signed(&mut followers, gap);
                numbers::put(&mut followers, next.source_length);
            }
            (None, _) | (_, None) => extents.push(extent(next)),
        }
        before = Some(next);
    }
    block_map::Page { extents, followers, resume: page.resume, done: page.done }
}

/// How far behind the first of two units the second one is stored, if it can follow it.
fn gap(before: &Extent, next: &Extent) -> Option<i64> {
    let alike = |unit: &Extent| (unit.kind, unit.length, unit.source, unit.codec);
    let follows = before.kind == ExtentKind::Encoded
        && alike(before) == alike(next)
        && before.offset.checked_add(before.length) == Some(next.offset);
    let end = before.source_offset.checked_add(u64::from(before.source_length)).filter(|_| follows)?;
    next.source_offset.checked_signed_diff(end)
}

fn extent(extent: Extent) -> block_map::Extent {
    block_map::Extent {
        offset: extent.offset,
        length: extent.length,
        kind: match extent.kind {
            ExtentKind::Data => block_map::ExtentKind::Data,
            ExtentKind::Zero => block_map::ExtentKind::Zero,
            ExtentKind::Hole => block_map::ExtentKind::Hole,
            ExtentKind::Encoded => block_map::ExtentKind::Encoded,
        },
        source: extent.source,
        codec: extent.codec,
        source_offset: extent.source_offset,
        source_length: extent.source_length,
        followers: 0,
    }
}

impl<F: Format> wit::Guest for Exported<F> {
    type Image = ImageCell<F>;

    fn probe(head: Vec<u8>, tail: Vec<u8>, size: u64) -> Option<wit::Guess> {
        F::probe(&head, &tail, size).map(|Guess { confidence, format, subformat }| wit::Guess {
            confidence,
            format,
            subformat,
        })
    }
}

impl<F: Format> wit::GuestImage for ImageCell<F> {
    fn open(primary: blobs::Blob, options: shapes::Props) -> Result<wit::Image, shapes::Error> {
        let image = F::open(Box::new(HostBlob::new(primary)), &props_in(options))?;
        Ok(wit::Image::new(ImageCell::<F>(RefCell::new(image))))
    }

    fn info(&self) -> Result<wit::Info, shapes::Error> {
        let Info { format, subformat, virtual_size, unit, facts } = self.0.borrow_mut().info()?;
        Ok(wit::Info { format, subformat, virtual_size, unit, facts: props_out(facts) })
    }

    fn sources(&self) -> Result<Vec<wit::Source>, shapes::Error> {
        let sources = self.0.borrow_mut().sources()?.into_iter();
        Ok(sources
            .map(|Source { role, reference, format_hint, required }| wit::Source {
                role,
                reference,
                format_hint,
                required,
            })
            .collect())
    }

    fn attach(&self, index: u16, bytes: blobs::Blob) -> Result<(), shapes::Error> {
        Ok(self.0.borrow_mut().attach(index, Box::new(HostBlob::new(bytes)))?)
    }

    fn codecs(&self) -> Vec<shapes::Codec> {
        self.0.borrow_mut().codecs().into_iter().map(Into::into).collect()
    }

    fn metadata_ranges(&self, start: u64, max: u32) -> Result<Vec<shapes::ByteRange>, shapes::Error> {
        let ranges = self.0.borrow_mut().metadata_ranges(start, max)?;
        Ok(ranges.into_iter().map(Into::into).collect())
    }

    fn extents(&self, start: u64, end: u64, max: u32) -> Result<block_map::Page, shapes::Error> {
        Ok(page(self.0.borrow_mut().extents(start, end, max)?))
    }
}

impl<F: Format> wit_checker::Guest for Exported<F> {
    fn check(
        img: wit::ImageBorrow<'_>,
        start: u64,
        max_items: u32,
    ) -> Result<wit_checker::Findings, shapes::Error> {
        let found = img.get::<ImageCell<F>>().0.borrow_mut().check(start, max_items)?;
        let items = found.items.into_iter().map(finding).collect();
        Ok(wit_checker::Findings { items, resume: found.resume, done: found.done })
    }
}

fn finding(finding: Finding) -> wit_checker::Finding {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Leak => "leak",
        Severity::Note => "note",
    };
    wit_checker::Finding {
        severity: severity.to_owned(),
        code: finding.code,
        message: finding.message,
        offset: finding.offset,
    }
}

impl<F: Format> wit_writer::Guest for Exported<F> {
    type Layout = LayoutCell<F>;
}

impl<F: Format> wit_writer::GuestLayout for LayoutCell<F> {
    fn begin(request: wit_writer::CreateRequest) -> Result<wit_writer::Layout, shapes::Error> {
        let request = CreateRequest {
            virtual_size: request.virtual_size,
            allocated: request.allocated,
            subformat: request.subformat,
            options: props_in(request.options),
            append_only: request.append_only,
            parent: request.parent,
        };
        let layout = F::begin_layout(&request)?;
        Ok(wit_writer::Layout::new(LayoutCell::<F>(RefCell::new(layout))))
    }

    fn rules(&self) -> wit_writer::Rules {
        rules(self.0.borrow_mut().rules())
    }

    fn placed(&self, runs: Vec<wit_writer::Placed>, followers: Vec<u8>) -> Result<(), shapes::Error> {
        Ok(self.0.borrow_mut().placed(&placed(&runs, &followers))?)
    }

    fn interleave(&self, at: u64) -> Result<Vec<u8>, shapes::Error> {
        Ok(self.0.borrow_mut().interleave(at)?)
    }

    fn metadata(
        &self,
        end: u64,
        start: u64,
        max_bytes: u32,
    ) -> Result<wit_writer::MetadataPage, shapes::Error> {
        let MetadataPage { segments, resume, done, final_size } =
            self.0.borrow_mut().metadata(end, start, max_bytes)?;
        let segments = segments.into_iter().flat_map(self::segments).collect();
        Ok(wit_writer::MetadataPage { segments, resume, done, final_size })
    }
}

/// All placements, each by itself. The host is believed.
fn placed(runs: &[wit_writer::Placed], followers: &[u8]) -> Vec<Placed> {
    let mut at = 0;
    let mut all = Vec::with_capacity(runs.len());
    for run in runs {
        let wit_writer::Placed { offset, length, file_offset, stored_length, followers: count } = *run;
        let mut last = Placed { offset, length, file_offset, stored_length };
        all.push(last);
        for _ in 0..count {
            let stored = if last.stored_length == 0 { length } else { u64::from(last.stored_length) };
            let end = last.file_offset + stored;
            last.offset += length;
            last.file_offset = end.wrapping_add_signed(numbers::take_signed(followers, &mut at));
            last.stored_length = numbers::take(followers, &mut at);
            all.push(last);
        }
    }
    all
}

/// Zeroes of tables are counted and do not cross.
fn segments(segment: Segment) -> Vec<wit_writer::Segment> {
    let Segment { mut file_offset, bytes } = segment;
    let mut parts: Vec<wit_writer::Segment> = Vec::new();
    for piece in bytes.chunks(ZEROES) {
        let is_zero = piece.iter().all(|byte| *byte == 0);
        let length = u32::try_from(piece.len()).expect("a piece has at most 512 bytes");
        match parts.last_mut() {
            Some(last) if is_zero => last.zeroes += length,
            Some(last) if last.zeroes == 0 => last.bytes.extend(piece),
            Some(_) | None if is_zero => {
                parts.push(wit_writer::Segment { file_offset, bytes: Vec::new(), zeroes: length });
            }
            Some(_) | None => {
                parts.push(wit_writer::Segment { file_offset, bytes: piece.to_vec(), zeroes: 0 });
            }
        }
        file_offset += u64::from(length);
    }
    parts
}

fn rules(rules: Rules) -> wit_writer::Rules {
    wit_writer::Rules {
        data_start: rules.data_start,
        unit: rules.unit,
        align: rules.align,
        identity: rules.identity,
        skip_zero: rules.skip_zero,
        codec: rules.codec.map(Into::into),
        verbatim_if_larger: rules.verbatim_if_larger,
        verbatim_align: rules.verbatim_align,
        max_encoded: rules.max_encoded,
        align_data: rules.align_data,
        frame: rules.frame.into_iter().map(frame).collect(),
        interleave_every: rules.interleave_every,
        ascending: rules.ascending,
    }
}

fn frame(field: FrameField) -> wit_writer::FrameField {
    match field {
        FrameField::Literal(bytes) => wit_writer::FrameField::Literal(bytes),
        FrameField::AddressU64Le(factor) => wit_writer::FrameField::AddressU64Le(factor),
        FrameField::StoredLengthU32Le => wit_writer::FrameField::StoredLengthU32Le,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(offset: u64, source_offset: u64, source_length: u32) -> Extent {
        let kind = ExtentKind::Encoded;
        Extent { offset, length: 100, kind, source: 0, codec: 0, source_offset, source_length }
    }

    #[test]
    fn units_in_a_row_cross_as_followers() {
        let extents = vec![
            encoded(0, 1000, 50),
            encoded(100, 1050, 20),
            encoded(200, 900, 200),
            // Behind a hole in the disk.
            encoded(400, 930, 10),
            Extent { codec: 1, ..encoded(500, 940, 10) },
            Extent { codec: 1, ..encoded(600, u64::MAX - 5, 10) },
            Extent { length: 50, codec: 1, ..encoded(700, 0, 10) },
        ];
        let page = page(Page { extents, resume: 750, done: true });
        let shape: Vec<_> = page.extents.iter().map(|extent| (extent.offset, extent.followers)).collect();
        assert_eq!(shape, [(0, 2), (400, 0), (500, 0), (600, 0), (700, 0)]);
        // 0 and 20; -170 and 200.
        assert_eq!(page.followers, [0, 20, 0xD6, 0x7E, 0xC8, 0x01]);
    }

    #[test]
    fn placements_come_out_one_by_one() {
        let run = |offset, file_offset, stored_length, followers| wit_writer::Placed {
            offset,
            length: 100,
            file_offset,
            stored_length,
            followers,
        };
        // 12 and 60; -40 and 0 (as it is); 3 and 7.
        let all = placed(&[run(0, 512, 50, 3), run(900, 0, 0, 0)], &[12, 60, 0x58, 0, 3, 7]);
        let place =
            |offset, file_offset, stored_length| Placed { offset, length: 100, file_offset, stored_length };
        let expected = [
            place(0, 512, 50),
            place(100, 574, 60),
            place(200, 594, 0),
            place(300, 697, 7),
            place(900, 0, 0),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn zeroes_of_tables_do_not_cross() {
        let mut bytes = vec![0; 5000];
        let cut = |bytes: &[u8]| -> Vec<_> {
            let segments = segments(Segment { file_offset: 100, bytes: bytes.to_vec() });
            let mut whole = Vec::new();
            for segment in &segments {
                assert_eq!(segment.file_offset, 100 + u64::try_from(whole.len()).unwrap());
                whole.extend(&segment.bytes);
                whole.resize(whole.len() + usize::try_from(segment.zeroes).unwrap(), 0);
            }
            assert_eq!(whole, bytes);
            segments.into_iter().map(|segment| (segment.bytes.len(), segment.zeroes)).collect()
        };
        assert_eq!(cut(&[]), []);
        assert_eq!(cut(&bytes), [(0, 5000)]);
        bytes[600] = 1;
        bytes[1600] = 1;
        bytes[2048] = 1;
        bytes[4999] = 1;
        assert_eq!(cut(&bytes), [(0, 512), (512, 512), (1024, 2048), (392, 0)]);
        bytes.fill(1);
        assert_eq!(cut(&bytes), [(5000, 0)]);
    }
}
