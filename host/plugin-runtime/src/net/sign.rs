//! How requests are completed and signed.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
        SignatureLocation, SigningSettings, UriPathNormalizationMode,
    },
    sign::v4,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::Hmac;
use imprint_http_client::http::{HeaderName, Request, Uri, header::AUTHORIZATION, request::Parts};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{
    context::NetContext,
    error::NetError,
    payload::Payload,
    scheme::{Scheme, digest},
    template::{Template, header_value},
};

/// Adds the computed headers and the signature to the head of a template's request. Returns the
/// body to send, which the scheme may change.
pub(crate) fn complete<'a>(
    template: &Template,
    context: &NetContext,
    head: &mut Parts,
    body: Payload<'a>,
) -> Result<Payload<'a>, NetError> {
    let body = fill_body(context, template, body)?;
    for (name, compute) in &template.computed {
        head.headers.insert(name, header_value(name, &compute.of(&body)?, false)?);
    }
    sign(&template.scheme, context, template, head, &body)?;
    Ok(body)
}

/// Returns the body with the secrets that belong into it.
fn fill_body<'a>(
    context: &NetContext,
    template: &Template,
    body: Payload<'a>,
) -> Result<Payload<'a>, NetError> {
    if template.scheme != Scheme::JsonBody {
        return Ok(body);
    }
    let Payload::Bytes(text) = &body else {
        return Err(NetError::Request("a part has no place for a secret".to_owned()));
    };
    let mut json: serde_json::Value = serde_json::from_slice(text)
        .map_err(|error| NetError::Request(format!("its body is not JSON: {error}")))?;
    for (pointer, name) in &template.secrets {
        let place = json.pointer_mut(pointer);
        let place = place.ok_or_else(|| NetError::Request(format!("its body has no {pointer:?}")))?;
        *place = context.secret(name, template.scheme.as_str())?.expose().into();
    }
    Ok(Payload::Bytes(Cow::Owned(json.to_string().into_bytes())))
}

/// Signs a request whose other headers are complete.
fn sign(
    scheme: &Scheme,
    context: &NetContext,
    template: &Template,
    head: &mut Parts,
    body: &Payload<'_>,
) -> Result<(), NetError> {
    let secret = |parameter: &str| {
        let name = template.secrets.get(parameter);
        let name = name.ok_or_else(|| {
            NetError::Request(format!("{} needs the secret {parameter:?}", scheme.as_str()))
        })?;
        context.secret(name, scheme.as_str())
    };
    match scheme {
        Scheme::None | Scheme::JsonBody => {}
        Scheme::Headers => {
            for (header, name) in &template.secrets {
                let value = context.secret(name, scheme.as_str())?;
                let header: HeaderName =
                    header.parse().map_err(|_| NetError::Request(format!("{header:?} is no header")))?;
                head.headers.insert(&header, header_value(&header, value.expose(), true)?);
            }
        }
        Scheme::Bearer => {
            let value = format!("Bearer {}", secret("token")?.expose());
            head.headers.insert(AUTHORIZATION, header_value(&AUTHORIZATION, &value, true)?);
        }
        Scheme::Basic => {
            let user = template.params.get("user").map(String::as_str).unwrap_or_default();
            let pair = format!("{user}:{}", secret("password")?.expose());
            let value = format!("Basic {}", STANDARD.encode(pair));
            head.headers.insert(AUTHORIZATION, header_value(&AUTHORIZATION, &value, true)?);
        }
        Scheme::SigV4 | Scheme::SigV4Query => sign_v4(*scheme, context, template, head, body)?,
        Scheme::TempUrl => temp_url(template, head, secret("key")?.expose())?,
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the server compares the time of a signature with its clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns for how long a signed URL is valid.
fn valid_for(template: &Template) -> Result<Duration, NetError> {
    let seconds = template.params.get("valid-for-s").and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=604_800).contains(seconds));
    let seconds = seconds.ok_or_else(|| NetError::Request("`valid-for-s` is 1 to 604800".to_owned()))?;
    Ok(Duration::from_secs(seconds))
}

