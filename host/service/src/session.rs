//! Sessions: a person signs in with a browser or the CLI.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Mutex, PoisonError},
};

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
    AccountView, Actor, Authenticated, Op, Service, account::view as account_view, change::Change, secret,
    service::DbResult,
};

/// A wish to sign in.
pub struct SignIn {
    /// The account's name.
    pub account: String,
    /// Its password.
    pub password: String,
    /// The request.
    pub request_id: RequestId,
}

/// A fresh session.
pub struct SignedIn {
    /// For the cookie; shown once, stored as a hash.
    pub token: String,
    /// Whose it is.
    pub account: AccountView,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn").field("account", &self.account.id).finish_non_exhaustive()
    }
}

/// Failed sign-ins in [`WINDOW_S`], from wherever they came, after which a name must wait. High
/// enough that nobody locks another out by accident; `api` slows down each address long before.
const MAX_FAILURES: u32 = 100;
/// How long failures count, in seconds.
const WINDOW_S: i64 = 300;
/// Names that are remembered at most.
const MAX_NAMES: usize = 10_000;
/// A session's last use is written down this often, in seconds.
const TOUCH_S: i64 = 60;

/// Failed sign-ins by name, in this process.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<String, (u32, Timestamp)>>);

impl Attempts {
    fn check(&self, name: &str, now: Timestamp) -> Result<(), Error> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((count, since)) = failures.get(name) else { return Ok(()) };
        let age = (now - *since).num_seconds();
        if *count < MAX_FAILURES || age >= WINDOW_S {
            return Ok(());
        }
        let wait = WINDOW_S - age;
        Err(Error::new(Code::RateLimited, format!("too many failed sign-ins; try again in {wait} s"))
            .with("retry_after_s", wait))
    }

    fn failed(&self, name: &str, now: Timestamp) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_NAMES {
            failures.retain(|_, (_, since)| (now - *since).num_seconds() < WINDOW_S);
        }
        if failures.len() >= MAX_NAMES {
            failures.clear();
        }
        let entry = failures.entry(name.to_owned()).or_insert((0, now));
        if (now - entry.1).num_seconds() >= WINDOW_S {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }

    fn succeeded(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn unauthenticated() -> Error {
    Error::new(Code::Unauthenticated, "sign in, or send a valid API token")
}

impl Service {
    /// Checks name and password and opens a session; `sign_in_failed`, `rate_limited`.
    pub async fn session_create(&self, request: SignIn) -> Result<SignedIn, Error> {
        let name: String = request.account.trim().chars().take(MAX_NAME_CHARS).collect();
        self.attempts().check(&name, self.now())?;
        let found = account::by_name(&self.read(), &name).await.db()?;
        let hash = found.as_ref().map(|record| record.password_hash.as_str());
        let right = self.passwords().verify(&request.password, hash).await?;
        let Some(record) = found.filter(|_| right) else {
            self.attempts().failed(&name, self.now());
            return Err(Error::new(Code::SignInFailed, "check the account's name and the password"));
        };
        self.attempts().succeeded(&name);
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
        change.commit().await?;
        Ok(SignedIn {
            token: hex::encode(secret),
            account: account_view(&op.actor.account),
            expires_at: session.expires_at,
        })
    }

    /// Who a session cookie belongs to; `unauthenticated`.
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
