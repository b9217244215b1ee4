//! The actor and the id of a request.

use std::collections::BTreeSet;

use imprint_domain::{
    Code, Error,
    account::{Account, Role, Scope},
    id::{AccountId, RequestId, SessionId, TokenId},
};

/// How an actor was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authenticated {
    /// A browser session: API callers must send the CSRF header and `If-Match`.
    Session(SessionId),
    /// An API token.
    Token(TokenId),
    /// The program itself, at its start.
    System,
}

/// The account that makes a request, and what it may do.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The account.
    pub account: Account,
    /// What the session or the token may do.
    pub scopes: BTreeSet<Scope>,
    /// How it was authenticated.
    pub by: Authenticated,
}

/// A client's key for a request that must not happen twice: scope is account, method, path and key,
/// for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// The client's key, 1 to 255 visible characters.
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_hash: [u8; 32],
}

/// One request.
#[derive(Clone, Debug)]
pub struct Op {
    /// The account that makes a request, and what it may do.
    pub actor: Actor,
    /// The id of the request: part of audit rows, tasks and the log.
    pub request_id: RequestId,
    /// The idempotency key of a request that creates something.
    pub idempotency: Option<Idempotency>,
}

impl Op {
    /// Builds a request without an idempotency key.
    pub const fn new(actor: Actor, request_id: RequestId) -> Self {
        Self { actor, request_id, idempotency: None }
    }

    /// Adds the idempotency key.
    #[must_use]
    pub fn with_idempotency(mut self, idempotency: Option<Idempotency>) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// Returns the account of the actor.
    pub const fn account_id(&self) -> AccountId {
        self.actor.account.id
    }

    /// Returns whether the actor sees what belongs to others: an admin whose session or token has
    /// the admin scope.
    pub fn is_admin(&self) -> bool {
        match self.actor.account.role {
            Role::Admin => self.actor.scopes.contains(&Scope::Admin),
            Role::Customer => false,
        }
    }

    /// Returns whether something of `owner` is visible to the actor.
    pub fn sees(&self, owner: AccountId) -> bool {
        self.account_id() == owner || self.is_admin()
    }

    /// Refuses an actor that may not read.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without a scope for images.
    pub fn require_read(&self) -> Result<(), Error> {
        let scopes = &self.actor.scopes;
        if scopes.contains(&Scope::ImagesRead) || scopes.contains(&Scope::ImagesWrite) {
            return Ok(());
        }
        Err(missing(Scope::ImagesRead))
    }

    /// Refuses an actor that may not change anything.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] without the scope `images:write`.
    pub fn require_write(&self) -> Result<(), Error> {
        if self.actor.scopes.contains(&Scope::ImagesWrite) {
            return Ok(());
        }
        Err(missing(Scope::ImagesWrite))
    }

    /// Refuses an actor that is not an admin.
    ///
    /// # Errors
    ///
    /// [`Code::Forbidden`] for customers and without the scope `admin`.
    pub fn require_admin(&self) -> Result<(), Error> {
        match self.actor.account.role {
            Role::Admin if self.actor.scopes.contains(&Scope::Admin) => Ok(()),
            Role::Admin => Err(missing(Scope::Admin)),
            Role::Customer => Err(Error::new(Code::Forbidden, "this needs an admin account")),
        }
    }
}

fn missing(scope: Scope) -> Error {
    Error::new(Code::Forbidden, format!("the token lacks the scope `{}`; create one with it", scope.as_str()))
        .with("scope", scope.as_str())
}
