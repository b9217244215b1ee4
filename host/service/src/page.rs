//! Pages by key: an opaque token says after which row the next page begins, and of which list.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use imprint_domain::{Code, Error};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// Items of a page unless the request says otherwise.
pub const DEFAULT_PAGE: u32 = 50;

/// The most items of a page.
pub const MAX_PAGE: u32 = 500;

/// The longest token that is parsed, in bytes.
const MAX_TOKEN: usize = 2048;

/// The version of the token.
const VERSION: u8 = 1;

/// The page to return.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Items wanted, 1 to [`MAX_PAGE`]; `None` takes [`DEFAULT_PAGE`].
    pub limit: Option<u32>,
    /// `next_page_token` of the page before.
    pub page_token: Option<String>,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// For the next page, if there is one.
    pub next_page_token: Option<String>,
}

/// The content of a page token.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token<K> {
    /// Version.
    v: u8,
    /// Hash of the list, its sort and its filter.
    l: String,
    /// Key of the last row.
    k: K,
}

/// A list with its sort and filter: what a token is bound to.
pub(crate) struct Listing {
    hash: String,
    limit: u32,
    token: Option<String>,
}

impl Listing {
    /// `what` names the list, its sort and its filter, in a form that is the same for the same
    /// list.
    pub(crate) fn new(request: &PageRequest, what: &str) -> Result<Self, Error> {
        let limit = request.limit.unwrap_or(DEFAULT_PAGE);
        if limit == 0 || limit > MAX_PAGE {
            return Err(Error::new(Code::InvalidRequest, format!("limit is 1 to {MAX_PAGE}")).at("/limit"));
        }
        let digest = Sha256::digest(what.as_bytes());
        let hash = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { hash, limit, token: request.page_token.clone() })
    }

    /// Rows to read: one more than the page has, to know whether there is a next one.
    pub(crate) const fn rows(&self) -> u32 {
        self.limit + 1
    }

    /// The key after which the page begins.
    pub(crate) fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Error> {
        let Some(text) = &self.token else { return Ok(None) };
        let invalid = || {
            Error::new(
                Code::PageTokenInvalid,
                "begin again without page_token, with the filter and sort you want",
            )
        };
        if text.len() > MAX_TOKEN {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        let token: Token<K> = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        if token.v != VERSION || token.l != self.hash {
            return Err(invalid());
        }
        Ok(Some(token.k))
    }

    /// The token for what follows the row with that key.
    pub(crate) fn token_after<K: Serialize>(&self, key: K) -> Result<String, Error> {
        let token = Token { v: VERSION, l: self.hash.clone(), k: key };
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).map_err(Error::internal)?))
    }

    /// The page of rows that were read, and its token.
    pub(crate) fn page<R, K: Serialize>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> K,
    ) -> Result<(Vec<R>, Option<String>), Error> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if rows.len() <= limit {
            return Ok((rows, None));
        }
        rows.truncate(limit);
        let Some(last) = rows.last() else { return Ok((rows, None)) };
        let token = self.token_after(key(last))?;
        Ok((rows, Some(token)))
    }
}
