use super::*;

const KINDS: [CodecKind; 3] = [CodecKind::Deflate, CodecKind::Zlib, CodecKind::Zstd];

fn unit() -> Vec<u8> {
    (0..65536u32)
        .flat_map(|n| [u8::try_from(n / 256).unwrap(), u8::try_from(n % 7).unwrap()])
        .take(65536)
        .collect()
}

fn encode(kind: CodecKind, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; bytes.len() * 2 + 1000];
    let length = Encoder::new(kind, None).unwrap().encode(bytes, &mut out).unwrap();
    out.truncate(length);
    out
}

fn decode(kind: CodecKind, input: &[u8], unit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut out = vec![0; unit];
    let length = Decoder::new().decode(kind, input, &mut out)?;
    out.truncate(length);
    Ok(out)
}

#[test]
fn what_is_encoded_decodes_with_other_bytes_behind_it() {
    for kind in KINDS {
        let mut stored = encode(kind, &unit());
        assert_eq!(decode(kind, &stored, 65536).unwrap(), unit(), "{kind:?}");
        stored.extend([0xA5; 511]);
        assert_eq!(decode(kind, &stored, 65536).unwrap(), unit(), "{kind:?} with a tail");
    }
}

#[test]
fn streams_of_the_wrong_length_are_told_apart() {
    for kind in KINDS {
        let stored = encode(kind, &unit());
        assert_eq!(decode(kind, &stored, 65535), Err(DecodeError::TooLong), "{kind:?}");
        assert_eq!(decode(kind, &stored, 65537).unwrap().len(), 65536, "{kind:?}");
        assert_eq!(
            decode(kind, &stored[..stored.len() / 2], 65536),
            Err(DecodeError::Invalid),
            "{kind:?} cut off"
        );
        assert_eq!(decode(kind, &[0xFF; 600], 65536), Err(DecodeError::Invalid), "{kind:?} noise");
        assert_eq!(decode(kind, &[], 65536), Err(DecodeError::Invalid), "{kind:?} nothing");
    }
}

#[test]
fn deflate_without_a_final_block_is_good_when_it_fills_the_unit() {
    let mut stream = vec![0; 200_000];
    let mut deflate = zlib_rs::Deflate::new(6, false, 12);
    deflate.compress(&unit(), &mut stream, zlib_rs::DeflateFlush::SyncFlush).unwrap();
    stream.truncate(crate::num::to_usize(deflate.total_out()));
    assert_eq!(decode(CodecKind::Deflate, &stream, 65536).unwrap(), unit());
    assert_eq!(decode(CodecKind::Deflate, &stream, 65537), Err(DecodeError::Invalid));
}

#[test]
fn zstd_frames_that_ask_for_memory_or_hide_others_are_refused() {
    // One raw block of one byte, with a window of 2 MiB and of 4 MiB.
    let frame = |window: u8| [0x28, 0xB5, 0x2F, 0xFD, 0x00, window, 0x09, 0x00, 0x00, b'x'];
    assert_eq!(decode(CodecKind::Zstd, &frame(11 << 3), 1).unwrap(), b"x");
    assert_eq!(decode(CodecKind::Zstd, &frame(12 << 3), 1), Err(DecodeError::Window));
    assert_eq!(decode(CodecKind::Zstd, &frame(21 << 3), 1), Err(DecodeError::Window));
    let mut skippable = vec![0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    skippable.extend(encode(CodecKind::Zstd, &unit()));
    assert_eq!(decode(CodecKind::Zstd, &skippable, 65536), Err(DecodeError::Invalid));
    // Only the first of two frames counts, and it is too short.
    let two = [encode(CodecKind::Zstd, &unit()[..32768]), encode(CodecKind::Zstd, &unit()[32768..])].concat();
    assert_eq!(decode(CodecKind::Zstd, &two, 65536).unwrap().len(), 32768);
}

#[test]
fn an_encoder_is_reused_after_a_unit_that_did_not_fit() {
    for kind in KINDS {
        let mut encoder = Encoder::new(kind, None).unwrap();
        assert_eq!(encoder.encode(&unit(), &mut [0; 16]), None, "{kind:?}");
        let mut out = vec![0; 65536];
        let length = encoder.encode(&unit(), &mut out).unwrap();
        assert_eq!(out[..length], encode(kind, &unit()), "{kind:?}");
    }
    assert!(Encoder::new(CodecKind::Zlib, Some(13)).is_none());
    assert!(Encoder::new(CodecKind::Zstd, Some(20)).is_none());
}
