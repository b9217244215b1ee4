//! Media groups: what stock images are shown together (S8, S107 to S109).

use imprint_domain::{
    Code, Error,
    id::MediaGroupId,
    media_group::{MediaGroup, MediaGroupEdit, arrange, require_room},
    name::Name,
    time::Timestamp,
};
use imprint_store::{Conn, StoreError, image, media_group};
use serde::{Deserialize, Serialize};

use crate::{
    Op, Service,
    change::Change,
    db_result::{DbResult, db_error},
    idempotency,
    validate::{check_description, require_version},
};

/// A media group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaGroupView {
    /// The group's id.
    pub id: MediaGroupId,
    /// The label, which is unique.
    pub label: Name,
    /// Human-readable text.
    pub description: String,
    /// The place among all groups, from 0. Customers do not see hidden ones, whose places they
    /// miss.
    pub position: u32,
    /// Whether its images are not offered to customers.
    pub hidden: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// Increases with every change; the ETag.
    pub version: u32,
}

/// A media group to add.
#[derive(Clone, Debug)]
pub struct MediaGroupCreate {
    /// The unique label.
    pub label: Name,
    /// Human-readable text.
    pub description: String,
    /// The place among all groups; `None` is the last.
    pub position: Option<u32>,
    /// Whether its images are not offered to customers.
    pub hidden: bool,
}

pub(crate) fn view(group: &MediaGroup) -> MediaGroupView {
    MediaGroupView {
        id: group.id,
        label: group.label.clone(),
        description: group.description.clone(),
        position: group.position,
        hidden: group.hidden,
        created_at: group.created_at,
        version: group.version,
    }
}

/// Maps the failure of a change whose label may be taken.
fn label_taken(error: StoreError) -> Error {
    match error {
        StoreError::Duplicate(_) => {
            Error::new(Code::NameTaken, "choose another label for the media group").at("/label")
        }
        StoreError::Database(_) | StoreError::Corrupt { .. } | StoreError::File(_) => db_error(&error),
    }
}

/// Reads a media group that must exist.
pub(crate) async fn get(conn: &Conn<'_>, id: MediaGroupId) -> Result<MediaGroup, Error> {
    media_group::get(conn, id).await.db()?.ok_or_else(|| Error::not_found("media group"))
}

/// Writes the groups of a list that have changed, with their events, and returns one of them.
async fn write_changed(
    change: &mut Change<'_>,
    groups: &[MediaGroup],
    changed: &[MediaGroupId],
    shown: MediaGroupId,
) -> Result<MediaGroupView, Error> {
    for group in groups.iter().filter(|group| group.id == shown || changed.contains(&group.id)) {
        media_group::update(&change.tx, group).await.map_err(label_taken)?;
        change.media_group_changed(group.id).await?;
    }
    let found = groups.iter().find(|group| group.id == shown);
    found.map(view).ok_or_else(|| Error::not_found("media group"))
}

impl Service {
    /// Returns all media groups in their order, for customers without the hidden ones.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn media_group_list(&self, op: &Op) -> Result<Vec<MediaGroupView>, Error> {
        op.require_read()?;
        let groups = media_group::all(&self.read()).await.db()?;
        Ok(groups.iter().filter(|group| op.is_admin() || !group.hidden).map(view).collect())
    }

    /// Returns a media group.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is
    /// hidden; an error of the database.
    pub async fn media_group_show(&self, op: &Op, id: MediaGroupId) -> Result<MediaGroupView, Error> {
        op.require_read()?;
        let group = get(&self.read(), id).await?;
        let sees = op.is_admin() || !group.hidden;
        if sees { Ok(view(&group)) } else { Err(Error::not_found("media group")) }
    }

    /// Adds a media group; the groups at and behind its place make room. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::InvalidRequest`] also when there
    /// are as many groups as there may be; [`Code::NameTaken`] for the label of another one; an
    /// error of the database.
    pub async fn media_group_create(
        &self,
        op: &Op,
        request: MediaGroupCreate,
    ) -> Result<MediaGroupView, Error> {
        op.require_admin()?;
        check_description(&request.description)?;
        let mut change = Change::begin(self).await?;
        if let Some(stored) = idempotency::replay(&change, op).await? {
            return Ok(stored);
        }
        let mut groups = media_group::all(&change.conn()).await.db()?;
        require_room(groups.len())?;
        let id = MediaGroupId::new(self.new_uuid());
        let group = MediaGroup {
            id,
            label: request.label,
            description: request.description,
            position: u32::try_from(groups.len()).map_err(Error::internal)?,
            hidden: request.hidden,
            created_at: change.now,
            version: 1,
        };
        media_group::insert(&change.tx, &group).await.map_err(label_taken)?;
        groups.push(group);
        let changed = arrange(&mut groups, request.position.map(|to| (id, to)));
        let answer = write_changed(&mut change, &groups, &changed, id).await?;
        change.audit(op, "media_group.create", id).await?;
        idempotency::remember(&change, op, &answer).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Changes a media group, or its place. `if_match` is the version that the client saw. Admins
    /// only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PreconditionFailed`] for a stale version; [`Code::InvalidRequest`];
    /// [`Code::NameTaken`] for the label of another one; an error of the database.
    pub async fn media_group_update(
        &self,
        op: &Op,
        id: MediaGroupId,
        edit: MediaGroupEdit,
        if_match: Option<u32>,
    ) -> Result<MediaGroupView, Error> {
        op.require_admin()?;
        edit.description.as_deref().map_or(Ok(()), check_description)?;
        let mut change = Change::begin(self).await?;
        let mut groups = media_group::all(&change.conn()).await.db()?;
        let found = groups.iter_mut().find(|group| group.id == id);
        let group = found.ok_or_else(|| Error::not_found("media group"))?;
        require_version(if_match, group.version, "media group")?;
        let moved = edit.position.map(|to| (id, to));
        group.edit(edit);
        let changed = arrange(&mut groups, moved);
        let answer = write_changed(&mut change, &groups, &changed, id).await?;
        change.audit(op, "media_group.update", id).await?;
        change.commit().await?;
        Ok(answer)
    }

    /// Removes a media group that no image is in. `if_match` is the version that the client saw.
    /// Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`];
    /// [`Code::PreconditionFailed`] for a stale version; [`Code::ResourceInUse`] with the number of
    /// its images; an error of the database.
    pub async fn media_group_delete(
        &self,
        op: &Op,
        id: MediaGroupId,
        if_match: Option<u32>,
    ) -> Result<(), Error> {
        op.require_admin()?;
        let mut change = Change::begin(self).await?;
        let mut groups = media_group::all(&change.conn()).await.db()?;
        let group = groups.iter().find(|group| group.id == id);
        let group = group.ok_or_else(|| Error::not_found("media group"))?;
        require_version(if_match, group.version, "media group")?;
        let images = image::count_of_media_group(&change.conn(), id).await.db()?;
        if images > 0 {
            let detail =
                format!("{images} stock images are in the media group; move them to another one first");
            return Err(Error::new(Code::ResourceInUse, detail).with("images", images));
        }
        media_group::delete(&change.tx, id).await.db()?;
        groups.retain(|group| group.id != id);
        for changed in arrange(&mut groups, None) {
            write_changed(&mut change, &groups, &[], changed).await?;
        }
        change.media_group_removed(id).await?;
        change.audit(op, "media_group.delete", id).await?;
        change.commit().await
    }
}
