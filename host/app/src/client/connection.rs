//! Builds a client from flags, variables and the kept credentials.

use super::{
    api::Api,
    args::Connection,
    credentials::{Credentials, normalize},
    failure::Failure,
    output::Output,
};

impl Connection {
    /// Returns the client and how its answers are printed.
    ///
    /// # Errors
    ///
    /// See [`Self::api`].
    pub(crate) fn open(&self) -> Result<(Api, Output), Failure> {
        Ok((self.api()?, Output::new(self.output)))
    }

    /// Returns the client. An empty variable counts as one that is not set.
    ///
    /// # Errors
    ///
    /// The address or the token is malformed, no server is named, or no token is kept for it.
    pub(crate) fn api(&self) -> Result<Api, Failure> {
        let server = given(self.server.as_deref()).map(normalize).transpose()?;
        if let Some(token) = given(self.token.as_deref()) {
            let server = match server {
                Some(server) => server,
                None => Credentials::read()?.map(|kept| kept.server).ok_or_else(|| {
                    Failure::Usage("name the server with --server or IMPRINT_SERVER".to_owned())
                })?,
            };
            return Api::new(server, Some(token));
        }
        let not_signed_in =
            |what: &str| Failure::NotSignedIn(format!("{what}: sign in with `imprint login` first"));
        let kept = Credentials::read()?.ok_or_else(|| not_signed_in("no token is kept"))?;
        match server {
            // A token is sent to the server that it is for, and to no other.
            Some(server) if server != kept.server => {
                Err(not_signed_in(&format!("the kept token is for {}, not for {server}", kept.server)))
            }
            Some(_) | None => Api::new(kept.server, Some(&kept.token)),
        }
    }
}

fn given(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.trim().is_empty())
}
