//! LVM 2: a physical volume, and the logical volumes that are linear and in it alone.

use imprint_plugin_sdk::error::Result;

use super::{Content, Volume};
use crate::{
    bytes::{corrupt, is_at, le32, le64, to_usize, unsupported},
    window::{Segment, Window},
};

/// The sectors that may have the label, and their size.
const SECTORS: usize = 4;
const SECTOR: u64 = 512;
/// The mark of an area of metadata, behind its checksum.
const AREA: &[u8] = b" LVM2 x[5A%r0N*>";
/// The header of an area, which the text in it wraps around to the end of.
const AREA_HEADER: u64 = 512;
/// The longest text of metadata that is read.
const MAX_TEXT: u64 = 1 << 20;
/// The most areas of a list in the label.
const MAX_AREAS: usize = 16;
/// The most volumes, and the most pieces of one.
const MAX_VOLUMES: usize = 64;
const MAX_PIECES: usize = 256;
/// The most sections of a text, and how deep they are in each other: a segment is in a volume, in
/// the list of volumes, in the group.
const MAX_SECTIONS: usize = 4096;
const MAX_DEPTH: usize = 8;

/// Recognises a physical volume.
pub(super) fn recognise(window: &Window, head: &[u8]) -> Option<Volume> {
    let label = head
        .chunks_exact(512)
        .take(SECTORS)
        .find(|sector| is_at(sector, 0, b"LABELONE") && is_at(sector, 24, b"LVM2 001"))?;
    let header = label.get(to_usize(le32(label, 20))..)?;
    let mut volume = Volume::new("lvm2", Content::None);
    volume.found.uuid = identifier(header.get(..32)?);
    volume.found.size = Some(le64(header, 32));
    match metadata(window, header) {
        Ok(text) => {
            let read = read(window, &text, volume.found.uuid.as_deref());
            volume.found.label = read.group;
            volume.found.used_until = read.used_until;
            volume.content = Content::Volumes(read.volumes);
            volume.failed = read.skipped.then(|| {
                unsupported(
                    "logical volumes that are striped, mirrored, thin or on several disks are not read",
                )
            });
        }
        Err(error) => volume.content = Content::Closed(error),
    }
    Some(volume)
}

/// Returns an identifier as LVM spells it: groups of 6, 4, 4, 4, 4, 4 and 6 letters.
fn identifier(letters: &[u8]) -> Option<String> {
    let letters = std::str::from_utf8(letters).ok().filter(|text| text.chars().all(char::is_alphanumeric))?;
    let groups = [0..6, 6..10, 10..14, 14..18, 18..22, 22..26, 26..32].map(|range| letters.get(range));
    Some(groups.into_iter().collect::<Option<Vec<_>>>()?.join("-"))
}

