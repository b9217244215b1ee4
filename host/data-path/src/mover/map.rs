//! The map of a disk on its way to a mover, page after page.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::wire;
use crate::{
    extent_map::{Content, EncodedUnit, ExtentMap, MapBuilder, MapError, Piece},
    ports::ByteRange,
};

/// Pieces in one page, at most about 400 KiB.
const PAGE: usize = 8192;

/// A piece that begins where the last one ended.
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

/// Sends a whole map.
pub(super) fn send(stream: &mut impl Write, map: &ExtentMap) -> io::Result<()> {
    let mut pieces = map.pieces(ByteRange { offset: 0, length: map.size() });
    loop {
        let page: Vec<WirePiece> = pieces
            .by_ref()
            .take(PAGE)
            .map(|piece| WirePiece { length: piece.range.length, content: piece.content.into() })
            .collect();
        if page.is_empty() {
            return Ok(());
        }
        wire::send(stream, &page)?;
    }
}

/// Receives the map of a disk of `size` bytes. It is checked as a plugin's map is: no gap, nothing outside the disk.
pub(super) fn receive(stream: &mut impl Read, size: u64) -> io::Result<ExtentMap> {
    let refused = |error: MapError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut builder = MapBuilder::new(size, u64::MAX);
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
        let size = contents.iter().map(|(length, _)| length).sum();
        let mut builder = MapBuilder::new(size, u64::MAX);
        for (length, content) in contents {
            let range = ByteRange { offset: builder.at(), length: *length };
            builder.push(Piece { range, content: *content }).unwrap();
        }
        builder.finish().unwrap()
    }

    fn all(map: &ExtentMap) -> Vec<Piece> {
        map.pieces(ByteRange { offset: 0, length: map.size() }).collect()
    }

    proptest! {
        #[test]
        fn a_map_arrives_as_it_was(contents in prop::collection::vec(content(), 0..200)) {
            let map = build(&contents);
            let mut bytes = Vec::new();
            send(&mut bytes, &map).unwrap();
            let mut rest = bytes.as_slice();
            let back = receive(&mut rest, map.size()).unwrap();
            prop_assert!(rest.is_empty());
            prop_assert_eq!(all(&back), all(&map));
            prop_assert_eq!(back.encoded_bytes(), map.encoded_bytes());
            prop_assert_eq!(back.memory(), map.memory());
            if let Some(shorter) = map.size().checked_sub(1).filter(|size| *size > 0) {
                prop_assert!(receive(&mut bytes.as_slice(), shorter).is_err(), "a map that is too long");
            }
        }
    }

    #[test]
    fn long_maps_come_in_pages() {
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
        assert_eq!(all(&receive(&mut bytes.as_slice(), map.size()).unwrap()), all(&map));
        assert!(receive(&mut &bytes[..bytes.len() / 2], map.size()).is_err(), "cut off");
    }
}
