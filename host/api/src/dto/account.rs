//! Accounts, sessions and API tokens.

use chrono::{DateTime, Utc};
use imprint_domain::{
    account::{Role, Scope},
    id::{AccountId, TokenId},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{patch::nullable, time::optional_time};

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The id of the account.
    pub id: AccountId,
    /// The name to sign in with.
    pub name: String,
    /// The permissions of the account.
    pub role: Role,
    /// The most images of the account in all locations together; `null` applies the limit of each
    /// location.
    #[schema(required)]
    pub image_limit: Option<u32>,
    /// The most bytes of its images in all locations together; `null` applies the limit of each
    /// location.
    #[schema(required)]
    pub image_bytes_limit: Option<u64>,
    /// The number of its images in all locations.
    pub images_used: u32,
    /// The bytes of its images in all locations. One that is being created takes what it may need.
    pub image_bytes_used: u64,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
}

/// A request to sign in.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionCreate {
    /// The account's name.
    #[schema(min_length = 1, max_length = 128)]
    pub account: String,
    /// The password of the account.
    #[schema(max_length = 1024, format = Password)]
    pub password: String,
}

/// A new session. Its secret is in the cookie `imprint_session` only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The account that signed in.
    pub account: Account,
    /// The time when the session expires at the latest.
    pub expires_at: DateTime<Utc>,
}

/// A request to create an API token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// A human-readable name that says what the token is for.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The permissions of the token; at least one.
    #[schema(min_items = 1, max_items = 8)]
    pub scopes: Vec<Scope>,
    /// The time when the token expires; without it, the token does not expire.
    #[serde(default, deserialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// An API token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The id of the token.
    pub id: TokenId,
    /// A human-readable name that says what the token is for.
    pub name: String,
    /// The permissions of the token.
    pub scopes: Vec<Scope>,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The time when the token expires; `null` if it does not.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A new API token with its secret, which is not shown again.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// The id of the token.
    pub id: TokenId,
    /// A human-readable name that says what the token is for.
    pub name: String,
    /// The permissions of the token.
    pub scopes: Vec<Scope>,
    /// The value for the header `Authorization: Bearer ...`; keep it secret.
    #[schema(example = "imp_<id>_<secret>")]
    pub token: String,
    /// The time of creation.
    pub created_at: DateTime<Utc>,
    /// The time when the token expires; `null` if it does not.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A request to create an account.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountCreate {
    /// The name to sign in with; unique.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The password; at least 8 characters.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    pub password: String,
    /// The permissions of the account.
    pub role: Role,
    /// The most images of the account in all locations together; without it, the limit of each
    /// location applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_limit: Option<u32>,
    /// The most bytes of its images in all locations together; without it, the limit of each
    /// location applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_bytes_limit: Option<u64>,
}

/// A request to change an account (merge patch).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPatch {
    /// The most images of the account in all locations together; `null` applies the limit of each
    /// location.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub image_limit: Option<Option<u32>>,
    /// The most bytes of its images in all locations together; `null` applies the limit of each
    /// location.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub image_bytes_limit: Option<Option<u64>>,
}
