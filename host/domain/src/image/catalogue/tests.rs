use uuid::Uuid;

use super::*;
use crate::image::{ImageEdit, ImageParts, tests::stock};

fn family(text: &str) -> ImageFamily {
    text.parse().unwrap()
}

fn version(text: &str) -> FamilyVersion {
    text.parse().unwrap()
}

fn image_id(number: u128) -> ImageId {
    ImageId::new(Uuid::from_u128(number))
}

fn location(number: u128) -> LocationId {
    LocationId::new(Uuid::from_u128(number))
}

fn group() -> MediaGroupId {
    MediaGroupId::new(Uuid::from_u128(7))
}

fn member(image: u128, at: u128, text: &str) -> FamilyMember {
    let edition = Edition { family: family("debian-12"), version: version(text) };
    FamilyMember { image_id: image_id(image), location_id: location(at), edition }
}

fn edit(image: &mut Image, catalogue: CatalogueEdit) -> Result<(), Error> {
    image.edit(ImageEdit { catalogue, ..ImageEdit::default() })
}

#[test]
fn families_and_versions_are_short_plain_words() {
    for text in ["debian-12", "9front", "windows_2022.core", &"a".repeat(64)] {
        assert_eq!(text.parse::<ImageFamily>().unwrap().as_str(), text);
    }
    for text in ["", "Debian", "-debian", ".", "debian 12", "debian+1", &"a".repeat(65)] {
        assert!(text.parse::<ImageFamily>().is_err(), "{text:?}");
    }
    for text in ["20241001", "12.7", "1.0-RC1+build5"] {
        assert_eq!(text.parse::<FamilyVersion>().unwrap().as_str(), text);
    }
    for text in ["", "+1", "1 0", "1/0", "ä"] {
        assert!(text.parse::<FamilyVersion>().is_err(), "{text:?}");
    }
}

#[test]
fn versions_are_compared_by_their_numbers() {
    let ascending =
        ["1", "1.0", "1.0-rc1", "1.9", "1.10", "2", "12.9", "12.9-1", "12.10", "20240901", "20241001", "a"];
    for pair in ascending.windows(2) {
        assert_eq!(version(pair[0]).compare(&version(pair[1])), Ordering::Less, "{pair:?}");
        assert_eq!(version(pair[1]).compare(&version(pair[0])), Ordering::Greater, "{pair:?}");
    }
    assert_eq!(version("1.0").compare(&version("1.0")), Ordering::Equal);
    assert_eq!(version("01").compare(&version("1")), Ordering::Less);
}

