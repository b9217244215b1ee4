use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::*;
use crate::{
    capture_format::CaptureFormat,
    coalesce::CoalescePolicy,
    id::{LocationId, StorageId, TaskId},
    image::{
        ImageFormat, NewImage, StoredImage,
        catalogue::{CatalogueEntry, GuestSystem},
    },
    import::ImportPolicy,
    location::{FreezeLimit, ReclaimLimit},
    metadata::Metadata,
    name::Name,
    rules::{SharedUse, use_image},
    size::ByteSize,
    support::Support,
    tag::Tags,
    windows::WindowsBounds,
};

fn now() -> Timestamp {
    DateTime::<Utc>::from_timestamp(1_800_000_000, 0).unwrap()
}

fn account(number: u128) -> AccountId {
    AccountId::new(Uuid::from_u128(number))
}

const OWNER: u128 = 1;
const RECIPIENT: u128 = 2;

fn image(kind: ImageKind, available: bool) -> Image {
    let mut image = Image::reserve(
        NewImage {
            id: ImageId::new(Uuid::from_u128(10)),
            account_id: account(OWNER),
            location_id: LocationId::new(Uuid::from_u128(11)),
            kind,
            name: Name::parse("image").unwrap(),
            description: String::new(),
            tags: Tags::default(),
            metadata: Metadata::default(),
            guest: GuestSystem::default(),
            catalogue: CatalogueEntry::default(),
            source: None,
            storage_id: StorageId::new(Uuid::from_u128(12)),
            storage_key: "key".to_owned(),
            format: ImageFormat::Raw,
            reserved: ByteSize::GIB,
            task_id: TaskId::new(Uuid::from_u128(13)),
        },
        now(),
    );
    if available {
        let stored = StoredImage {
            size: ByteSize::MIB,
            virtual_size: ByteSize::GIB,
            format: ImageFormat::Qcow2,
            logical_digest: format!("imprint1:{}", "1".repeat(64)).parse().unwrap(),
            stored_digest: format!("imprint1:{}", "2".repeat(64)).parse().unwrap(),
            consistency: None,
        };
        image.publish(stored, now()).unwrap();
    }
    image
}

fn offer(image: &Image, to: u128, expires_at: Option<Timestamp>) -> Result<Share, Error> {
    Share::offer(ShareId::new(Uuid::from_u128(20)), image, account(to), expires_at, now())
}

fn offered(expires_at: Option<Timestamp>) -> Share {
    offer(&image(ImageKind::Custom, true), RECIPIENT, expires_at).unwrap()
}

