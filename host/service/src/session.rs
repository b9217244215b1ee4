//! Sessions: a person signs in with a browser or the CLI.

use std::fmt;

use imprint_domain::{Error, id::RequestId, time::Timestamp};

use crate::{AccountView, Actor, Op, Service};

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

impl Service {
    /// Checks name and password and opens a session; `sign_in_failed`, `rate_limited`.
    pub async fn session_create(&self, request: SignIn) -> Result<SignedIn, Error> {
        pending!(request)
    }

    /// Who a session cookie belongs to; `unauthenticated`.
    pub async fn session_authenticate(&self, token: &str) -> Result<Actor, Error> {
        pending!(token)
    }

    /// Ends the actor's own session; nothing to do for tokens.
    pub async fn session_delete(&self, op: &Op) -> Result<(), Error> {
        pending!(op)
    }
}