#[test]
fn the_latest_version_is_chosen_where_it_is_clear_where() {
    let members = vec![member(1, 1, "12.9"), member(2, 1, "12.10"), member(3, 2, "12.11")];
    assert_eq!(choose_latest(members.clone(), Some(location(1))).unwrap(), image_id(2));
    assert_eq!(choose_latest(members.clone(), Some(location(2))).unwrap(), image_id(3));
    assert_eq!(choose_latest(members.clone(), None).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(choose_latest(members.clone(), Some(location(3))).unwrap_err().code, Code::NotFound);
    assert_eq!(choose_latest(members[..2].to_vec(), None).unwrap(), image_id(2));
    assert_eq!(choose_latest(Vec::new(), None).unwrap_err().code, Code::NotFound);
    assert_eq!(latest_versions(members).len(), 2);
}

#[test]
fn a_family_and_a_version_go_together() {
    let mut image = stock();
    let alone = CatalogueEdit { family: Some(Some(family("debian-12"))), ..CatalogueEdit::default() };
    assert_eq!(edit(&mut image, alone.clone()).unwrap_err().code, Code::InvalidRequest);
    let alone_version = CatalogueEdit { version: Some(version("1")), ..CatalogueEdit::default() };
    assert_eq!(edit(&mut image, alone_version.clone()).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(image, stock());

    edit(&mut image, CatalogueEdit { version: Some(version("1")), ..alone }).unwrap();
    edit(&mut image, CatalogueEdit { version: Some(version("2")), ..CatalogueEdit::default() }).unwrap();
    let expected = Edition { family: family("debian-12"), version: version("2") };
    assert_eq!(image.catalogue.edition, Some(expected));
    edit(&mut image, CatalogueEdit { family: Some(None), ..CatalogueEdit::default() }).unwrap();
    assert_eq!(image.catalogue.edition, None);
}

#[test]
fn only_stock_images_have_an_entry() {
    let mut image = crate::image::tests::creating();
    let before = image.clone();
    let hide = CatalogueEdit { hidden: Some(true), ..CatalogueEdit::default() };
    assert_eq!(edit(&mut image, hide).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(image, before);
    image
        .edit(ImageEdit { cloud_init: Some(false), os_type: Some(OsType::Windows), ..ImageEdit::default() })
        .unwrap();
    assert_eq!(image.guest, GuestSystem { os_type: OsType::Windows, cloud_init: false });
    assert!(!image.is_offered(false) && !image.is_current(false));
}

#[test]
fn a_notice_is_a_bounded_text() {
    for text in ["Use 12.10 instead.", " two\nlines ", &"ä".repeat(512)] {
        assert_eq!(Deprecation::new(text, None).unwrap().notice(), text.trim());
    }
    for text in ["", " \n", &"a".repeat(513), "a\u{202e}b", "a\0b"] {
        assert_eq!(Deprecation::new(text, None).unwrap_err().code, Code::InvalidRequest, "{text:?}");
    }
    let mut image = stock();
    let itself = Deprecation::new("old", Some(image.id)).unwrap();
    let edit_itself = CatalogueEdit { deprecation: Some(Some(itself)), ..CatalogueEdit::default() };
    assert_eq!(edit(&mut image, edit_itself).unwrap_err().code, Code::InvalidRequest);
}

#[test]
fn what_is_hidden_or_in_a_hidden_group_is_not_offered() {
    let mut image = stock();
    assert!(image.is_offered(false) && image.is_offered(true));
    edit(&mut image, CatalogueEdit { media_group_id: Some(Some(group())), ..CatalogueEdit::default() })
        .unwrap();
    assert!(image.is_offered(false) && !image.is_offered(true));
    edit(&mut image, CatalogueEdit { hidden: Some(true), ..CatalogueEdit::default() }).unwrap();
    assert!(!image.is_offered(false));
}

#[test]
fn a_family_is_deployed_by_versions_that_are_neither_deprecated_nor_hidden() {
    let edition = Some(Edition { family: family("debian-12"), version: version("1") });
    let with = |catalogue: CatalogueEntry| {
        let parts = ImageParts { catalogue, ..(*stock()).clone() };
        Image::from_parts(parts).unwrap()
    };
    let entry = CatalogueEntry { edition, ..CatalogueEntry::default() };
    assert!(with(entry.clone()).is_current(false));
    assert!(!with(CatalogueEntry { edition: None, ..entry.clone() }).is_current(false));
    assert!(!with(CatalogueEntry { hidden: true, ..entry.clone() }).is_current(false));
    let deprecation = Some(Deprecation::new("old", None).unwrap());
    assert!(!with(CatalogueEntry { deprecation, ..entry.clone() }).is_current(false));
    let grouped = CatalogueEntry { media_group_id: Some(group()), ..entry.clone() };
    assert!(with(grouped.clone()).is_current(false) && !with(grouped).is_current(true));
    let mut lost = with(entry);
    lost.lose().unwrap();
    assert!(!lost.is_current(false));
}

#[test]
fn a_system_without_cloud_init_takes_no_keys() {
    let mut image = stock();
    image.require_cloud_init().unwrap();
    image.edit(ImageEdit { cloud_init: Some(false), ..ImageEdit::default() }).unwrap();
    assert_eq!(image.require_cloud_init().unwrap_err().code, Code::CloudInitNotSupported);
}
