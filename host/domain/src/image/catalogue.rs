//! How stock images are offered: their media group, their family, their end of life; and what the
//! system of an image can do at its first boot (S103 to S106).

use std::{cmp::Ordering, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{Image, ImageKind, ImageStatus};
use crate::{
    checked_text::checked_text,
    error::{Code, Error},
    id::{ImageId, LocationId, MediaGroupId},
    name::hides_or_controls,
    string_enum::string_enum,
    windows::DeclaredOs,
};

/// The longest name of a family, and the longest version, in characters.
pub const MAX_FAMILY_CHARS: usize = 64;

/// The longest notice of a deprecated image, in characters.
pub const MAX_NOTICE_CHARS: usize = 512;

string_enum! {
    /// The operating system of an image.
    pub enum OsType {
        /// A distribution of Linux.
        Linux = "linux",
        /// Microsoft Windows.
        Windows = "windows",
        /// FreeBSD, OpenBSD and their kin.
        Bsd = "bsd",
        /// Any other one, or not known.
        Other = "other",
    }
}

impl From<DeclaredOs> for OsType {
    fn from(os: DeclaredOs) -> Self {
        match os {
            DeclaredOs::Linux => Self::Linux,
            DeclaredOs::Windows => Self::Windows,
            DeclaredOs::Other => Self::Other,
        }
    }
}

/// What the system of an image is, and whether it takes what a deployment gives it. Instances have
/// it from their image, and images from the instance that they were captured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSystem {
    /// The operating system.
    pub os_type: OsType,
    /// Whether cloud-init, or what understands the same, runs at its first boot: it sets SSH keys
    /// and runs user scripts (S104).
    pub cloud_init: bool,
}

impl Default for GuestSystem {
    /// A system that nothing is known of. It gets what a deployment has for it: a system without
    /// cloud-init ignores that.
    fn default() -> Self {
        Self { os_type: OsType::Other, cloud_init: true }
    }
}

/// Why a text is neither the name of a family nor a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_FAMILY_CHARS} of {allowed}, the first a letter or a digit")]
pub struct InvalidFamily {
    allowed: &'static str,
}

fn check(text: &str, allowed: &'static str, extra: fn(char) -> bool) -> Result<(), InvalidFamily> {
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || (c.is_ascii_alphabetic() && extra(c)));
    let fits = text.len() <= MAX_FAMILY_CHARS;
    let all = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '_') || extra(c));
    if begins && fits && all { Ok(()) } else { Err(InvalidFamily { allowed }) }
}

fn check_family(text: &str) -> Result<(), InvalidFamily> {
    check(text, "`a` to `z`, `0` to `9`, `.`, `-` and `_`", |c| c.is_ascii_lowercase())
}

fn check_version(text: &str) -> Result<(), InvalidFamily> {
    check(text, "letters, digits, `.`, `-`, `_` and `+`", |c| c.is_ascii_alphabetic() || c == '+')
}

checked_text! {
    check_family, InvalidFamily;
    /// The name of a family: what its images are versions of, such as `debian-12`.
    ImageFamily;
}

checked_text! {
    check_version, InvalidFamily;
    /// The version of an image within its family, such as `20241001` or `12.7`.
    FamilyVersion;
}

impl FamilyVersion {
    /// Compares two versions: sequences of digits as numbers, the rest byte by byte. So `12.10` is
    /// later than `12.9`, and `12.9-1` later than `12.9`.
    pub fn compare(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.as_str(), other.as_str());
        while !left.is_empty() && !right.is_empty() {
            let ((l, l_rest), (r, r_rest)) = (split_run(left), split_run(right));
            let order = compare_runs(l, r);
            if order.is_ne() {
                return order;
            }
            (left, right) = (l_rest, r_rest);
        }
        // `01` and `1` are the same number; the text decides, so that the order is total.
        left.cmp(right).then_with(|| self.as_str().cmp(other.as_str()))
    }
}

/// Splits off the digits at the start of a text, or what comes before its first digit.
fn split_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn compare_runs(left: &str, right: &str) -> Ordering {
    let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if !number(left) || !number(right) {
        return left.cmp(right);
    }
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// A family and the version that an image is of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The family.
    pub family: ImageFamily,
    /// The version.
    pub version: FamilyVersion,
}

/// The notice of an image that should not be used for new instances any more, though it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deprecation {
    notice: String,
    replacement: Option<ImageId>,
}

impl Deprecation {
    /// Checks the text of a notice; surrounding white space is removed.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] when nothing is left, when it is longer than 512 characters, or
    /// when it has control or invisible characters.
    pub fn new(notice: &str, replacement: Option<ImageId>) -> Result<Self, Error> {
        let notice = notice.trim();
        let fits = (1..=MAX_NOTICE_CHARS).contains(&notice.chars().count());
        if !fits || notice.chars().any(|c| c != '\n' && hides_or_controls(c)) {
            let detail = format!(
                "a notice has 1 to {MAX_NOTICE_CHARS} characters, and no control or invisible characters"
            );
            return Err(Error::new(Code::InvalidRequest, detail));
        }
        Ok(Self { notice: notice.to_owned(), replacement })
    }

    /// Returns the text of the notice.
    pub fn notice(&self) -> &str {
        &self.notice
    }

    /// Returns the image to use instead.
    pub const fn replacement(&self) -> Option<ImageId> {
        self.replacement
    }
}

