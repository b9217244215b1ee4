//! Systematic variants: every field of a header at its extremes, and every structure cut off.

use crate::{Bytes, Case, Expected};

/// Byte order of a format.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    Big,
    Little,
}

/// A field of a header: name, offset, length in bytes (2, 4 or 8).
pub(crate) type Field = (&'static str, u64, usize);

/// Each field at 0, 1, all ones, one more and one less. `seal` mends the checksums afterwards.
pub(crate) fn variants(
    format: &'static str,
    part: &str,
    order: Order,
    image: &Bytes,
    fields: &[Field],
    seal: impl Fn(&mut Bytes),
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, at, length) in fields {
        let all = u64::MAX >> (64 - 8 * length);
        let stored = image.get(*at, *length);
        let found = match order {
            Order::Big => stored.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)),
            Order::Little => stored.iter().rev().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)),
        };
        let mut seen = vec![found];
        for (word, value) in [
            ("zero", 0),
            ("one", 1),
            ("max", all),
            ("more", found.wrapping_add(1) & all),
            ("less", found.wrapping_sub(1) & all),
        ] {
            if seen.contains(&value) {
                continue;
            }
            seen.push(value);
            let mut image = image.clone();
            match order {
                Order::Big => image.put(*at, &value.to_be_bytes()[8 - length..]),
                Order::Little => image.put(*at, &value.to_le_bytes()[..*length]),
            };
            seal(&mut image);
            let id = format!("{format}-{part}-{name}-{word}");
            cases.push(Case::new(
                &id,
                &format!("{part}: {name} is {value:#x}"),
                format,
                image,
                Expected::Either,
            ));
        }
    }
    cases
}

/// The image cut off at each of these lengths, which its tables say that it exceeds.
pub(crate) fn truncations(
    format: &'static str,
    image: &Bytes,
    lengths: &[u64],
    codes: &'static [&'static str],
) -> Vec<Case> {
    let cut = |length: &u64| {
        let mut image = image.clone();
        image.resize(*length);
        let what = format!("cut off after {length} bytes");
        Case::new(&format!("{format}-cut-{length}"), &what, format, image, Expected::Refused(codes))
    };
    lengths.iter().map(cut).collect()
}
