//! `imprint disk inspect` and `imprint disk check`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use futures::future::OptionFuture;
use imprint_data_path::{CheckReport, EngineError, check_declared_digest};
use imprint_ports::{BlockSource, DiskFormat, Finding, ImageInfo, Props, Severity, SourceRef};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::{
    args::{CommonArgs, Declared, ReadArgs},
    failure::Failure,
    image::{Image, Trust},
    inside,
    report::{Report, line},
    watch::Watch,
};
use crate::terminal::{printable, size};

/// The most findings that are printed as text; JSON has all of them.
const MAX_PRINTED: usize = 20;

/// Arguments of `imprint disk inspect`.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// The image: a file, a block device, `-` (standard input), http(s)://HOST/PATH or
    /// nbd+unix:///EXPORT?socket=PATH
    file: PathBuf,
    /// Format of the image [default: by its name, else by its content]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Look inside of the disk, too: partitions, file systems, the operating system, and what is
    /// installed (cloud-init, guest agent, SSH server, boot loader). Metadata is read in a sandbox;
    /// nothing is mounted
    #[arg(long)]
    inside: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// Arguments of `imprint disk check`.
#[derive(Args)]
pub(crate) struct CheckArgs {
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

/// Prints the header of an image, and counts from its map, which is validated first; with
/// `--inside` also what is in the disk.
///
/// # Errors
///
/// The image cannot be read, is damaged, or its format is not the declared one.
pub(super) async fn inspect(args: &InspectArgs, watch: &Watch) -> Result<(), Failure> {
    let plugins = args.common.plugins().await?;
    let declared = Declared::by("--format", args.format.as_ref());
    let image = Image::open(&plugins, &args.file, declared, &args.read, Trust::OrDetected, watch).await?;
    let failed = |error| image.failure(error);
    let subject = watch.until(Subject::of(&image)).await.map_err(failed)?;
    let (info, references) = watch.until(subject.header()).await.map_err(failed)?;
    // A disk with a parent is incomplete: without the parent there is no map.
    let complete = references.is_empty() || !args.read.with.is_empty();
    let (report, stored) = watch.until(check_and_count(&image, &subject, complete)).await.map_err(failed)?;
    let inside = if args.inside { Some(inside::look(&plugins, &image, watch).await?) } else { None };
    let document = json!({
        "path": image.name(),
        "format": image.format(),
        "contains": subject.contains(),
        "format_said_by": image.declared_by().as_str(),
        "subformat": info.subformat,
        "virtual_size": info.virtual_size,
        "file_size": image.source().size(),
        "allocated_size": image.allocated(),
        "unit": info.unit,
        "data_bytes": stored.map(|(data, _)| data),
        "encoded_bytes": stored.map(|(_, encoded)| encoded),
        "facts": info.facts,
        "references": references.iter().map(reference).collect::<Vec<_>>(),
        "findings": summary(&report),
        "inside": inside,
        "plugin_memory_peak": plugins.usage().memory_peak,
    });
    let mut text = lines(&image, &info, &references, stored, &report);
    text.extend(inside.iter().flat_map(inside::lines));
    Report::new(args.common.output).answer(&document, &text)
}

/// The image that the commands speak of: the one inside, where the file is a wrapper.
struct Subject {
    plugin: Arc<dyn DiskFormat>,
    source: Arc<dyn BlockSource>,
    options: Props,
    /// The wrapper around it, and what it states.
    wrapper: Option<(ImageParts, Props)>,
}

/// What a check needs of an image.
type ImageParts = (Arc<dyn DiskFormat>, Arc<dyn BlockSource>, Props);

impl Subject {
    async fn of(image: &Image) -> Result<Self, EngineError> {
        let own = (image.plugin().clone(), image.source().clone(), image.options().clone());
        Ok(match image.inner().await? {
            Some(inner) => Self {
                plugin: inner.format,
                source: inner.source,
                options: inner.options,
                wrapper: Some((own, inner.wrapper_facts)),
            },
            None => Self { plugin: own.0, source: own.1, options: own.2, wrapper: None },
        })
    }

    /// Returns the format of the image inside a wrapper.
    fn contains(&self) -> Option<&str> {
        self.wrapper.as_ref().map(|_| self.plugin.name())
    }

    async fn header(&self) -> Result<(ImageInfo, Vec<SourceRef>), EngineError> {
        let mut open = self.plugin.open(self.source.clone(), &self.options).await?;
        let mut info = open.info().await?;
        let mut references = open.sources().await?;
        references.retain(|source| source.role != "primary");
        if let Some((_, facts)) = &self.wrapper {
            info.facts.extend(facts.clone());
        }
        Ok((info, references))
    }

