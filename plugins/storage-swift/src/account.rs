//! Requests to the account: signed in, and signed in again when the token has expired.

use imprint_plugin_sdk::{
    error::{Error, Result},
    host::HttpStorageHost,
    http::{Auth, Request, Response, objects::encode},
};

use crate::{
    failure::failure,
    settings::Settings,
    signin::{TOKEN, storage_url},
};

/// Status codes after which a request is repeated by the host.
const RETRY: [u16; 7] = [408, 429, 498, 500, 502, 503, 504];
/// The most bytes of an error document.
const ERROR: u32 = 16 << 10;

/// An account of the object store.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) settings: Settings,
}

/// Returns the path of a container, below the address of the account.
pub(crate) fn container_path(container: &str) -> String {
    format!("/{}", encode(container, false))
}

/// Returns the path of an object, below the address of the account.
pub(crate) fn object_path(container: &str, name: &str) -> String {
    format!("/{}/{}", encode(container, false), encode(name, true))
}

impl Account {
    /// Returns the address of the account, after signing in where that is needed.
    pub(crate) fn url(&self, host: &dyn HttpStorageHost) -> Result<String> {
        storage_url(host, &self.settings)
    }

    /// Returns a request with the token; `path` is encoded and begins with a slash or a question
    /// mark.
    pub(crate) fn request(&self, url: &str, method: &str, path: &str) -> Request {
        let auth = Auth::new("headers").secret("x-auth-token", TOKEN);
        Request::new(method, format!("{url}{path}")).auth(auth).retry_on(&RETRY).max_response(ERROR)
    }

    /// Sends a request, whatever its answer. An expired token is replaced once.
    pub(crate) fn ask(
        &self,
        host: &dyn HttpStorageHost,
        method: &str,
        path: &str,
        complete: &dyn Fn(Request) -> Request,
    ) -> Result<Response> {
        let mut again = false;
        loop {
            let url = self.url(host)?;
            let request = complete(self.request(&url, method, path));
            let answer = host.send(&request).map_err(|error| not_permitted(&url, error))?;
            if answer.status != 401 || again {
                return Ok(answer);
            }
            again = true;
        }
    }

    /// Sends a request for which another status than the expected ones is an error.
    pub(crate) fn send(
        &self,
        host: &dyn HttpStorageHost,
        method: &str,
        path: &str,
        expected: &[u16],
        complete: &dyn Fn(Request) -> Request,
    ) -> Result<Response> {
        let answer = self.ask(host, method, path, complete)?;
        if expected.contains(&answer.status) { Ok(answer) } else { Err(failure(&answer)) }
    }
}

/// Says what to do about an address that the sign-in names and the settings do not.
fn not_permitted(url: &str, error: Error) -> Error {
    if error.code != "net.address" {
        return error;
    }
    let message = format!(
        "the sign-in names the object store {url}, which is not permitted: set that server as \"endpoint\", or its \
         domain as \"catalogue-domain\""
    );
    Error { message, ..error }.about_setting("endpoint")
}
