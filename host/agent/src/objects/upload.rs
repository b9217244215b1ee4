//! The answer to one request that sends a file to import.
//!
//! `PATCH` continues in order at `Upload-Offset`; `PUT` sends the part that `Upload-Part` numbers,
//! whole, and with `Content-Digest` (RFC 9530) it is taken only if it has that digest; `GET` and
//! `HEAD` tell what is there. Each answer has the state of the upload.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderMap,
};
use imprint_agent_protocol::{TokenError, UploadState};
use imprint_domain::id::TaskId;
use sha2::{Digest as _, Sha256, Sha512};
use tokio::time::timeout;

use super::{
    client::Client,
    context::Context,
    refusal::{Refusal, text},
};
use crate::{
    received::{NotTaken, Received},
    sync::blocking,
};

/// The longest time that a sender may pause within a body.
const PAUSE: Duration = Duration::from_secs(30);
/// The bytes that are gathered before they are written.
const GATHERED: usize = 1 << 20;

/// Answers a request for an upload.
pub(super) async fn answer(
    client: &Client,
    upload: TaskId,
    request: Request<Incoming>,
) -> Result<UploadState, Refusal> {
    permit(client, request.headers(), upload)?;
    let file = client.context.machine.receivers.find(upload).ok_or_else(|| {
        // Its job may begin again soon, for example after a restart.
        let detail = "nothing receives this upload at the moment; try again soon";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "upload.not-receiving", detail)
    })?;
    let (head, body) = request.into_parts();
    match head.method {
        Method::GET | Method::HEAD => {}
        Method::PATCH => in_order(&file, &head.headers, body).await?,
        Method::PUT => part(&file, &head.headers, body).await?,
        _ => {
            let detail = "an upload is asked about with GET, and continued with PATCH and PUT";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "upload.method", detail));
        }
    }
    Ok(file.state())
}

fn permit(client: &Client, headers: &HeaderMap, upload: TaskId) -> Result<(), Refusal> {
    let Context { permitted, environment, .. } = client.context.as_ref();
    let token = text(headers, hyper::header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| Refusal::forbidden("upload.token", "there is no token"))?;
    let secret = permitted.key().ok_or_else(|| {
        let detail = "the control plane has not said yet which tokens are valid";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "upload.no-key", detail)
    })?;
    let grant = secret.open_upload(token, environment.now()).map_err(|error| match error {
        TokenError::Invalid => Refusal::forbidden("upload.token", error),
        TokenError::Expired => Refusal::forbidden("upload.expired", error),
    })?;
    if grant.upload == upload {
        return Ok(());
    }
    Err(Refusal::forbidden("upload.other", "the token is for another upload"))
}

fn number<T: std::str::FromStr>(headers: &HeaderMap, name: &'static str) -> Result<T, Refusal> {
    let value = text(headers, hyper::header::HeaderName::from_static(name));
    value.and_then(|value| value.parse().ok()).ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, "upload.header", format!("`{name}` is no number"))
    })
}

/// Takes a body that continues where the upload is.
async fn in_order(file: &Arc<Received>, headers: &HeaderMap, body: Incoming) -> Result<(), Refusal> {
    let offset: u64 = number(headers, "upload-offset")?;
    let turn = file.take_turn();
    let there = file.state().offset;
    if offset != there {
        let detail = format!("the upload is at {there}, and the request begins at {offset}");
        return Err(Refusal::new(StatusCode::CONFLICT, "upload.offset", detail));
    }
    let taken = stream(file, offset, turn, body).await;
    // What arrived before the sender went away counts.
    let of = file.clone();
    blocking(move || of.sync()).await?.map_err(NotTaken::from)?;
    taken
}

/// Writes a body as it arrives.
async fn stream(file: &Arc<Received>, offset: u64, turn: u64, mut body: Incoming) -> Result<(), Refusal> {
    let (mut at, mut gathered) = (offset, Vec::with_capacity(GATHERED));
    loop {
        let next = next_piece(&mut body).await;
        let ended = !matches!(next, Ok(Some(_)));
        if let Ok(Some(piece)) = &next {
            gathered.extend_from_slice(piece);
        }
        if gathered.len() >= GATHERED || (ended && !gathered.is_empty()) {
            let (of, bytes) = (file.clone(), std::mem::take(&mut gathered));
            let length = bytes.len();
            blocking(move || of.write(at, &bytes, Some(turn))).await??;
            at = at.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        }
        match next {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(refusal) => return Err(refusal),
        }
    }
}

