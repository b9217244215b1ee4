//! API tokens `imp_<id>_<secret>`, of accounts and of hypervisors.

use std::{collections::BTreeSet, fmt};

use imprint_agent_protocol::Peer;
use imprint_domain::{
    Error,
    account::Scope,
    id::{HypervisorId, TokenId},
    name::Name,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Actor, Op, Page, PageRequest, Service};

/// A token, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its id.
    pub id: TokenId,
    /// For people.
    pub name: Name,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct TokenCreate {
    /// For people.
    pub name: Name,
    /// At least one; only what the actor itself may do, never `agent`.
    pub scopes: BTreeSet<Scope>,
    /// When it ends; `None` never does.
    pub expires_at: Option<Timestamp>,
}

/// A token that was just made.
pub struct TokenCreated {
    /// What is shown of it later.
    pub view: TokenView,
    /// The token itself: shown once, stored as a hash.
    pub token: String,
}

impl fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCreated").field("view", &self.view).finish_non_exhaustive()
    }
}

impl Service {
    /// Who a bearer token belongs to; `unauthenticated`.
    pub async fn token_authenticate(&self, bearer: &str) -> Result<Actor, Error> {
        pending!(bearer)
    }

    /// Which hypervisor's agent a bearer token belongs to; `unauthenticated`.
    pub async fn agent_authenticate(&self, bearer: &str) -> Result<Peer, Error> {
        pending!(bearer)
    }

    /// The account's tokens, oldest first.
    pub async fn token_list(&self, op: &Op, page: &PageRequest) -> Result<Page<TokenView>, Error> {
        pending!(op, page)
    }

    /// Makes a token for the actor's account.
    pub async fn token_create(&self, op: &Op, request: TokenCreate) -> Result<TokenCreated, Error> {
        pending!(op, request)
    }

    /// Revokes a token.
    pub async fn token_delete(&self, op: &Op, id: TokenId) -> Result<(), Error> {
        pending!(op, id)
    }

    /// Makes a token for a hypervisor's agent. Admins only.
    pub async fn agent_token_create(&self, op: &Op, id: HypervisorId) -> Result<TokenCreated, Error> {
        pending!(op, id)
    }
}