fn param<'a>(template: &'a Template, name: &str) -> Result<&'a str, NetError> {
    let value = template.params.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| NetError::Request(format!("its scheme needs the parameter {name:?}")))
}

/// AWS Signature Version 4, in the headers or in the URL.
fn sign_v4(
    scheme: Scheme,
    context: &NetContext,
    template: &Template,
    head: &mut Parts,
    body: &Payload<'_>,
) -> Result<(), NetError> {
    let failed = |error: String| NetError::Request(format!("it cannot be signed: {error}"));
    let name = |parameter: &str| template.secrets.get(parameter).map(String::as_str);
    let secret_key = name("secret-key").ok_or_else(|| failed("no secret key is named".to_owned()))?;
    let secret_key = context.secret(secret_key, scheme.as_str())?;
    let token = match name("session-token").filter(|name| context.has_secret(name)) {
        Some(name) => Some(context.secret(name, scheme.as_str())?.expose().to_owned()),
        None => None,
    };
    let (region, service) = (param(template, "region")?, param(template, "service")?);
    let credentials =
        Credentials::new(param(template, "access-key")?, secret_key.expose(), token, None, "imprint");
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.session_token_mode = SessionTokenMode::Include;
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let payload = match scheme {
        Scheme::SigV4Query => {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(valid_for(template)?);
            SignableBody::UnsignedPayload
        }
        Scheme::SigV4
        | Scheme::None
        | Scheme::Headers
        | Scheme::Bearer
        | Scheme::Basic
        | Scheme::JsonBody
        | Scheme::TempUrl => {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            // Encrypted connections protect the body already, and hashing it costs more than
            // encrypting it.
            if head.uri.scheme_str() == Some("https") && service == "s3" {
                SignableBody::UnsignedPayload
            } else {
                match body {
                    Payload::Bytes(bytes) => SignableBody::Bytes(bytes),
                    Payload::File(..) => SignableBody::Precomputed(hex::encode(digest::<Sha256>(body)?)),
                }
            }
        }
    };
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now())
        .settings(settings)
        .build()
        .map_err(|error| failed(error.to_string()))?
        .into();
    let uri = head.uri.to_string();
    let headers = head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(head.method.as_str(), &uri, headers, payload)
        .map_err(|error| failed(error.to_string()))?;
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params)
        .map_err(|error| failed(error.to_string()))?
        .into_parts();
    let mut request = Request::from_parts(head.clone(), ());
    instructions.apply_to_request_http1x(&mut request);
    (*head, ()) = request.into_parts();
    Ok(())
}

/// A signed URL of OpenStack Swift: HMAC of the method, the end of its validity and the path.
fn temp_url(template: &Template, head: &mut Parts, key: &str) -> Result<(), NetError> {
    let since = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let expires = (since + valid_for(template)?).as_secs();
    let text = format!("{}\n{expires}\n{}", head.method, param(template, "path")?);
    let signature = match param(template, "algorithm")? {
        "sha1" => mac::<Hmac<Sha1>>(key, &text),
        "sha256" => mac::<Hmac<Sha256>>(key, &text),
        "sha512" => mac::<Hmac<Sha512>>(key, &text),
        other => return Err(NetError::Request(format!("temp-url knows no algorithm {other:?}"))),
    };
    let uri = head.uri.to_string();
    let separator = if head.uri.query().is_some() { '&' } else { '?' };
    let signed = format!("{uri}{separator}temp_url_sig={signature}&temp_url_expires={expires}");
    head.uri = signed.parse::<Uri>().map_err(|error| NetError::Request(error.to_string()))?;
    Ok(())
}

fn mac<M: hmac::Mac + hmac::KeyInit>(key: &str, text: &str) -> String {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key.as_bytes()).expect("keys have any length");
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}
