//! Accounts.

use imprint_domain::{Error, account::Role, id::AccountId, name::Name, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Op, Page, PageRequest, Service};

/// An account, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Its own limit of images.
    pub image_limit: Option<u32>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// A new account.
#[derive(Clone)]
pub struct AccountCreate {
    /// Unique.
    pub name: Name,
    /// 8 to 1024 bytes.
    pub password: String,
    /// What it may do.
    pub role: Role,
    /// Its own limit of images; `None` takes the location's.
    pub image_limit: Option<u32>,
}

/// A change of an account.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccountPatch {
    /// `Some(None)` removes the account's own limit.
    pub image_limit: Option<Option<u32>>,
}

impl Service {
    /// Who am I.
    pub async fn account_current(&self, op: &Op) -> Result<AccountView, Error> {
        pending!(op)
    }

    /// All accounts, oldest first. Admins only.
    pub async fn account_list(&self, op: &Op, page: &PageRequest) -> Result<Page<AccountView>, Error> {
        pending!(op, page)
    }

    /// Creates an account. Admins only; `name_taken`.
    pub async fn account_create(&self, op: &Op, request: AccountCreate) -> Result<AccountView, Error> {
        pending!(op, request)
    }

    /// Changes an account's limit. Admins only.
    pub async fn account_update(
        &self,
        op: &Op,
        id: AccountId,
        patch: AccountPatch,
    ) -> Result<AccountView, Error> {
        pending!(op, id, patch)
    }
}
