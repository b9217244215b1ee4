//! Which servers a plugin may reach: patterns of its manifest, filled with the operator's settings.

use imprint_http_client::http::uri::Authority;
use imprint_ports::Props;

use super::error::NetError;

/// One server, or all below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `None`: both.
    scheme: Option<String>,
    /// In lower case, without brackets.
    host: String,
    /// Whether names below `host` are meant, and not `host` itself.
    below: bool,
    port: Option<u16>,
}

impl Target {
    /// Fills a pattern of the manifest: `{config.NAME}`, `*.{config.NAME}`, `{config.NAME}:*` for
    /// any port of that server, or the same with a plain address in place of the setting. An
    /// address is a name, `name:port`, or a URL. `None` where the operator has not set the setting.
    pub(crate) fn fill(pattern: &str, settings: &Props) -> Result<Option<Self>, NetError> {
        let (below, rest) = match pattern.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let (any_port, rest) = match rest.strip_suffix(":*") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let setting = rest.strip_prefix("{config.").and_then(|rest| rest.strip_suffix('}'));
        let address = match setting {
            Some(name) => {
                match settings.get(name).map(|value| value.trim()).filter(|value| !value.is_empty()) {
                    Some(value) => value,
                    None => return Ok(None),
                }
            }
            None => rest,
        };
        let mut parsed = Self::parse(address, below).ok_or_else(|| NetError::Setting {
            setting: setting.unwrap_or(rest).to_owned(),
            why: "it is no address of a server; write it as https://NAME, https://NAME:PORT or NAME:PORT"
                .to_owned(),
        })?;
        if any_port {
            parsed.port = None;
        }
        Ok(Some(parsed))
    }

    fn parse(address: &str, below: bool) -> Option<Self> {
        let (scheme, rest) = match address.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, address),
        };
        if scheme.as_deref().is_some_and(|scheme| scheme != "http" && scheme != "https") {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let server: Authority = authority.parse().ok()?;
        let host = plain(server.host());
        if host.is_empty() || authority.contains('@') {
            return None;
        }
        let port = server.port_u16().or(match scheme.as_deref() {
            Some("https") => Some(443),
            Some(_) => Some(80),
            None => None,
        });
        Some(Self { scheme, host, below, port })
    }

    /// Returns whether the server may be one with `https://`.
    pub(crate) fn may_use_tls(&self) -> bool {
        self.scheme.as_deref() != Some("http")
    }

    /// Returns whether a server is this one.
    pub(crate) fn permits(&self, scheme: Option<&str>, host: &str, port: u16) -> bool {
        let host = plain(host);
        let same_host = if self.below {
            host.strip_suffix(&self.host).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
        } else {
            host == self.host
        };
        let same_scheme = match (&self.scheme, scheme) {
            (Some(own), Some(scheme)) => own == scheme,
            (None, _) | (_, None) => true,
        };
        same_host && same_scheme && self.port.is_none_or(|own| own == port)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Returns a host in the form in which hosts are compared.
fn plain(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(pattern: &str, value: &str) -> Option<Target> {
        let settings = Props::from([("endpoint".to_owned(), value.to_owned())]);
        Target::fill(pattern, &settings).ok().flatten()
    }

    #[test]
    fn a_server_is_permitted_by_scheme_name_and_port() {
        let own = target("{config.endpoint}", "https://S3.example.com/base").unwrap();
        assert!(own.permits(Some("https"), "s3.example.com", 443));
        for (scheme, host, port) in [
            ("http", "s3.example.com", 443),
            ("https", "s3.example.com", 9000),
            ("https", "x.s3.example.com", 443),
            ("https", "s3.example.com.evil.net", 443),
        ] {
            assert!(!own.permits(Some(scheme), host, port), "{scheme} {host} {port}");
        }
        let below = target("*.{config.endpoint}", "http://[::1]:9000").unwrap();
        assert!(!below.permits(Some("http"), "::1", 9000));
        let below = target("*.{config.endpoint}", "http://s3.test:9000").unwrap();
        assert!(below.permits(Some("http"), "bucket.s3.test", 9000));
        for host in ["s3.test", ".s3.test", "xs3.test", "bucket.s3.test.net"] {
            assert!(!below.permits(Some("http"), host, 9000), "{host}");
        }
        assert!(target("{config.endpoint}", "nas:2049").unwrap().permits(None, "nas", 2049));
        assert!(target("{config.endpoint}", "[fd00::7]:2049").unwrap().permits(None, "fd00::7", 2049));
    }

    #[test]
    fn any_port_of_a_server_is_that_of_its_name_and_scheme() {
        let own = target("{config.endpoint}:*", "https://cloud.example.com:5000/v3").unwrap();
        assert!(own.permits(Some("https"), "cloud.example.com", 8080));
        assert!(!own.permits(Some("http"), "cloud.example.com", 8080));
        assert!(!own.permits(Some("https"), "other.example.com", 5000));
    }

    #[test]
    fn what_is_no_address_is_an_error_and_what_is_not_set_is_nothing() {
        for value in ["ftp://host", "https://user@host", "https://", "a b"] {
            let settings = Props::from([("endpoint".to_owned(), value.to_owned())]);
            let error = Target::fill("{config.endpoint}", &settings).unwrap_err();
            assert!(error.to_string().contains("\"endpoint\""), "{error}");
        }
        assert_eq!(Target::fill("{config.other}", &Props::new()).unwrap(), None);
    }
}
