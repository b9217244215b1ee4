use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::*;
use crate::tag::Tag;

fn now() -> Timestamp {
    DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap()
}

fn stored() -> StoredImage {
    StoredImage {
        size: ByteSize::MIB,
        virtual_size: ByteSize::GIB,
        format: ImageFormat::Qcow2,
        logical_digest: format!("imprint1:{}", "1".repeat(64)).parse().unwrap(),
        stored_digest: format!("imprint1:{}", "2".repeat(64)).parse().unwrap(),
        consistency: Some(Consistency::Crash),
    }
}

fn task_id() -> TaskId {
    TaskId::new(Uuid::from_u128(9))
}

pub(super) fn creating() -> Image {
    let new = NewImage {
        id: ImageId::new(Uuid::from_u128(1)),
        account_id: AccountId::new(Uuid::from_u128(2)),
        location_id: LocationId::new(Uuid::from_u128(3)),
        kind: ImageKind::Custom,
        name: Name::parse("image").unwrap(),
        description: String::new(),
        tags: Tags::default(),
        metadata: Metadata::default(),
        guest: GuestSystem::default(),
        catalogue: CatalogueEntry::default(),
        source: None,
        storage_id: StorageId::new(Uuid::from_u128(4)),
        storage_key: "key".to_owned(),
        format: ImageFormat::Raw,
        reserved: ByteSize::GIB,
        task_id: TaskId::new(Uuid::from_u128(5)),
    };
    Image::reserve(new, now())
}

/// An available stock image.
pub(super) fn stock() -> Image {
    let parts = ImageParts { kind: ImageKind::Stock, ..(*in_status(ImageStatus::Available)).clone() };
    Image::from_parts(parts).unwrap()
}

fn in_status(status: ImageStatus) -> Image {
    let mut image = creating();
    match status {
        ImageStatus::Creating => {}
        ImageStatus::Available => image.publish(stored(), now()).unwrap(),
        ImageStatus::Error => image.fail().unwrap(),
        ImageStatus::Deleting => {
            image.fail().unwrap();
            image.delete(task_id()).unwrap();
        }
    }
    assert_eq!(image.status, status);
    image
}

/// The limits count what an image may need, then what it takes, and nothing of one that failed.
#[test]
fn usage_follows_the_life_of_an_image() {
    let usage = |image: &Image| (image.usage().images, image.usage().bytes);
    let mut image = creating();
    assert_eq!(usage(&image), (1, ByteSize::GIB));
    image.fail().unwrap();
    assert_eq!(usage(&image), (0, ByteSize::ZERO));
    image.retry(ByteSize::MIB).unwrap();
    assert_eq!(usage(&image), (1, ByteSize::MIB));
    image.publish(stored(), now()).unwrap();
    assert_eq!(usage(&image), (1, stored().size));
    image.lose().unwrap();
    assert_eq!(usage(&image), (0, ByteSize::ZERO));
    image.retry(ByteSize::MIB).unwrap();
    assert_eq!(usage(&image), (1, ByteSize::MIB), "what was stored before is gone");
    image.publish(stored(), now()).unwrap();
    image.delete(task_id()).unwrap();
    assert_eq!(usage(&image), (0, ByteSize::ZERO));
}

type Step = fn(&mut Image) -> Result<(), IllegalTransition>;

#[test]
fn every_transition_counts_a_version_or_is_refused_without_effect() {
    let steps: [(ImageStatus, Step); 4] = [
        (ImageStatus::Available, |image| image.publish(stored(), now())),
        (ImageStatus::Error, Image::fail),
        (ImageStatus::Creating, |image| image.retry(ByteSize::MIB)),
        (ImageStatus::Deleting, |image| image.delete(task_id())),
    ];
    let mut allowed = Vec::new();
    for &from in ImageStatus::ALL {
        for (to, step) in steps {
            let before = in_status(from);
            let mut image = before.clone();
            match step(&mut image) {
                Ok(()) => {
                    assert_eq!((image.status, image.version), (to, before.version + 1));
                    allowed.push((from, to));
                }
                Err(error) => {
                    assert_eq!((error.from, error.to), (from.as_str(), to.as_str()));
                    assert_eq!(image, before);
                }
            }
        }
    }
    assert_eq!(
        allowed,
        [
            (ImageStatus::Creating, ImageStatus::Available),
            (ImageStatus::Creating, ImageStatus::Error),
            (ImageStatus::Available, ImageStatus::Deleting),
            (ImageStatus::Error, ImageStatus::Creating),
            (ImageStatus::Error, ImageStatus::Deleting),
        ]
    );
}

