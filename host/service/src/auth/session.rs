//! Sessions of the browser and the CLI.

use std::{collections::BTreeSet, fmt};

use chrono::TimeDelta;
use imprint_domain::{
    Code, Error,
    id::{RequestId, SessionId},
    name::MAX_NAME_CHARS,
    time::Timestamp,
};
use imprint_store::{
    account,
    session::{self, SessionRecord},
};

use crate::{
    AccountView, Actor, Authenticated, Op, Service,
    auth::{account::view as account_view, secret},
    change::Change,
    db_result::DbResult,
    rate_limit::RetryAfter,
};

/// A request to sign in.
pub struct SignIn {
    /// The account's name.
    pub account: String,
    /// The account's password.
    pub password: String,
    /// The id of the request.
    pub request_id: RequestId,
}

/// A fresh session.
pub struct SignedIn {
    /// The session's secret, for the cookie: shown once, stored as a hash.
    pub token: String,
    /// The account that signed in.
    pub account: AccountView,
    /// When the session ends at the latest.
    pub expires_at: Timestamp,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("account", &self.account.id).finish_non_exhaustive()
    }
}

/// Failed sign-ins in one window, from any address, after which a name has to wait. It is so high
/// that an account is not locked out by accident; `api` slows down each address long before.
const MAX_FAILURES: u32 = 100;
/// The interval at which a session's last use is written, in seconds.
const TOUCH_S: i64 = 60;

fn unauthenticated() -> Error {
    Error::new(Code::Unauthenticated, "sign in, or send a valid API token")
}

impl Service {
    /// Checks name and password and opens a session.
    ///
    /// # Errors
    ///
    /// [`Code::SignInFailed`], or [`Code::RateLimited`] after too many failures.
    pub async fn session_create(&self, request: SignIn) -> Result<SignedIn, Error> {
        let name: String = request.account.trim().chars().take(MAX_NAME_CHARS).collect();
        self.sign_in_failures().check(&name, MAX_FAILURES, self.now()).map_err(|RetryAfter(wait)| {
            Error::new(Code::RateLimited, format!("too many failed sign-ins; try again in {wait} s"))
                .with("retry_after_s", wait)
        })?;
        let found = account::by_name(&self.read(), &name).await.db()?;
        let hash = found.as_ref().map(|record| record.password_hash.as_str());
        let right = self.passwords().verify(&request.password, hash).await?;
        let Some(record) = found.filter(|_| right) else {
            self.sign_in_failures().count(name, self.now());
            return Err(Error::new(Code::SignInFailed, "check the account's name and the password"));
        };
        self.sign_in_failures().forget(&name);
        let secret: [u8; 32] = self.random();
        let change = Change::begin(self).await?;
        let session = SessionRecord {
            id: SessionId::new(self.new_uuid()),
            account_id: record.account.id,
            secret_hash: secret::digest(&secret),
            created_at: change.now,
            last_seen_at: change.now,
            expires_at: change.now + TimeDelta::seconds(self.settings().session_absolute_s),
        };
        session::insert(&change.tx, &session).await.db()?;
        let actor = Actor {
            account: record.account,
            scopes: BTreeSet::new(),
            by: Authenticated::Session(session.id),
        };
        let op = Op::new(actor, request.request_id);
        change.audit(&op, "session.create", session.id).await?;
        let account = account_view(&change.conn(), &op.actor.account).await?;
        change.commit().await?;
        Ok(SignedIn { token: hex::encode(secret), account, expires_at: session.expires_at })
    }

    /// Returns the actor that a session cookie belongs to.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthenticated`] when the session is unknown or over.
    pub async fn session_authenticate(&self, token: &str) -> Result<Actor, Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(token, &mut bytes).map_err(|_| unauthenticated())?;
        let found = session::by_hash(&self.read(), &secret::digest(&bytes)).await.db()?;
        let session = found.ok_or_else(unauthenticated)?;
        let now = self.now();
        let idle = (now - session.last_seen_at).num_seconds();
        if session.expires_at <= now || idle >= self.settings().session_idle_s {
            return Err(unauthenticated());
        }
        if idle >= TOUCH_S {
            let change = Change::begin(self).await?;
            session::touch(&change.tx, session.id, now).await.db()?;
            change.commit().await?;
        }
        let record = account::get(&self.read(), session.account_id).await.db()?;
        let account = record.ok_or_else(unauthenticated)?.account;
        let scopes = account.role.scopes();
        Ok(Actor { account, scopes, by: Authenticated::Session(session.id) })
    }

    /// Ends the actor's own session; nothing to do for tokens.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn session_delete(&self, op: &Op) -> Result<(), Error> {
        match op.actor.by {
            Authenticated::Session(id) => {
                let change = Change::begin(self).await?;
                session::delete(&change.tx, id).await.db()?;
                change.audit(op, "session.delete", id).await?;
                change.commit().await
            }
            Authenticated::Token(_) | Authenticated::System => Ok(()),
        }
    }
}