/// How a stock image is offered to customers. Captured images have none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The media group that it is shown in.
    pub media_group_id: Option<MediaGroupId>,
    /// The family that it is a version of.
    pub edition: Option<Edition>,
    /// Why it should not be used for new instances any more.
    pub deprecation: Option<Deprecation>,
    /// Whether customers neither see nor deploy it.
    pub hidden: bool,
}

/// A change of how a stock image is offered; `None` keeps a property.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogueEdit {
    /// The new media group; `Some(None)` takes it out of its group.
    pub media_group_id: Option<Option<MediaGroupId>>,
    /// The new family; `Some(None)` takes it out of its family, with its version.
    pub family: Option<Option<ImageFamily>>,
    /// The new version within the family.
    pub version: Option<FamilyVersion>,
    /// The new notice; `Some(None)` removes it.
    pub deprecation: Option<Option<Deprecation>>,
    /// Whether customers neither see nor deploy it from now on.
    pub hidden: Option<bool>,
}

impl CatalogueEdit {
    /// Returns whether the edit changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl CatalogueEntry {
    /// Changes how an image is offered.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for a family without a version, or a version without a family;
    /// then nothing is changed.
    pub fn edit(&mut self, edit: CatalogueEdit) -> Result<(), Error> {
        let (family, version) = match self.edition.clone() {
            Some(Edition { family, version }) => (Some(family), Some(version)),
            None => (None, None),
        };
        let is_removed = edit.family == Some(None);
        let family = edit.family.unwrap_or(family);
        let version = edit.version.or(version.filter(|_| !is_removed));
        self.edition = match (family, version) {
            (Some(family), Some(version)) => Some(Edition { family, version }),
            (None, None) => None,
            (Some(_), None) => {
                let detail = "an image of a family has a version: give `family_version`, too";
                return Err(Error::new(Code::InvalidRequest, detail).at("/family_version"));
            }
            (None, Some(_)) => {
                let detail = "only an image of a family has a version: give `family`, too";
                return Err(Error::new(Code::InvalidRequest, detail).at("/family_version"));
            }
        };
        if let Some(group) = edit.media_group_id {
            self.media_group_id = group;
        }
        if let Some(deprecation) = edit.deprecation {
            self.deprecation = deprecation;
        }
        if let Some(hidden) = edit.hidden {
            self.hidden = hidden;
        }
        Ok(())
    }
}

impl Image {
    /// Returns whether customers see and may deploy a stock image; `group_is_hidden` is of its
    /// media group, if it is in one. Captured images are not offered.
    pub fn is_offered(&self, group_is_hidden: bool) -> bool {
        let in_hidden_group = self.0.catalogue.media_group_id.is_some() && group_is_hidden;
        self.0.kind == ImageKind::Stock && !self.0.catalogue.hidden && !in_hidden_group
    }

    /// Returns whether a deployment by the image's family may take it: it is offered, available,
    /// and not deprecated.
    pub fn is_current(&self, group_is_hidden: bool) -> bool {
        self.is_offered(group_is_hidden)
            && self.0.status == ImageStatus::Available
            && self.0.catalogue.edition.is_some()
            && self.0.catalogue.deprecation.is_none()
    }

    /// Refuses to hand SSH keys or a user script to a system without cloud-init (S67).
    ///
    /// # Errors
    ///
    /// [`Code::CloudInitNotSupported`].
    pub fn require_cloud_init(&self) -> Result<(), Error> {
        if self.0.guest.cloud_init {
            return Ok(());
        }
        Err(Error::new(
            Code::CloudInitNotSupported,
            "its system takes neither SSH keys nor a user script at its first boot; leave them out, or change \
             the image if it does take them",
        ))
    }
}

/// A version of a family that can be deployed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyMember {
    /// The image.
    pub image_id: ImageId,
    /// The location of the image: each has a latest version of its own.
    pub location_id: LocationId,
    /// The family and the version.
    pub edition: Edition,
}

/// Returns the latest version of each family in each location. `members` are those that a
/// deployment may take.
pub fn latest_versions(members: Vec<FamilyMember>) -> BTreeMap<(ImageFamily, LocationId), FamilyMember> {
    let mut latest: BTreeMap<(ImageFamily, LocationId), FamilyMember> = BTreeMap::new();
    for member in members {
        let key = (member.edition.family.clone(), member.location_id);
        let is_later = latest.get(&key).is_none_or(|found| {
            let order = member.edition.version.compare(&found.edition.version);
            order.then(member.image_id.cmp(&found.image_id)).is_gt()
        });
        if is_later {
            latest.insert(key, member);
        }
    }
    latest
}

/// Chooses the image of a family to deploy, in a location if one is named.
///
/// # Errors
///
/// [`Code::NotFound`] when no version can be deployed; [`Code::InvalidRequest`] when the family is
/// in several locations and none is named.
pub fn choose_latest(members: Vec<FamilyMember>, location: Option<LocationId>) -> Result<ImageId, Error> {
    let mut latest = latest_versions(members);
    latest.retain(|(_, at), _| location.is_none_or(|wanted| wanted == *at));
    let mut found = latest.into_values();
    match (found.next(), found.next()) {
        (Some(member), None) => Ok(member.image_id),
        (None, _) => Err(Error::new(
            Code::NotFound,
            "no image of this family can be deployed there: it has no version that is available, \
             not deprecated and not hidden",
        )
        .at("/family")),
        (Some(_), Some(_)) => {
            let detail = "the family is in several locations; name one of them with `location_id`";
            Err(Error::new(Code::InvalidRequest, detail).at("/location_id"))
        }
    }
}

#[cfg(test)]
mod tests;
