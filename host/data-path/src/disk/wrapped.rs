//! The disk in a wrapper, such as an OVA: the wrapper's plugin reports where the file with the disk
//! is, and the format of that file is opened over its bytes.

use std::sync::Arc;

use imprint_ports::{BlockSource, ByteRange, DiskFormat, Props};

use super::{chain::open_image, detect::confirm_format, options::OpenOptions, virtual_disk::Disk};
use crate::{
    digest::declared::DeclaredDigest,
    error::EngineError,
    map::extent_map::{Content, ExtentMap, MapBuilder, MapError, Piece},
    transport::window::Window,
};

/// The fact that holds the format of the file in a wrapper.
const CONTAINS: &str = "contains";
/// The format option that selects among the disks of a wrapper: not for the format inside.
const CHOICE: &str = "disk";
/// The fact that holds the wrapper's format, next to those of the disk inside.
const WRAPPER: &str = "wrapper";

/// Returns whether a disk is the file inside a wrapper.
pub(super) fn is_wrapper(disk: &Disk) -> bool {
    disk.facts.contains_key(CONTAINS)
}

/// The image in a wrapper: its format, and its bytes.
pub struct InnerImage {
    /// The format that the wrapper declares, and the content confirms.
    pub format: Arc<dyn DiskFormat>,
    /// The bytes of the file in the wrapper.
    pub source: Arc<dyn BlockSource>,
    /// The options for the format.
    pub options: Props,
    /// The facts of the wrapper, under names that do not hide those of the disk.
    pub wrapper_facts: Props,
}

impl InnerImage {
    /// Returns what is inside an image of this format; `None` where it is no wrapper.
    ///
    /// # Errors
    ///
    /// As [`Disk::open`].
    pub async fn find(
        format: &dyn DiskFormat,
        blob: Arc<dyn BlockSource>,
        options: &OpenOptions,
    ) -> Result<Option<Self>, EngineError> {
        let info = format.open(blob.clone(), &options.format_options).await?.info().await?;
        if !info.facts.contains_key(CONTAINS) {
            return Ok(None);
        }
        let outer = open_image(format, blob, options).await?;
        let Inside { format, source, options, .. } = Inside::of(&outer, options).await?;
        Ok(Some(Self { format, source, options, wrapper_facts: wrapper_facts(outer) }))
    }
}

/// The file inside a wrapper.
struct Inside {
    format: Arc<dyn DiskFormat>,
    place: ByteRange,
    source: Arc<dyn BlockSource>,
    options: Props,
}

impl Inside {
    async fn of(outer: &Disk, options: &OpenOptions) -> Result<Self, EngineError> {
        let unsupported = |what: String| EngineError::Unsupported { what };
        let inside = outer.facts.get(CONTAINS).map_or("", String::as_str);
        let format = options.formats.iter().find(|format| format.name() == inside).ok_or_else(|| {
            unsupported(format!(
                "the format '{}' inside of a file of the format {}",
                inside.escape_debug(),
                outer.format
            ))
        })?;
        let place = place(outer)?
            .ok_or_else(|| unsupported("a wrapper that does not store its file in one piece".to_owned()))?;
        let source: Arc<dyn BlockSource> = Arc::new(Window::new(outer.sources[0].clone(), place));
        confirm_format(format.name(), &[], &options.formats, &source).await?;
        let mut format_options = options.format_options.clone();
        format_options.remove(CHOICE);
        Ok(Self { format: format.clone(), place, source, options: format_options })
    }
}

/// Opens the file inside. A wrapper in a wrapper is refused.
pub(super) async fn open(outer: Disk, options: &OpenOptions) -> Result<Disk, EngineError> {
    let Inside { format, place, source, options: format_options } = Inside::of(&outer, options).await?;
    let inner = OpenOptions { format_options, ..options.clone() };
    let declared_digest =
        if options.ignore_declared_digest { None } else { DeclaredDigest::of(&outer.facts, &source) };
    let mut disk = open_image(format.as_ref(), source, &inner).await?;
    if is_wrapper(&disk) {
        return Err(EngineError::Unsupported { what: "a wrapper inside of a wrapper".to_owned() });
    }
    // From here on the file itself is read, not the window.
    disk.map = moved(&disk.map, place.offset, options)?;
    disk.sources[0] = outer.sources[0].clone();
    disk.facts.extend(wrapper_facts(outer));
    disk.declared_digest = declared_digest;
    Ok(disk)
}

/// Returns where the file in the wrapper is, when it is in one piece of the wrapper itself. Holes
/// that the transport knows of do not split it.
fn place(outer: &Disk) -> Result<Option<ByteRange>, MapError> {
    let mut start = None;
    for piece in &outer.map {
        let Piece { range, content } = piece?;
        let begins = match content {
            Content::Data { source: 0, at } => at.checked_sub(range.offset),
            Content::Zero => continue,
            Content::Data { .. } | Content::Hole | Content::Encoded(_) => None,
        };
        if begins.is_none() || *start.get_or_insert(begins) != begins {
            return Ok(None);
        }
    }
    let place = start.flatten().map(|offset| ByteRange { offset, length: outer.size() });
    Ok(place.filter(|place| {
        place.offset.checked_add(place.length).is_some_and(|end| end <= outer.sources[0].size())
    }))
}

