//! `imprint disk map`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use imprint_data_path::{Content, Disk, Piece};
use imprint_ports::ByteRange;
use serde::Serialize;

use super::{
    args::{CommonArgs, Declared, ReadArgs},
    failure::Failure,
    image::{Image, Trust},
    report::Report,
    watch::Watch,
};
use crate::output_format::OutputFormat;

/// Arguments of `imprint disk map`.
#[derive(Args)]
pub(crate) struct MapArgs {
    /// The image: a file, a block device, `-` (standard input), http(s)://HOST/PATH or
    /// nbd+unix:///EXPORT?socket=PATH
    file: PathBuf,
    /// Format of the image [default: by its name]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// An extent of the disk.
#[derive(Serialize)]
struct Row {
    offset: u64,
    length: u64,
    kind: &'static str,
    /// The offset of the stored bytes in the file; for an encoded unit, that of the unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_offset: Option<u64>,
    /// The number of stored bytes; for an encoded unit, an upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_length: Option<u64>,
}

impl Row {
    fn new(piece: &Piece) -> Self {
        let ByteRange { offset, length } = piece.range;
        let (kind, stored_offset, stored_length) = match piece.content {
            Content::Zero => ("zero", None, None),
            Content::Hole => ("hole", None, None),
            Content::Data { at, .. } => ("data", Some(at), Some(length)),
            Content::Encoded(unit) => ("encoded", Some(unit.at), Some(u64::from(unit.stored))),
        };
        Self { offset, length, kind, stored_offset, stored_length }
    }
}

/// Prints the extents of a disk.
///
/// # Errors
///
/// The image cannot be read, or its format is not the declared one.
pub(super) async fn map(args: &MapArgs, watch: &Watch) -> Result<(), Failure> {
    let plugins = args.common.plugins().await?;
    let declared = Declared::by("--format", args.format.as_ref());
    let image = Image::open(&plugins, &args.file, declared, &args.read, Trust::Confirmed, watch).await?;
    let disk = watch.until(image.disk()).await.map_err(|error| image.failure(error))?;
    let mut failed = None;
    let printed = Report::new(args.common.output).write(|out, output| {
        let rows = disk.map().iter().map_while(|piece| match piece {
            Ok(piece) => Some(Row::new(&piece)),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        match output {
            OutputFormat::Json => json(out, &disk, rows),
            OutputFormat::Table => table(out, rows),
        }
    });
    // An error of the map comes first: the printed answer ends too early.
    failed.map_or(printed, |error| Err(image.failure(error.into())))
}

/// Writes one extent per line: a map may have millions.
fn json(out: &mut dyn Write, disk: &Disk, rows: impl Iterator<Item = Row>) -> io::Result<()> {
    write!(out, "{{\"virtual_size\": {}, \"extents\": [", disk.size())?;
    for (index, row) in rows.enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &row)?;
    }
    out.write_all(b"\n]}\n")
}

fn table(out: &mut dyn Write, rows: impl Iterator<Item = Row>) -> io::Result<()> {
    writeln!(
        out,
        "{:>20} {:>20}  {:<8} {:>20} {:>14}",
        "OFFSET", "LENGTH", "KIND", "STORED AT", "STORED LENGTH"
    )?;
    for row in rows {
        let figure = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
        let line = format!(
            "{:>20} {:>20}  {:<8} {:>20} {:>14}",
            row.offset,
            row.length,
            row.kind,
            figure(row.stored_offset),
            figure(row.stored_length)
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
