//! Addresses that the host signs for clients: they read an object from the service itself.

use imprint_http_client::http::{Method, Uri};
use imprint_ports::{ClientUrlTerms, SecretText};

use super::{context::NetContext, error::NetError, scheme::Scheme, sign::complete, template::Template};

/// The parameter of a request's `auth` that permits addresses for clients, and names the scheme by
/// which the host signs them.
const PARAM: &str = "client-scheme";

/// Returns a signed address of the object that a template reads, for a client; `None` where the
/// plugin does not permit that, or wants it in a way that this host does not know: then the bytes
/// pass through the host as ever.
pub(crate) fn client_url(
    template: &Template,
    context: &NetContext,
    terms: &ClientUrlTerms,
) -> Result<Option<SecretText>, NetError> {
    let Some(name) = template.params.get(PARAM) else { return Ok(None) };
    let scheme = Scheme::parse(name).ok();
    let Some(query) = scheme.and_then(|scheme| query(scheme, &terms.file_name)) else {
        tracing::debug!(scheme = name, "addresses of this scheme are not handed to clients");
        return Ok(None);
    };
    // A client sends no headers but its own.
    if template.method != Method::GET || template.has_headers() {
        tracing::debug!("a read that needs more than an address is not handed to clients");
        return Ok(None);
    }
    context.check(&template.uri)?;
    let mut template = template.clone();
    template.scheme = scheme.unwrap_or(template.scheme);
    template.params.insert("valid-for-s".to_owned(), terms.valid_for.as_secs().max(1).to_string());
    if terms.head_only {
        template.method = Method::HEAD;
    }
    let separator = if template.uri.query().is_some() { '&' } else { '?' };
    let uri = format!("{}{separator}{query}", template.uri);
    template.uri = uri.parse::<Uri>().map_err(|error| NetError::Request(error.to_string()))?;
    let (mut head, ()) = template.head()?.into_parts();
    complete(&template, context, &mut head, [].as_slice().into())?;
    Ok(Some(SecretText::new(head.uri.to_string())))
}

/// Returns what names the file, for a scheme that signs addresses.
fn query(scheme: Scheme, file_name: &str) -> Option<String> {
    match scheme {
        Scheme::SigV4Query => {
            let value = format!("attachment; filename=\"{file_name}\"");
            Some(format!("response-content-disposition={}", encode(&value)))
        }
        // The service makes an attachment of it by itself.
        Scheme::TempUrl => Some(format!("filename={}", encode(file_name))),
        Scheme::None
        | Scheme::Headers
        | Scheme::Bearer
        | Scheme::Basic
        | Scheme::JsonBody
        | Scheme::SigV4 => None,
    }
}

