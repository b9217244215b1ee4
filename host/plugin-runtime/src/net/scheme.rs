//! The names of what the host computes and of how it signs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::Md5;
use sha2::{Digest, Sha256};

use super::{error::NetError, payload::Payload};

/// What a header is made of the body by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compute {
    Sha256Hex,
    Sha256Base64,
    Md5Hex,
    Md5Base64,
    Crc32cBase64,
}

impl Compute {
    pub(super) fn parse(name: &str) -> Result<Self, NetError> {
        Ok(match name {
            "sha256-hex" => Self::Sha256Hex,
            "sha256-b64" => Self::Sha256Base64,
            "md5-hex" => Self::Md5Hex,
            "md5-b64" => Self::Md5Base64,
            "crc32c-b64" => Self::Crc32cBase64,
            other => return Err(NetError::Request(format!("this host cannot compute {other:?}"))),
        })
    }

    pub(super) fn of(self, body: &Payload<'_>) -> Result<String, NetError> {
        Ok(match self {
            Self::Sha256Hex => hex::encode(digest::<Sha256>(body)?),
            Self::Sha256Base64 => STANDARD.encode(digest::<Sha256>(body)?),
            Self::Md5Hex => hex::encode(digest::<Md5>(body)?),
            Self::Md5Base64 => STANDARD.encode(digest::<Md5>(body)?),
            Self::Crc32cBase64 => {
                let mut sum = 0;
                body.pieces(|bytes| sum = crc32c::crc32c_append(sum, bytes)).map_err(unreadable)?;
                STANDARD.encode(sum.to_be_bytes())
            }
        })
    }
}

fn unreadable(error: std::io::Error) -> NetError {
    NetError::Request(format!("its body cannot be read: {error}"))
}

/// Returns the digest of a body.
pub(super) fn digest<D: Digest>(body: &Payload<'_>) -> Result<Vec<u8>, NetError> {
    let mut digest = D::new();
    body.pieces(|bytes| digest.update(bytes)).map_err(unreadable)?;
    Ok(digest.finalize().to_vec())
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    None,
    Headers,
    Bearer,
    Basic,
    JsonBody,
    SigV4,
    SigV4Query,
    TempUrl,
}

impl Scheme {
    pub(super) fn parse(name: &str) -> Result<Self, NetError> {
        let all = [
            Self::None,
            Self::Headers,
            Self::Bearer,
            Self::Basic,
            Self::JsonBody,
            Self::SigV4,
            Self::SigV4Query,
            Self::TempUrl,
        ];
        let found = all.into_iter().find(|scheme| scheme.as_str() == name);
        found.ok_or_else(|| NetError::Request(format!("this host does not know the scheme {name:?}")))
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Headers => "headers",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::JsonBody => "json-body",
            Self::SigV4 => "sigv4",
            Self::SigV4Query => "sigv4-query",
            Self::TempUrl => "temp-url",
        }
    }
}
