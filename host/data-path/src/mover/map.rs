//! The map of a disk on its way to a mover. A small one is sent page after page; of a large one the
//! mover gets the scratch file, open for reading only, and pages with the positions of its chunks.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use imprint_ports::ByteRange;
use serde::{Deserialize, Serialize};

use super::wire;
use crate::{
    map::{
        extent_map::{Content, EncodedUnit, Entry, ExtentMap, MapBuilder, MapError, Piece, Spilled},
        scratch::{Scratch, ScratchFile},
    },
    util::num::{to_u64, to_usize},
};

/// The number of pieces in one page, at most about 400 KiB.
const PAGE: usize = 8192;

/// The number of chunks of a scratch file in one page, at most about 130 KiB.
const CHUNK_PAGE: usize = 8192;

/// How a map is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MapHead {
    /// All of it, in pages of pieces.
    Pieces,
    /// The positions of the chunks of a scratch file. The file is the next of the descriptors.
    Scratch { data_bytes: u64, encoded_bytes: u64, chunks: u64 },
}

impl MapHead {
    pub(super) fn of(map: &ExtentMap) -> Self {
        match map.scratch() {
            None => Self::Pieces,
            Some(spilled) => Self::Scratch {
                data_bytes: map.data_bytes(),
                encoded_bytes: map.encoded_bytes(),
                chunks: to_u64(spilled.entries().len()),
            },
        }
    }
}

/// A chunk of a scratch file: its virtual offset, its runs, its units.
type WireChunk = (u64, u16, u16);

/// A piece that starts where the last one ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct WirePiece {
    length: u64,
    content: WireContent,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum WireContent {
    Zero,
    Hole,
    Data { source: u16, at: u64 },
    Encoded { source: u16, codec: u16, at: u64, stored: u32, unit: u32, skip: u32 },
}

impl From<Content> for WireContent {
    fn from(content: Content) -> Self {
        match content {
            Content::Zero => Self::Zero,
            Content::Hole => Self::Hole,
            Content::Data { source, at } => Self::Data { source, at },
            Content::Encoded(EncodedUnit { source, codec, at, stored, unit, skip }) => {
                Self::Encoded { source, codec, at, stored, unit, skip }
            }
        }
    }
}

impl From<WireContent> for Content {
    fn from(content: WireContent) -> Self {
        match content {
            WireContent::Zero => Self::Zero,
            WireContent::Hole => Self::Hole,
            WireContent::Data { source, at } => Self::Data { source, at },
            WireContent::Encoded { source, codec, at, stored, unit, skip } => {
                Self::Encoded(EncodedUnit { source, codec, at, stored, unit, skip })
            }
        }
    }
}

/// Sends a map.
pub(super) fn send(stream: &mut impl Write, map: &ExtentMap) -> Result<(), SendError> {
    match map.scratch() {
        None => send_pieces(stream, map),
        Some(spilled) => Ok(send_chunks(stream, spilled)?),
    }
}

/// Why a map could not be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error(transparent)]
    Map(#[from] MapError),
}

