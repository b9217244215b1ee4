//! What users change of an image, and what they read and search.

use super::{
    Image, ImageKind, ImageStatus,
    catalogue::{CatalogueEdit, Deprecation, OsType},
};
use crate::{
    error::{Code, Error},
    metadata::MetadataEdit,
    name::Name,
    search::searched_text,
    tag::{Tag, Tags},
};

/// A change of what a user may change; `None` keeps a property.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageEdit {
    /// The new name.
    pub name: Option<Name>,
    /// The new description.
    pub description: Option<String>,
    /// The new tags, instead of the old ones.
    pub tags: Option<Tags>,
    /// Whether it cannot be deleted from now on.
    pub protected: Option<bool>,
    /// The keys of the metadata that change.
    pub metadata: MetadataEdit,
    /// The new operating system.
    pub os_type: Option<OsType>,
    /// Whether its system takes SSH keys and user scripts at its first boot from now on.
    pub cloud_init: Option<bool>,
    /// How it is offered from now on; of stock images only.
    pub catalogue: CatalogueEdit,
}

/// The sentence for an image that could not be removed, instead of that of its status.
const REMOVAL_FAILED: &str = "Image could not be removed -- check tasks for details";

impl Image {
    /// Changes what a user may change.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidTransition`] when an image is to be protected that is being removed, and
    /// [`Code::InvalidRequest`] for metadata that it cannot have, an entry of the catalogue that it
    /// cannot have, or an image that replaces itself; then nothing is changed.
    pub fn edit(&mut self, edit: ImageEdit) -> Result<(), Error> {
        if edit.protected == Some(true) && self.0.status == ImageStatus::Deleting {
            return Err(
                Error::new(Code::InvalidTransition, "the image is being removed already").at("/protected")
            );
        }
        let mut catalogue = self.0.catalogue.clone();
        if !edit.catalogue.is_empty() {
            self.require_stock()?;
            catalogue.edit(edit.catalogue)?;
            if catalogue.deprecation.as_ref().and_then(Deprecation::replacement) == Some(self.0.id) {
                let detail = "an image is not replaced by itself; name another one";
                return Err(Error::new(Code::InvalidRequest, detail).at("/deprecation/replacement_id"));
            }
        }
        self.0
            .metadata
            .edit(edit.metadata)
            .map_err(|(key, error)| Error::new(Code::InvalidRequest, error).at(format!("/metadata/{key}")))?;
        self.0.catalogue = catalogue;
        if let Some(os_type) = edit.os_type {
            self.0.guest.os_type = os_type;
        }
        if let Some(cloud_init) = edit.cloud_init {
            self.0.guest.cloud_init = cloud_init;
        }
        if let Some(name) = edit.name {
            self.0.name = name;
        }
        if let Some(description) = edit.description {
            self.0.description = description;
        }
        if let Some(tags) = edit.tags {
            self.0.tags = tags;
        }
        if let Some(protected) = edit.protected {
            self.0.protected = protected;
        }
        self.count_version();
        Ok(())
    }

    /// Refuses to offer a captured image in the catalogue.
    fn require_stock(&self) -> Result<(), Error> {
        match self.0.kind {
            ImageKind::Stock => Ok(()),
            ImageKind::Custom => {
                let detail = "only stock images have a media group, a family, a notice or are hidden";
                Err(Error::new(Code::InvalidRequest, detail))
            }
        }
    }

    /// Refuses to delete a protected image.
    ///
    /// # Errors
    ///
    /// [`Code::ImageProtected`].
    pub fn require_unprotected(&self) -> Result<(), Error> {
        if self.0.protected {
            return Err(Error::new(
                Code::ImageProtected,
                "switch its delete protection off first: set `protected` to false",
            ));
        }
        Ok(())
    }

    /// Returns the sentence for the status; it says so when the image could not be removed.
    pub const fn status_text(&self) -> &'static str {
        if self.0.removal_failed { REMOVAL_FAILED } else { self.0.status.description() }
    }

    /// Returns what searches for images are compared with: name, description, source instance and
    /// tags.
    pub fn searched_text(&self) -> String {
        let source = self.0.source.as_ref().map(|source| source.instance_name.as_str());
        let tags = self.0.tags.iter().map(Tag::as_str);
        searched_text([self.0.name.as_str(), &self.0.description].into_iter().chain(source).chain(tags))
    }
}
