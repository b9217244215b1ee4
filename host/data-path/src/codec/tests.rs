use super::*;

const KINDS: [CodecKind; 4] = [CodecKind::Deflate, CodecKind::Zlib, CodecKind::Gzip, CodecKind::Zstd];

fn unit() -> Vec<u8> {
    (0..65536u32)
        .flat_map(|n| [u8::try_from(n / 256).unwrap(), u8::try_from(n % 7).unwrap()])
        .take(65536)
        .collect()
}

/// Each kind with its default level, and the fastest level, whose encoder is another one.
fn kinds_and_levels() -> impl Iterator<Item = (CodecKind, Option<i32>)> {
    KINDS.into_iter().flat_map(|kind| [(kind, None), (kind, Some(0))])
}

fn encode_at(kind: CodecKind, level: Option<i32>, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; bytes.len() * 2 + 1000];
    let length = Encoder::new(kind, level, UNIT_OF_64_KIB).unwrap().encode(bytes, &mut out).unwrap();
    out.truncate(length);
    out
}

fn encode(kind: CodecKind, bytes: &[u8]) -> Vec<u8> {
    encode_at(kind, None, bytes)
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
fn streams_of_the_wrong_length_have_different_errors() {
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
    stream.truncate(crate::util::num::to_usize(deflate.total_out()));
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
        let mut encoder = Encoder::new(kind, None, UNIT_OF_64_KIB).unwrap();
        assert_eq!(encoder.encode(&unit(), &mut [0; 16]), None, "{kind:?}");
        let mut out = vec![0; 65536];
        let length = encoder.encode(&unit(), &mut out).unwrap();
        assert_eq!(out[..length], encode(kind, &unit()), "{kind:?}");
    }
    assert!(Encoder::new(CodecKind::Zlib, Some(13), UNIT_OF_64_KIB).is_none());
    assert!(Encoder::new(CodecKind::Zstd, Some(20), UNIT_OF_64_KIB).is_none());
}

/// Data of every kind that an encoder treats in its own way: zeroes, noise, text, and mixtures.
fn samples() -> Vec<Vec<u8>> {
    let mut state = 1u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    let noise: Vec<u8> = (0..1 << 20).map(|_| noise()).collect();
    let text: Vec<u8> =
        b"what is stored once is stored again ".iter().copied().cycle().take(1 << 20).collect();
    let mixed: Vec<u8> =
        noise.chunks(700).zip(text.chunks(1900)).flat_map(|(a, b)| [a, b].concat()).collect();
    let lengths = [1, 511, 512, 4096, 65535, 65536, 1 << 20];
    let cut = |bytes: &[u8]| lengths.map(|length| bytes[..length].to_vec());
    [cut(&vec![0; 1 << 20]), cut(&noise), cut(&text), cut(&mixed)].concat()
}

/// Decoded by a decoder that shares no code with any encoder here.
fn inflate_in_rust(zlib_header: bool, stored: &[u8], unit: usize) -> Vec<u8> {
    let mut out = vec![0; unit + 1];
    let mut inflate = Inflate::new(zlib_header, 15);
    let status = inflate.decompress(stored, &mut out, InflateFlush::Finish).unwrap();
    assert_eq!(status, Status::StreamEnd);
    assert_eq!(
        crate::util::num::to_usize(inflate.total_in()),
        stored.len(),
        "the stream ends where the encoder says"
    );
    out.truncate(crate::util::num::to_usize(inflate.total_out()));
    out
}

#[test]
fn every_encoder_of_deflate_is_understood_by_every_decoder() {
    for (kind, zlib_header) in [(CodecKind::Deflate, false), (CodecKind::Zlib, true)] {
        for level in [None, Some(0), Some(1), Some(6), Some(9)] {
            let mut encoder = Encoder::new(kind, level, UNIT_OF_64_KIB).unwrap();
            let mut decoder = Decoder::new();
            for sample in samples() {
                let room = sample.len() + sample.len() / 64 + 512;
                let mut stored = vec![0xEE; room + 64];
                let length = encoder.encode(&sample, &mut stored[..room]).unwrap();
                assert!(
                    stored[room..].iter().all(|byte| *byte == 0xEE),
                    "nothing is written behind the room"
                );
                stored.truncate(length);
                let mut out = vec![0; sample.len()];
                assert_eq!(decoder.decode(kind, &stored, &mut out), Ok(sample.len()), "{kind:?} {level:?}");
                assert_eq!(out, sample);
                assert_eq!(inflate_in_rust(zlib_header, &stored, sample.len()), sample);
            }
        }
    }
}

/// The same bytes from an encoder that is new, that was used, and that had to give up before.
#[test]
fn an_encoder_has_no_memory() {
    for (kind, level) in kinds_and_levels() {
        let mut used = Encoder::new(kind, level, UNIT_OF_64_KIB).unwrap();
        for sample in samples() {
            let mut room = vec![0; sample.len() / 4];
            let _ = used.encode(&sample, &mut room);
            let mut stored = vec![0; sample.len() * 2 + 1000];
            let length = used.encode(&sample, &mut stored).unwrap();
            assert_eq!(stored[..length], encode_at(kind, level, &sample), "{kind:?} {level:?}");
        }
    }
}

/// What does not become smaller is not stored encoded: the encoder says so instead of writing a
/// longer stream.
#[test]
fn noise_does_not_fit_into_less_than_itself() {
    for (kind, level) in kinds_and_levels() {
        for noise in samples().iter().skip(7).take(7).filter(|noise| noise.len() >= 512) {
            let mut out = vec![0; noise.len() - 1];
            assert_eq!(
                Encoder::new(kind, level, UNIT_OF_64_KIB).unwrap().encode(noise, &mut out),
                None,
                "{kind:?} {level:?}"
            );
        }
    }
}

