use proptest::prelude::*;

use super::*;

/// The definition on [`DiskDigest`], word for word.
fn reference(bytes: &[u8]) -> DiskDigest {
    let mut root = blake3::Hasher::new_derive_key("imprint disk digest 1 root");
    root.update(&u64::try_from(bytes.len()).unwrap().to_le_bytes());
    for (number, segment) in bytes.chunks(64 << 20).enumerate() {
        let mut node = blake3::Hasher::new_derive_key("imprint disk digest 1 segment");
        let mut any = false;
        for (within, cluster) in segment.chunks(65536).enumerate() {
            if cluster.iter().all(|byte| *byte == 0) {
                continue;
            }
            let mut padded = cluster.to_vec();
            padded.resize(65536, 0);
            any = true;
            node.update(&u16::try_from(within).unwrap().to_le_bytes());
            node.update(blake3::hash(&padded).as_bytes());
        }
        if any {
            root.update(&u64::try_from(number).unwrap().to_le_bytes());
            root.update(node.finalize().as_bytes());
        }
    }
    DiskDigest(*root.finalize().as_bytes())
}

fn sparse(size: usize, spots: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    if size > 0 {
        spots.iter().for_each(|(at, value)| bytes[at.index(size)] = *value);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_file_written_in_any_order_has_the_digest_of_its_bytes(
        size in 0..400_000usize,
        spots in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..40),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        order in any::<u64>(),
    ) {
        let bytes = sparse(size, &spots);
        let mut ends: Vec<usize> = cuts.drain(..).map(|cut| cut.index(size + 1)).chain([size]).collect();
        ends.sort_unstable();
        let mut start = 0;
        let mut writes: Vec<(usize, usize)> = ends.into_iter().map(|end| (std::mem::replace(&mut start, end), end)).collect();
        let turn = usize::try_from(order % u64::try_from(writes.len()).unwrap()).unwrap();
        writes.rotate_left(turn);
        if order % 2 == 0 {
            writes.reverse();
        }
        let stored = StoredDigest::default();
        for (start, end) in writes {
            // What is zero need not be written.
            if order % 3 != 0 || bytes[start..end].iter().any(|byte| *byte != 0) {
                stored.write(to_u64(start), &bytes[start..end]).unwrap();
            }
        }
        prop_assert_eq!(stored.finish(DigestBuilder::new(), to_u64(size)), reference(&bytes));
    }
}

#[test]
fn whole_segments_are_folded_on_the_way() {
    let mut bytes = vec![0; (128 << 20) + 70_000];
    for at in [0, 65536 * 3, (64 << 20) - 1, (64 << 20) + 5, (128 << 20) + 69_999] {
        bytes[at] = 1;
    }
    let stored = StoredDigest::default();
    for (number, window) in bytes.chunks(1 << 20).enumerate().rev() {
        stored.write(to_u64(number << 20), window).unwrap();
    }
    let closed = |segment: &Segment| matches!(segment, Segment::Closed(Some(_)));
    assert_eq!(stored.state.lock().unwrap().segments.values().filter(|segment| closed(segment)).count(), 2);
    assert_eq!(stored.finish(DigestBuilder::new(), to_u64(bytes.len())), reference(&bytes));
}

#[test]
fn nothing_is_written_twice() {
    let block = vec![1; CLUSTER];
    let stored = StoredDigest::default();
    stored.write(0, &block).unwrap();
    stored.write(65536, &block[..100]).unwrap();
    for (offset, length) in [(0, 1), (65535, 2), (65536, 65536), (65600, 100)] {
        assert!(stored.write(offset, &block[..length]).is_err(), "{offset} {length}");
    }
    stored.write(65636, &block[..10]).unwrap();
}

#[test]
fn a_digest_depends_on_size_and_position() {
    let digests =
        [vec![], vec![0], vec![1], vec![1, 0], vec![0; 65536], vec![0; 65537]].map(|bytes| reference(&bytes));
    for (n, digest) in digests.iter().enumerate() {
        assert!(!digests[..n].contains(digest), "{n}");
    }
}

#[test]
fn the_text_form_is_fixed() {
    let text = reference(b"imprint").to_string();
    assert_eq!(text, "imprint1:5d7295a04d4f3e14d4409e038d79ad529dcffc664b0cac6019728c2dd6c68947");
    assert_eq!(text.parse::<DiskDigest>().unwrap(), reference(b"imprint"));
    for wrong in [
        "",
        "imprint1:",
        &text[..72],
        &text.to_uppercase(),
        &text.replace("imprint1", "imprint2"),
        &format!("{text}0"),
    ] {
        assert_eq!(wrong.parse::<DiskDigest>(), Err(InvalidDigest), "{wrong}");
    }
}
