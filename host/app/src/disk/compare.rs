//! `imprint disk compare`.

use std::path::PathBuf;

use clap::Args;
use imprint_data_path::Comparison;
use serde_json::json;

use super::{
    args::{CommonArgs, Declared, ReadArgs},
    failure::Failure,
    image::{Image, Trust},
    report::Report,
    source::Location,
    watch::Watch,
};

/// Arguments of `imprint disk compare`.
#[derive(Args)]
pub(crate) struct CompareArgs {
    /// First image; `-` is standard input, for one of the two
    a: PathBuf,
    /// Second image
    b: PathBuf,
    /// Format of the first image [default: by its name]
    #[arg(long, alias = "format-a", value_name = "FORMAT")]
    from: Option<String>,
    /// Format of the second image [default: by its name]
    #[arg(long, alias = "format-b", value_name = "FORMAT")]
    to: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// Compares the disks of two images.
///
/// # Errors
///
/// The disks differ (sizes included), or one of them cannot be read.
pub(super) async fn compare(args: &CompareArgs, watch: &Watch) -> Result<(), Failure> {
    if Location::of(&args.a)? == Location::Pipe && Location::of(&args.b)? == Location::Pipe {
        return Err(Failure::usage("invalid.source", "only one of the two images can be standard input"));
    }
    let plugins = args.common.plugins().await?;
    let from = Declared::by("--from", args.from.as_ref());
    let a = Image::open(&plugins, &args.a, from, &args.read, Trust::Confirmed, watch).await?;
    let to = Declared::by("--to", args.to.as_ref());
    let b = Image::open(&plugins, &args.b, to, &args.read, Trust::Confirmed, watch).await?;
    let disk_a = watch.until(a.disk()).await.map_err(|error| a.failure(error))?;
    let disk_b = watch.until(b.disk()).await.map_err(|error| b.failure(error))?;
    let options = watch.options();
    let comparing = imprint_data_path::compare(&disk_a, &disk_b, &options);
    let both = format!("{} and {}", a.name(), b.name());
    let comparison =
        watch.progress("comparing", comparing).await.map_err(|error| Failure::engine(&both, &error))?;
    let (identical, first_difference, text) = match comparison {
        Comparison::Identical => (true, None, format!("{both} are the same disk")),
        Comparison::SizeOnly { first, second } => (
            false,
            Some(first.min(second)),
            format!(
                "{both} differ in size only, {first} and {second} bytes; the rest of the larger one is zero"
            ),
        ),
        Comparison::Content { offset } => {
            (false, Some(offset), format!("{both} differ first at disk offset {offset}"))
        }
    };
    let report = json!({
        "a": {"path": a.name(), "format": a.format(), "virtual_size": disk_a.size()},
        "b": {"path": b.name(), "format": b.format(), "virtual_size": disk_b.size()},
        "identical": identical,
        "same_content": !matches!(comparison, Comparison::Content { .. }),
        "first_difference": first_difference,
    });
    Report::new(args.common.output).answer(&report, &[text])?;
    if identical { Ok(()) } else { Err(Failure::silent()) }
}