/// Takes a part that was sent whole.
async fn part(file: &Arc<Received>, headers: &HeaderMap, mut body: Incoming) -> Result<(), Refusal> {
    let number: u32 = number(headers, "upload-part")?;
    let bad = |code: &str, detail: String| Refusal::new(StatusCode::BAD_REQUEST, code, detail);
    let (from, to) =
        file.part(number).ok_or_else(|| bad("upload.part", format!("the upload has no part {number}")))?;
    let length = usize::try_from(to - from).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(&mut body).await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > length {
            break;
        }
    }
    if bytes.len() != length {
        let detail = format!("part {number} has {length} bytes, and {} were sent", bytes.len());
        return Err(bad("upload.part-size", detail));
    }
    if let Some(wanted) = text(headers, hyper::header::HeaderName::from_static("content-digest")) {
        verify(wanted, &bytes)?;
    }
    let of = file.clone();
    blocking(move || of.write(from, &bytes, None).and_then(|()| Ok(of.sync()?))).await??;
    Ok(())
}

/// Compares bytes with a `Content-Digest` (RFC 9530, section 2): every digest of an algorithm that
/// is known here has to be theirs, and there has to be one.
fn verify(field: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let refuse = |detail: String| Refusal::new(StatusCode::BAD_REQUEST, "upload.digest", detail);
    let mut known = 0;
    for member in field.split(',') {
        let Some((name, value)) = member.trim().split_once('=') else { continue };
        let found: Vec<u8> = match name.trim() {
            "sha-256" => Sha256::digest(bytes).to_vec(),
            "sha-512" => Sha512::digest(bytes).to_vec(),
            _ => continue,
        };
        let value = value.trim().strip_prefix(':').and_then(|value| value.strip_suffix(':'));
        let wanted = value.and_then(|value| BASE64.decode(value).ok());
        if wanted.is_none_or(|wanted| wanted != found) {
            return Err(refuse(format!(
                "the part does not have the {name} that was sent with it; send it again"
            )));
        }
        known += 1;
    }
    if known > 0 {
        return Ok(());
    }
    Err(refuse("send a digest as `sha-256=:...:` or `sha-512=:...:` (RFC 9530)".to_owned()))
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    let cut = |detail: String| Refusal::new(StatusCode::BAD_REQUEST, "upload.cut-off", detail);
    loop {
        let frame = timeout(PAUSE, body.frame())
            .await
            .map_err(|_| cut(format!("no byte came for {} s; continue the upload", PAUSE.as_secs())))?;
        match frame {
            None => return Ok(None),
            // Trailers say nothing here.
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Some(Err(error)) => return Err(cut(format!("the body ended early: {error}"))),
        }
    }
}

impl From<NotTaken> for Refusal {
    fn from(error: NotTaken) -> Self {
        let (status, code) = match &error {
            NotTaken::Outside { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "upload.too-large"),
            NotTaken::Superseded => (StatusCode::CONFLICT, "upload.superseded"),
            NotTaken::Io(_) => (StatusCode::INSUFFICIENT_STORAGE, "upload.io"),
        };
        Self::new(status, code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_the_digest_that_was_sent_with_it() {
        let sha256 = format!("sha-256=:{}:", BASE64.encode(Sha256::digest(b"part")));
        let sha512 = format!("sha-512=:{}:", BASE64.encode(Sha512::digest(b"part")));
        for right in
            [sha256.clone(), sha512.clone(), format!("{sha256}, {sha512}"), format!("md5=:x:, {sha256}")]
        {
            assert!(verify(&right, b"part").is_ok(), "{right}");
            assert!(verify(&right, b"trap").is_err(), "{right}");
        }
        for wrong in ["", "md5=:AAAA:", "sha-256=AAAA", "sha-256=::", &format!("{sha256}, sha-512=:AAAA:")] {
            assert!(verify(wrong, b"part").is_err(), "{wrong}");
        }
    }
}
