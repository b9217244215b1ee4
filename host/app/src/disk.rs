//! `imprint disk`: disk images in files of this machine, without a server.
//!
//! The format of an image is declared by its owner, with an option or with the file's name; content
//! only confirms it. Files that an image refers to are never opened unless `--with` grants them.
//! Exit status: 0 done, 1 failed (or `compare` found a difference), 2 wrong usage, 3 the image was
//! refused, with `error[CODE]: ...` on standard error (with `--output json` a JSON document).
//!
//! Options that declare a format: `--format` for a command with one image, `--from` and `--to` for
//! the first and the second of two.

mod args;
mod compare;
mod convert;
mod destination;
mod digest;
mod failure;
mod image;
mod inside;
mod inspect;
mod limits;
mod map;
mod report;
mod source;
mod spool;
mod target;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;

use self::watch::Watch;
use crate::output_format::OutputFormat;

/// The commands of `imprint disk`.
#[derive(Subcommand)]
pub(crate) enum DiskCommand {
    /// Show the header of an image: format, sizes, references to other files (as text), findings
    Inspect(inspect::InspectArgs),
    /// Show where a disk has data: extents {offset, length, kind}, kind in data, zero, hole,
    /// encoded
    Map(map::MapArgs),
    /// Write a disk as a new image, from any format to any format
    Convert(convert::ConvertArgs),
    /// Check the consistency of a format's own tables
    Check(inspect::CheckArgs),
    /// Print the logical digest, which is the same for the same disk in every format
    Digest(digest::DigestArgs),
    /// Compare the disks of two images, and print where they first differ
    Compare(compare::CompareArgs),
}

impl DiskCommand {
    fn output_format(&self) -> OutputFormat {
        match self {
            Self::Inspect(args) => args.common.output,
            Self::Map(args) => args.common.output,
            Self::Convert(args) => args.common.output,
            Self::Check(args) => args.common.output,
            Self::Digest(args) => args.common.output,
            Self::Compare(args) => args.common.output,
        }
    }
}

/// Checks that the limits of this process leave room for a command, before anything is started.
///
/// # Errors
///
/// The exit status, after the limit was reported.
pub(crate) fn check_limits(command: &DiskCommand) -> Result<(), ExitCode> {
    limits::check().map_err(|failure| failure.report(command.output_format()))
}

/// Runs a command and returns the exit status of the process. SIGINT, SIGTERM and SIGHUP cancel the
/// command, which then removes what it made.
pub(crate) async fn run(command: DiskCommand) -> ExitCode {
    let watch = Watch::start();
    let format = command.output_format();
    let result = match command {
        DiskCommand::Inspect(args) => inspect::inspect(&args, &watch).await,
        DiskCommand::Map(args) => map::map(&args, &watch).await,
        DiskCommand::Convert(args) => convert::convert(&args, &watch).await,
        DiskCommand::Check(args) => inspect::check(&args, &watch).await,
        DiskCommand::Digest(args) => digest::digest(&args, &watch).await,
        DiskCommand::Compare(args) => compare::compare(&args, &watch).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}