#[test]
fn a_lost_image_is_confirmed_by_its_own_disk_only() {
    let mut image = in_status(ImageStatus::Available);
    image.lose().unwrap();
    assert_eq!(image.status, ImageStatus::Error);
    assert!(image.lose().is_err());
    let found = StoredImage { size: ByteSize::GIB, consistency: None, ..stored() };
    let logical_digest = format!("imprint1:{}", "f".repeat(64)).parse().unwrap();
    assert!(image.confirm(StoredImage { logical_digest, ..found.clone() }, now()).is_err());
    assert_eq!(image.status, ImageStatus::Error);
    let version = image.version;
    image.confirm(found.clone(), now()).unwrap();
    assert_eq!((image.status, image.version), (ImageStatus::Available, version + 1));
    let confirmed = image.require_available().unwrap();
    assert_eq!(confirmed.size, ByteSize::GIB);
    assert_eq!(confirmed.consistency, stored().consistency, "a file does not say how it was captured");
    for status in [ImageStatus::Creating, ImageStatus::Deleting] {
        assert!(in_status(status).confirm(found.clone(), now()).is_err());
        assert!(in_status(status).lose().is_err());
    }
    let mut never_stored = (*in_status(ImageStatus::Error)).clone();
    never_stored.stored = None;
    assert!(Image::from_parts(never_stored).unwrap().confirm(found, now()).is_err());
}

#[test]
fn a_published_image_has_the_format_that_was_stored() {
    let image = in_status(ImageStatus::Available);
    assert_eq!((image.format, image.available_at), (ImageFormat::Qcow2, Some(now())));
    assert_eq!(image.require_available().unwrap(), &stored());
}

#[test]
fn an_available_image_without_bytes_cannot_be_built() {
    let mut parts = (*in_status(ImageStatus::Available)).clone();
    parts.stored = None;
    assert_eq!(Image::from_parts(parts), Err(InconsistentImage));
}

#[test]
fn an_edit_counts_a_version() {
    let mut image = creating();
    image.edit(ImageEdit { description: Some("text".to_owned()), ..ImageEdit::default() }).unwrap();
    assert_eq!((image.version, image.description.as_str()), (2, "text"));
}

#[test]
fn protection_is_switched_and_keeps_an_image() {
    let protect = |on| ImageEdit { protected: Some(on), ..ImageEdit::default() };
    for status in [ImageStatus::Creating, ImageStatus::Available, ImageStatus::Error] {
        let mut image = in_status(status);
        image.require_unprotected().unwrap();
        image.edit(protect(true)).unwrap();
        assert_eq!(image.require_unprotected().unwrap_err().code, Code::ImageProtected);
        image.edit(protect(false)).unwrap();
        image.require_unprotected().unwrap();
    }
    let mut image = in_status(ImageStatus::Deleting);
    let before = image.clone();
    assert_eq!(image.edit(protect(true)).unwrap_err().code, Code::InvalidTransition);
    assert_eq!(image, before);
}

#[test]
fn a_failed_removal_shows_until_it_is_tried_again() {
    let mut image = in_status(ImageStatus::Deleting);
    assert_eq!(image.status_text(), "Image is being removed");
    image.set_removal_failed(true).unwrap();
    assert_eq!(image.status_text(), "Image could not be removed -- check tasks for details");
    image.set_removal_failed(false).unwrap();
    assert_eq!(image.status_text(), "Image is being removed");
    assert!(in_status(ImageStatus::Available).set_removal_failed(true).is_err());
}

#[test]
fn everything_that_a_user_reads_is_searched() {
    let mut image = creating();
    let tags = Tags::new(vec![Tag::parse("Env=Prod").unwrap()]).unwrap();
    image
        .edit(ImageEdit {
            description: Some("Für Tests".to_owned()),
            tags: Some(tags),
            ..ImageEdit::default()
        })
        .unwrap();
    assert_eq!(image.searched_text(), "image\nfür tests\nenv=prod\n");
}
