//! The marks of a manifest, which say what a format is asked about at all.

use imprint_corpus::{Bait, Bytes, Content};
use imprint_plugin_sdk::format::Format;

/// Whether a manifest's `plugin.probe.marks` let a file through, by its first and last bytes.
fn admits(manifest: &toml::Table, head: &[u8], tail: &[u8]) -> bool {
    let marks = manifest["plugin"]["probe"]["marks"].as_array().expect("the manifest has marks");
    marks.iter().any(|mark| {
        let at = mark["at"].as_integer().expect("a mark has a place");
        let bytes = match mark.get("text") {
            Some(text) => text.as_str().expect("text").as_bytes().to_vec(),
            None => hex::decode(mark["hex"].as_str().expect("text or hex")).expect("hexadecimal digits"),
        };
        let distance = usize::try_from(at.unsigned_abs()).expect("a place");
        let found = if at < 0 {
            tail.len().checked_sub(distance).map(|start| &tail[start..])
        } else {
            head.get(distance..)
        };
        found.is_some_and(|found| found.starts_with(&bytes))
    })
}

/// Fails where the format knows a file that its manifest would not let it see: every file of the
/// corpus of hostile images, the valid ones that those are made from, and `also`. Says how many
/// files it knew.
pub fn known_by_their_marks<F: Format>(manifest: &str, also: &[Vec<u8>]) -> usize {
    let manifest: toml::Table = manifest.parse().expect("the manifest is TOML");
    let cases = imprint_corpus::all(&Bait::default());
    let hostile = cases.iter().flat_map(|case| &case.files).filter_map(|(_, content)| match content {
        Content::File(bytes) => Some(bytes.clone()),
        Content::Link(_) | Content::Fifo | Content::Folder => None,
    });
    let valid = imprint_corpus::valid().into_iter().map(|(.., bytes)| bytes);
    let ends = |bytes: &Bytes| {
        let size = bytes.size();
        let part =
            |from: u64, to: u64| bytes.get(from, usize::try_from(to - from).expect("a part fits memory"));
        (part(0, size.min(64 << 10)), part(size.saturating_sub(4 << 10), size), size)
    };
    let also = also.iter().map(|bytes| {
        let tail = bytes[bytes.len().saturating_sub(4 << 10)..].to_vec();
        (bytes[..bytes.len().min(64 << 10)].to_vec(), tail, u64::try_from(bytes.len()).expect("a length"))
    });
    let files: Vec<_> = hostile.chain(valid).map(|bytes| ends(&bytes)).chain(also).collect();
    let known = files.iter().filter(|(head, tail, size)| {
        let known = F::probe(head, tail, *size).is_some();
        assert!(
            !known || admits(&manifest, head, tail),
            "it knows a file that begins with {:02x?}",
            &head[..head.len().min(64)]
        );
        known
    });
    known.count()
}
