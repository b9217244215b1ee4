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
use imprint_domain::size::ByteSize;
use imprint_ports::{BlockSink, DiskFormat, Props, durable::Durability};
use serde_json::{Value, json};

use super::{
    args::{CommonArgs, Declared, ReadArgs, ThreadArgs},
    destination::Destination,
    failure::Failure,
    image::{self, Image, RAW, Trust},
    report::{Report, line},
    source::Location,
    watch::Watch,
};
use crate::terminal::size;

/// The options of formats that are sizes: they have the grammar of all sizes, and formats get the
/// number of bytes.
const SIZES: [&str; 4] = ["align", "block-size", "cluster-size", "sector-size"];

/// Arguments of `imprint disk convert`.
#[derive(Args)]
pub(crate) struct ConvertArgs {
    /// The image to read: a file, a block device, `-` (standard input), http(s)://HOST/PATH or
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
    /// Variant of the format of the target
    #[arg(long, value_name = "NAME")]
    subformat: Option<String>,
    /// Compression of the target
    #[arg(long, value_enum, default_value = "none")]
    compress: Compress,
    /// Compression level: 0 to 12 for zlib (default 1), -7 to 19 for zstd (default 3)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    level: Option<i32>,
    /// Option of the format of the target, such as cluster-size=64K; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    options: Vec<(String, String)>,
    /// Whether the target is on stable storage when the command ends
    #[arg(long, value_enum, default_value = "full")]
    sync: Sync,
    /// Whether the digests of disk and file are computed; without them the target shares blocks
    /// with the source where the file system supports it
    #[arg(long, value_enum, default_value = "full")]
    digest: Digest,
    /// Read the target after it is written, and compare it with the source
    #[arg(long)]
    verify: bool,
    /// Size of the new disk, at least that of the source, such as 10G or 1.5T; the rest is zero
    #[arg(long, value_name = "SIZE")]
    size: Option<ByteSize>,
    /// Print the SHA-256 of the written file, too
    #[arg(long)]
    sha256: bool,
    /// Replace the target if it exists; needed for every device
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    threads: ThreadArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// Compression of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compress {
    /// No compression
    None,
    /// Supported by every reader
    Zlib,
    /// Smaller and several times faster than zlib
    Zstd,
}

/// Whether digests are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Digest {
    /// Digests of the disk and of the file
    Full,
    /// No digests; data is copied without reading it where possible
    None,
}

/// When a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sync {
    /// After the target is on stable storage
    Full,
    /// Before that; the system writes the data later
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
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write an option as KEY=VALUE")?;
    let size = SIZES.contains(&key).then(|| value.parse::<ByteSize>()).transpose();
    let size = size.map_err(|error| error.to_string())?;
    Ok((key.to_owned(), size.map_or_else(|| value.to_owned(), |size| size.bytes().to_string())))
}

/// Writes the target, completely or not at all.
///
/// # Errors
///
/// The source cannot be read or is refused, or the target cannot be written.
pub(super) async fn convert(args: &ConvertArgs, watch: &Watch) -> Result<(), Failure> {
    let started = Instant::now();
    let plugins = args.common.plugins().await?;
    let from = Declared::by("--from", args.from.as_ref());
    let source = Image::open(&plugins, &args.source, from, &args.read, Trust::Confirmed, watch).await?;
    let format = image::find(&plugins.formats(), &target_format(args)?)?;
    let to = format.name().to_owned();
    check_options(args)?;
    if !format.writes() {
        return Err(Failure::usage(
            "invalid.format",
            format!("{to} can only be read; choose another format for the target"),
        ));
    }
    let location = Location::of(&args.target)?;
    let target = Destination::new(&location, args.force, &source.files(), watch)?;
    if args.sha256 && !matches!(target, Destination::File(_)) {
        return Err(Failure::usage("invalid.option", "--sha256 requires a file as the target"));
    }
    let to_target = |error| Failure::engine(target.shown(), &error);
    let disk = watch.until(source.disk()).await.map_err(|error| source.failure(error))?;
    let sink = watch.until(target.sink()).await.map_err(to_target)?;
    let options = write_options(args, watch);
    let writing =
        watch.progress("converting", write(args.digest, &disk, format.as_ref(), &sink, &options)).await;
    let made = writing.map_err(|error| attribute_error(&source, &target, error))?;
    let sha256 = if args.sha256 { watch.until(target.sha256()).await.map_err(to_target)? } else { None };
    let (shown, is_stream) = (target.shown().to_owned(), target.is_stream());
    let device_size = target.device_size();
    target.publish(args.sync.durability()).await.map_err(|error| Failure::engine(&shown, &error))?;
    let usage = plugins.usage();
    let mut report = made.report();
    report["source"] =
        json!({"path": source.name(), "format": source.format(), "manifest": disk.declared_algorithm()});
    report["target"] = json!({"path": shown, "format": to, "compress": args.compress.as_str()});
    if let Some(device) = device_size {
        report["target"]["device_size"] = json!(device);
        report["target"]["untouched"] = json!(device.saturating_sub(made.file_size()));
    }
    report["stored_sha256"] = json!(sha256);
    report["boundary_bytes"] = json!(usage.boundary.total());
    report["sandbox_seconds"] = json!(Duration::from_nanos(usage.busy_ns).as_secs_f64());
    report["plugin_memory_peak"] = json!(usage.memory_peak);
    report["seconds"] = json!(started.elapsed().as_secs_f64());
    let output = args.common.output;
    let answer = if is_stream { Report::on_stderr(output) } else { Report::new(output) };
    let mut lines = lines(&source, &shown, &made, sha256, started.elapsed());
    lines.extend(device_size.and_then(|device| note_of_rest(device, made.file_size())));
    answer.answer(&report, &lines)
}

