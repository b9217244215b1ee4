//! `imprint disk convert`.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use imprint_data_path::{
    Cloned, Copied, Disk, EngineError, WriteOptions, Written, clone_image, copy_image, write_image,
};
use imprint_ports::{BlockSink, DiskFormat, Props, durable::Durability};
use serde_json::{Value, json};

use super::{
    CommonArgs, ReadArgs, WorkArgs,
    destination::Destination,
    failure::Failure,
    image::{self, Image, RAW, Trust},
    report::{Report, line, size},
    source::Location,
    watch::Watch,
};

/// Arguments of `imprint disk convert`.
#[derive(Args)]
pub(crate) struct ConvertArgs {
    /// The image to read: a file, a block device, `-` (standard input), http[s]://HOST/PATH or
    /// nbd+unix:///EXPORT?socket=PATH
    source: PathBuf,
    /// The image to write: a file, a block device, `-` (standard output) or
    /// nbd+unix:///EXPORT?socket=PATH
    target: PathBuf,
    /// Format of the source [default: by its name]
    #[arg(long, value_name = "FORMAT")]
    from: Option<String>,
    /// Format of the target [default: by its name]
    #[arg(long, value_name = "FORMAT")]
    to: Option<String>,
    /// Variant of the target's format
    #[arg(long, value_name = "NAME")]
    subformat: Option<String>,
    /// Compress the target's data
    #[arg(long, value_enum, default_value = "none")]
    compress: Compress,
    /// How hard to compress: 1 to 12 for zlib (default 1; 0 is fastest), -7 to 19 for zstd (default
    /// 3)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    level: Option<i32>,
    /// An option of the target's format, such as cluster-size=65536; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    options: Vec<(String, String)>,
    /// Whether the target is on stable storage when the command ends
    #[arg(long, value_enum, default_value = "full")]
    sync: Sync,
    /// Whether the digests of disk and file are computed; without them the target shares blocks
    /// with the source where the file system can do that
    #[arg(long, value_enum, default_value = "full")]
    digest: Digest,
    /// Read the target again when it is written, and compare it with what should be there
    #[arg(long)]
    verify: bool,
    /// Let the new disk be larger than the old one, in bytes or with K, M, G, T; what is added is
    /// zero
    #[arg(long, value_name = "SIZE", value_parser = size_of)]
    size: Option<u64>,
    /// Also tell the SHA-256 of the file that was written, for those who ask for one
    #[arg(long)]
    sha256: bool,
    /// Replace the target if it exists; needed for every device
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Compression of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compress {
    /// Stored as it is.
    None,
    /// What every reader knows.
    Zlib,
    /// Smaller and several times faster.
    Zstd,
}

/// Whether digests are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Digest {
    /// Of the disk and of the file, on the way.
    Full,
    /// None: bytes are moved without a look at them where that is possible.
    None,
}

/// What the end of a command promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sync {
    /// A power cut after it does no harm.
    Full,
    /// As fast as other tools that promise nothing.
    None,
}

impl Sync {
    fn durability(self) -> Durability {
        match self {
            Self::Full => Durability::Synced,
            Self::None => Durability::Unsynced,
        }
    }
}

