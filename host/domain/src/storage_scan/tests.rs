use chrono::TimeDelta;
use uuid::Uuid;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn digest(byte: &str) -> StoredDigest {
    format!("imprint1:{}", byte.repeat(32)).parse().unwrap()
}

fn found(key: &str) -> FoundObject<'_> {
    FoundObject {
        key,
        size: ByteSize::new(10).unwrap(),
        modified_at: Some(at(0)),
        first_seen_at: at(0),
        digest: None,
        quarantined: false,
    }
}

fn image() -> ImageReference {
    ImageReference {
        id: ImageId::new(Uuid::from_u128(7)),
        status: ImageStatus::Available,
        size: Some(ByteSize::new(10).unwrap()),
        stored_digest: Some(digest("0a")),
        source_is_gone: false,
    }
}

const BY: Comparison = Comparison { role: StorageRole::Customer, in_use: false, now: Timestamp::UNIX_EPOCH };

fn later() -> Comparison {
    Comparison { now: at(GRACE_S), ..BY }
}

#[test]
fn the_file_of_an_image_is_compared_with_its_row() {
    let key = format!("{}.qcow2", image().id);
    let class = |found: &FoundObject<'_>, image: &ImageReference| classify(found, Some(image), later());
    assert_eq!(class(&found(&key), &image()), ObjectClass::Image);
    assert_eq!(
        class(&found(&key), &ImageReference { source_is_gone: true, ..image() }),
        ObjectClass::StaleParent
    );
    let shorter = FoundObject { size: ByteSize::new(9).unwrap(), ..found(&key) };
    assert_eq!(class(&shorter, &image()), ObjectClass::SizeMismatch);
    // S128: an image of 0 bytes.
    let empty = ImageReference { size: Some(ByteSize::ZERO), ..image() };
    assert_eq!(class(&found(&key), &empty), ObjectClass::SizeMismatch);
    let read = |text| FoundObject { digest: Some(digest(text)), ..found(&key) };
    assert_eq!(class(&read("0a"), &image()), ObjectClass::Image);
    assert_eq!(class(&read("0b"), &image()), ObjectClass::DigestMismatch);
    for (status, expected) in [
        (ImageStatus::Creating, ObjectClass::InProgress),
        (ImageStatus::Deleting, ObjectClass::InProgress),
        (ImageStatus::Error, ObjectClass::FailedImage),
    ] {
        assert_eq!(class(&shorter, &ImageReference { status, ..image() }), expected);
    }
}

#[test]
fn nothing_that_is_in_use_or_young_is_an_orphan() {
    let key = format!("{}.qcow2", image().id);
    let class = |found: &FoundObject<'_>, by| classify(found, None, by);
    assert_eq!(class(&found(&key), later()), ObjectClass::Orphan);
    assert_eq!(class(&found(&key), Comparison { in_use: true, ..later() }), ObjectClass::InProgress);
    assert_eq!(class(&found(&key), Comparison { now: at(GRACE_S - 1), ..BY }), ObjectClass::InProgress);
    let unknown_age = FoundObject { modified_at: None, first_seen_at: at(1), ..found(&key) };
    assert_eq!(class(&unknown_age, later()), ObjectClass::InProgress);
    let ahead = FoundObject { modified_at: Some(at(10 * GRACE_S)), ..found(&key) };
    assert_eq!(class(&ahead, later()), ObjectClass::InProgress);
    let aside = FoundObject { quarantined: true, ..found(&key) };
    assert_eq!(class(&aside, later()), ObjectClass::Quarantined);
    let on_stock = Comparison { role: StorageRole::Stock, ..later() };
    assert_eq!(class(&found(&key), on_stock), ObjectClass::Foreign);
    let export = format!("{}.vhdx", ExportId::new(Uuid::from_u128(9)));
    assert_eq!(class(&found(&export), later()), ObjectClass::Orphan);
    assert_eq!(class(&found(&export), on_stock), ObjectClass::Foreign);
    assert_eq!(class(&found("debian.qcow2"), later()), ObjectClass::Foreign);
    assert_eq!(class(&found(&format!("{TEST_PREFIX}1")), on_stock), ObjectClass::Orphan);
}

#[test]
fn keys_name_their_image() {
    let id = image().id;
    assert_eq!(image_of_key(&format!("{id}.qcow2")), Some(id));
    assert_eq!(image_of_key(&format!("{id}.0123456789ab.vmdk")), Some(id));
    for other in [
        format!("{id}"),
        format!("{id}.txt"),
        format!("{id}.0123.qcow2"),
        format!("{id}.0123456789ab.qcow2.tmp"),
        format!("folder/{id}.qcow2"),
        "debian.qcow2".to_owned(),
        String::new(),
    ] {
        assert_eq!(image_of_key(&other), None, "{other}");
    }
}

#[test]
fn what_is_proposed_is_possible_and_only_faults_are_changed() {
    for class in ObjectClass::ALL {
        if let Some(action) = class.proposed() {
            assert!(class.actions().contains(&action) && class.is_fault(), "{class}");
            assert_ne!(action, ObjectAction::Delete, "nothing is deleted unless an admin says so");
        }
    }
}
