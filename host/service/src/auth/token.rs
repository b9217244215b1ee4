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

/// The public properties of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// The token's id.
    pub id: TokenId,
    /// The human-readable name.
    pub name: Name,
    /// What the token may do.
    pub scopes: BTreeSet<Scope>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires; `None` never does.
    pub expires_at: Option<Timestamp>,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct TokenCreate {
    /// The human-readable name.
    pub name: Name,
    /// At least one scope; only what the actor itself may do, never `agent`.
    pub scopes: BTreeSet<Scope>,
    /// When it expires; `None` never does.
    pub expires_at: Option<Timestamp>,
}

/// A token that was just created.
pub struct TokenCreated {
    /// The properties that are shown later.
    pub view: TokenView,
    /// The token itself: shown once, stored as a hash.
    pub token: String,
}

impl fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCreated").field("view", &self.view).finish_non_exhaustive()
    }
}

/// The most tokens of one account.
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

    /// Returns the actor that a bearer token belongs to.
    ///
    /// # Errors
    ///
    /// [`Code::NotFound`] for what does not exist or is not visible; [`Code::Unauthenticated`];
    /// an error of the database.
    pub async fn token_authenticate(&self, bearer: &str) -> Result<Actor, Error> {
        let record = self.token_find(bearer).await?;
        let TokenOwner::Account(id) = record.owner else { return Err(unauthenticated()) };
        let account = account::get(&self.read(), id).await.db()?.ok_or_else(unauthenticated)?.account;
        Ok(Actor { account, scopes: record.scopes, by: Authenticated::Token(record.id) })
    }

    /// Returns the hypervisor whose agent a bearer token belongs to.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthenticated`]; an error of the database.
    pub async fn agent_authenticate(&self, bearer: &str) -> Result<Peer, Error> {
        let record = self.token_find(bearer).await?;
        match record.owner {
            TokenOwner::Hypervisor(hypervisor_id) => Ok(Peer { hypervisor_id }),
            TokenOwner::Account(_) => Err(unauthenticated()),
        }
    }

    /// Returns a page of the account's tokens, oldest first.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; an error of the database.
    pub async fn token_list(&self, op: &Op, page: &PageRequest) -> Result<Page<TokenView>, Error> {
        op.require_read()?;
        let listing = Listing::new(page, &format!("tokens {}", op.account_id()))?;
        let rows = token::list(&self.read(), op.account_id(), listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.id)?;
        Ok(Page { items: rows.iter().map(view).collect(), next_page_token })
    }

    /// Creates a token for the actor's account, at most 100. The answer is never stored, so an
    /// idempotency key has no effect here.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::InvalidRequest`]; an error of the database.
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
            return Err(Error::new(Code::InvalidRequest, "expires_at is in the past").at("/expires_at"));
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
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope; [`Code::NotFound`] for what does not exist or is
    /// not visible; an error of the database.
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
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is not visible; an error of the database.
    pub async fn agent_token_create(&self, op: &Op, id: HypervisorId) -> Result<TokenCreated, Error> {
        op.require_admin()?;
        let found = hypervisor::get(&self.read(), id).await.db()?;
        let name = found.ok_or_else(|| Error::not_found("hypervisor"))?.hypervisor.name;
        let scopes = BTreeSet::from([Scope::Agent]);
        let request = TokenCreate { name, scopes, expires_at: None };
        self.token_make(op, TokenOwner::Hypervisor(id), request).await
    }

    /// Returns a page of the tokens of a hypervisor's agent, oldest first. Admins only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or is not visible; an error of the database.
    pub async fn agent_token_list(
        &self,
        op: &Op,
        id: HypervisorId,
        page: &PageRequest,
    ) -> Result<Page<TokenView>, Error> {
        op.require_admin()?;
        let conn = self.read();
        hypervisor::get(&conn, id).await.db()?.ok_or_else(|| Error::not_found("hypervisor"))?;
        let listing = Listing::new(page, &format!("agent tokens {id}"))?;
        let rows = token::of_hypervisor(&conn, id, listing.after()?, listing.rows()).await.db()?;
        let (rows, next_page_token) = listing.page(rows, |record| record.id)?;
        Ok(Page { items: rows.iter().map(view).collect(), next_page_token })
    }

    /// Revokes a token of a hypervisor's agent, which then is refused at its next call. Admins
    /// only.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] unless the actor is an admin; [`Code::NotFound`] for what does not exist
    /// or belongs to another hypervisor; an error of the database.
    pub async fn agent_token_delete(
        &self,
        op: &Op,
        hypervisor_id: HypervisorId,
        id: TokenId,
    ) -> Result<(), Error> {
        op.require_admin()?;
        let change = Change::begin(self).await?;
        let found = token::get(&change.conn(), id).await.db()?;
        if !found.is_some_and(|record| record.owner == TokenOwner::Hypervisor(hypervisor_id)) {
            return Err(Error::not_found("token"));
        }
        token::delete(&change.tx, id).await.db()?;
        change.audit(op, "token.delete", id).await?;
        change.commit().await
    }
}
