//! Shares of images.

use chrono::{DateTime, Utc};
use imprint_domain::{
    id::{ImageId, LocationId, ShareId},
    share::ShareState,
    size::ByteSize,
};
use imprint_service as service;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A share: permission for another account to deploy an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// The id of the share.
    pub id: ShareId,
    /// The image that is shared.
    pub image: ShareImage,
    /// The name of the account that owns the image.
    pub owner: String,
    /// The name of the account that the image is offered to.
    pub recipient: String,
    /// The state of the share.
    pub state: ShareState,
    /// The time of the offer.
    pub offered_at: DateTime<Utc>,
    /// The time when the recipient accepted or rejected it.
    #[schema(required)]
    pub decided_at: Option<DateTime<Utc>>,
    /// The time when it was over.
    #[schema(required)]
    pub ended_at: Option<DateTime<Utc>>,
    /// The time at which it ends by itself; `null` for never.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// What both sides of a share see of its image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShareImage {
    /// The id of the image. The recipient reads the image by it once the share is accepted.
    pub id: ImageId,
    /// The name of the image.
    pub name: String,
    /// The location where the image can be used.
    pub location_id: LocationId,
    /// The size of the disk in bytes, as a guest sees it.
    #[schema(required)]
    pub virtual_size_bytes: Option<u64>,
}

/// A request to share an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareCreate {
    /// The exact name of the account that the image is offered to.
    #[schema(min_length = 1, max_length = 128, example = "acme")]
    pub account: String,
    /// The time at which the share ends by itself, in the future and at most ten years away;
    /// without it, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// The shares with this account to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct IncomingSharesQuery {
    /// Only shares with one of these states, separated by commas: `offered`, `accepted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(example = "offered")]
    pub state: Option<String>,
    /// The number of items of a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// The `next_page_token` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_token: Option<String>,
}

impl From<service::ShareView> for Share {
    fn from(view: service::ShareView) -> Self {
        Self {
            id: view.id,
            image: ShareImage {
                id: view.image.id,
                name: view.image.name.to_string(),
                location_id: view.image.location_id,
                virtual_size_bytes: view.image.virtual_size_bytes.map(ByteSize::bytes),
            },
            owner: view.owner.to_string(),
            recipient: view.recipient.to_string(),
            state: view.state,
            offered_at: view.offered_at,
            decided_at: view.decided_at,
            ended_at: view.ended_at,
            expires_at: view.expires_at,
        }
    }
}