/// Kinds whose level 0 is the fastest encoder of the platform.
const DEFLATES: [CodecKind; 3] = [CodecKind::Deflate, CodecKind::Zlib, CodecKind::Gzip];

#[test]
fn the_fastest_level_decodes_to_the_same() {
    for kind in DEFLATES {
        for sample in [vec![unit()], samples()].concat() {
            let stored = encode_at(kind, Some(0), &sample);
            assert_eq!(decode(kind, &stored, sample.len()).unwrap(), sample, "{kind:?}");
        }
        for wrong in [-1, 13] {
            assert!(Encoder::new(kind, Some(wrong), UNIT_OF_64_KIB).is_none(), "{kind:?} {wrong}");
        }
    }
}

/// Every length around what an encoder treats in its own way, in every room around what it needs:
/// it fits, or the encoder says that it does not and writes nothing behind the room.
#[test]
fn the_fastest_level_keeps_to_its_room() {
    let text = &samples()[20];
    for kind in DEFLATES {
        let mut encoder = Encoder::new(kind, Some(0), UNIT_OF_64_KIB).unwrap();
        for length in (0..40).chain([255, 256, 257, 300, 65534, 65535, 65536, 65537]) {
            let sample = &text[..length];
            let whole = encode_at(kind, Some(0), sample);
            for room in
                (0..(whole.len() + 40).min(80)).chain(whole.len().saturating_sub(20)..whole.len() + 20)
            {
                let mut out = vec![0xEE; room + 64];
                let stored = encoder.encode(sample, &mut out[..room]);
                assert!(
                    out[room..].iter().all(|byte| *byte == 0xEE),
                    "{kind:?} {length}: nothing is written behind the room"
                );
                match stored {
                    Some(stored) => assert_eq!(
                        decode(kind, &out[..stored], length).as_deref(),
                        Ok(sample),
                        "{kind:?} {length} in {room}"
                    ),
                    None => assert!(room < whole.len() + 8, "{kind:?} {length} does not fit in {room}"),
                }
            }
        }
    }
}

/// ISA-L once took a number from where its state lies for the hash of the third byte: one start in
/// 8192 was compressed in another way. The units here start with each of these hashes (CRC-32C),
/// and repeat their start.
#[test]
fn the_fastest_level_gives_the_same_bytes_wherever_its_memory_is() {
    let mut unit: Vec<u8> =
        (0..4200_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).step_by(4).collect();
    for kind in DEFLATES {
        let mut encoders: Vec<_> =
            (0..3).map(|_| Encoder::new(kind, Some(0), UNIT_OF_64_KIB).unwrap()).collect();
        let mut outs = vec![vec![0; 10_000]; encoders.len()];
        for hash in 0..8192_u32 {
            let start = (hash << 12).to_le_bytes();
            unit[..4].copy_from_slice(&start);
            unit[200..204].copy_from_slice(&start);
            for (encoder, out) in encoders.iter_mut().zip(&mut outs) {
                let length = encoder.encode(&unit, out).unwrap();
                out[length..].fill(0);
            }
            assert!(outs.iter().all(|out| *out == outs[0]), "{kind:?}: {start:?}");
        }
    }
}

/// The same unit gives the same bytes whatever the encoder did before: which thread takes which
/// unit does not show.
#[test]
fn an_encoder_forgets_what_it_encoded_before() {
    let text: Vec<u8> =
        (0..160_000_u32).flat_map(|n| format!("line {n} of a file with text in it\n").into_bytes()).collect();
    let units: Vec<&[u8]> = text.chunks_exact(65536).collect();
    for (kind, level) in kinds_and_levels() {
        let mut used = Encoder::new(kind, level, UNIT_OF_64_KIB).unwrap();
        let (mut first, mut again) = (vec![0; 140_000], vec![0; 140_000]);
        for round in 0..40 {
            for (index, unit) in units.iter().enumerate() {
                // Something else in between: another unit, and one that does not fit.
                let other = units[(index * 31 + round * 17) % units.len()];
                used.encode(other, &mut again).unwrap();
                used.encode(other, &mut again[..100]);
                let length = used.encode(unit, &mut again).unwrap();
                let fresh =
                    Encoder::new(kind, level, UNIT_OF_64_KIB).unwrap().encode(unit, &mut first).unwrap();
                assert!(
                    first[..fresh] == again[..length],
                    "{kind:?} {level:?}: unit {index}, round {round}: {fresh} and {length} bytes"
                );
            }
        }
    }
}

/// The tables that are chosen here are for units of one size; larger ones would lose by them.
#[test]
fn units_of_other_sizes_are_encoded_as_zstd_does_it() {
    let text: Vec<u8> =
        (0..9_000_u32).flat_map(|n| format!("line {} of a file\n", n * 7919 % 9001).into_bytes()).collect();
    let encoded = |length: usize| {
        let unit = u32::try_from(length).unwrap();
        let (mut ours, mut own) = (vec![0; length], vec![0; length]);
        let stored =
            Encoder::new(CodecKind::Zstd, None, unit).unwrap().encode(&text[..length], &mut ours).unwrap();
        let by_zstd = zstd_safe::compress(&mut own, &text[..length], 3).unwrap();
        (ours[..stored].to_vec(), own[..by_zstd].to_vec())
    };
    for length in [4 << 10, 32 << 10, 128 << 10] {
        let (ours, own) = encoded(length);
        assert!(ours == own, "{length}: {} and {} bytes", ours.len(), own.len());
    }
    let (ours, own) = encoded(64 << 10);
    assert!(ours != own && ours.len() * 100 < own.len() * 101, "{} and {} bytes", ours.len(), own.len());
}