fn send_pieces(stream: &mut impl Write, map: &ExtentMap) -> Result<(), SendError> {
    let mut pieces = map.iter();
    loop {
        let page = pieces
            .by_ref()
            .take(PAGE)
            .map(|piece| {
                piece.map(|piece| WirePiece { length: piece.range.length, content: piece.content.into() })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if page.is_empty() {
            return Ok(());
        }
        wire::send(stream, &page)?;
    }
}

fn send_chunks(stream: &mut impl Write, spilled: &Spilled) -> io::Result<()> {
    let mut chunks = spilled.entries().map(|Entry { start, runs, units }| (start, runs, units));
    loop {
        let page: Vec<WireChunk> = chunks.by_ref().take(CHUNK_PAGE).collect();
        if page.is_empty() {
            return Ok(());
        }
        wire::send(stream, &page)?;
    }
}

/// Receives the map of a disk of `size` bytes. It is checked as a plugin's map is: no gap, nothing
/// outside the disk. The chunks of a scratch file are checked when they are read.
pub(super) fn receive(
    stream: &mut impl Read,
    size: u64,
    head: MapHead,
    scratch: Option<File>,
) -> io::Result<ExtentMap> {
    match (head, scratch) {
        (MapHead::Pieces, None) => receive_pieces(stream, size),
        (MapHead::Scratch { data_bytes, encoded_bytes, chunks }, Some(file)) => {
            let entries = receive_chunks(stream, chunks)?;
            let file = ScratchFile::from_file(file);
            ExtentMap::from_scratch(file, size, data_bytes, encoded_bytes, entries)
                .ok_or_else(|| io::ErrorKind::InvalidData.into())
        }
        (MapHead::Pieces, Some(_)) | (MapHead::Scratch { .. }, None) => {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

fn receive_pieces(stream: &mut impl Read, size: u64) -> io::Result<ExtentMap> {
    let refused = |error: MapError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut builder = MapBuilder::new(size, u64::MAX).with_scratch(&Scratch::memory_only());
    while builder.at() < size {
        let page: Vec<WirePiece> = wire::receive(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if page.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        for WirePiece { length, content } in page {
            let range = ByteRange { offset: builder.at(), length };
            builder.push(Piece { range, content: content.into() }).map_err(refused)?;
        }
    }
    builder.finish().map_err(refused)
}

fn receive_chunks(stream: &mut impl Read, count: u64) -> io::Result<impl Iterator<Item = Entry>> {
    let mut chunks: Vec<WireChunk> = Vec::new();
    while to_u64(chunks.len()) < count {
        let page: Vec<WireChunk> = wire::receive(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if page.is_empty() || page.len() > to_usize(count) - chunks.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        chunks.extend(page);
    }
    Ok(chunks.into_iter().map(|(start, runs, units)| Entry { start, runs, units }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content() -> impl Strategy<Value = (u64, Content)> {
        prop_oneof![
            (1u64..1 << 20).prop_map(|length| (length, Content::Zero)),
            (1u64..1 << 20).prop_map(|length| (length, Content::Hole)),
            (1u64..1 << 20, 0u16..4, 0u64..1 << 40)
                .prop_map(|(length, source, at)| (length, Content::Data { source, at })),
            (1u32..1 << 16, 0u32..100, 0u16..4, 0u16..4, 0u64..1 << 40, 1u32..1 << 17).prop_map(
                |(length, skip, source, codec, at, stored)| {
                    let unit = EncodedUnit { source, codec, at, stored, unit: length + skip, skip };
                    (u64::from(length), Content::Encoded(unit))
                }
            ),
        ]
    }

    fn build(contents: &[(u64, Content)]) -> ExtentMap {
        build_in(contents, &Scratch::memory_only())
    }

    fn build_in(contents: &[(u64, Content)], scratch: &Scratch) -> ExtentMap {
        let size = contents.iter().map(|(length, _)| length).sum();
        let mut builder = MapBuilder::new(size, u64::MAX).with_scratch(scratch);
        for (length, content) in contents {
            let range = ByteRange { offset: builder.at(), length: *length };
            builder.push(Piece { range, content: *content }).unwrap();
        }
        builder.finish().unwrap()
    }

    fn all(map: &ExtentMap) -> Vec<Piece> {
        map.iter().collect::<Result<_, _>>().unwrap()
    }

    proptest! {
        #[test]
        fn a_map_arrives_as_it_was(contents in prop::collection::vec(content(), 0..200)) {
            let map = build(&contents);
            let mut bytes = Vec::new();
            send(&mut bytes, &map).unwrap();
            let mut rest = bytes.as_slice();
            let back = receive(&mut rest, map.size(), MapHead::of(&map), None).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(all(&back), all(&map));
            prop_assert_eq!(back.encoded_bytes(), map.encoded_bytes());
            prop_assert_eq!(back.memory(), map.memory());
            if let Some(shorter) = map.size().checked_sub(1).filter(|size| *size > 0) {
                prop_assert!(receive_pieces(&mut bytes.as_slice(), shorter).is_err(), "a map that is too long");
            }
        }
    }

    #[test]
    fn long_maps_are_sent_in_pages() {
        let unit = |n: u64| EncodedUnit {
            source: 0,
            codec: 0,
            at: n * 70_000,
            stored: 60_000,
            unit: 65536,
            skip: 0,
        };
        let contents: Vec<_> = (0..20_000).map(|n| (65536, Content::Encoded(unit(n)))).collect();
        let map = build(&contents);
        let mut bytes = Vec::new();
        send(&mut bytes, &map).unwrap();
        assert!(bytes.len() < 20_000 * 20, "compact: {}", bytes.len());
        assert_eq!(all(&receive_pieces(&mut bytes.as_slice(), map.size()).unwrap()), all(&map));
        assert!(receive_pieces(&mut &bytes[..bytes.len() / 2], map.size()).is_err(), "cut off");
    }

    /// A map in a scratch file, and what is sent of it.
    fn large() -> (tempfile::TempDir, ExtentMap, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::in_folder(folder.path()).with_limits(1000, 1000);
        let unit =
            |n: u64| EncodedUnit { source: 0, codec: 0, at: n * 600, stored: 500, unit: 4096, skip: 0 };
        let contents: Vec<_> = (0..20_000)
            .flat_map(|n| {
                let data = Content::Data { source: 1, at: 1 << 30 | (n ^ 1) << 9 };
                [(512, if n % 3 == 0 { Content::Zero } else { data }), (4096, Content::Encoded(unit(n)))]
            })
            .collect();
        let map = build_in(&contents, &scratch);
        let mut bytes = Vec::new();
        send(&mut bytes, &map).unwrap();
        (folder, map, bytes)
    }

    fn file_of(map: &ExtentMap) -> File {
        map.scratch().unwrap().file().file().try_clone().unwrap()
    }

    #[test]
    fn a_large_map_arrives_as_a_descriptor() {
        let (_folder, map, bytes) = large();
        assert!(bytes.len() < 2000, "only what is where: {}", bytes.len());
        let file = file_of(&map);
        assert_eq!(
            rustix::fs::fcntl_getfl(&file).unwrap() & rustix::fs::OFlags::ACCMODE,
            rustix::fs::OFlags::RDONLY
        );
        let mut rest = bytes.as_slice();
        let back = receive(&mut rest, map.size(), MapHead::of(&map), Some(file)).unwrap();
        assert!(rest.is_empty());
        assert_eq!(all(&back), all(&map));
        assert_eq!((back.data_bytes(), back.encoded_bytes()), (map.data_bytes(), map.encoded_bytes()));
        assert!(back.memory() < 1 << 20, "it is not in memory: {}", back.memory());
        for at in (0..map.size()).step_by(100_003) {
            assert_eq!(back.next_stored(at), map.next_stored(at));
        }
    }

    #[test]
    fn a_large_map_from_the_host_is_checked() {
        let (_folder, map, bytes) = large();
        let head = MapHead::of(&map);
        let refused = |bytes: &[u8], size, head, file| receive(&mut &*bytes, size, head, file).is_err();
        assert!(refused(&bytes, map.size(), head, None), "no file");
        assert!(refused(&bytes, map.size(), MapHead::Pieces, Some(file_of(&map))), "a file too many");
        assert!(refused(&bytes, 4096, head, Some(file_of(&map))), "chunks behind the end of the disk");
        assert!(refused(&bytes[..bytes.len() / 2], map.size(), head, Some(file_of(&map))), "cut off");
        let MapHead::Scratch { data_bytes, encoded_bytes, chunks } = head else { panic!("it is large") };
        for wrong in [
            MapHead::Scratch { data_bytes: u64::MAX, encoded_bytes, chunks },
            MapHead::Scratch { data_bytes, encoded_bytes, chunks: chunks - 1 },
            MapHead::Scratch { data_bytes, encoded_bytes, chunks: 0 },
        ] {
            assert!(refused(&bytes, map.size(), wrong, Some(file_of(&map))), "{wrong:?}");
        }
        let pieces = |file, size| {
            let back = receive(&mut bytes.as_slice(), size, head, Some(file)).unwrap();
            back.iter().find_map(Result::err).map(|error| error.code())
        };
        assert_eq!(
            pieces(file_of(&map), map.size() + 4096),
            Some("scratch.io"),
            "a disk that is longer than its map"
        );
        assert_eq!(pieces(tempfile::tempfile().unwrap(), map.size()), Some("scratch.io"), "an empty file");
        let zeroes = tempfile::tempfile().unwrap();
        zeroes.set_len(1 << 20).unwrap();
        assert_eq!(pieces(zeroes, map.size()), Some("scratch.io"), "other bytes");
    }
}