/// Returns the map with everything in the first source shifted by `by` bytes.
fn moved(map: &ExtentMap, by: u64, options: &OpenOptions) -> Result<ExtentMap, MapError> {
    let mut moved = MapBuilder::new(map.size(), options.limits.extents).with_scratch(&options.scratch);
    for piece in map {
        let Piece { range, content } = piece?;
        let content = match content {
            Content::Data { source: 0, at } => Content::Data { source: 0, at: at + by },
            Content::Encoded(mut unit) => {
                unit.at += if unit.source == 0 { by } else { 0 };
                Content::Encoded(unit)
            }
            Content::Data { .. } | Content::Zero | Content::Hole => content,
        };
        moved.push(Piece { range, content })?;
    }
    moved.finish()
}

/// Returns the facts of the wrapper, under names that do not hide those of the disk.
fn wrapper_facts(outer: Disk) -> Props {
    let mut facts: Props =
        outer.facts.into_iter().map(|(key, value)| (format!("{WRAPPER}-{key}"), value)).collect();
    facts.insert(WRAPPER.to_owned(), outer.format);
    facts
}

#[cfg(test)]
mod tests {
    use imprint_ports::ExtentKind;

    use super::*;
    use crate::{
        testing::{FakeFormat, Script, extent, page},
        transport::file::MemorySource,
    };

    /// A wrapper of 8 KiB that holds bytes 1024 to 5120 of itself as a disk of the format
    /// `contains`.
    fn wrapper(contains: &str) -> Script {
        let mut script =
            Script::new(4096, vec![page(vec![extent(0, 4096, ExtentKind::Data, 1024, 0)], true)]);
        let facts = [(CONTAINS, contains), ("member", "disk1")];
        script.info.facts = facts.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        script
    }

    fn bytes() -> Vec<u8> {
        (0..8192_u32).map(|at| u8::try_from(at / 64 % 251).unwrap()).collect()
    }

    async fn opened(script: &Script, formats: Vec<Arc<dyn DiskFormat>>) -> Result<Disk, EngineError> {
        let options = OpenOptions { formats, ..OpenOptions::default() };
        Disk::open(script, Arc::new(MemorySource::new(bytes())), &options).await
    }

    #[tokio::test]
    async fn the_disk_is_the_one_inside() {
        let disk = opened(&wrapper("raw"), vec![Arc::new(FakeFormat::raw())]).await.unwrap();
        assert_eq!((disk.format(), disk.size()), ("raw", 4096));
        assert_eq!(disk.facts()["wrapper"], "script");
        assert_eq!(disk.facts()["wrapper-member"], "disk1");
        assert!(!disk.facts().contains_key(CONTAINS));
        let mut read = vec![0; 4096];
        disk.read_at(&mut read, 0).unwrap();
        assert!(read == bytes()[1024..5120]);
        assert_eq!(disk.source(0).size(), 8192, "the file itself is read");
    }

    #[tokio::test]
    async fn the_image_inside_is_found_as_its_format_sees_it() {
        let formats: Vec<Arc<dyn DiskFormat>> = vec![Arc::new(FakeFormat::raw())];
        let options = OpenOptions { formats, ..OpenOptions::default() };
        let blob: Arc<dyn BlockSource> = Arc::new(MemorySource::new(bytes()));
        let inner = InnerImage::find(&wrapper("raw"), blob.clone(), &options).await.unwrap().unwrap();
        assert_eq!((inner.format.name(), inner.source.size()), ("raw", 4096));
        assert_eq!(inner.wrapper_facts["wrapper-member"], "disk1");
        let mut read = vec![0; 4096];
        inner.source.read_exact_at(&mut read, 0).unwrap();
        assert!(read == bytes()[1024..5120]);
        assert!(InnerImage::find(&FakeFormat::raw(), blob, &options).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_format_inside_a_wrapper_has_to_be_known_and_confirmed() {
        let code = |opened: Result<Disk, EngineError>| opened.err().map(|error| error.code().to_owned());
        assert_eq!(code(opened(&wrapper("raw"), vec![]).await).as_deref(), Some("unsupported.layout"));
        let formats: Vec<Arc<dyn DiskFormat>> =
            vec![Arc::new(FakeFormat::plain(4096)), Arc::new(FakeFormat::raw())];
        let wrong = opened(&wrapper("fake"), formats).await;
        assert_eq!(code(wrong).as_deref(), Some("denied.ambiguous-content"));
        let mut pieces = wrapper("raw");
        pieces.pages = Arc::new(std::sync::Mutex::new(
            [page(
                vec![
                    extent(0, 2048, ExtentKind::Data, 1024, 0),
                    extent(2048, 2048, ExtentKind::Data, 4096, 0),
                ],
                true,
            )]
            .into(),
        ));
        let formats: Vec<Arc<dyn DiskFormat>> = vec![Arc::new(FakeFormat::raw())];
        assert_eq!(code(opened(&pieces, formats).await).as_deref(), Some("unsupported.layout"));
    }
}
