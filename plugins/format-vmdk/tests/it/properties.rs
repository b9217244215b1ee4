//! What holds for any bytes: an answer or a typed error, never a panic, never an extent outside of
//! the file.

use proptest::prelude::*;

use crate::{
    forge::{Forge, GD, GRAIN, GT, RGD, RGT, at},
    support::open_bytes,
};

/// Opens and asks for everything that is bounded.
fn exercise(bytes: &[u8]) {
    let Ok(mut image) = open_bytes(bytes) else { return };
    imprint_format_kit::exercise(&mut image, u64::try_from(bytes.len()).unwrap(), GRAIN);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_in_the_headers_never_panic(
        stream: bool,
        flips in prop::collection::vec((0..900_usize, any::<bool>(), 0..8_u32), 1..6),
    ) {
        let mut bytes = if stream { Forge::stream().bytes } else { Forge::sparse().bytes };
        let end = bytes.len();
        for (at, tail, bit) in flips {
            bytes[if tail { end - 1 - at } else { at }] ^= 1 << bit;
        }
        exercise(&bytes);
    }

    #[test]
    fn any_words_in_the_tables_never_panic(
        words in prop::collection::vec((0..4_usize, 0..64_u64, any::<u32>(), 0..32_u32), 1..20),
        flags in 0..8_u32,
    ) {
        let mut forge = Forge::sparse();
        forge.u32(8, flags);
        for (table, index, word, shift) in words {
            forge.u32(at([GD, GT, RGD, RGT][table]) + index * 4, word >> shift);
        }
        exercise(&forge.bytes);
    }

    #[test]
    fn any_header_fields_never_panic(fields in prop::collection::vec((0..9_u64, any::<u64>(), 0..64_u32), 1..4)) {
        let mut forge = Forge::sparse();
        for (index, value, shift) in fields {
            forge.u64(4 + index * 8, value >> shift);
        }
        exercise(&forge.bytes);
    }

    #[test]
    fn any_text_behind_the_signature_never_panics(lines in prop::collection::vec("(RW|CID=|parentCID=|createType=\"vmfs\"|RW 8 FLAT|\"a\"|[ -~]{0,20})( .{0,12})?", 0..12)) {
        let text = format!("# Disk DescriptorFile\ncreateType=\"custom\"\nRW 8 ZERO\n{}", lines.join("\n"));
        exercise(text.as_bytes());
    }
}
