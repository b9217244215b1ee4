//! Accounts, sessions and API tokens.

use chrono::{DateTime, Utc};
use imprint_domain::{
    account::{Role, Scope},
    id::{AccountId, TokenId},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::nullable;

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its id.
    #[schema(value_type = String, example = "acc_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: AccountId,
    /// What its owner signs in with.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Images that it may have in each location; `null` takes the location's limit.
    #[schema(required)]
    pub image_limit: Option<u32>,
    /// When it came to be.
    pub created_at: DateTime<Utc>,
}

/// Signs in.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionCreate {
    /// The account's name.
    #[schema(max_length = 128)]
    pub account: String,
    /// Its password.
    #[schema(max_length = 1024, format = Password)]
    pub password: String,
}

/// A new session; its secret is in the cookie `imprint_session` alone.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Who signed in.
    pub account: Account,
    /// When the session ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// Makes an API token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// For people: what the token is for.
    #[schema(max_length = 128)]
    pub name: String,
    /// What it may do; at least one.
    #[schema(min_items = 1, max_items = 8)]
    pub scopes: Vec<Scope>,
    /// When it ends; without it, never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// An API token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    #[schema(value_type = String, example = "tok_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends; `null` for never.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A new API token with its secret, which is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// Its id.
    #[schema(value_type = String, example = "tok_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11")]
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Goes into the header `Authorization: Bearer ...`; keep it secret.
    #[schema(example = "imp_<id>_<secret>")]
    pub token: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends; `null` for never.
    #[schema(required)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes an account.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountCreate {
    /// What its owner signs in with; unique.
    #[schema(max_length = 128)]
    pub name: String,
    /// Its password; at least 8 characters.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    pub password: String,
    /// What it may do.
    pub role: Role,
    /// Images that it may have in each location; without it, the location's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_limit: Option<u32>,
}

/// Changes an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountPatch {
    /// Images that it may have in each location; `null` takes the location's limit.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub image_limit: Option<Option<u32>>,
}
