//! API tokens `imp_<id>_<secret>`, of accounts and of hypervisors.

use std::{collections::BTreeSet, fmt};

use imprint_agent_protocol::Peer;
use imprint_domain::{
    Code, Error,
    account::Scope,
    id::{HypervisorId, TokenId},
    name::Name,
    time::Timestamp,
};
use imprint_store::{
    account, hypervisor,
    token::{self, TokenOwner, TokenRecord},
};
use serde::{Deserialize, Serialize};

use crate::{
    Actor, Authenticated, Op, Page, PageRequest, Service, auth::secret, change::Change, db_result::DbResult,
    page::Listing,
};

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

/// Tokens of one account at most.
const MAX_TOKENS: u32 = 100;

fn view(record: &TokenRecord) -> TokenView {
    TokenView {
        id: record.id,
        name: record.name.clone(),
        scopes: record.scopes.clone(),
        created_at: record.created_at,
        expires_at: record.expires_at,
    }
}

fn unauthenticated() -> Error {
    Error::new(Code::Unauthenticated, "the token is unknown, revoked or expired; create a new one")
}

impl Service {
    async fn token_find(&self, bearer: &str) -> Result<TokenRecord, Error> {
        let (id, digest) = secret::parse_token(bearer).ok_or_else(unauthenticated)?;
        let record = token::get(&self.read(), id).await.db()?.ok_or_else(unauthenticated)?;
        let expired = record.expires_at.is_some_and(|end| end <= self.now());
        if expired || !secret::same(&record.secret_hash, &digest) {
            return Err(unauthenticated());
        }
        Ok(record)
    }

    /// Who a bearer token belongs to; `unauthenticated`.
    pub async fn token_authenticate(&self, bearer: &str) -> Result<Actor, Error> {
        let record = self.token_find(bearer).await?;
        let TokenOwner::Account(id) = record.owner else { return Err(unauthenticated()) };
        let account = account::get(&self.read(), id).await.db()?.ok_or_else(unauthenticated)?.account;
        Ok(Actor { account, scopes: record.scopes, by: Authenticated::Token(record.id) })
    }

    /// Which hypervisor's agent a bearer token belongs to; `unauthenticated`.
    pub async fn agent_authenticate(&self, bearer: &str) -> Result<Peer, Error> {
        let record = self.token_find(bearer).await?;
        match record.owner {
            TokenOwner::Hypervisor(hypervisor_id) => Ok(Peer { hypervisor_id }),
            TokenOwner::Account(_) => Err(unauthenticated()),
        }
    }

    /// The account's tokens, oldest first.
    pub async fn token_list(&self, op: &Op, page: &PageRequest) -> Result<Page<TokenView>, Error> {
        op.require_read()?;
        let listing = Listing::new(page, &format!("tokens {}", op.account_id()))?;
        let rows = token::list(&self.read(), op.account_id(), listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.id)?;
        Ok(Page { items: rows.iter().map(view).collect(), next_page_token })
    }

    /// Makes a token for the actor's account, at most 100 of them. The answer is never stored, so
    /// an idempotency key has no effect here.
    pub async fn token_create(&self, op: &Op, request: TokenCreate) -> Result<TokenCreated, Error> {
        op.require_write()?;
        let invalid = |detail: String| Error::new(Code::InvalidRequest, detail).at("/scopes");
        if request.scopes.is_empty() {
            return Err(invalid("name at least one scope".to_owned()));
        }
        let wrong = request.scopes.iter().find(|scope| !op.actor.scopes.contains(scope));
        if let Some(scope) = wrong {
            return Err(invalid(format!("you do not have the scope `{}` yourself", scope.as_str())));
        }
        if request.expires_at.is_some_and(|end| end <= self.now()) {
            return Err(Error::new(Code::InvalidRequest, "expires_at lies in the past").at("/expires_at"));
        }
        self.require_no_longer(op, request.expires_at).await?;
        let owner = TokenOwner::Account(op.account_id());
        self.token_make(op, owner, request).await
    }

    /// A token made by a token does not outlive it: who finds one has it for its time and no
    /// longer.
    async fn require_no_longer(&self, op: &Op, end: Option<Timestamp>) -> Result<(), Error> {
        let Authenticated::Token(id) = op.actor.by else { return Ok(()) };
        let maker = token::get(&self.read(), id).await.db()?.ok_or_else(unauthenticated)?;
        match (maker.expires_at, end) {
            (None, _) => Ok(()),
            (Some(limit), Some(end)) if end <= limit => Ok(()),
            (Some(_), Some(_) | None) => Err(Error::new(
                Code::InvalidRequest,
                "a token made with a token ends no later than that; sign in to make one that lasts longer",
            )
            .at("/expires_at")),
        }
    }

    async fn token_make(
        &self,
        op: &Op,
        owner: TokenOwner,
        request: TokenCreate,
    ) -> Result<TokenCreated, Error> {
        let secret: [u8; 32] = self.random();
        let change = Change::begin(self).await?;
        if let TokenOwner::Account(id) = owner {
            let have = token::list(&change.conn(), id, None, MAX_TOKENS).await.db()?.len();
            if u32::try_from(have).is_ok_and(|have| have >= MAX_TOKENS) {
                return Err(Error::new(
                    Code::InvalidRequest,
                    format!("an account has at most {MAX_TOKENS} tokens; delete one first"),
                ));
            }
        }
        let record = TokenRecord {
            id: TokenId::new(self.new_uuid()),
            owner,
            name: request.name,
            scopes: request.scopes,
            secret_hash: secret::digest(&secret).to_vec(),
            created_at: change.now,
            expires_at: request.expires_at,
        };
        token::insert(&change.tx, &record).await.db()?;
        change.audit(op, "token.create", record.id).await?;
        change.commit().await?;
        Ok(TokenCreated { view: view(&record), token: secret::token_text(record.id, &secret) })
    }

    /// Revokes a token.
    pub async fn token_delete(&self, op: &Op, id: TokenId) -> Result<(), Error> {
        op.require_write()?;
        let change = Change::begin(self).await?;
        let found = token::get(&change.conn(), id).await.db()?;
        let visible = found.is_some_and(|record| match record.owner {
            TokenOwner::Account(owner) => owner == op.account_id(),
            TokenOwner::Hypervisor(_) => op.is_admin(),
        });
        if !visible {
            return Err(Error::not_found("token"));
        }
        token::delete(&change.tx, id).await.db()?;
        change.audit(op, "token.delete", id).await?;
        change.commit().await
    }

    /// Makes a token for a hypervisor's agent. Admins only.
    pub async fn agent_token_create(&self, op: &Op, id: HypervisorId) -> Result<TokenCreated, Error> {
        op.require_admin()?;
        let found = hypervisor::get(&self.read(), id).await.db()?;
        let name = found.ok_or_else(|| Error::not_found("hypervisor"))?.hypervisor.name;
        let scopes = BTreeSet::from([Scope::Agent]);
        let request = TokenCreate { name, scopes, expires_at: None };
        self.token_make(op, TokenOwner::Hypervisor(id), request).await
    }
}
