use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::*;
use crate::{
    capture_format::CaptureFormat,
    coalesce::CoalescePolicy,
    import::ImportPolicy,
    location::{FreezeLimit, ReclaimLimit},
    support::Support,
    windows::WindowsBounds,
};

fn location(id: u128, iso_enabled: bool) -> Location {
    Location {
        id: LocationId::new(Uuid::from_u128(id)),
        name: Name::parse("north").unwrap(),
        images_enabled: true,
        sharing_enabled: false,
        iso_enabled,
        export_enabled: false,
        default_image_limit: None,
        default_image_bytes_limit: None,
        coalesce: CoalescePolicy::default(),
        freeze_limit: FreezeLimit::default(),
        import: ImportPolicy::default(),
        reclaim_limit: ReclaimLimit::default(),
        capture_format: CaptureFormat::DEFAULT,
        windows: WindowsBounds::default(),
        support: Support::default(),
        version: 1,
    }
}

fn iso(status: IsoStatus) -> Iso {
    let stored = StoredIso {
        size: ByteSize::MIB,
        digest: format!("imprint1:{}", "0a".repeat(32)).parse().unwrap(),
        label: "RESCUE".to_owned(),
    };
    Iso {
        id: IsoId::new(Uuid::from_u128(1)),
        location_id: LocationId::new(Uuid::from_u128(1)),
        storage_id: StorageId::new(Uuid::from_u128(2)),
        storage_key: "rescue.iso".to_owned(),
        name: Name::parse("rescue").unwrap(),
        description: String::new(),
        os_type: None,
        hidden: false,
        status,
        stored: (status == IsoStatus::Available).then_some(stored),
        task_id: TaskId::new(Uuid::from_u128(3)),
        created_at: DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap(),
    }
}

/// A primary volume descriptor of a volume of that many sectors, and the end of the descriptors.
fn descriptors(sectors: u32, label: &str) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[0] = 1;
    bytes[1..6].copy_from_slice(b"CD001");
    bytes[6] = 1;
    bytes[40..72].fill(b' ');
    bytes[40..40 + label.len()].copy_from_slice(label.as_bytes());
    bytes[80..84].copy_from_slice(&sectors.to_le_bytes());
    bytes[84..88].copy_from_slice(&sectors.to_be_bytes());
    bytes[128..130].copy_from_slice(&2048_u16.to_le_bytes());
    bytes[2048] = 255;
    bytes[2049..2054].copy_from_slice(b"CD001");
    bytes
}

#[test]
fn a_volume_has_its_label() {
    let found = inspect(&descriptors(100, "DEBIAN 12"), 100 * SECTOR).unwrap();
    assert_eq!(found.label, "DEBIAN 12");
    // Images may have more behind the volume.
    assert!(inspect(&descriptors(100, ""), 200 * SECTOR).is_ok());
}

#[test]
fn hostile_and_cut_files_are_refused() {
    let full = 100 * SECTOR;
    let cut = InvalidVolume::CutShort { volume: full, file: full - 1 };
    assert_eq!(inspect(&descriptors(100, "A"), full - 1), Err(cut));
    assert_eq!(inspect(&[], 0), Err(InvalidVolume::NoDescriptor));
    assert_eq!(inspect(&[0; 4096], full), Err(InvalidVolume::NoDescriptor));
    let short = &descriptors(100, "A")[..2000];
    assert_eq!(inspect(short, full), Err(InvalidVolume::NoDescriptor));
    for (at, byte) in [(6, 9), (84, 1), (128, 7), (80, 99)] {
        let mut bytes = descriptors(100, "A");
        bytes[at] = byte;
        assert!(matches!(inspect(&bytes, full), Err(InvalidVolume::Damaged(_))), "{at}");
    }
    assert!(matches!(inspect(&descriptors(3, "A"), full), Err(InvalidVolume::Damaged(_))));
    // The largest volume that the field can say is no overflow.
    assert!(matches!(inspect(&descriptors(u32::MAX, "A"), full), Err(InvalidVolume::CutShort { .. })));
}

#[test]
fn a_volume_of_udf_alone_is_one() {
    let mut bytes = vec![0; 3 * 2048];
    for (index, name) in [b"BEA01", b"NSR03", b"TEA01"].into_iter().enumerate() {
        bytes[index * 2048 + 1..index * 2048 + 6].copy_from_slice(name);
    }
    assert_eq!(inspect(&bytes, 257 * SECTOR), Ok(Volume { label: String::new() }));
    assert!(matches!(inspect(&bytes, 256 * SECTOR), Err(InvalidVolume::CutShort { .. })));
}

#[test]
fn only_an_available_iso_of_the_location_is_mounted() {
    let code = |result: Result<(), Error>| result.map_err(|error| error.code);
    assert_eq!(code(mount(&iso(IsoStatus::Available), &location(1, true))), Ok(()));
    assert_eq!(code(mount(&iso(IsoStatus::Available), &location(1, false))), Err(Code::IsoDisabled));
    assert_eq!(code(mount(&iso(IsoStatus::Available), &location(9, true))), Err(Code::InvalidRequest));
    for status in [IsoStatus::Registering, IsoStatus::Error] {
        assert_eq!(code(mount(&iso(status), &location(1, true))), Err(Code::IsoNotAvailable));
    }
    assert!(iso(IsoStatus::Available).is_offered());
    assert!(!Iso { hidden: true, ..iso(IsoStatus::Available) }.is_offered());
    assert!(!iso(IsoStatus::Registering).is_offered());
}

#[test]
fn an_empty_disk_has_a_size_that_disks_have() {
    let check = |bytes| check_empty_disk(ByteSize::new(bytes).unwrap(), "/size_bytes").is_ok();
    for good in [1 << 20, 10 << 30, 64 << 40] {
        assert!(check(good), "{good}");
    }
    for bad in [0, 512, (1 << 20) + 1, (64 << 40) + 512] {
        assert!(!check(bad), "{bad}");
    }
}