impl Compress {
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("an option is written KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A number of bytes, or of binary thousands of them.
fn size_of(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        Some((at, 'T' | 't')) => (&text[..at], 40),
        Some(_) | None => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "a size is a number, with K, M, G or T behind it")?;
    number.checked_mul(1 << shift).ok_or_else(|| "no disk is that large".to_owned())
}

/// Writes the target, whole or not at all.
pub(super) async fn convert(args: &ConvertArgs, watch: &Watch) -> Result<(), Failure> {
    let begun = Instant::now();
    let plugins = args.common.plugins().await?;
    let source =
        Image::open(&plugins, &args.source, args.from.as_deref(), &args.read, Trust::Confirmed, watch)
            .await?;
    let format = image::find(&plugins.formats(), target_format(args)?)?;
    let to = format.name().to_owned();
    check_options(args)?;
    if !format.writes() {
        return Err(Failure::usage(
            "invalid.format",
            format!("{to} can be read only; choose another format to write"),
        ));
    }
    let location = Location::of(&args.target);
    let target = Destination::new(&location, args.force, source.file().as_slice(), watch)?;
    if args.sha256 && !matches!(target, Destination::File(_)) {
        return Err(Failure::usage("invalid.option", "--sha256 needs a file as its target"));
    }
    let to_target = |error| Failure::engine(target.shown(), &error);
    let disk = watch.until(source.disk()).await.map_err(|error| source.failure(error))?;
    let sink = watch.until(target.sink()).await.map_err(to_target)?;
    let options = write_options(args, watch);
    let writing =
        watch.progress("converting", write(args.digest, &disk, format.as_ref(), &sink, &options)).await;
    let made = writing.map_err(|error| blame(&source, &target, error))?;
    let sha256 = match args.sha256 {
        true => watch.until(target.sha256()).await.map_err(to_target)?,
        false => None,
    };
    let (shown, is_stream) = (target.shown().to_owned(), target.is_stream());
    let device_size = target.device_size();
    target.publish(args.sync.durability()).await.map_err(|error| Failure::engine(&shown, &error))?;
    let usage = plugins.usage();
    let mut report = made.report();
    report["source"] =
        json!({"path": source.name(), "format": source.format(), "manifest": disk.declared_algorithm()});
    report["target"] = json!({"path": shown, "format": to, "compress": args.compress.word()});
    if let Some(device) = device_size {
        report["target"]["device_size"] = json!(device);
        report["target"]["untouched"] = json!(device.saturating_sub(made.file_size()));
    }
    report["stored_sha256"] = json!(sha256);
    report["boundary_bytes"] = json!(usage.boundary.total());
    report["sandbox_seconds"] = json!(Duration::from_nanos(usage.busy_ns).as_secs_f64());
    report["plugin_memory_peak"] = json!(usage.memory_peak);
    report["seconds"] = json!(begun.elapsed().as_secs_f64());
    let report_to = match is_stream {
        true => Report::beside_a_stream(args.common.output),
        false => Report::new(args.common.output),
    };
    let mut lines = lines(&source, &shown, &made, sha256, begun.elapsed());
    lines.extend(device_size.and_then(|device| behind(device, made.file_size())));
    report_to.answer(&report, &lines)
}

/// The target's format: declared, or by its name.
fn target_format(args: &ConvertArgs) -> Result<&str, Failure> {
    let location = Location::of(&args.target);
    let named = args.to.as_deref().or_else(|| location.path().and_then(image::of_name));
    named.ok_or_else(|| {
        Failure::usage(
            "invalid.format",
            "the target does not tell its format by its name; say which with --to",
        )
    })
}

fn check_options(args: &ConvertArgs) -> Result<(), Failure> {
    if args.verify && args.digest == Digest::None {
        return Err(Failure::usage("invalid.option", "--verify needs the digests; leave --digest none out"));
    }
    if args.options.iter().any(|(key, _)| key == "compress") {
        return Err(Failure::usage("invalid.option", "compression is chosen with --compress"));
    }
    Ok(())
}

fn write_options(args: &ConvertArgs, watch: &Watch) -> WriteOptions {
    WriteOptions {
        subformat: args.subformat.clone(),
        format_options: format_options(args),
        level: args.level,
        grow_to: args.size,
        durable: args.sync == Sync::Full,
        verify: args.verify,
        threads: args.work.threads,
        ..watch.options()
    }
}

fn format_options(args: &ConvertArgs) -> Props {
    let mut options: Props = args.options.iter().cloned().collect();
    options.insert("compress".to_owned(), args.compress.word().to_owned());
    options
}

/// Says which of the two files an error is about, and what is left of the target.
fn blame(source: &Image, target: &Destination, error: EngineError) -> Failure {
    if !target.keeps_parts() {
        return blame_file(source, target, error);
    }
    let rest = format!("what was written to {} until then stays there", target.shown());
    if matches!(error, EngineError::Cancelled) {
        return Failure::failed("cancelled", format!("cancelled; {rest}"));
    }
    // Where the size is known before, a target that is too small was not written.
    match matches!(error, EngineError::TooSmall(_)) {
        true => blame_file(source, target, error),
        false => blame_file(source, target, error).and(&rest),
    }
}

fn blame_file(source: &Image, target: &Destination, error: EngineError) -> Failure {
    match &error {
        EngineError::Map(_)
        | EngineError::Scratch(_)
        | EngineError::Decode { .. }
        | EngineError::Read { .. }
        | EngineError::Mover(_)
        | EngineError::ExternalReference { .. }
        | EngineError::Chain { .. }
        | EngineError::AmbiguousContent { .. }
        | EngineError::Digest { .. }
        | EngineError::SourceChanged => source.failure(error),
        EngineError::Port(_)
        | EngineError::Write { .. }
        | EngineError::NoSpace { .. }
        | EngineError::TooSmall(_)
        | EngineError::Open { .. }
        | EngineError::Unsupported { .. }
        | EngineError::InvalidOption { .. }
        | EngineError::Mismatch
        | EngineError::Cancelled
        | EngineError::OutOfOrder
        | EngineError::WorkerLost => Failure::engine(target.shown(), &error),
    }
}

/// What a conversion made.
enum Made {
    /// Every byte was looked at.
    Written(Written),
    /// Every byte was moved.
    Copied(Copied),
    /// The file shares its blocks with the source.
    Cloned(Cloned),
}

/// Without digests the target may share its blocks with the source, where the file system can do
/// that.
async fn write(
    digest: Digest,
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Made, EngineError> {
    match digest {
        Digest::Full => Ok(Made::Written(write_image(disk, format, sink, options).await?)),
        Digest::None => match clone_image(disk, format, sink, options).await? {
            Some(cloned) => Ok(Made::Cloned(cloned)),
            None => Ok(Made::Copied(copy_image(disk, format, sink, options).await?)),
        },
    }
}

impl Made {
    fn file_size(&self) -> u64 {
        match self {
            Self::Written(written) => written.file_size,
            Self::Copied(copied) => copied.file_size,
            Self::Cloned(cloned) => cloned.file_size,
        }
    }

    fn report(&self) -> Value {
        match self {
            Self::Written(written) => json!({
                "virtual_size": written.virtual_size,
                "stored_size": written.file_size,
                "data_bytes": written.data_bytes,
                "logical_digest": written.logical.to_string(),
                "stored_digest": written.stored.to_string(),
                "read_bytes": written.read_bytes,
                "written_bytes": written.written_bytes,
                "native_bytes": written.read_bytes + written.written_bytes,
            }),
            Self::Copied(copied) => json!({
                "virtual_size": copied.virtual_size,
                "stored_size": copied.file_size,
                "data_bytes": copied.data_bytes,
                "read_bytes": copied.read_bytes,
                "written_bytes": copied.written_bytes,
                "native_bytes": copied.read_bytes + copied.written_bytes,
            }),
            Self::Cloned(cloned) => json!({
                "virtual_size": cloned.virtual_size,
                "stored_size": cloned.file_size,
                "cloned_bytes": cloned.cloned_bytes,
                "native_bytes": cloned.cloned_bytes + cloned.copied_bytes,
            }),
        }
    }

    fn lines(&self) -> Vec<String> {
        match self {
            Self::Written(written) => vec![
                line("virtual size", size(written.virtual_size)),
                line("stored size", size(written.file_size)),
                line("written", size(written.written_bytes)),
                line("logical digest", written.logical),
                line("stored digest", written.stored),
            ],
            Self::Copied(copied) => vec![
                line("virtual size", size(copied.virtual_size)),
                line("stored size", size(copied.file_size)),
                line("written", size(copied.written_bytes)),
            ],
            Self::Cloned(cloned) => vec![
                line("virtual size", size(cloned.virtual_size)),
                line("stored size", size(cloned.file_size)),
                line("shared", size(cloned.cloned_bytes)),
            ],
        }
    }
}

fn lines(source: &Image, target: &str, made: &Made, sha256: Option<String>, took: Duration) -> Vec<String> {
    let mut lines = vec![line("from", source.name()), line("to", target)];
    lines.extend(made.lines());
    lines.push(line("took", format!("{:.2} s", took.as_secs_f64())));
    lines.extend(sha256.map(|digest| line("sha256", digest)));
    let file = source.source().size();
    if source.format() == RAW && !file.is_multiple_of(512) {
        lines.push(format!("note: the raw disk has {file} bytes; zeroes fill up its last sector"));
    }
    lines
}

/// What is told of the rest of a device.
fn behind(device: u64, image: u64) -> Option<String> {
    let rest = device.checked_sub(image).filter(|rest| *rest > 0)?;
    Some(format!("note: the device is larger than the image; its last {rest} bytes stay as they were"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size_of("512"), Ok(512));
        assert_eq!(size_of("3G"), Ok(3 << 30));
        assert_eq!(size_of("1k"), Ok(1024));
        for wrong in ["", "G", "1.5G", "-1", "99999999T", "1GB"] {
            assert!(size_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_are_pairs() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("a").is_err());
    }
}
