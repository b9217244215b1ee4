//! Media groups: labelled sets of stock images that are shown together when an instance is created
//! (S8, S107 to S109).

use crate::{
    error::{Code, Error},
    id::MediaGroupId,
    name::Name,
    time::Timestamp,
};

/// The most media groups: all of them are shown together.
pub const MAX_MEDIA_GROUPS: usize = 100;

/// A labelled set of stock images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaGroup {
    /// The group's id.
    pub id: MediaGroupId,
    /// The label, which is unique: "Linux", "Windows", ...
    pub label: Name,
    /// Human-readable text.
    pub description: String,
    /// The place among all groups: 0 is shown first, and no place is left out.
    pub position: u32,
    /// Whether its images are not offered to customers (S109).
    pub hidden: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// Increases with every change; the ETag.
    pub version: u32,
}

/// A change of a media group; `None` keeps a property.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaGroupEdit {
    /// The new label.
    pub label: Option<Name>,
    /// The new description.
    pub description: Option<String>,
    /// The new place; one behind the last is taken as the last.
    pub position: Option<u32>,
    /// Whether its images are not offered to customers from now on.
    pub hidden: Option<bool>,
}

impl MediaGroup {
    /// Changes what an admin may change, except for the place: that is [`arrange`]'s.
    pub fn edit(&mut self, edit: MediaGroupEdit) {
        if let Some(label) = edit.label {
            self.label = label;
        }
        if let Some(description) = edit.description {
            self.description = description;
        }
        if let Some(hidden) = edit.hidden {
            self.hidden = hidden;
        }
        self.version = self.version.saturating_add(1);
    }
}

/// Refuses one more group than are shown together.
///
/// # Errors
///
/// [`Code::InvalidRequest`].
pub fn require_room(groups: usize) -> Result<(), Error> {
    if groups < MAX_MEDIA_GROUPS {
        return Ok(());
    }
    let detail = format!("there are at most {MAX_MEDIA_GROUPS} media groups; delete one first");
    Err(Error::new(Code::InvalidRequest, detail))
}

/// Puts the groups in the order of their places, with `moved` at its new place if it is one of
/// them, and numbers the places anew. A group whose place changes by that counts a new version,
/// except for `moved` itself, whose change is counted by [`MediaGroup::edit`].
///
/// Returns the groups that have changed, without `moved`.
pub fn arrange(groups: &mut Vec<MediaGroup>, moved: Option<(MediaGroupId, u32)>) -> Vec<MediaGroupId> {
    groups.sort_by_key(|group| (group.position, group.id));
    let at = moved.and_then(|(id, _)| groups.iter().position(|group| group.id == id));
    if let (Some(at), Some((_, to))) = (at, moved) {
        let group = groups.remove(at);
        let to = usize::try_from(to).unwrap_or(usize::MAX).min(groups.len());
        groups.insert(to, group);
    }
    let mut changed = Vec::new();
    for (place, group) in (0..).zip(groups.iter_mut()) {
        if group.position == place {
            continue;
        }
        group.position = place;
        if moved.is_none_or(|(id, _)| id != group.id) {
            group.version = group.version.saturating_add(1);
            changed.push(group.id);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn group(number: u32, label: &str) -> MediaGroup {
        MediaGroup {
            id: MediaGroupId::new(Uuid::from_u128(number.into())),
            label: Name::parse(label).unwrap(),
            description: String::new(),
            position: number,
            hidden: false,
            created_at: Timestamp::UNIX_EPOCH,
            version: 1,
        }
    }

    fn three() -> Vec<MediaGroup> {
        vec![group(0, "Linux"), group(1, "Windows"), group(2, "BSD")]
    }

    fn labels(groups: &[MediaGroup]) -> Vec<(&str, u32, u32)> {
        groups.iter().map(|group| (group.label.as_str(), group.position, group.version)).collect()
    }

    #[test]
    fn a_group_moves_and_the_others_make_room() {
        let mut groups = three();
        let bsd = groups[2].id;
        let changed = arrange(&mut groups, Some((bsd, 0)));
        assert_eq!(labels(&groups), [("BSD", 0, 1), ("Linux", 1, 2), ("Windows", 2, 2)]);
        assert_eq!(changed.len(), 2);
        let changed = arrange(&mut groups, Some((bsd, 1)));
        assert_eq!(labels(&groups), [("Linux", 0, 3), ("BSD", 1, 1), ("Windows", 2, 2)]);
        assert_eq!(changed.len(), 1);
        arrange(&mut groups, Some((bsd, 77)));
        assert_eq!(labels(&groups), [("Linux", 0, 3), ("Windows", 1, 3), ("BSD", 2, 1)]);
        assert_eq!(arrange(&mut groups, Some((bsd, 2))), []);
    }

    #[test]
    fn no_place_is_left_out_after_a_removal() {
        let mut groups = three();
        groups.remove(1);
        assert_eq!(arrange(&mut groups, None).len(), 1);
        assert_eq!(labels(&groups), [("Linux", 0, 1), ("BSD", 1, 2)]);
    }

    #[test]
    fn an_edit_changes_what_it_names() {
        let mut linux = group(0, "Linux");
        linux.edit(MediaGroupEdit { hidden: Some(true), ..MediaGroupEdit::default() });
        assert!(linux.hidden && linux.label.as_str() == "Linux" && linux.version == 2);
        linux.edit(MediaGroupEdit {
            label: Some(Name::parse("Unix").unwrap()),
            description: Some("Linux and BSD".to_owned()),
            ..MediaGroupEdit::default()
        });
        assert_eq!((linux.label.as_str(), linux.description.as_str()), ("Unix", "Linux and BSD"));
        assert!(linux.hidden && linux.version == 3);
    }

    #[test]
    fn the_groups_that_are_shown_together_are_bounded() {
        require_room(MAX_MEDIA_GROUPS - 1).unwrap();
        assert_eq!(require_room(MAX_MEDIA_GROUPS).unwrap_err().code, Code::InvalidRequest);
    }
}
