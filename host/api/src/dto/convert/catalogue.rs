//! Conversions of media groups, and of how stock images are offered.

use imprint_service as service;

use crate::dto::{image, media_group, stock_image};

impl From<service::MediaGroupView> for media_group::MediaGroup {
    fn from(view: service::MediaGroupView) -> Self {
        Self {
            id: view.id,
            label: view.label.to_string(),
            description: view.description,
            position: view.position,
            hidden: view.hidden,
            created_at: view.created_at,
            version: view.version,
        }
    }
}

impl From<service::CatalogueView> for image::ImageCatalogue {
    fn from(view: service::CatalogueView) -> Self {
        let deprecation = |found: service::DeprecationView| stock_image::Deprecation {
            notice: found.notice,
            replacement_id: found.replacement_id,
        };
        Self {
            media_group_id: view.media_group_id,
            family: view.family.map(Into::into),
            family_version: view.family_version.map(Into::into),
            latest: view.latest,
            deprecation: view.deprecation.map(deprecation),
            hidden: view.hidden,
        }
    }
}