/// Encodes everything but the unreserved characters of URLs (RFC 3986, 2.3).
fn encode(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use hmac::{Hmac, KeyInit as _, Mac as _};
    use imprint_ports::{Props, Secrets};
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::{
        bindings::host::imprint::types::http_types as wit,
        manifest::{Limits, Manifest},
    };

    const MANIFEST: &str = r#"
schema = 1
[plugin]
id = "storage-test"
version = "1.0.0"
kinds = ["storage"]
requires.host = ">=0.1, <0.2"
[[capabilities.http]]
id = "endpoint"
to = ["{config.endpoint}"]
[[capabilities.secret]]
name = "key"
use = ["sigv4", "sigv4-query", "temp-url"]
[[capabilities.secret]]
name = "token"
use = ["sigv4", "sigv4-query"]
"#;
    const URL: &str = "https://store.test:9000/images/own/a%20b.qcow2";

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn context() -> NetContext {
        let manifest = Manifest::parse(MANIFEST, &Limits::caps()).unwrap();
        let secret = |name: &str, text: &str| (name.to_owned(), SecretText::new(text.to_owned()));
        let secrets = Secrets::from([secret("key", "hunter2"), secret("token", "s/t=")]);
        NetContext::new(&manifest, &props(&[("endpoint", "https://store.test:9000")]), &secrets).unwrap()
    }

    fn read(scheme: &str, params: &[(&str, &str)], secrets: &[(&str, &str)]) -> wit::Request {
        wit::Request {
            method: "GET".to_owned(),
            url: URL.to_owned(),
            headers: Vec::new(),
            computed: Vec::new(),
            auth: wit::Auth {
                scheme: scheme.to_owned(),
                params: props(params).into_iter().collect(),
                secrets: props(secrets).into_iter().collect(),
            },
            body: wit::Body::Empty,
            expect: Vec::new(),
            retry_on: Vec::new(),
            capture: Vec::new(),
            max_response: 0,
        }
    }

    fn s3(client_scheme: &str) -> wit::Request {
        let params =
            [("region", "eu-1"), ("service", "s3"), ("access-key", "AK"), ("client-scheme", client_scheme)];
        read("sigv4", &params, &[("secret-key", "key"), ("session-token", "token")])
    }

    fn swift() -> wit::Request {
        let params = [
            ("path", "/images/own/a b.qcow2"),
            ("algorithm", "sha256"),
            ("valid-for-s", "7"),
            ("client-scheme", "temp-url"),
        ];
        read("temp-url", &params, &[("key", "key")])
    }

    fn signed(request: wit::Request, head_only: bool) -> Result<Option<SecretText>, NetError> {
        let (template, _) = Template::parse(request).unwrap();
        let valid_for = Duration::from_secs(600);
        let terms = ClientUrlTerms { head_only, valid_for, file_name: "a_b.qcow2".to_owned() };
        client_url(&template, &context(), &terms)
    }

    /// Returns the address without its query, and the parameters as they stand in it.
    fn parts(url: &SecretText) -> (String, BTreeMap<String, String>) {
        let (base, query) = url.expose().split_once('?').unwrap();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        (base.to_owned(), query.split('&').map(pair).collect())
    }

    fn hmac(key: &[u8], text: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// Signs as the documentation of AWS describes it.
    #[test]
    fn an_address_in_s3_has_a_signature_that_the_service_computes_too() {
        for (method, head_only) in [("GET", false), ("HEAD", true)] {
            let url = signed(s3("sigv4-query"), head_only).unwrap().unwrap();
            let (base, mut params) = parts(&url);
            assert_eq!(base, URL);
            let disposition = "attachment%3B%20filename%3D%22a_b.qcow2%22";
            assert_eq!(params["response-content-disposition"], disposition);
            assert_eq!(
                (params["X-Amz-Expires"].as_str(), params["X-Amz-SignedHeaders"].as_str()),
                ("600", "host")
            );
            assert_eq!(params["X-Amz-Security-Token"], "s%2Ft%3D");
            let signature = params.remove("X-Amz-Signature").unwrap();
            let pairs: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let canonical = format!(
                "{method}\n/images/own/a%20b.qcow2\n{}\nhost:store.test:9000\n\nhost\nUNSIGNED-PAYLOAD",
                pairs.join("&")
            );
            let (time, day) = (&params["X-Amz-Date"], &params["X-Amz-Date"][..8]);
            let scope = format!("{day}/eu-1/s3/aws4_request");
            let digest = hex::encode(Sha256::digest(canonical));
            let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
            let key = [day, "eu-1", "s3", "aws4_request"]
                .iter()
                .fold(b"AWS4hunter2".to_vec(), |key, part| hmac(&key, part));
            assert_eq!(hex::encode(hmac(&key, &text)), signature, "{method}");
            assert!(!url.expose().contains("hunter2") && !format!("{url:?}").contains("store"), "{url:?}");
        }
    }

    #[test]
    fn a_temp_url_is_for_one_method_and_names_the_file() {
        for (method, head_only) in [("GET", false), ("HEAD", true)] {
            let before = now_s();
            let url = signed(swift(), head_only).unwrap().unwrap();
            let (base, params) = parts(&url);
            assert_eq!((base.as_str(), params["filename"].as_str()), (URL, "a_b.qcow2"));
            let expires: u64 = params["temp_url_expires"].parse().unwrap();
            assert!((before + 600..before + 660).contains(&expires), "the host says for how long: {expires}");
            let text = format!("{method}\n{expires}\n/images/own/a b.qcow2");
            assert_eq!(params["temp_url_sig"], hex::encode(hmac(b"hunter2", &text)), "{method}");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "addresses end at a time of the clock")]
    fn now_s() -> u64 {
        std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn what_an_address_cannot_say_is_read_by_the_host() {
        let mut not_asked_for = s3("");
        not_asked_for.auth.params.retain(|(name, _)| name != "client-scheme");
        let mut with_header = s3("sigv4-query");
        with_header.headers.push(("x-own".to_owned(), "1".to_owned()));
        let mut posted = s3("sigv4-query");
        posted.method = "POST".to_owned();
        for request in [not_asked_for, with_header, posted, s3("bearer"), s3("sigv9-query"), s3("sigv4")] {
            assert!(signed(request.clone(), false).unwrap().is_none(), "{request:?}");
        }
    }

    #[test]
    fn nothing_is_signed_that_the_plugin_may_not_send() {
        let mut elsewhere = s3("sigv4-query");
        elsewhere.url = "https://other.test/images/a".to_owned();
        let mut other_secret = swift();
        other_secret.auth.secrets = vec![("key".to_owned(), "token".to_owned())];
        for (request, code) in [(elsewhere, "net.address"), (other_secret, "plugin.denied")] {
            assert_eq!(signed(request, false).unwrap_err().for_host().code, code);
        }
    }
}
