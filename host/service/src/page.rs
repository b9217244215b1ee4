//! Pages by key: an opaque token says after which row the next page begins.

use serde::{Deserialize, Serialize};

/// Items of a page unless the request says otherwise.
pub const DEFAULT_PAGE: u32 = 50;

/// The most items of a page.
pub const MAX_PAGE: u32 = 500;

/// Which page.
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