/// Returns the text of the metadata: from the first area that the label names.
fn metadata(window: &Window, header: &[u8]) -> Result<String> {
    let pairs =
        header.get(40..).unwrap_or_default().chunks_exact(16).map(|pair| (le64(pair, 0), le64(pair, 8)));
    // The list of data areas, and behind its end that of the areas of metadata.
    let mut areas = pairs.skip_while(|(offset, _)| *offset != 0).skip(1).take(MAX_AREAS);
    let area = areas.find(|(offset, _)| *offset != 0);
    let (at, size) = area.ok_or_else(|| unsupported("its metadata is on another disk"))?;
    let area = window.bytes(at, 512)?;
    let (offset, length) = (le64(&area, 40), le64(&area, 48));
    if !is_at(&area, 4, AREA) || size < AREA_HEADER || length == 0 || length > MAX_TEXT || offset >= size {
        return Err(corrupt("its metadata has an impossible size"));
    }
    let first = length.min(size - offset);
    let mut text = window.bytes(at.saturating_add(offset), to_usize(first))?;
    if first < length {
        text.extend(window.bytes(at.saturating_add(AREA_HEADER), to_usize(length - first))?);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What the text says.
#[derive(Default)]
struct Read {
    group: Option<String>,
    volumes: Vec<Vec<Segment>>,
    used_until: Option<u64>,
    /// Whether there are volumes that are not read.
    skipped: bool,
}

fn read(window: &Window, text: &str, own: Option<&str>) -> Read {
    let sections = sections(text);
    let number =
        |section: &Section, key: &str| section.value(key).and_then(|value| value.parse::<u64>().ok());
    let extent = sections.iter().find_map(|section| number(section, "extent_size")).unwrap_or(0);
    let extent = extent.saturating_mul(SECTOR);
    let mut read = Read {
        group: sections.iter().find(|section| section.path.len() == 1).map(|section| section.path.concat()),
        ..Read::default()
    };
    let physical = sections
        .iter()
        .find(|section| section.is_below("physical_volumes") && section.value("id") == own && own.is_some());
    let Some(physical) = physical else {
        read.skipped = true;
        return read;
    };
    let name = physical.path.last().cloned().unwrap_or_default();
    let start = number(physical, "pe_start").unwrap_or(0).saturating_mul(SECTOR);
    let mut names: Vec<&String> = sections
        .iter()
        .filter(|section| section.is_below("logical_volumes"))
        .filter_map(|s| s.path.last())
        .collect();
    names.truncate(MAX_VOLUMES);
    for volume in names {
        let mut pieces = Vec::new();
        let mut linear = true;
        let segments =
            sections.iter().filter(|section| section.path.get(2) == Some(volume) && section.path.len() == 4);
        for segment in segments.take(MAX_PIECES) {
            let place = segment.value("stripes").and_then(stripe);
            let count = number(segment, "extent_count").unwrap_or(0);
            match place {
                Some((on, first)) if on == name && number(segment, "stripe_count") == Some(1) => {
                    let piece = Segment {
                        start: window
                            .offset()
                            .saturating_add(start)
                            .saturating_add(first.saturating_mul(extent)),
                        length: count.saturating_mul(extent),
                    };
                    let end = piece.start.saturating_add(piece.length).saturating_sub(window.offset());
                    read.used_until = read.used_until.max(Some(end));
                    pieces.push((number(segment, "start_extent").unwrap_or(0), piece));
                }
                Some(_) | None => linear = false,
            }
        }
        pieces.sort_by_key(|(at, _)| *at);
        if linear && !pieces.is_empty() {
            read.volumes.push(pieces.into_iter().map(|(_, piece)| piece).collect());
        } else {
            read.skipped = true;
        }
    }
    read
}

/// Returns the disk and the first extent of the one stripe in a list such as `"pv0", 0`.
fn stripe(list: &str) -> Option<(String, u64)> {
    let mut parts = list.split(',');
    let name = parts.next()?.trim().trim_matches('"').to_owned();
    let first = parts.next()?.trim().parse().ok()?;
    parts.next().is_none().then_some((name, first))
}

/// A section of the text: `name { key = value ... }`.
#[derive(Debug, Default)]
struct Section {
    /// The names of the sections around it, and its own.
    path: Vec<String>,
    values: Vec<(String, String)>,
}

impl Section {
    fn value(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Returns whether it is directly in a section of the group.
    fn is_below(&self, name: &str) -> bool {
        self.path.len() == 3 && self.path.get(1).is_some_and(|parent| parent == name)
    }
}

/// Splits the text into its sections. Lists may span lines. Text that is deeper or longer than LVM
/// writes it is read up to there.
fn sections(text: &str) -> Vec<Section> {
    let mut all: Vec<Section> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut list: Option<(String, String)> = None;
    for line in text.lines().map(str::trim) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some((key, mut value)) = list.take() {
            value.push_str(line.trim_end_matches(']'));
            if line.ends_with(']') {
                put(&mut all, &open, key, value);
            } else {
                list = Some((key, value));
            }
        } else if let Some(name) = line.strip_suffix('{') {
            if open.len() >= MAX_DEPTH || all.len() >= MAX_SECTIONS {
                break;
            }
            let mut path =
                open.last().and_then(|at| all.get(*at)).map(|s| s.path.clone()).unwrap_or_default();
            path.push(name.trim().to_owned());
            open.push(all.len());
            all.push(Section { path, values: Vec::new() });
        } else if line == "}" {
            open.pop();
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim().to_owned(), value.trim());
            match value.strip_prefix('[') {
                Some(rest) if !rest.ends_with(']') => list = Some((key, rest.to_owned())),
                Some(rest) => put(&mut all, &open, key, rest.trim_end_matches(']').to_owned()),
                None => put(&mut all, &open, key, value.trim_matches('"').to_owned()),
            }
        }
    }
    all
}

fn put(all: &mut [Section], open: &[usize], key: String, value: String) {
    if let Some(section) = open.last().and_then(|at| all.get_mut(*at)) {
        section.values.push((key, value));
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use imprint_plugin_sdk::{inspector::Bounded, mock::MemBlob};

    use super::*;

    const TEXT: &str = r#"vg0 {
id = "x"
extent_size = 8192 # 4 MiB
physical_volumes {
pv0 {
id = "abcdef-abcd-abcd-abcd-abcd-abcd-abcdef"
pe_start = 2048
}
}
logical_volumes {
root {
segment_count = 2
segment1 {
start_extent = 0
extent_count = 3
type = "striped"
stripe_count = 1 # linear
stripes = [
"pv0", 10
]
}
segment2 {
start_extent = 3
extent_count = 1
type = "striped"
stripe_count = 1
stripes = ["pv0", 0]
}
}
thin {
segment1 {
start_extent = 0
extent_count = 1
type = "thin"
}
}
}
}
"#;

    #[test]
    fn linear_volumes_are_found_in_the_text() {
        let disk = Rc::new(Bounded::new(Box::new(MemBlob::new([]).with_size(1 << 30))));
        let window = Window::whole(disk);
        let read = read(&window, TEXT, Some("abcdef-abcd-abcd-abcd-abcd-abcd-abcdef"));
        let mib = 1 << 20;
        let root = vec![
            Segment { start: mib + 40 * mib, length: 12 * mib },
            Segment { start: mib, length: 4 * mib },
        ];
        assert_eq!(read.volumes, [root]);
        assert_eq!((read.group.as_deref(), read.skipped), (Some("vg0"), true));
        assert_eq!(read.used_until, Some(53 * mib));
        assert!(super::read(&window, TEXT, Some("another")).volumes.is_empty());
    }

    #[test]
    fn text_without_an_end_is_read_as_far_as_it_goes() {
        for end in 0..TEXT.len() {
            let _sections = sections(&TEXT[..end]);
        }
        assert_eq!(sections(&"{\n".repeat(1000)).len(), MAX_DEPTH);
        assert_eq!(sections(&"{\n}\n".repeat(10_000)).len(), MAX_SECTIONS);
        assert!(sections("}\n}\na = 1\n").is_empty());
    }
}
