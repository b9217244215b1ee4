//! What every inspector must do, whatever a disk says.
//!
//! ```no_run
//! # use imprint_plugin_sdk::{inspector::Inspector, testing::inspector::{Sample, run}};
//! # fn check<MyInspector: Inspector>() {
//! let sample = Sample { name: "a disk of mine", bytes: vec![0; 1 << 20] };
//! let outcomes = run::<MyInspector>(&[sample]);
//! let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
//! assert!(failed.is_empty(), "{failed:#?}");
//! # }
//! ```
//!
//! The suite gives the inspector disks that are empty, short, full of noise, cut off and damaged,
//! and whose device fails. An inspector that panics ends the suite.

use std::rc::Rc;

use crate::{
    error::Result,
    inspector::{Findings, Inspector},
    mock::{MemBlob, MockHost},
};

/// The most parts of one kind in findings.
const MAX_PARTS: usize = 256;
/// The most boot loaders.
const MAX_LOADERS: usize = 64;
/// The longest text, and the longest reason, in bytes.
const MAX_TEXT: usize = 256;
const MAX_REASON: usize = 1000;
/// The most reads of the host for a disk without anything on it.
const MAX_READS: u64 = 500;
/// The damaged copies of each sample.
const DAMAGED: u64 = 200;

/// A disk that the author has, on which the suite's damaged copies are based.
pub struct Sample {
    /// What it is, for messages.
    pub name: &'static str,
    /// The disk.
    pub bytes: Vec<u8>,
}

/// What a case found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The case, with the sample that it is about.
    pub case: String,
    /// What is wrong; `None` where nothing is.
    pub failure: Option<String>,
}

/// Runs every case.
pub fn run<I: Inspector>(samples: &[Sample]) -> Vec<Outcome> {
    let mut outcomes = vec![empty::<I>(), nothing::<I>(), noise::<I>(), largest::<I>()];
    for sample in samples {
        let named = |case: &str, failure: Option<String>| Outcome {
            case: format!("{case}: {}", sample.name),
            failure,
        };
        outcomes.push(named("whole", whole::<I>(sample)));
        outcomes.push(named("the same twice", twice::<I>(sample)));
        outcomes.push(named("left out", left_out::<I>(sample)));
        outcomes.push(named("cut off", cut_off::<I>(sample)));
        outcomes.push(named("damaged", damaged::<I>(sample)));
        outcomes.push(named("a device that fails", failing::<I>(sample)));
    }
    outcomes
}

fn look<I: Inspector>(blob: MemBlob, skip: &[u64]) -> Result<Findings> {
    I::inspect(&MockHost::new(), Box::new(blob), skip)
}

fn outcome(case: &str, failure: Option<String>) -> Outcome {
    Outcome { case: case.to_owned(), failure }
}

/// Disks that are shorter than any table.
fn empty<I: Inspector>() -> Outcome {
    let failure = [0, 1, 511, 512, 4096]
        .into_iter()
        .find_map(|size| check(&look::<I>(MemBlob::new(vec![0; size]), &[])));
    outcome("a short disk", failure)
}

/// A disk of 40 GiB without anything on it.
fn nothing<I: Inspector>() -> Outcome {
    let blob = Rc::new(MemBlob::new([]).with_size(40 << 30));
    let found = I::inspect(&MockHost::new(), Box::new(blob.clone()), &[]);
    let mut failure = check(&found);
    if let Ok(found) = &found
        && !(found.partitions.is_empty() && found.file_systems.is_empty() && found.unread.is_empty())
    {
        failure.get_or_insert(format!("it found something: {found:?}"));
    }
    if blob.reads() > MAX_READS {
        failure.get_or_insert(format!("it read {} times", blob.reads()));
    }
    outcome("a disk without anything on it", failure)
}

fn noise<I: Inspector>() -> Outcome {
    let mut random = Random(7);
    let bytes: Vec<u8> = (0..1 << 20).map(|_| random.byte()).collect();
    outcome("noise", check(&look::<I>(MemBlob::new(bytes), &[])))
}

fn largest<I: Inspector>() -> Outcome {
    outcome("the largest disk", check(&look::<I>(MemBlob::new([0x55; 4096]).with_size(1 << 62), &[])))
}

fn whole<I: Inspector>(sample: &Sample) -> Option<String> {
    check(&look::<I>(MemBlob::new(sample.bytes.clone()), &[]))
}

