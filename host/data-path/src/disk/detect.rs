//! What a file is: declared by its owner, and confirmed by its content.
//!
//! Content never decides what an image IS (a guest can write any header into its own raw disk), it
//! only contradicts. Every format is asked, and every answer counts, not only the most confident
//! one: a file that two formats claim may be read differently by the next program, so it is refused
//! whatever it was declared to be.

use std::sync::Arc;

use imprint_ports::{BlockSource, DiskFormat, Guess, Props};

use crate::{error::EngineError, transport::file::head_and_tail, util::blocking::run_blocking};

/// The number of bytes at the start and at the end that formats probe.
const PROBE: (u32, u32) = (64 << 10, 4 << 10);
/// The name of the format without a container.
const RAW: &str = "raw";
/// The confidence up to which an answer only means "possible": raw gives it to anything.
const FALLBACK: u8 = 1;
/// The media that a raw disk may hold from its first byte on: their bytes are the disk.
const MEDIA: [&str; 2] = ["iso9660", "udf"];

const DECLARE_ADVICE: &str = "declare the format that it has, or remove the foreign header";
const FORGED_ADVICE: &str =
    "only a forged file is several things at once; fetch it again from where it was made";

/// The answer of a format.
struct Claim {
    guess: Guess,
    by: Arc<dyn DiskFormat>,
}

/// Asks each format whether it recognises a file and returns the answers, the most confident one
/// first. They describe what a file looks like: what an image IS, its owner declares.
///
/// # Errors
///
/// Whatever a format plugin or reading the file reports.
pub async fn detect(
    formats: &[Arc<dyn DiskFormat>],
    blob: &Arc<dyn BlockSource>,
) -> Result<Vec<Guess>, EngineError> {
    Ok(probe_all(formats, blob).await?.into_iter().map(|claim| claim.guess).collect())
}

async fn probe_all(
    formats: &[Arc<dyn DiskFormat>],
    blob: &Arc<dyn BlockSource>,
) -> Result<Vec<Claim>, EngineError> {
    let source = blob.clone();
    let (head, tail) = run_blocking(move || head_and_tail(source.as_ref(), PROBE.0, PROBE.1)).await??;
    let mut claims = Vec::new();
    for by in formats {
        let answer = by.probe(&head, &tail, blob.size()).await?;
        claims.extend(answer.map(|guess| Claim { guess, by: by.clone() }));
    }
    claims.sort_by_key(|claim| std::cmp::Reverse(claim.guess.confidence));
    Ok(claims)
}

/// Confirms that a file may be what it is declared to be.
///
/// - Two formats that claim it refuse it, whatever is declared: a disc image that begins like a
///   qcow2 file, a qcow2 file that ends like a VHD.
/// - One that claims it has to be the declared one. A raw disk may hold a medium (ISO 9660, UDF),
///   and what the caller allows in `accepted`, such as `luks`.
/// - Where no format claims it, the declared format must at least consider it possible: that is
///   raw.
///
/// # Errors
///
/// `denied.ambiguous-content` otherwise, and whatever a format plugin or reading the file reports.
pub async fn confirm_format(
    declared: &str,
    accepted: &[&str],
    formats: &[Arc<dyn DiskFormat>],
    blob: &Arc<dyn BlockSource>,
) -> Result<(), EngineError> {
    let answers = probe_all(formats, blob).await?;
    let ambiguous = |found: String, advice: String| {
        Err(EngineError::AmbiguousContent { declared: declared.to_owned(), found, advice })
    };
    let claims: Vec<_> = answers.iter().filter(|claim| claim.guess.confidence > FALLBACK).collect();
    match claims.as_slice() {
        [] if answers.iter().any(|claim| claim.guess.format == declared) => Ok(()),
        [] => ambiguous("no known format".to_owned(), DECLARE_ADVICE.to_owned()),
        [one] if one.guess.format == declared => Ok(()),
        [one] if declared == RAW && may_be_raw(&one.guess.format, accepted) => Ok(()),
        [one] => {
            let advice =
                if one.by.reads() { DECLARE_ADVICE.to_owned() } else { refusal(one, blob).await?.report() };
            ambiguous(one.guess.format.clone(), advice)
        }
        several => ambiguous(names(several), FORGED_ADVICE.to_owned()),
    }
}

/// Refuses files that a format recognises but does not read, with that format's own text
/// (`unsupported.gzip`: this is a gzip stream; ...), and files that several formats claim. For
/// files without a declared format.
///
/// # Errors
///
/// The refusal, and whatever a format plugin or reading the file reports.
pub async fn refuse_foreign(
    formats: &[Arc<dyn DiskFormat>],
    blob: &Arc<dyn BlockSource>,
) -> Result<(), EngineError> {
    let answers = probe_all(formats, blob).await?;
    let claims: Vec<_> = answers.iter().filter(|claim| claim.guess.confidence > FALLBACK).collect();
    match claims.as_slice() {
        [one] if !one.by.reads() => Err(refusal(one, blob).await?),
        [] | [_] => Ok(()),
        several => Err(EngineError::AmbiguousContent {
            declared: "nothing".to_owned(),
            found: names(several),
            advice: FORGED_ADVICE.to_owned(),
        }),
    }
}

fn may_be_raw(found: &str, accepted: &[&str]) -> bool {
    MEDIA.contains(&found) || accepted.contains(&found)
}

fn names(claims: &[&Claim]) -> String {
    let names: Vec<_> = claims
        .iter()
        .map(|claim| match &claim.guess.subformat {
            Some(subformat) if !claim.by.reads() => format!("{} ({subformat})", claim.guess.format),
            Some(_) | None => claim.guess.format.clone(),
        })
        .collect();
    names.join(" and ")
}

/// Returns how the format that recognises a file, but does not read it, refuses to open it.
async fn refusal(claim: &Claim, blob: &Arc<dyn BlockSource>) -> Result<EngineError, EngineError> {
    match claim.by.open(blob.clone(), &Props::new()).await {
        Err(error) => Ok(error.into()),
        Ok(_) => Err(imprint_ports::PortError::bad_answer(
            "plugin.bad-answer.open",
            "a format plugin opened a file that it only recognises; report this to its author",
        )
        .into()),
    }
}

#[cfg(test)]
mod tests;
