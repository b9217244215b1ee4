use super::*;

const BITS: u32 = 16;
const CLUSTER: u64 = 1 << BITS;
const ENTRIES: u64 = CLUSTER / 8;

fn push(groups: &mut Groups, number: u64, offset: u64, length: u32) -> Result<(), FormatError> {
    if length == 0 {
        groups.push_plain(number, offset, 1)
    } else {
        groups.push_encoded(number, offset, length)
    }
}

/// Pushes stored clusters of one group and takes them out again.
fn round_trip(stored: &[Stored]) -> (Vec<Stored>, usize) {
    let mut groups = Groups::new(BITS);
    for one in stored {
        push(&mut groups, one.index, one.offset, one.length).unwrap();
    }
    groups.finish().unwrap();
    let group = groups.list().first().expect("something was pushed");
    (group.clusters(CLUSTER), group.packed.len())
}

#[test]
fn one_run_is_a_few_bytes() {
    let run: Vec<_> =
        (0..ENTRIES).map(|index| Stored { index, offset: (100 + index) * CLUSTER, length: 0 }).collect();
    let (back, packed) = round_trip(&run);
    assert_eq!(back, run);
    assert!(packed < 16, "{packed} bytes");
}

#[test]
fn plain_clusters_with_gaps_are_one_bit_an_entry_at_most() {
    let gaps: Vec<_> = (0..ENTRIES / 2)
        .map(|index| Stored { index: index * 2 + 1, offset: (7 + index) * CLUSTER, length: 0 })
        .collect();
    let (back, packed) = round_trip(&gaps);
    assert_eq!(back, gaps);
    assert_eq!(packed, 1 + 1024);
}

#[test]
fn encoded_clusters_are_three_bytes_and_keep_their_places() {
    let mut offset = 3 * CLUSTER + 77;
    let encoded: Vec<_> = (0..ENTRIES)
        .map(|index| {
            let one = Stored { index, offset, length: u32::try_from(index * 7 % 65_000 + 1).unwrap() };
            offset = one.end(CLUSTER);
            one
        })
        .collect();
    let (back, packed) = round_trip(&encoded);
    assert_eq!(back, encoded);
    assert!(packed <= encoded.len() * 3 + 16, "{packed} bytes");
}

#[test]
fn anything_goes_back_and_forth() {
    let mixed = [
        Stored { index: 0, offset: 900 * CLUSTER, length: 0 },
        Stored { index: 1, offset: 3 * CLUSTER, length: 0 },
        Stored { index: 5, offset: 2 * CLUSTER + 1, length: 65_024 },
        Stored { index: 6, offset: 2 * CLUSTER + 65_025, length: 1 },
        Stored { index: 7, offset: 2 * CLUSTER + 65_026, length: 0 },
        Stored { index: ENTRIES - 1, offset: (1 << 56) - CLUSTER, length: 0 },
    ];
    assert_eq!(round_trip(&mixed).0, mixed);
}

#[test]
fn a_group_knows_its_number_and_its_place() {
    let mut groups = Groups::new(BITS);
    push(&mut groups, 3, 10 * CLUSTER, 0).unwrap();
    push(&mut groups, 2 * ENTRIES + 1, 5 * CLUSTER, 100).unwrap();
    push(&mut groups, 2 * ENTRIES + 2, 4 * CLUSTER, 0).unwrap();
    groups.finish().unwrap();
    let shape: Vec<_> = groups.list().iter().map(|group| (group.number, group.place.clone())).collect();
    assert_eq!(shape, [(0, 10 * CLUSTER..11 * CLUSTER), (2, 4 * CLUSTER..5 * CLUSTER + 100)]);
}

#[test]
fn memory_is_bounded() {
    let mut groups = Groups::new(BITS);
    let refused =
        (0..2_000_000).find_map(|number| push(&mut groups, number * ENTRIES, number * CLUSTER, 0).err());
    assert!(matches!(refused, Some(FormatError::LayoutMemory(_))), "{refused:?}");
}

#[test]
fn a_long_run_is_cut_at_tables_and_takes_a_few_bytes_of_each() {
    let mut groups = Groups::new(BITS);
    groups.push_plain(5, 10 * CLUSTER, 3 * ENTRIES).unwrap();
    groups.push_plain(3 * ENTRIES + 5, (10 + 3 * ENTRIES) * CLUSTER, 1).unwrap();
    groups.finish().unwrap();
    let counts: Vec<_> = groups.list().iter().map(|group| u64::from(group.count)).collect();
    assert_eq!(counts, [ENTRIES - 5, ENTRIES, ENTRIES, 6]);
    let clusters: Vec<_> = groups.list().iter().flat_map(|group| group.clusters(CLUSTER)).collect();
    for (number, stored) in (5..).zip(&clusters) {
        let expected = Stored { index: number % ENTRIES, offset: (5 + number) * CLUSTER, length: 0 };
        assert_eq!(*stored, expected);
    }
    assert!(groups.list().iter().all(|group| group.packed.len() < 16));
}