    /// Runs the check of the image, and that of the wrapper around it.
    fn check(&self) -> impl Future<Output = Result<CheckReport, EngineError>> + use<> {
        let own = (self.plugin.clone(), self.source.clone(), self.options.clone());
        let around = self.wrapper.as_ref().map(|(parts, _)| parts.clone());
        async move {
            let mut report = CheckReport::default();
            for (plugin, source, options) in around.into_iter().chain([own]) {
                let found = imprint_data_path::check(plugin.as_ref(), source, &options).await?;
                report.findings.extend(found.findings);
                report.cut_off |= found.cut_off;
            }
            Ok(report)
        }
    }
}

/// Returns the check's report, and of a complete disk how many bytes are stored and how many of
/// these are encoded. Both read all tables, in a sandbox of their own; that takes seconds for
/// terabytes, so they run at the same time. If both fail, the check's error is returned.
#[expect(clippy::disallowed_methods, reason = "the handle aborts it when it is dropped")]
async fn check_and_count(
    image: &Image,
    subject: &Subject,
    complete: bool,
) -> Result<(CheckReport, Option<(u64, u64)>), EngineError> {
    let checking = AbortOnDropHandle::new(tokio::spawn(subject.check()));
    let count = async {
        let disk = image.disk().await?;
        Ok::<_, EngineError>((disk.map().data_bytes(), disk.map().encoded_bytes()))
    };
    let counting = OptionFuture::from(complete.then_some(count));
    let (report, stored) = tokio::join!(checking, counting);
    Ok((report.map_err(|_| EngineError::WorkerLost)??, stored.transpose()?))
}

fn reference(source: &SourceRef) -> Value {
    json!({
        "role": source.role,
        "reference": source.reference,
        "format": source.format_hint,
        "required": source.required,
    })
}

fn summary(found: &CheckReport) -> Value {
    json!({
        "errors": found.count(Severity::Error),
        "leaks": found.count(Severity::Leak),
        "notes": found.count(Severity::Note),
        "cut_off": found.cut_off,
    })
}

fn lines(
    image: &Image,
    info: &ImageInfo,
    references: &[SourceRef],
    stored: Option<(u64, u64)>,
    found: &CheckReport,
) -> Vec<String> {
    let format = match &info.subformat {
        Some(subformat) => format!("{} ({})", info.format, printable(subformat)),
        None => info.format.clone(),
    };
    let format = match info.facts.get("wrapper") {
        Some(wrapper) => format!("{format} in {wrapper}"),
        None => format,
    };
    let mut lines = vec![
        line("file", image.name()),
        line("format", printable(&format)),
        line("virtual size", size(info.virtual_size)),
        line("file size", size(image.source().size())),
        line("unit", size(info.unit.into())),
    ];
    lines.extend(image.allocated().map(|bytes| line("occupies", size(bytes))));
    if let Some((data, encoded)) = stored {
        lines.push(line("data", size(data)));
        lines.push(line("compressed", size(encoded)));
    }
    lines.extend(info.facts.iter().map(|(key, value)| line(&printable(key), printable(value))));
    lines.extend(references.iter().map(|source| {
        line(
            &printable(&source.role),
            format!("'{}' (from the header; never opened)", printable(&source.reference)),
        )
    }));
    lines.push(line("findings", counts(found)));
    lines
}

fn counts(found: &CheckReport) -> String {
    format!(
        "{} errors, {} leaks, {} notes{}",
        found.count(Severity::Error),
        found.count(Severity::Leak),
        found.count(Severity::Note),
        if found.cut_off { "; the list is incomplete" } else { "" }
    )
}

/// Prints the findings of the format's own check. Errors refuse the image; leaks and notes do not.
///
/// # Errors
///
/// The check found an error, or the image cannot be read.
pub(super) async fn check(args: &CheckArgs, watch: &Watch) -> Result<(), Failure> {
    let plugins = args.common.plugins().await?;
    let declared = Declared::by("--format", args.format.as_ref());
    let image = Image::open(&plugins, &args.file, declared, &args.read, Trust::Confirmed, watch).await?;
    let failed = |error| image.failure(error);
    let subject = watch.until(Subject::of(&image)).await.map_err(failed)?;
    let found = watch.until(subject.check()).await.map_err(failed)?;
    let manifest = watch.until(check_manifest(&image, &subject, watch)).await.map_err(failed)?;
    let mut document = summary(&found);
    document["manifest"] = json!(manifest);
    document["path"] = json!(image.name());
    document["format"] = json!(image.format());
    document["contains"] = json!(subject.contains());
    document["findings"] = found.findings.iter().map(finding).collect();
    let mut lines: Vec<String> = found.findings.iter().take(MAX_PRINTED).map(finding_line).collect();
    if found.findings.len() > MAX_PRINTED {
        lines.push(format!("... {} more; --output json lists all", found.findings.len() - MAX_PRINTED));
    }
    lines.push(format!("{}: {}", image.name(), counts(&found)));
    Report::new(args.common.output).answer(&document, &lines)?;
    match found.count(Severity::Error) {
        0 => Ok(()),
        errors => Err(Failure::refused(
            "corrupt.tables",
            format!("{}: the check found {errors} errors; restore the image from a good copy", image.name()),
        )),
    }
}

/// Compares the disk in a wrapper with the digest that the wrapper declares. Returns the algorithm
/// of that digest, or `None` without one.
async fn check_manifest(
    image: &Image,
    subject: &Subject,
    watch: &Watch,
) -> Result<Option<&'static str>, EngineError> {
    if subject.wrapper.is_none() {
        return Ok(None);
    }
    let disk = image.disk().await?;
    check_declared_digest(&disk, &watch.options().cancel).await?;
    Ok(disk.declared_algorithm())
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Leak => "leak",
        Severity::Note => "note",
    }
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": severity(finding),
        "code": finding.code,
        "message": finding.message,
        "offset": finding.offset,
    })
}

fn finding_line(finding: &Finding) -> String {
    format!("{} [{}]: {}", severity(finding), printable(&finding.code), printable(&finding.message))
}
