//! The parts of an upload that its storage has already, from an earlier process or from this one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use imprint_ports::{ByteRange, PartLog, SentPart};
use serde::{Deserialize, Serialize};

use crate::{
    bindings::{host::imprint::types::http_types::Response, storage::exports::imprint::storage::backend},
    net::Payload,
    sync,
};

/// The longest answer that is written down, in bytes. A part with a longer one is sent again.
const MAX_ANSWER: usize = 16 << 10;

/// The answer to a part as it is written down.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What is known of the parts of one upload.
#[derive(Default)]
pub(super) struct Known {
    log: Option<Arc<dyn PartLog>>,
    /// The parts of an earlier process by their numbers. One that was sent again is removed.
    earlier: Mutex<BTreeMap<u32, SentPart>>,
    part_size: u64,
}

impl Known {
    /// Takes over the parts of an earlier process that this one would cut in the same way.
    pub(super) fn of(log: Option<Arc<dyn PartLog>>, part_size: usize) -> Self {
        let part_size = u64::try_from(part_size).unwrap_or(u64::MAX);
        let parts = log.iter().flat_map(|log| log.known());
        let earlier = parts.filter_map(|part| {
            let ByteRange { offset, length } = part.range;
            let fits = offset % part_size == 0 && (1..=part_size).contains(&length);
            let number = u32::try_from(offset / part_size).ok()?.checked_add(1)?;
            (fits && result(number, &part.answer).is_some()).then_some((number, part))
        });
        Self { earlier: Mutex::new(earlier.collect()), log, part_size }
    }

    /// Returns the ranges of the parts of an earlier process.
    pub(super) fn ranges(&self) -> impl Iterator<Item = ByteRange> {
        let ranges: Vec<_> = sync::lock(&self.earlier).values().map(|part| part.range).collect();
        ranges.into_iter()
    }

    /// Returns the answer to a part of that length that an earlier process sent, whatever its bytes
    /// are.
    pub(super) fn kept(&self, number: u32, length: u64) -> Option<backend::PartResult> {
        let earlier = sync::lock(&self.earlier);
        let part = earlier.get(&number).filter(|part| part.range.length == length);
        part.and_then(|part| result(number, &part.answer))
    }

    /// Returns the digest of a part, and the answer to it if an earlier process sent the same
    /// bytes; `None` where nothing is written down.
    pub(super) fn compare(
        &self,
        number: u32,
        payload: &Payload<'_>,
    ) -> Option<([u8; 32], Option<backend::PartResult>)> {
        self.log.as_ref()?;
        let mut hasher = blake3::Hasher::new();
        let hashed = payload.pieces(|piece| {
            hasher.update(piece);
        });
        hashed.ok()?;
        let digest = *hasher.finalize().as_bytes();
        let earlier = sync::lock(&self.earlier);
        let same = earlier.get(&number).filter(|part| part.digest == Some(digest));
        Some((digest, same.and_then(|part| result(number, &part.answer))))
    }

    /// Writes down that a part was sent.
    pub(super) fn sent(&self, digest: Option<[u8; 32]>, length: u64, result: &backend::PartResult) {
        let Some(log) = &self.log else { return };
        sync::lock(&self.earlier).remove(&result.number);
        let Response { status, headers, body } = &result.response;
        let answer = Answer { status: *status, headers: headers.clone(), body: body.clone() };
        let answer = serde_json::to_string(&answer).unwrap_or_default();
        if answer.len() > MAX_ANSWER {
            return;
        }
        let offset = u64::from(result.number - 1) * self.part_size;
        log.sent(SentPart { range: ByteRange { offset, length }, digest, answer });
    }
}

/// Reads an answer that was written down, perhaps by another version of the host.
fn result(number: u32, answer: &str) -> Option<backend::PartResult> {
    let Answer { status, headers, body } = serde_json::from_str(answer).ok()?;
    Some(backend::PartResult { number, response: Response { status, headers, body }, digests: Vec::new() })
}
