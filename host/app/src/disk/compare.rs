//! `imprint disk compare`.

use std::path::PathBuf;

use clap::Args;
use imprint_data_path::Comparison;
use serde_json::json;

use super::{
    CommonArgs, ReadArgs,
    failure::Failure,
    image::{Image, Trust},
    report::Report,
    source::Location,
    watch::Watch,
};

/// Arguments of `imprint disk compare`.
#[derive(Args)]
pub(crate) struct CompareArgs {
    /// One image; `-` is standard input, for one of the two
    a: PathBuf,
    /// The other image
    b: PathBuf,
    /// Format of A [default: by its name]
    #[arg(long, value_name = "FORMAT")]
    format_a: Option<String>,
    /// Format of B [default: by its name]
    #[arg(long, value_name = "FORMAT")]
    format_b: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Ends well when the disks are the same, sizes included.
pub(super) async fn compare(args: &CompareArgs, watch: &Watch) -> Result<(), Failure> {
    if [&args.a, &args.b].iter().all(|path| Location::of(path) == Location::Pipe) {
        return Err(Failure::usage("invalid.source", "standard input can be one of the two images only"));
    }
    let plugins = args.common.plugins().await?;
    let a =
        Image::open(&plugins, &args.a, args.format_a.as_deref(), &args.read, Trust::Confirmed, watch).await?;
    let b =
        Image::open(&plugins, &args.b, args.format_b.as_deref(), &args.read, Trust::Confirmed, watch).await?;
    let disk_a = watch.until(a.disk()).await.map_err(|error| a.failure(error))?;
    let disk_b = watch.until(b.disk()).await.map_err(|error| b.failure(error))?;
    let options = watch.options();
    let comparing = imprint_data_path::compare(&disk_a, &disk_b, &options);
    let both = format!("{} and {}", a.name(), b.name());
    let found =
        watch.progress("comparing", comparing).await.map_err(|error| Failure::engine(&both, &error))?;
    let (identical, first_difference, text) = match found {
        Comparison::Identical => (true, None, format!("{both} hold the same disk")),
        Comparison::SizeOnly { first, second } => (
            false,
            Some(first.min(second)),
            format!("{both} differ in size, {first} and {second} bytes; what only one of them has is zero"),
        ),
        Comparison::Content { offset } => {
            (false, Some(offset), format!("{both} differ first at disk offset {offset}"))
        }
    };
    let report = json!({
        "a": {"path": a.name(), "format": a.format(), "virtual_size": disk_a.size()},
        "b": {"path": b.name(), "format": b.format(), "virtual_size": disk_b.size()},
        "identical": identical,
        "same_content": !matches!(found, Comparison::Content { .. }),
        "first_difference": first_difference,
    });
    Report::new(args.common.output).answer(&report, &[text])?;
    if identical { Ok(()) } else { Err(Failure::no()) }
}