/// Returns the format of the target: declared, or by its name.
fn target_format(args: &ConvertArgs) -> Result<String, Failure> {
    let location = Location::of(&args.target)?;
    let named = args.to.as_deref().or_else(|| location.path().and_then(image::of_name));
    named.map(str::to_owned).ok_or_else(|| {
        Failure::usage(
            "invalid.format",
            "the name of the target does not declare a format; declare it with --to",
        )
    })
}

fn check_options(args: &ConvertArgs) -> Result<(), Failure> {
    if args.verify && args.digest == Digest::None {
        return Err(Failure::usage("invalid.option", "--verify requires the digests; remove --digest none"));
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
        grow_to: args.size.map(ByteSize::bytes),
        durable: args.sync == Sync::Full,
        verify: args.verify,
        threads: args.threads.threads,
        ..watch.options()
    }
}

fn format_options(args: &ConvertArgs) -> Props {
    let mut options: Props = args.options.iter().cloned().collect();
    options.insert("compress".to_owned(), args.compress.as_str().to_owned());
    options
}

/// Attributes an error to the source or the target, and says what is left of the target.
fn attribute_error(source: &Image, target: &Destination, error: EngineError) -> Failure {
    if !target.keeps_parts() {
        return attribute_to_file(source, target, error);
    }
    let rest = format!("data that was written to {} until then stays there", target.shown());
    if matches!(error, EngineError::Cancelled) {
        return Failure::failed("cancelled", format!("cancelled; {rest}"));
    }
    // Where the size is known before, a target that is too small was not written.
    if matches!(error, EngineError::TooSmall(_)) {
        return attribute_to_file(source, target, error);
    }
    attribute_to_file(source, target, error).and(&rest)
}

fn attribute_to_file(source: &Image, target: &Destination, error: EngineError) -> Failure {
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
        | EngineError::FileLimit { .. }
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

/// The result of a conversion.
enum Conversion {
    /// All data was read and hashed.
    Written(Written),
    /// All data was copied.
    Copied(Copied),
    /// The file shares blocks with the source.
    Cloned(Cloned),
}

/// Writes the target. Without digests it shares blocks with the source where the file system
/// supports that.
async fn write(
    digest: Digest,
    disk: &Arc<Disk>,
    format: &dyn DiskFormat,
    sink: &Arc<dyn BlockSink>,
    options: &WriteOptions,
) -> Result<Conversion, EngineError> {
    match digest {
        Digest::Full => Ok(Conversion::Written(write_image(disk, format, sink, options).await?)),
        Digest::None => match clone_image(disk, format, sink, options).await? {
            Some(cloned) => Ok(Conversion::Cloned(cloned)),
            None => Ok(Conversion::Copied(copy_image(disk, format, sink, options).await?)),
        },
    }
}

impl Conversion {
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

fn lines(
    source: &Image,
    target: &str,
    made: &Conversion,
    sha256: Option<String>,
    took: Duration,
) -> Vec<String> {
    let mut lines = vec![line("from", source.name()), line("to", target)];
    lines.extend(made.lines());
    lines.push(line("took", format!("{:.2} s", took.as_secs_f64())));
    lines.extend(sha256.map(|digest| line("sha256", digest)));
    let file = source.source().size();
    if source.format() == RAW && !file.is_multiple_of(512) {
        lines.push(format!("note: the raw disk has {file} bytes; its last sector is filled with zeroes"));
    }
    lines
}

/// Returns the note about the rest of a device.
fn note_of_rest(device: u64, image: u64) -> Option<String> {
    let rest = device.checked_sub(image).filter(|rest| *rest > 0)?;
    Some(format!("note: the device is larger than the image; its last {rest} bytes were not changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_pairs() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("a").is_err());
        for size in ["1M", "1MiB", "1048576", "1mb"] {
            let expected = ("align".to_owned(), "1048576".to_owned());
            assert_eq!(key_value(&format!("align={size}")), Ok(expected), "{size}");
        }
        assert!(key_value("cluster-size=+1M").is_err() && key_value("block-size=x").is_err());
    }
}