fn location(sharing_enabled: bool) -> Location {
    Location {
        id: LocationId::new(Uuid::from_u128(11)),
        name: Name::parse("north").unwrap(),
        images_enabled: true,
        sharing_enabled,
        iso_enabled: false,
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

#[test]
fn only_an_available_custom_image_is_offered_to_another_account_and_ends_in_the_future() {
    let custom = image(ImageKind::Custom, true);
    assert_eq!(offer(&custom, RECIPIENT, None).unwrap().state(now()), ShareState::Offered);
    let refused = |image: &Image, to, end| {
        let error = offer(image, to, end).unwrap_err();
        (error.code, error.pointer)
    };
    let pointer = |text: &str| Some(text.to_owned());
    assert_eq!(refused(&custom, OWNER, None), (Code::InvalidRequest, pointer("/account")));
    assert_eq!(refused(&image(ImageKind::Stock, true), RECIPIENT, None).0, Code::InvalidRequest);
    assert_eq!(refused(&image(ImageKind::Custom, false), RECIPIENT, None).0, Code::ImageNotAvailable);
    for end in [now(), now() - TimeDelta::days(1), now() + TimeDelta::days(3_700), Timestamp::MAX_UTC] {
        assert_eq!(
            refused(&custom, RECIPIENT, Some(end)),
            (Code::InvalidRequest, pointer("/expires_at")),
            "{end}"
        );
    }
    assert!(offer(&custom, RECIPIENT, Some(now() + TimeDelta::seconds(1))).is_ok());
}

type Step = fn(&mut Share, Timestamp) -> Result<(), IllegalTransition>;
const STEPS: [(ShareState, Step); 4] = [
    (ShareState::Accepted, Share::accept),
    (ShareState::Rejected, Share::reject),
    (ShareState::Revoked, Share::revoke),
    (ShareState::Left, Share::leave),
];

fn in_state(state: ShareState) -> Share {
    let mut share = offered(Some(now() + TimeDelta::hours(1)));
    match state {
        ShareState::Offered => {}
        ShareState::Accepted => share.accept(now()).unwrap(),
        ShareState::Rejected => share.reject(now()).unwrap(),
        ShareState::Revoked => share.revoke(now()).unwrap(),
        ShareState::Left => {
            share.accept(now()).unwrap();
            share.leave(now()).unwrap();
        }
        ShareState::Expired => assert!(share.expire(now() + TimeDelta::hours(1))),
    }
    assert_eq!(share.recorded, state);
    share
}

#[test]
fn every_transition_is_allowed_or_refused_without_effect() {
    let mut allowed = Vec::new();
    for &from in ShareState::ALL {
        for (to, step) in STEPS {
            let before = in_state(from);
            let mut share = before.clone();
            match step(&mut share, now()) {
                Ok(()) => {
                    assert_eq!(share.recorded, to);
                    assert_eq!(share.ended_at.is_some(), !to.is_open());
                    allowed.push((from, to));
                }
                Err(error) => {
                    assert_eq!((error.from, error.to), (from.as_str(), to.as_str()));
                    assert_eq!(share, before);
                }
            }
        }
    }
    assert_eq!(
        allowed,
        [
            (ShareState::Offered, ShareState::Accepted),
            (ShareState::Offered, ShareState::Rejected),
            (ShareState::Offered, ShareState::Revoked),
            (ShareState::Accepted, ShareState::Revoked),
            (ShareState::Accepted, ShareState::Left),
        ]
    );
}

#[test]
fn a_share_is_over_at_the_moment_at_which_it_expires() {
    let end = now() + TimeDelta::hours(1);
    let just_before = end - TimeDelta::microseconds(1);
    let mut share = offered(Some(end));
    share.accept(just_before).unwrap();
    let image = share.image_id;
    assert!(share.permits(account(RECIPIENT), image, just_before));
    assert!(!share.expire(just_before));
    assert!(!share.permits(account(RECIPIENT), image, end), "nothing has recorded it yet");
    for (_, step) in STEPS {
        assert_eq!(step(&mut share, end).unwrap_err().from, "expired");
    }
    assert!(share.expire(end));
    assert_eq!((share.recorded, share.ended_at), (ShareState::Expired, Some(end)));
    assert!(!share.expire(end), "it is recorded once");
    assert!(!in_state(ShareState::Revoked).expire(now() + TimeDelta::days(1)), "it was over before");
}

#[test]
fn a_share_permits_one_account_to_use_one_image_while_it_is_accepted() {
    let image = image(ImageKind::Custom, true);
    let (on, off) = (location(true), location(false));
    let with = |by: u128, share: &Share, location: &Location| {
        use_image(&image, account(by), Some(SharedUse { share, location }), now()).map_err(|error| error.code)
    };
    let accepted = in_state(ShareState::Accepted);
    assert_eq!(with(RECIPIENT, &accepted, &on), Ok(()));
    assert_eq!(with(RECIPIENT, &accepted, &off), Err(Code::SharingDisabled));
    assert_eq!(with(OWNER, &accepted, &off), Ok(()), "the owner's own image is not concerned");
    assert_eq!(with(3, &accepted, &on), Err(Code::NotFound), "another account's share is worth nothing");
    let other = ImageId::new(Uuid::from_u128(99));
    assert!(!accepted.permits(account(RECIPIENT), other, now()));
    for &state in ShareState::ALL.iter().filter(|state| **state != ShareState::Accepted) {
        let share = in_state(state);
        assert_eq!(with(RECIPIENT, &share, &on), Err(Code::NotFound), "{state}");
    }
    assert_eq!(use_image(&image, account(3), None, now()).unwrap_err().code, Code::NotFound);
}

#[test]
fn the_number_of_open_shares_is_bounded() {
    assert!(require_room(99).is_ok());
    let error = require_room(100).unwrap_err();
    assert_eq!((error.code, error.context["limit"].as_str()), (Code::ShareLimitReached, "100"));
}
