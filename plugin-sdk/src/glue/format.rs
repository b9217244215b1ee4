//! Disk formats.

use std::{cell::RefCell, marker::PhantomData};

use super::{host::HostBlob, props_in, props_out};
use crate::{
    bindings::{
        format::exports::imprint::format::{checker as wit_checker, reader as wit, writer as wit_writer},
        host::imprint::{host::blobs, types::block_map, types::types as shapes},
    },
    format::{
        CreateRequest, Extent, ExtentKind, Finding, Format, FrameField, Guess, Image, Info, Layout,
        MetadataPage, Page, Placed, Rules, Severity, Source,
    },
};

/// What `export_format!` exports.
pub struct Exported<F>(PhantomData<F>);

/// An open image behind its handle.
pub struct ImageCell<F: Format>(RefCell<F::Image>);

/// A layout behind its handle.
pub struct LayoutCell<F: Format>(RefCell<F::Layout>);

fn page(page: Page) -> block_map::Page {
    let extents = page.extents.into_iter().map(extent).collect();
    block_map::Page { extents, resume: page.resume, done: page.done }
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

    fn placed(&self, runs: Vec<wit_writer::Placed>) -> Result<(), shapes::Error> {
        let runs: Vec<Placed> = runs
            .into_iter()
            .map(|run| Placed {
                offset: run.offset,
                length: run.length,
                file_offset: run.file_offset,
                stored_length: run.stored_length,
            })
            .collect();
        Ok(self.0.borrow_mut().placed(&runs)?)
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
        let segments = segments
            .into_iter()
            .map(|segment| wit_writer::Segment { file_offset: segment.file_offset, bytes: segment.bytes })
            .collect();
        Ok(wit_writer::MetadataPage { segments, resume, done, final_size })
    }
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