fn twice<I: Inspector>(sample: &Sample) -> Option<String> {
    let once = look::<I>(MemBlob::new(sample.bytes.clone()), &[]);
    let again = look::<I>(MemBlob::new(sample.bytes.clone()), &[]);
    (once != again).then(|| format!("{once:?} became {again:?}"))
}

/// File systems that are left out are still reported, and nothing is said of what is in them.
fn left_out<I: Inspector>(sample: &Sample) -> Option<String> {
    let found = look::<I>(MemBlob::new(sample.bytes.clone()), &[]).ok()?;
    let skip: Vec<u64> = found.file_systems.iter().map(|found| found.offset).collect();
    let without = look::<I>(MemBlob::new(sample.bytes.clone()), &skip);
    let known =
        |found: &Findings| found.file_systems.iter().map(|found| found.kind.clone()).collect::<Vec<_>>();
    check(&without).or_else(|| {
        let without = without.ok()?;
        (known(&without) != known(&found))
            .then(|| format!("{:?} became {:?}", known(&found), known(&without)))
    })
}

fn cut_off<I: Inspector>(sample: &Sample) -> Option<String> {
    let length = sample.bytes.len();
    let ends = (0..16).map(|part| length * part / 16).chain([length.saturating_sub(1)]);
    ends.into_iter().find_map(|end| {
        let cut = sample.bytes.get(..end).unwrap_or_default().to_vec();
        let shorter = look::<I>(MemBlob::new(cut.clone()), &[]);
        // The same, by a device that ends earlier than it says.
        let size = u64::try_from(length).unwrap_or(u64::MAX);
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let short = look::<I>(MemBlob::new(cut).with_size(size).short_from(end), &[]);
        check(&shorter).or_else(|| check(&short)).map(|failure| format!("cut at {end}: {failure}"))
    })
}

/// Copies with other bytes at a few places, of which most are where tables are: at the start.
fn damaged<I: Inspector>(sample: &Sample) -> Option<String> {
    if sample.bytes.is_empty() {
        return None;
    }
    (0..DAMAGED).find_map(|seed| {
        let mut random = Random(seed + 1);
        let mut bytes = sample.bytes.clone();
        for _ in 0..8 {
            let span = if random.byte().is_multiple_of(4) { bytes.len() } else { bytes.len().min(1 << 18) };
            let at = random.below(span);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = if random.byte().is_multiple_of(3) { 0xff } else { random.byte() };
            }
        }
        check(&look::<I>(MemBlob::new(bytes), &[])).map(|failure| format!("seed {seed}: {failure}"))
    })
}

fn failing<I: Inspector>(sample: &Sample) -> Option<String> {
    let places = [0, 512, 1024, 4096, 32 << 10, 64 << 10, 1 << 20, 2 << 20];
    places.into_iter().find_map(|at| {
        let blob = MemBlob::new(sample.bytes.clone()).failing_at(at);
        check(&look::<I>(blob, &[])).map(|failure| format!("failing at {at}: {failure}"))
    })
}

/// Returns what is wrong with an answer. An error is none: a disk may be unreadable.
fn check(answer: &Result<Findings>) -> Option<String> {
    let Ok(found) = answer else { return None };
    let counts = [found.partitions.len(), found.file_systems.len(), found.unread.len()];
    if counts.iter().any(|count| *count > MAX_PARTS) || found.boot_loaders.len() > MAX_LOADERS {
        return Some(format!("too many parts: {counts:?}"));
    }
    let mut texts: Vec<&str> = found.boot_loaders.iter().map(String::as_str).collect();
    for partition in &found.partitions {
        texts.push(&partition.kind);
        texts.extend(partition.name.as_deref());
    }
    for found in &found.file_systems {
        texts.push(&found.kind);
        texts.extend([&found.label, &found.uuid].into_iter().flatten().map(String::as_str));
    }
    let system = &found.system;
    let of_system = [&system.distribution, &system.version, &system.name, &system.edition, &system.build];
    texts.extend(of_system.into_iter().flatten().map(String::as_str));
    for unread in &found.unread {
        texts.extend([unread.what.as_str(), unread.code.as_str()]);
        if unread.reason.len() > MAX_REASON || unread.reason.is_empty() || unread.code.is_empty() {
            return Some(format!("a reason of {} bytes", unread.reason.len()));
        }
    }
    let long = texts.iter().find(|text| text.len() > MAX_TEXT || text.chars().any(char::is_control));
    long.map(|text| format!("a text that is too long or not printable: {text:?}"))
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*, from a seed that is not zero.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from((self.next() >> 8) % end).unwrap_or(0)
    }
}
