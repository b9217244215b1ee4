//! Addresses of objects as people give them, and as servers redirect to them (RFC 3986).
//!
//! An address may have a password in it, and a signature in its query: neither is ever shown.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use ureq::http::{HeaderValue, Uri};
use url::{Position, Url};

use crate::error::HttpError;

/// The longest address that is shown, in characters.
const SHOWN: usize = 200;
/// Shorter values of a query are no secrets; they would hide what a server says.
const SECRET: usize = 8;

/// Returns an address for messages: without its user and password, and without the values of its
/// query, which may be a signature. Text that is no address is treated the same way.
pub fn shown_url(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (path, is_cut) = match path.find(['?', '#']) {
        Some(at) => (&path[..at], path.len() > at + 1),
        None => (path, false),
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    let shown = format!("{scheme}{separator}{host}{path}{}", if is_cut { "?..." } else { "" });
    shown.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// The address of an object on a web server.
#[derive(Clone)]
pub(crate) struct Address {
    url: Url,
    authorization: Option<HeaderValue>,
    secrets: Vec<String>,
}

impl Address {
    /// Parses an address of the schemes `http` and `https`. A user and a password in it become
    /// credentials, decoded.
    pub(crate) fn parse(text: &str) -> Result<Self, HttpError> {
        let bad = || HttpError::Url { url: shown_url(text) };
        let rest = text.split_once("://").map(|(_, rest)| rest).ok_or_else(bad)?;
        // A host has to be there, where browsers would guess one.
        if text.chars().any(char::is_control) || rest.starts_with(['/', '\\', '?', '#', ':', '@']) {
            return Err(bad());
        }
        Self::of(Url::parse(text).map_err(|_| bad())?).ok_or_else(bad)
    }

    /// Returns the address that a `Location` of this one's server names. Credentials in it are not
    /// used: nobody but the server gave them.
    ///
    /// # Errors
    ///
    /// [`HttpError::Redirect`] for anything that is no web address, and for one that is not
    /// encrypted where this one is.
    pub(crate) fn redirected(&self, location: &str) -> Result<Self, HttpError> {
        let refuse = |why| HttpError::Redirect { to: shown_url(location), why };
        let mut url = self.url.join(location).map_err(|_| refuse("which is no address"))?;
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        let next =
            cleared.ok().and_then(|()| Self::of(url)).ok_or_else(|| refuse("which is no web address"))?;
        if self.is_encrypted() && !next.is_encrypted() {
            return Err(refuse("which is not encrypted, and this address is"));
        }
        Ok(next)
    }

    fn of(mut url: Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return None;
        }
        url.set_fragment(None);
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let (user, password) = (url.username().to_owned(), url.password().map(str::to_owned));
        let mut secrets: Vec<String> = password.iter().cloned().collect();
        let mut authorization = None;
        if !user.is_empty() || password.is_some() {
            let plain = password.as_deref().map(decoded).unwrap_or_default();
            secrets.extend(String::from_utf8(plain.clone()));
            let pair = [decoded(&user), b":".to_vec(), plain].concat();
            let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
            value.set_sensitive(true);
            authorization = Some(value);
            url.set_username("").ok()?;
            url.set_password(None).ok()?;
        }
        let query = url.query().unwrap_or_default().split('&');
        secrets.extend(query.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned()));
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.retain(|secret| secret.len() >= SECRET);
        // Longer ones first: one may contain another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Some(Self { url, authorization, secrets })
    }

    /// Returns the address as requests have it, without credentials.
    pub(crate) fn uri(&self) -> Result<Uri, HttpError> {
        self.url.as_str().parse().map_err(|_| HttpError::Url { url: self.shown() })
    }

    /// Returns the credentials that the address was given with.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Returns whether `https` is used.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns host and port.
    pub(crate) fn host(&self) -> (&str, u16) {
        (self.url.host_str().unwrap_or_default(), self.url.port_or_known_default().unwrap_or_default())
    }

    /// Returns whether scheme, host and port are those of another address.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// Returns the address for messages.
    pub(crate) fn shown(&self) -> String {
        shown_url(&self.url[..Position::AfterQuery])
    }

    /// Returns what a server says without the secrets of this address, which some repeat.
    pub(crate) fn without_secrets(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| text.replace(secret, "..."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_passwords_nor_signatures_are_shown() {
        for (given, shown) in [
            ("https://user:pass@host:8/a/b.qcow2?X-Signature=abc#x", "https://host:8/a/b.qcow2?..."),
            ("http://us%40er:p%2Fass@host/", "http://host/"),
            ("http://user:p@ss@host/a@b", "http://host/a@b"),
            ("http://host?token=secret", "http://host?..."),
            ("ftp://user:secret@host/x", "ftp://host/x"),
            ("user:secret@host/x", "host/x"),
            ("http://host/a\u{1b}[2J", "http://host/a[2J"),
            ("http://host/plain", "http://host/plain"),
        ] {
            assert_eq!(shown_url(given), shown, "{given}");
        }
        let wrong = Address::parse("http://user:secret@/x?signature=abcdefgh").err().unwrap();
        assert!(!wrong.to_string().contains("secret") && !wrong.to_string().contains("abcdefgh"), "{wrong}");
    }

    #[test]
    fn credentials_are_decoded_and_leave_the_address() {
        let address = Address::parse("HTTP://us%40er:p%3Ass%20w%C3%B6rd@host/My VM.ova?x=1").unwrap();
        assert_eq!(address.uri().unwrap().to_string(), "http://host/My%20VM.ova?x=1");
        let expected = BASE64_STANDARD.encode("us@er:p:ss wörd");
        assert_eq!(address.authorization().unwrap().to_str().unwrap(), format!("Basic {expected}"));
        assert!(Address::parse("http://host/").unwrap().authorization().is_none());
        for wrong in ["ftp://host/x", "http:///x", "host/x", "http://", "http://@/x", "http://host/a\nb", ""]
        {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_that_repeats_a_signature_does_not_show_it() {
        let address = Address::parse("http://u:pass%20word@host/x?X-Signature=abc%2Fdef%2Bghi&n=1").unwrap();
        let said = "abc%2Fdef%2Bghi, abc/def+ghi, pass word, pass%20word: no, 1".to_owned();
        assert_eq!(address.without_secrets(said), "..., ..., ..., ...: no, 1");
    }

    #[test]
    fn redirects_are_resolved_and_never_less_safe() {
        let from = Address::parse("https://u:p@host:8443/a/b?q=1").unwrap();
        let to = |location: &str| from.redirected(location).map(|next| next.uri().unwrap().to_string());
        for (location, expected) in [
            ("/c", "https://host:8443/c"),
            ("c?d=1", "https://host:8443/a/c?d=1"),
            ("//other/c", "https://other/c"),
            ("https://x:y@other/c#f", "https://other/c"),
        ] {
            assert_eq!(to(location).unwrap(), expected, "{location}");
        }
        for location in ["http://host:8443/c", "ftp://host/c", "file:///etc/passwd", "https://[", "data:,x"] {
            assert_eq!(to(location).unwrap_err().code(), "http.redirect", "{location}");
        }
        let next = from.redirected("https://x:y@other/c").unwrap();
        assert!(next.authorization().is_none() && !next.has_origin_of(&from));
        assert!(from.redirected("/c").unwrap().has_origin_of(&from));
    }
}
