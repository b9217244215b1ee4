//! Ids in paths. A text that is not an id of the expected kind is answered with `not_found`.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use imprint_domain::{Error, id};

use crate::problem::ApiError;

/// The ids of resources that have paths.
pub(crate) trait PathId: FromStr + Send {
    /// The noun in messages.
    const NOUN: &'static str;
}

macro_rules! path_ids {
    ($($id:ty = $what:literal),* $(,)?) => {$(impl PathId for $id { const NOUN: &'static str = $what; })*};
}

path_ids! {
    id::AccountId = "account",
    id::ExportId = "export",
    id::HypervisorId = "hypervisor",
    id::ImageId = "image",
    id::InstanceId = "instance",
    id::DiskId = "disk",
    id::IsoId = "ISO",
    id::LocationId = "location",
    id::MediaGroupId = "media group",
    id::ShareId = "share",
    id::SshKeyId = "SSH key",
    id::StorageId = "image storage",
    id::TaskId = "task",
    id::TokenId = "API token",
    id::UserScriptId = "user script",
    id::WebhookId = "webhook",
}

/// The id of a path with one.
pub(crate) struct Id<T>(pub(crate) T);

/// The ids of a path with two.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

impl<T: PathId, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        Ok(Self(parse(params.first())?))
    }
}

impl<A: PathId, B: PathId, S: Send + Sync> FromRequestParts<S> for Ids<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = params(parts, state).await?;
        Ok(Self(parse(params.first())?, parse(params.get(1))?))
    }
}

async fn params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Vec<String>, ApiError> {
    let params =
        RawPathParams::from_request_parts(parts, state).await.map_err(|_| Error::not_found("resource"))?;
    Ok(params.iter().map(|(_, value)| value.to_owned()).collect())
}

fn parse<T: PathId>(text: Option<&String>) -> Result<T, Error> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Error::not_found(T::NOUN))
}
