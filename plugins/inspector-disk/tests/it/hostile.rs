//! Hostile insides, and the suite of the SDK.

use imprint_corpus::inside::{Case, Ext, Fat, Gpt, Look, Xfs, cases};
use imprint_plugin_sdk::{
    inspector::{Findings, Inspector as _},
    mock::{MemBlob, MockHost},
    testing::inspector::{Sample, run},
};
use inspector_disk::DiskInspector;
use proptest::prelude::*;

fn look(bytes: Vec<u8>) -> Findings {
    DiskInspector::inspect(&MockHost::new(), Box::new(MemBlob::new(bytes)), &[]).unwrap()
}

#[test]
fn every_hostile_inside_is_reported_or_bounded() {
    for case in cases().into_iter().filter(Case::ends_natively) {
        let found = look(case.disk.to_vec());
        let codes: Vec<_> = found.unread.iter().map(|unread| unread.code.as_str()).collect();
        let right = match case.expected {
            Look::Reported(expected) => {
                codes.iter().any(|code| expected.iter().any(|expected| code.starts_with(expected)))
            }
            Look::Bounded => true,
        };
        assert!(right, "{}, {}: {found:#?}", case.id, case.what);
    }
}

/// The disks that the hostile ones are made from are valid: their content is read.
#[test]
fn the_disks_that_the_cases_are_made_from_are_valid() {
    let valid = [Ext::new().disk().clone(), Xfs::new().disk().clone(), Fat::new().disk(), Gpt::new().disk()];
    for (disk, kind) in valid.iter().zip(["ext2", "xfs", "vfat", ""]) {
        let found = look(disk.to_vec());
        assert_eq!(found.unread, [], "{kind}");
        let kinds: Vec<_> = found.file_systems.iter().map(|found| found.kind.as_str()).collect();
        assert_eq!(kinds.concat(), kind);
    }
}

#[test]
fn the_suite_of_inspectors_passes() {
    let sample = |name, bytes| Sample { name, bytes };
    let outcomes = run::<DiskInspector>(&[
        sample("ext2", Ext::new().disk().to_vec()),
        sample("XFS", Xfs::new().disk().to_vec()),
        sample("FAT", Fat::new().disk().to_vec()),
        sample("GPT", Gpt::new().part(100, 200).disk().to_vec()),
    ]);
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Bytes anywhere in the tables of a file system.
    #[test]
    fn damaged_tables_end_the_look_at_one_file_system(
        which in 0_usize..3,
        changes in prop::collection::vec((0_usize..64 << 10, any::<u8>()), 1..40),
    ) {
        let mut bytes = match which {
            0 => Ext::new().disk().to_vec(),
            1 => Xfs::new().disk().to_vec(),
            _ => Fat::new().disk().to_vec(),
        };
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let found = look(bytes);
        prop_assert!(found.file_systems.len() <= 1);
    }
}
